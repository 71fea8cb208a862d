"""Conversations: from what a caller writes to what Novita takes, with pictures, clips and sounds brought along.

A message is `{role, content}`; content is text or a list of parts. A part is `{"type": "text", "text": ...}` or
`{"type": "image" | "video" | "audio", "url": <reference>}`; Novita's own spelling (`image_url`, `video_url`,
`input_audio`) is taken too. A reference is a link, a path, a data URI or `task:<id>/<n>`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from ..core.answers import a_list, a_text, an_object
from ..core.errors import InputError
from ..core.json_text import Json, is_list, is_object
from ..files.inputs import Inputs
from ..files.kinds import media_type
from ..files.source import Source

Media = Literal["image", "video", "audio"]

_KINDS: Mapping[str, Media] = {
    "image": "image",
    "image_url": "image",
    "video": "video",
    "video_url": "video",
    "audio": "audio",
    "input_audio": "audio",
    "input_image": "image",
}
_TEXTS = frozenset({"text", "input_text", "output_text", "refusal"})
_PARTS = frozenset({*_KINDS, *_TEXTS})
_BASE64 = re.compile(r"[A-Za-z0-9+/]{64,}={0,2}")
_MOST_PARTS = 64


def conversation(
    prompt: str | None,
    messages: Sequence[Mapping[str, Any]] | None,
    system: str | None,
    images: Sequence[str] | None,
) -> list[Json]:
    """The messages of a call; media are still references, and belong to the last thing the user says.

    Raises:
        InputError: A part is not understood, or pictures come without anything said about them.
    """
    made: list[Json] = [{"role": "system", "content": system}] if system else []
    made += openai_messages(messages or ())
    if prompt is not None and prompt.strip():
        made.append({"role": "user", "content": prompt})
    if images:
        if not made or made[-1].get("role") != "user":
            raise InputError("images need a prompt, or a last message of the user, to go with")
        content: Any = made[-1]["content"]
        said = [{"type": "text", "text": content}] if isinstance(content, str) else a_list(content)
        made[-1]["content"] = [*said, *({"type": "image", "url": image} for image in images)]
    if sum(len(_parts(message)) for message in made) > _MOST_PARTS * max(1, len(made)):
        raise InputError(f"A message may hold at most {_MOST_PARTS} parts")
    return made


def openai_messages(messages: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Messages in OpenAI's form, from any form that callers have: ours, MCP's, and the one before there were tools.

    Raises:
        InputError: A message or a part is not understood; names it.
    """
    made: list[Json] = []
    for index, message in enumerate(messages):
        made.append(_read(message, f"messages[{index}]", made))
    return made


def _read(message: Mapping[str, Any], where: str, before: Sequence[Json]) -> Json:
    made = {name: value for name, value in message.items() if value is not None}
    if isinstance(made.get("role"), str):
        made["role"] = made["role"].strip().casefold()
    content: Any = made.get("content")
    if content is None and isinstance(made.get("text"), str):  # our own answers use this name
        content = made.pop("text")
    if made.get("role") in ("tool", "function"):
        _read_result(made, where, before)
        content = _result(content)
    _read_calls(made, where)
    if isinstance(content, dict):
        content = [content]
    if is_list(content):
        parts = content
        thoughts = [
            str(an_object(part).get("thinking") or an_object(part).get("text") or "") for part in parts if _thinks(part)
        ]
        if thoughts and not made.get("reasoning_content"):
            made["reasoning_content"] = "\n".join(thoughts)
        content = [_part(part, f"{where}.content[{index}]") for index, part in enumerate(parts) if not _thinks(part)]
    elif content is not None and not isinstance(content, str):
        raise InputError(f"{where}.content must be text or a list of parts")
    if content == [] and made.get("tool_calls"):
        content = None
    made["content"] = content  # null if there is none, because the field itself is required
    return made


def _thinks(part: Any) -> bool:
    """Whether a part of an earlier answer holds its thoughts, which other programs keep in the content."""
    return an_object(part).get("type") in ("thinking", "reasoning", "redacted_thinking")


def _read_calls(made: Json, where: str) -> None:
    """Bring the tool calls of a turn into OpenAI's form: arguments as JSON text, a name, an id."""
    legacy = made.pop("function_call", None)
    found: Any = made.pop("tool_calls", None) or ([legacy] if legacy else [])
    if not is_list(found):
        raise InputError(f"{where}.tool_calls must be a list")
    calls: list[Json] = []
    for index, call in enumerate(found):
        place, held = f"{where}.tool_calls[{index}]", an_object(call)
        function = an_object(held.get("function")) or held
        name: Any = function.get("name")
        if not isinstance(name, str) or not name.strip():
            raise InputError(
                f"{place} names no function",
                next_step='Calls are {"id", "type": "function", "function": {"name", "arguments": JSON text}}.',
            )
        arguments: Any = function.get("arguments", function.get("raw_arguments", function.get("input")))
        if not isinstance(arguments, str):
            arguments = "{}" if arguments is None else _dumped(arguments, f"{place}.arguments")
        call_id = held.get("id") or _made_up(name, index)
        calls.append(
            {"id": str(call_id), "type": "function", "function": {"name": name.strip(), "arguments": arguments or "{}"}}
        )
    if calls:
        made["tool_calls"] = calls


def _made_up(name: str, index: int) -> str:
    """The id of a call that came without one."""
    return f"call_{name.strip()}_{index}"


def _read_result(made: Json, where: str, before: Sequence[Json]) -> None:
    """Link the answer of a tool to its call: the last call of that name, or the only one that has no answer yet."""
    if made.get("tool_call_id"):
        made["role"] = "tool"
        return
    answered = {message.get("tool_call_id") for message in before}
    waiting = [call for message in before for call in message.get("tool_calls", ()) if call["id"] not in answered]
    named = [call for call in waiting if made.get("name") and call["function"]["name"] == made["name"]]
    fitting = named or (waiting if not made.get("name") else [])
    if len(fitting) == 1:
        made["role"], made["tool_call_id"] = "tool", fitting[0]["id"]
    elif made["role"] == "function":
        raise InputError(
            f"{where} answers no function call before it", next_step="Give it role tool and the call's tool_call_id."
        )


def _result(content: Any) -> Any:
    """What a tool gave back: text, parts, or any other JSON, which is sent as text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = a_list(content) or [content]
    if all(an_object(part).get("type") in _PARTS for part in parts):
        return content
    return _dumped(content, "the content of a tool's answer")


def _dumped(value: Any, what: str) -> str:
    """JSON text. Raises InputError for numbers that JSON does not know."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError(f"{what} holds NaN or Infinity, which JSON does not know") from error


def _part(part: Any, where: str) -> Json:
    """A part in our spelling: text, or a kind of media whose reference stands under `url`."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    found = an_object(part)
    kind = found.get("type")
    if kind in _TEXTS and isinstance(said := found.get("text", found.get("refusal")), str):
        return {"type": "text", "text": said}
    if kind in _KINDS:
        inner: Any = found.get(str(kind), found.get("url", found.get("source", found.get("image_url"))))
        if inner is None and isinstance(found.get("data"), str):  # MCP's own form
            inner = found
        detail: Any = found.get("detail")
        if is_object(inner):
            held = inner
            detail = held.get("detail")
            mime = held.get("mimeType") or held.get("media_type")
            inner = held.get("url", held.get("data"))
            if isinstance(inner, str) and _BASE64.match(inner[:100]) and (mime or held.get("format")):
                inner = f"data:{mime or 'audio/' + str(held['format'])};base64,{inner}"
        if isinstance(inner, str) and inner.strip():
            return {"type": _KINDS[str(kind)], "url": inner, **({"detail": detail} if detail else {})}
    raise InputError(
        f"{where} is not understood",
        next_step='Parts are {"type": "text", "text": ...} or {"type": "image" | "video" | "audio", "url": ...}.',
    )


def _parts(message: Mapping[str, Any]) -> list[Json]:
    content: Any = message.get("content")
    return a_list(content)


def media_kinds(messages: Sequence[Mapping[str, Any]]) -> list[Media]:
    """The kinds of media a conversation holds, in our spelling or Novita's."""
    named = (str(part.get("type")) for message in messages for part in _parts(message))
    return list(dict.fromkeys(_KINDS[kind] for kind in named if kind in _KINDS))


def letters_of(messages: Sequence[Mapping[str, Any]]) -> int:
    """How many letters of text a conversation has."""
    total = 0
    for message in messages:
        content: Any = message.get("content")
        total += (
            len(content) if isinstance(content, str) else sum(len(a_text(part.get("text"))) for part in _parts(message))
        )
    return total


def linked(messages: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Messages in Novita's form whose media are links or data already; nothing is read or fetched.

    Raises:
        InputError: A part names a file of this machine or an earlier result: names the part, not the path.
    """
    made: list[Json] = []
    for index, message in enumerate(messages):
        parts = _parts(message)
        native = [_linked(part, f"messages[{index}].content[{place}]") for place, part in enumerate(parts)]
        made.append({**message, "content": native} if parts else dict(message))
    return made


def _linked(part: Json, where: str) -> Json:
    if part["type"] == "text":
        return part
    kind, url = part["type"], str(part["url"]).strip()
    if not re.match(r"https?://|data:", url, re.IGNORECASE):
        raise InputError(
            f"{where} is neither a link nor a data: URI, and files are not read for rows of a batch",
            next_step="Give an http(s) link or a data: URI.",
        )
    if kind != "audio":
        return {
            "type": f"{kind}_url",
            f"{kind}_url": {"url": url, **({"detail": d} if (d := part.get("detail")) else {})},
        }
    mime, _, data = url.removeprefix("data:").partition(";base64,")
    known = media_type(mime) if data else media_type(urlsplit(url).path.rpartition(".")[2])
    return {"type": "input_audio", "input_audio": {"data": data or url, "format": known.name if known else "wav"}}


async def with_media(inputs: Inputs, messages: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The messages in Novita's form, every reference checked and turned into a link or data.

    Raises:
        InputError: A reference cannot be used.
    """
    made: list[Json] = []
    for message in messages:
        parts = _parts(message)
        made.append({**message, "content": [await _native(inputs, part) for part in parts]} if parts else dict(message))
    return made


async def _native(inputs: Inputs, part: Json) -> Json:
    if part["type"] == "text":
        return part
    kind: Media = part["type"]
    source = await inputs.load(part["url"], kind)
    if kind == "audio":
        return {"type": "input_audio", "input_audio": await _sound(source)}
    url = await source.as_form(("url", "data_uri"))
    inner = {"url": url, **({"detail": part["detail"]} if part.get("detail") else {})}
    return {"type": f"{kind}_url", f"{kind}_url": inner}


async def _sound(source: Source) -> Json:
    """Sound is sent as a link or as base64, with the name of its format beside it."""
    if source.link is not None:
        known = media_type(source.mime) or media_type(urlsplit(source.link).path.rpartition(".")[2])
        if known is not None and known.kind == "audio":
            return {"data": source.link, "format": known.name}
    uri = await source.as_form(("data_uri",))
    mime, _, data = uri.removeprefix("data:").partition(";base64,")
    known = media_type(mime)
    return {"data": data, "format": known.name if known else "wav"}
