"""Text requests held to their documented schemas before anything is sent: options, messages, tools, answer schemas.

The schemas are data: request_schemas.json, made from llm.yaml of the API facts by scripts/carry_llm.py.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..core.answers import an_object
from ..core.errors import InputError
from ..core.json_text import Json, is_object, load_strict, not_a_number, read_json
from ..core.schema_errors import describe, first_error

Route = Literal["chat", "completion", "exa_search", "exa_contents", "tavily_search", "tavily_extract"]

BEYOND: Mapping[str, frozenset[str]] = {
    "chat": frozenset({"parallel_tool_calls", "user", "store", "max_completion_tokens", "chat_template_kwargs"}),
}
"""Fields that clients are known to send and that are not documented; they are passed on unchanged."""

OURS: Mapping[str, str] = {
    "stream": "answers are always streamed",
    "stream_options": "usage is always asked for",
    "messages": "give messages beside options",
    "prompt": "give prompt beside options",
    "model": "give model beside options",
}
"""Fields that options may not hold, and why."""


@cache
def schemas() -> Mapping[str, Json]:
    """Route -> native request schema."""
    return json.loads(Path(__file__).with_name("request_schemas.json").read_text(encoding="utf-8"))


def with_options(route: Route, body: Json, options: Mapping[str, Any] | None) -> Json:
    """The body with native options added.

    Raises:
        InputError: An option nobody knows (names the nearest), one that is set already, or one that is ours.
    """
    known = set(schemas()[route]["properties"]) | BEYOND.get(route, frozenset())
    made = dict(body)
    for name, value in (options or {}).items():
        if name in OURS:
            raise InputError(f"options.{name} cannot be set: {OURS[name]}")
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known - set(OURS)), n=2, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(known - set(OURS)))}."
            raise InputError(f"Unknown option {name[:60]!r}", next_step=hint)
        value = _read(schemas()[route]["properties"].get(name, {}), value)
        if made.get(name) is not None and made[name] != value:
            raise InputError(f"{name} is given twice, as an argument and in options, and differently")
        made[name] = value
    return made


def _read(schema: Json, value: Any) -> Any:
    """An option's value: a number, a switch, a list or an object also where a host sent it as text."""
    if not isinstance(value, str) or first_error(schema, value) is None:
        return value
    try:
        found = read_json(value.strip())
    except ValueError:
        return value
    return value if first_error(schema, found) else found


def problem_with(route: Route, body: Json) -> str | None:
    """What is wrong with a body by the documented schema, as a sentence; None if nothing is."""
    bare = not_a_number(body)
    if bare is not None:
        return f"{bare} is NaN or Infinity, which JSON does not know"
    error = first_error(schemas()[route], body)
    if error is None:
        return None
    place = _place(list(error.absolute_path))
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{place or 'the request'} lacks {', '.join(missing)}"
    if error.validator == "oneOf":
        return f"{place or 'the request'} has none of the forms it may have ({_forms(error.validator_value)})"
    return f"{place} {describe(error, show=len(str(error.instance)) < 200)}".strip()


def check_body(route: Route, body: Json) -> None:
    """Refuse a body the documented schema does not allow.

    Raises:
        InputError: The first objection.
    """
    problem = problem_with(route, body)
    if problem is not None:
        raise InputError(f"This cannot be sent: {problem}")


def _place(path: Sequence[str | int]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f"{'.' if text else ''}{step}"
    return text


def _forms(schemas: Sequence[Json]) -> str:
    names = [
        str(one.get("properties", {}).get("type", {}).get("const") or one.get("type") or "object") for one in schemas
    ]
    return ", ".join(dict.fromkeys(names))


def check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what is no conversation.

    Raises:
        InputError: It is empty, a role is unknown, a message says nothing, or a tool answer does not name its call.
    """
    if not messages:
        raise InputError("There is nothing to answer: no prompt and no messages", next_step="Give prompt, or messages.")
    for index, message in enumerate(messages):
        where, role, content = f"messages[{index}]", message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant", "tool"):
            raise InputError(f"{where}.role must be system, user, assistant or tool")
        if content is None and not (role == "assistant" and message.get("tool_calls")):
            raise InputError(f"{where}.content is missing")
        if role == "user" and content in ("", []):
            raise InputError(f"{where}.content is empty")
        if role == "tool" and not message.get("tool_call_id"):
            raise InputError(f"{where} is a tool answer and must name its call in tool_call_id")


_TOOL_FIELDS = ("name", "description", "parameters", "strict")
_SCHEMA_NAMES = ("parameters", "inputSchema", "input_schema")
_BESIDE = frozenset({"type", "title", "annotations", "outputSchema", "output_schema", "icons", "execution", "_meta"})
"""What MCP and others say about a tool and a model does not need; it is left out."""


def native_tools(tools: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Tools in Novita's form. A bare function ({name, description, parameters}) is wrapped; MCP's inputSchema is known.

    Raises:
        InputError: A tool has no name, an unknown field, or its parameters are no JSON schema.
    """
    made: list[Json] = []
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        found = an_object(tool.get("function")) or dict(tool)
        inner = {name: value for name, value in found.items() if value is not None}
        if not isinstance(inner.get("name"), str) or not inner["name"].strip():
            raise InputError(f"{where} must be {{name, description, parameters}}, or that under function")
        unknown = [name for name in inner if name not in (*_TOOL_FIELDS, *_SCHEMA_NAMES, *_BESIDE)]
        if unknown:
            raise InputError(
                f"{where} has the unknown field {unknown[0][:60]!r}", next_step=f"Known: {', '.join(_TOOL_FIELDS)}."
            )
        function = {name: inner[name] for name in _TOOL_FIELDS if name in inner}
        schema = next((inner[name] for name in _SCHEMA_NAMES if name in inner), None)
        if schema is not None:
            if (
                is_object(schema) and "type" not in schema
            ):  # {} and {properties} describe an object, as all parameters do
                schema = {"type": "object", **schema}
            check_schema(schema, f"{where}.parameters")
            function["parameters"] = schema
        made.append({"type": "function", "function": function})
    return made


def response_format(schema: Json) -> Json:
    """How a request asks for an object of a schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def check_schema(schema: Any, where: str) -> None:
    """Refuse what is no JSON schema of an object.

    Raises:
        InputError: Why it is none.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if not is_object(schema):
        raise InputError(f"{where} must be a JSON schema")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = _place(list(error.absolute_path))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        said = str(error.message)[:200]  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        raise InputError(f"{where} is no JSON schema: {f'at {place}: ' if place else ''}{said}") from error
    if schema.get("type") != "object":
        raise InputError(
            f"{where} must describe an object", next_step='Begin with {"type": "object", "properties": ...}.'
        )


def parse_answer(text: str, schema: Json) -> tuple[Json | None, str]:
    """The object in an answer that was held to a schema, and what is wrong with it ("" if nothing).

    Some models write prose or a Markdown fence around it: then it is the first object that fits, else the largest.
    """
    candidates: list[Json] = []
    kind = ""
    for part in _json_in(text):
        try:
            found: Any = load_strict(part)
            if isinstance(found, str):  # JSON within JSON
                found = load_strict(found)
        except ValueError:
            continue
        if is_object(found):
            if first_error(schema, found) is None:
                return found, ""
            candidates.append(found)
        else:
            kind = kind or "The answer is no JSON object"
    if not candidates:
        return None, kind or "The answer is no JSON"
    largest = max(candidates, key=lambda one: len(str(one)))
    error = first_error(schema, largest)
    place = _place(list(error.absolute_path))
    said = f"{f'{place}: ' if place else ''}{error.message[:200]}"
    return largest, f"The answer does not fit the schema: {said}"


_FENCE = re.compile(r"```[A-Za-z0-9_-]*[ \t]*\r?\n?(.*?)```", re.DOTALL)
_MOST_OBJECTS = 50


def _json_in(text: str) -> Iterator[str]:
    """What may be the JSON of an answer: all of it, what is in fences, and what begins at a brace."""
    yield text.strip()
    yield from (fenced.strip() for fenced in _FENCE.findall(text))
    decoder, place = json.JSONDecoder(), -1
    for _ in range(_MOST_OBJECTS):
        place = text.find("{", place + 1)
        if place < 0:
            return
        try:
            _, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            continue
        yield text[place:end]
        place = end - 1
