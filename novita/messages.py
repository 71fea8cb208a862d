"""Conversations: from what a caller writes to what Novita takes, with pictures, clips and sounds brought along.

A message is `{role, content}`; content is text or a list of parts. A part is `{"type": "text", "text": ...}` or
`{"type": "image" | "video" | "audio", "url": <reference>}`; Novita's own spelling (`image_url`, `video_url`,
`input_audio`) is taken too. A reference is a link, a path, a data URI or `task:<id>/<n>`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from .errors import InputError
from .inputs import Inputs, Source
from .media_types import media_type

Json = dict[str, Any]
Media = Literal["image", "video", "audio"]

_KINDS: Mapping[str, Media] = {
    "image": "image",
    "image_url": "image",
    "video": "video",
    "video_url": "video",
    "audio": "audio",
    "input_audio": "audio",
}
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
    for index, message in enumerate(messages or ()):
        made.append(_read(message, f"messages[{index}]"))
    if prompt is not None and prompt.strip():
        made.append({"role": "user", "content": prompt})
    if images:
        if not made or made[-1].get("role") != "user":
            raise InputError("images need a prompt, or a last message of the user, to go with")
        content: Any = made[-1]["content"]
        said = [{"type": "text", "text": content}] if isinstance(content, str) else list(cast("list[Json]", content))
        made[-1]["content"] = [*said, *({"type": "image", "url": image} for image in images)]
    if sum(len(_parts(message)) for message in made) > _MOST_PARTS * max(1, len(made)):
        raise InputError(f"A message may hold at most {_MOST_PARTS} parts")
    return made


def _read(message: Mapping[str, Any], where: str) -> Json:
    content: Any = message.get("content")
    made = dict(message)
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        made["content"] = [_part(part, f"{where}.content[{index}]") for index, part in enumerate(parts)]
    elif content is not None and not isinstance(content, str):
        raise InputError(f"{where}.content must be text or a list of parts")
    return made


def _part(part: Any, where: str) -> Json:
    """A part in our spelling: text, or a kind of media with its reference under `url`."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    found = cast(Json, part) if isinstance(part, dict) else {}
    kind = found.get("type")
    if kind == "text" and isinstance(found.get("text"), str):
        return {"type": "text", "text": found["text"]}
    if kind in _KINDS:
        inner: Any = found.get(str(kind), found.get("url"))
        detail: Any = None
        if isinstance(inner, dict):
            held = cast(Json, inner)
            detail = held.get("detail")
            inner = held.get("url", held.get("data"))
            if isinstance(inner, str) and _BASE64.match(inner[:100]) and held.get("format"):
                inner = f"data:audio/{held['format']};base64,{inner}"
        if isinstance(inner, str) and inner.strip():
            return {"type": _KINDS[str(kind)], "url": inner, **({"detail": detail} if detail else {})}
    raise InputError(
        f"{where} is not understood",
        next_step='Parts are {"type": "text", "text": ...} or {"type": "image" | "video" | "audio", "url": ...}.',
    )


def _parts(message: Mapping[str, Any]) -> list[Json]:
    content: Any = message.get("content")
    return cast("list[Json]", content) if isinstance(content, list) else []


def media_kinds(messages: Sequence[Mapping[str, Any]]) -> list[Media]:
    """The kinds of media a conversation holds, in our spelling or Novita's."""
    named = (str(part.get("type")) for message in messages for part in _parts(message))
    return list(dict.fromkeys(_KINDS[kind] for kind in named if kind in _KINDS))


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
    kind = cast(Media, part["type"])
    source = await inputs.load(part["url"], kind)
    if kind == "audio":
        return {"type": "input_audio", "input_audio": await _sound(source)}
    url = await source.as_form(("url", "data_uri"))
    inner = {"url": url, **({"detail": part["detail"]} if part.get("detail") else {})}
    return {"type": f"{kind}_url", f"{kind}_url": inner}


async def _sound(source: Source) -> Json:
    """Sound goes as a link or base64, with the name of its format beside it."""
    if source.link is not None:
        known = media_type(source.mime) or media_type(urlsplit(source.link).path.rpartition(".")[2])
        if known is not None and known.kind == "audio":
            return {"data": source.link, "format": known.name}
    uri = await source.as_form(("data_uri",))
    mime, _, data = uri.removeprefix("data:").partition(";base64,")
    known = media_type(mime)
    return {"data": data, "format": known.name if known else "wav"}
