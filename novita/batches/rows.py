"""The rows of a batch: from what a caller has (prompts, tables, full requests) to checked lines of JSONL.

Every fault is told with its line; nothing is uploaded while there is one.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from ..core.errors import InputError
from ..core.wellformed import read_json
from ..text.chat_messages import media_kinds
from ..text.language_models import count_prompt, count_tokens
from ..text.request_checks import BEYOND, check_messages, problem_with, schemas
from .batch_files import MOST_BYTES

Json = dict[str, Any]
Endpoint = Literal["chat", "completion"]

MOST_ROWS = 50_000
"""Requests in one batch, as documented."""

USUAL_TOKENS = 4_096
"""max_tokens of rows made here that set none."""

ENDPOINTS: Mapping[Endpoint, str] = {"chat": "/v1/chat/completions", "completion": "/v1/completions"}
_SHOWN_FAULTS = 8
_ABOUT_A_ROW = frozenset({"custom_id", "method", "url", "body"})


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

    @property
    def file_name(self) -> str:
        """A name that stands for this content, so that an upload can be found again."""
        return f"novita-mcp-{self.sha[:24]}.jsonl"


class _Faults:
    """What is wrong, line by line; the first few are told."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: list[str] = []
        self._count = 0

    def add(self, line: int, what: str) -> None:
        self._count += 1
        if len(self._lines) < _SHOWN_FAULTS:
            self._lines.append(f"line {line}: {what.rstrip('.')}")

    def refuse(self) -> None:
        """Raise InputError if there was any."""
        if self._count:
            more = f"; and {self._count - len(self._lines)} more" if self._count > len(self._lines) else ""
            raise InputError(
                f"{self._name} cannot be run as a batch: {'; '.join(self._lines)}{more}",
                next_step="Mend these lines and call again.",
            )


def read_table(data: bytes, name: str) -> list[tuple[int, Json]]:
    """The rows of a .jsonl or .csv file, with their line numbers.

    Raises:
        InputError: Lines that are no JSON objects, or nothing in it.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text") from error
    faults = _Faults(name)
    rows: list[tuple[int, Json]] = []
    if name.casefold().endswith(".csv"):
        table = csv.DictReader(io.StringIO(text, newline=""))
        for row in table:
            cells = {str(key): value for key, value in row.items() if key is not None and value is not None}
            if None in row or len(cells) != len(table.fieldnames or ()):
                faults.add(table.line_num, "it has not as many cells as the first line")
            rows.append((table.line_num, cells))
    else:
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                found: Any = read_json(line)
            except ValueError:
                faults.add(number, "it is not valid JSON")
                continue
            if isinstance(found, dict):
                rows.append((number, cast(Json, found)))
            else:
                faults.add(number, "it is no JSON object")
    _refuse_count(len(rows), name)
    faults.refuse()
    if not rows:
        raise InputError(f"{name} has no rows")
    return rows


def numbered(rows: Sequence[Json]) -> list[tuple[int, Json]]:
    """Rows of a call, counted from 1. Raises InputError for none or too many."""
    if not rows:
        raise InputError("rows is empty")
    _refuse_count(len(rows), "rows")
    return list(enumerate(rows, 1))


def _refuse_count(count: int, name: str) -> None:
    if count > MOST_ROWS:
        raise InputError(
            f"{name} has {count:,} requests and a batch takes at most {MOST_ROWS:,}",
            next_step=f"Split it into {-(-count // MOST_ROWS)} batches.",
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
    faults, ids, checked = _Faults(name), dict[str, int](), dict[str, str | None]()
    lines: list[str] = []
    first_model: tuple[int, str] | None = None
    prompt_tokens = most_tokens = open_rows = 0
    media: dict[str, None] = {}
    for place, (line, row) in enumerate(rows, 1):
        body, problem = _body_of(row, endpoint, system)
        if problem or body is None:
            faults.add(line, problem)
            continue
        if as_they_are is None:
            body = _filled(body, row, model, options)
        problem = _objection(body, endpoint, checked)
        if problem:
            faults.add(line, problem)
            continue
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
        prompt_tokens += count_prompt(body["messages"]) if endpoint == "chat" else count_tokens(str(body["prompt"]))
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        open_rows += limit is None
        most_tokens += (limit or USUAL_TOKENS) * (body.get("n") or 1)
        media.update(dict.fromkeys(media_kinds(body.get("messages", ()))))
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
    sha = hashlib.sha256(endpoint.encode() + b"\0" + data).hexdigest()
    return Prepared(data, len(ids), first_model[1], endpoint, sha, prompt_tokens, most_tokens, tuple(media), open_rows)


def _body_of(row: Json, endpoint: Endpoint, system: str | None) -> tuple[Json | None, str]:
    """The request in a row, without what is the same for all; or what is wrong with it."""
    url = row.get("url")
    if url not in (None, "", ENDPOINTS[endpoint]):
        return None, f"its url {str(url)[:60]!r} is not {ENDPOINTS[endpoint]!r}"
    if "body" in row:
        body: Any = row["body"]
        extra = [key for key in row if key not in _ABOUT_A_ROW]
        if extra:
            return None, f"unknown field {extra[0]!r} beside body"
        return (cast(Json, body), "") if isinstance(body, dict) else (None, "body must be an object")
    fields: Json = {key: value for key, value in row.items() if key not in _ABOUT_A_ROW}
    known = set(schemas()[endpoint]["properties"]) | BEYOND.get(endpoint, frozenset())
    if "messages" in fields and endpoint == "completion":
        return None, "messages are for the chat endpoint"
    if "messages" in fields or "prompt" in fields:
        unknown = [key for key in fields if key not in known and key != "prompt"]
        if unknown:
            return None, f"unknown field {unknown[0][:40]!r}"
    elif system is None or not fields:
        return None, "it has neither body, messages nor prompt (rows of other fields need system)"
    else:
        fields = {"prompt": json.dumps(fields, ensure_ascii=False)}
    if endpoint == "completion":
        return fields, ""
    if "prompt" in fields:
        if "messages" in fields:
            return None, "it has both prompt and messages"
        prompt = fields.pop("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            return None, "prompt is empty"
        fields["messages"] = [{"role": "user", "content": prompt}]
    messages: Any = fields["messages"]
    if system and isinstance(messages, list):
        fields["messages"] = [{"role": "system", "content": system}, *cast("list[Any]", messages)]
    return fields, ""


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
    rest = {key: value for key, value in body.items() if key not in ("messages", "prompt")}
    if endpoint == "chat":
        messages: Any = body.get("messages")
        if not isinstance(messages, list):
            return "body.messages is missing"
        turns = cast("list[Any]", messages)
        if not all(isinstance(turn, dict) for turn in turns):
            return "body.messages must be a list of objects"
        try:
            check_messages(cast("list[Json]", turns))
        except InputError as error:
            return error.what
        plain = all(isinstance(turn.get("content"), str) and len(turn) == 2 for turn in cast("list[Json]", turns))
        rest["messages"] = [] if plain else turns
    elif not isinstance(body.get("prompt"), str) or not body["prompt"]:
        return "body.prompt must be a text"
    else:
        rest["prompt"] = ""
    key = json.dumps(rest, sort_keys=True, default=str)
    if key not in checked:
        checked[key] = problem_with(endpoint, rest)
    return checked[key]
