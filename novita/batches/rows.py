"""The rows of a batch: from what a caller has (prompts, tables, full requests) to checked lines of JSONL.

Every fault is told with its line; nothing is uploaded while there is one.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from ..core.answers import an_object
from ..core.errors import InputError
from ..core.json_text import Json, is_list, is_object, is_objects, load_strict, not_a_number
from ..core.words import counted
from ..text.chat_messages import letters_of, linked, media_kinds, openai_messages
from ..text.language_models import LlmModel, count_prompt, count_tokens, refuse_overflow
from ..text.request_checks import BEYOND, check_messages, native_tools, problem_with, schemas
from .batch_files import MOST_BYTES, uploads_of
from .tables import Faults
from .tables import read_table as read_table  # also found here, beside the rows it checks

Endpoint = Literal["chat", "completion"]

MOST_ROWS = 50_000
"""Requests in one batch, as documented."""

USUAL_TOKENS = 4_096
"""The max_tokens of rows that are made here and set none."""

ENDPOINTS: Mapping[Endpoint, str] = {"chat": "/v1/chat/completions", "completion": "/v1/completions"}
_ABOUT_A_ROW = frozenset({"custom_id", "method", "url", "body"})


@dataclass(frozen=True)
class Extremes:
    """Rows that ask the most of a model, as (how much, its line), and features with the first line that needs them.

    Args:
        answer: The largest max_tokens.
        prompt: The most letters.
        fewest: The smallest max_tokens of a row that does not forbid thinking; None: there is none.
    """

    answer: tuple[int, int] = (0, 0)
    prompt: tuple[int, int] = (0, 0)
    features: Mapping[str, int] = field(default_factory=dict[str, int])
    fewest: int | None = None

    def refuse(self, model: LlmModel) -> None:
        """Refuse rows that a chat with this model would refuse too.

        Raises:
            InputError: A row cannot be answered by it; names its line.
        """
        most, line = self.answer
        if model.max_output is not None and most > model.max_output:
            raise InputError(
                f"line {line}: max_tokens is {most} and {model.id} makes at most {counted(model.max_output, 'token')}",
                next_step=f"Ask for {model.max_output} or fewer.",
            )
        letters, line = self.prompt
        refuse_overflow(model, letters, f"line {line}: its prompt")
        for feature, line in self.features.items():
            if not model.has(feature):
                raise InputError(f"line {line}: {model.id} does not support {_FEATURES[feature]}")


_FEATURES = {"function-calling": "tools", "structured-outputs": "a JSON schema", "reasoning": "thinking"}


@dataclass(frozen=True)
class Prepared:
    """A batch ready to be uploaded.

    Args:
        data: The JSONL.
        sha: SHA-256 of endpoint and content: the same rows are the same batch.
        prompt_tokens: About how many are read.
        most_tokens: How many are made if every answer reaches its max_tokens.
        media: Kinds of media in the rows.
        open_rows: Rows without max_tokens, counted as USUAL_TOKENS each.
        extremes: What the rows ask of a model at most.
    """

    data: bytes = field(repr=False)
    rows: int
    model: str
    endpoint: Endpoint
    sha: str
    prompt_tokens: int
    most_tokens: int
    media: tuple[str, ...]
    open_rows: int
    extremes: Extremes = Extremes()

    def file_name(self, owner: str) -> str:
        """A name that stands for this content and its owner, so that an upload can be found again, and by nobody else
        who pays with the same key."""
        return f"{uploads_of(owner)}{self.sha[:24]}.jsonl"


def numbered(rows: Sequence[Json]) -> list[tuple[int, Json]]:
    """Rows of a call, counted from 1. Raises InputError for none or too many."""
    if not rows:
        raise InputError("rows is empty")
    _refuse_count(len(rows), "rows")
    return list(enumerate(rows, 1))


def _check_form(data: bytes, name: str, count: int) -> None:
    """Refuse a file at Novita that is read here and that Novita would not read.

    Raises:
        InputError: It is no JSONL in UTF-8.
    """
    try:
        text = data.decode("utf-8-sig")
        lines = [bare for line in text.split("\n") if (bare := line.strip())]
        apart = len(lines) == count and all(line[0] + line[-1] == "{}" for line in lines)
        wrong = "is one list" if text.lstrip().startswith("[") else "" if apart else "has not one row on each line"
    except UnicodeDecodeError:
        wrong = "is not UTF-8"
    if wrong:
        raise InputError(
            f"{name} {wrong}, and Novita takes JSON in UTF-8, one row on each line",
            next_step="Give the file itself to create_batch, or to upload_file, which write it so.",
        )


def _refuse_count(count: int, name: str) -> None:
    if count > MOST_ROWS:
        raise InputError(
            f"{name} has {counted(count, 'request')} and a batch takes at most {MOST_ROWS:,}",
            next_step=f"Split it into {counted(-(-count // MOST_ROWS), 'batch')}.",
        )


def endpoint_of(rows: Sequence[tuple[int, Json]]) -> Endpoint:
    """The route of a batch, as its first row shows: a url, or a body with a prompt in it; chat otherwise."""
    first = rows[0][1]
    body: Any = first.get("body")
    completes = isinstance(body, dict) and "prompt" in body and "messages" not in body
    return "completion" if completes or first.get("url") == ENDPOINTS["completion"] else "chat"


def prepare(
    rows: Iterable[tuple[int, Json]],
    *,
    name: str,
    endpoint: Endpoint,
    model: str,
    system: str | None = None,
    options: Mapping[str, Any] | None = None,
    as_they_are: bytes | None = None,
) -> Prepared:
    """Check all rows and write the JSONL.

    A row is a full request (`{custom_id, body}`), messages, a prompt, or, with `system`, any fields, which the model
    gets as JSON. `model` and `options` are for what a row does not say itself.

    Args:
        as_they_are: The bytes of a file already at Novita: its lines are only checked.

    Raises:
        InputError: Every fault with its line.
    """
    rows = list(rows)
    _refuse_count(len(rows), name)
    if as_they_are is not None:
        _check_form(as_they_are, name, len(rows))
    if place := not_a_number(options or {}):
        raise InputError(f"options.{place} is NaN or Infinity, which JSON does not know")
    faults, ids, checked = Faults(name), dict[str, int](), dict[str, str | None]()
    lines: list[str] = []
    first_model: tuple[int, str] | None = None
    sums = _Sums()
    for place, (line, given) in enumerate(rows, 1):
        row = given if as_they_are is not None else _with_its_id(given)
        bare = not_a_number(row)
        if bare is not None:
            faults.add(line, f"{bare} is NaN or Infinity, which JSON does not know")
            continue
        body, problem = _body_of(row, endpoint, system)
        if problem or body is None:
            faults.add(line, problem)
            continue
        if as_they_are is None:
            body = _filled(body, row, model, options)
        try:
            native = _native(body, endpoint)
            problem = _objection(native if as_they_are is None else body, endpoint, checked)
        except InputError as error:
            native, problem = body, error.what
        if problem:
            faults.add(line, problem)
            continue
        body = native if as_they_are is None else body
        custom_id = row.get("custom_id")
        if custom_id in (None, "") and as_they_are is None:
            custom_id = f"row-{place:05d}"
        if not isinstance(custom_id, str | int) or isinstance(custom_id, bool):
            faults.add(line, "custom_id must be a text")
            continue
        custom_id = str(custom_id)
        if custom_id in ids:
            faults.add(line, f"custom_id {custom_id[:40]!r} is used already in line {ids[custom_id]}")
            continue
        ids[custom_id] = line
        named = str(body.get("model", ""))
        if first_model is None:
            first_model = (line, named)
        elif named != first_model[1]:
            faults.add(
                line,
                f"it names {named[:60]!r} and line {first_model[0]} {first_model[1][:60]!r}; a batch has one model",
            )
        sums.add(line, body, endpoint)
        lines.append(json.dumps({"custom_id": custom_id, "body": body}, ensure_ascii=False))
    faults.refuse()
    if first_model is None:
        raise InputError(f"{name} has no rows")
    data = ("\n".join(lines) + "\n").encode() if as_they_are is None else as_they_are
    if len(data) > MOST_BYTES:
        raise InputError(
            f"{name} makes {len(data) / 1e6:.0f} MB and a batch file has at most {MOST_BYTES / 1e6:.0f} MB",
            next_step="Split it into several batches.",
        )
    return Prepared(
        data,
        len(ids),
        first_model[1],
        endpoint,
        hashlib.sha256(endpoint.encode() + b"\0" + data).hexdigest(),
        sums.prompt_tokens,
        sums.most_tokens,
        tuple(sums.media),
        sums.open_rows,
        Extremes(sums.longest_answer, sums.longest_prompt, sums.features, sums.fewest),
    )


class _Sums:
    """What all rows together need, and which of them needs the most."""

    def __init__(self) -> None:
        self.prompt_tokens = self.most_tokens = self.open_rows = 0
        self.media: dict[str, None] = {}
        self.longest_answer = self.longest_prompt = (0, 0)
        self.features: dict[str, int] = {}
        self.fewest: int | None = None

    def add(self, line: int, body: Json, endpoint: Endpoint) -> None:
        messages = body["messages"] if endpoint == "chat" else ()
        self.prompt_tokens += count_prompt(messages) if endpoint == "chat" else count_tokens(str(body["prompt"]))
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        self.open_rows += limit is None
        self.most_tokens += (limit or USUAL_TOKENS) * (body.get("n") or 1)
        if limit is not None and body.get("enable_thinking") is not False:
            self.fewest = limit if self.fewest is None else min(self.fewest, limit)
        self.media.update(dict.fromkeys(media_kinds(messages)))
        letters = letters_of(messages) if endpoint == "chat" else len(str(body["prompt"]))
        self.longest_answer = max(self.longest_answer, (limit or 0, line))
        self.longest_prompt = max(self.longest_prompt, (letters, line))
        for feature, wanted in (
            ("function-calling", body.get("tools")),
            ("structured-outputs", an_object(body.get("response_format")).get("type") == "json_schema"),
            ("reasoning", body.get("enable_thinking")),
        ):
            if wanted:
                self.features.setdefault(feature, line)


def _with_its_id(row: Json) -> Json:
    """The row with its `id` as custom_id, as people's tables have it; what is data for a `system` keeps all fields."""
    if "id" not in row or row.get("custom_id") not in (None, "") or not row.keys() & {"prompt", "messages", "body"}:
        return row
    rest = {key: value for key, value in row.items() if key != "id"}
    return {**rest, "custom_id": row["id"]} if row["id"] not in (None, "") else rest


def _body_of(row: Json, endpoint: Endpoint, system: str | None) -> tuple[Json | None, str]:
    """The request in a row, without what is the same for all rows, or what is wrong with it."""
    url = row.get("url")
    if url not in (None, "", ENDPOINTS[endpoint]):
        return None, f"its url {str(url)[:60]!r} is not {ENDPOINTS[endpoint]!r}"
    if "body" in row:
        body: Any = row["body"]
        extra = [key for key in row if key not in _ABOUT_A_ROW]
        if extra:
            return None, f"unknown field {extra[0]!r} beside body"
        if isinstance(body, str) and body.lstrip().startswith("{"):  # a cell of a table
            body = _json_or_itself(body)
        return (body, "") if is_object(body) else (None, "body must be an object")
    fields = _typed({key: value for key, value in row.items() if key not in _ABOUT_A_ROW}, endpoint, system)
    known = set(schemas()[endpoint]["properties"]) | BEYOND.get(endpoint, frozenset())
    if "messages" in fields and endpoint == "completion":
        return None, "messages are for the chat endpoint"
    if "messages" in fields or "prompt" in fields:
        unknown = [key for key in fields if key not in known and key != "prompt"]
        if unknown:
            return None, (
                f"unknown field {unknown[0][:40]!r}: beside prompt stand settings of the request (rows of other fields "
                "have no prompt, and need system)"
            )
    elif system is None or not fields:
        return None, "it has neither body, messages nor prompt (rows of other fields need system)"
    else:
        fields = dict[str, Any](prompt=json.dumps(fields, ensure_ascii=False))
    if endpoint == "completion":
        return fields, ""
    if "prompt" in fields:
        if "messages" in fields:
            return None, "it has both prompt and messages"
        prompt = fields.pop("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            return None, "prompt is empty" if prompt in (None, "") or isinstance(
                prompt, str
            ) else "prompt must be a text"
        fields["messages"] = [{"role": "user", "content": prompt}]
    messages: Any = fields["messages"]
    if system and is_list(messages):
        fields["messages"] = [{"role": "system", "content": system}, *messages]
    return fields, ""


def _typed(fields: Json, endpoint: Endpoint, system: str | None) -> Json:
    """The fields of a row with cells of a table, which are all text, as the types they stand for."""
    if system is not None and not fields.keys() & {"prompt", "messages"}:
        return fields  # they are sent as JSON, unchanged
    made: Json = {}
    for key, value in fields.items():
        kinds = _kinds(endpoint).get(key, frozenset())
        if not isinstance(value, str) or not kinds or "string" in kinds:
            made[key] = value
        elif value.strip():
            made[key] = _json_or_itself(value)
    return made


@cache
def _kinds(endpoint: Endpoint) -> Mapping[str, frozenset[str]]:
    """The JSON types that a route's fields may have."""
    return {name: frozenset(_types(schema)) for name, schema in schemas()[endpoint]["properties"].items()}


def _types(schema: Json) -> list[str]:
    if "oneOf" in schema:
        return [kind for form in schema["oneOf"] for kind in _types(form)]
    named: Any = schema.get("type", [])
    return [named] if isinstance(named, str) else list(named)


def _json_or_itself(text: str) -> Any:
    try:
        return load_strict(text.strip().casefold() if text.strip().casefold() in ("true", "false") else text)
    except ValueError:
        return text


def _native(body: Json, endpoint: Endpoint) -> Json:
    """The body with its messages and tools in OpenAI's form.

    Raises:
        InputError: One of them is not understood, or names a file of this machine.
    """
    if endpoint != "chat":
        return body
    made = dict(body)
    messages = body.get("messages")
    if messages and is_objects(messages):
        made["messages"] = linked(openai_messages(messages))
    tools = body.get("tools")
    if tools and is_objects(tools):
        made["tools"] = native_tools(tools)
    return made


def _filled(body: Json, row: Json, model: str, options: Mapping[str, Any] | None) -> Json:
    """The body with the model and the options where it says nothing itself."""
    made = {"model": model, **(options or {}), **body}
    limited = made.get("max_tokens") is not None or made.get("max_completion_tokens") is not None
    if "body" not in row and not limited:
        made["max_tokens"] = USUAL_TOKENS
    return made


def _objection(body: Json, endpoint: Endpoint, checked: dict[str, str | None]) -> str | None:
    """What is wrong with a body. Rows mostly differ in their words alone, so the rest is checked once for all."""
    if body.get("stream"):
        return "stream cannot be used in a batch"
    if not body.get("model"):
        return "body.model is missing"
    for name in ("max_tokens", "max_completion_tokens"):
        most: Any = body.get(name)
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            return f"{name} must be a whole number of at least 1"
    rest = {key: value for key, value in body.items() if key not in ("messages", "prompt")}
    if endpoint == "chat":
        turns = body.get("messages")
        if not is_list(turns):
            return "body.messages is missing"
        if not is_objects(turns):
            return "body.messages must be a list of objects"
        try:
            check_messages(turns)
        except InputError as error:
            return error.what
        plain = all(isinstance(turn.get("content"), str) and len(turn) == 2 for turn in turns)
        rest["messages"] = [] if plain else turns
    elif not isinstance(body.get("prompt"), str) or not body["prompt"]:
        return "body.prompt must be a text"
    else:
        rest["prompt"] = ""
    key = json.dumps(rest, sort_keys=True, default=str)
    if key not in checked:
        checked[key] = problem_with(endpoint, rest)
    return checked[key]
