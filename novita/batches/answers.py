"""What a batch brought: the lines of its files, matched to the rows they answer, each told for what it is.

An answer counts where there is one. A row whose answer is empty, cut by its length, only thoughts, a refusal or an
error does not: it is set apart with the reason, to be run again.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..core.answers import a_count, a_text, an_error, an_object, error_words, objects
from ..core.errors import NovitaConnectionError
from ..core.json_text import Json, load_json
from ..core.wellformed import well_formed_text_of_json
from ..core.words import counted
from ..text.generations import Generation, Usage, read_usage

RowStatus = Literal["ok", "cut", "empty", "refused", "failed", "missing"]
logger = logging.getLogger(__name__)

_BEGINNING = 60


@dataclass(frozen=True)
class Matched:
    """The rows of a batch with their answers.

    Args:
        results: One JSONL line per row, in the order of the input; then answers to rows that nobody knows.
        failed: Input lines without a good answer, ready to be run again.
        counts: Rows by what became of them; `ok` are the answered ones.
        tokens: What every answer used, by model.
    """

    results: str = field(repr=False)
    failed: str = field(repr=False)
    counts: dict[RowStatus, int]
    tokens: dict[str, list[Usage]] = field(repr=False)

    @property
    def answered(self) -> int:
        return self.counts.get("ok", 0)

    @property
    def unanswered(self) -> int:
        return sum(self.counts.values()) - self.answered


def read_rows(data: bytes, what: str, least: int = 0) -> list[Json]:
    """The objects of a JSONL file. A line among others that is none is left out and logged: it costs one row.

    Args:
        what: The file, for the message.
        least: How many lines there must be.

    Raises:
        NovitaConnectionError: It is no JSONL (a web page, an error, nothing), or it ends too early.
    """
    text = well_formed_text_of_json(data)
    lines = [line for line in text.split("\n") if line.strip()]
    listed = _objects_of(text) if text.lstrip().startswith("[") else []  # one list, over many lines or one
    rows = listed or [row for line in lines for row in _objects_of(line)]
    spoilt = 0 if listed else max(0, len(lines) - len(rows))
    if (lines or least) and not any(row.keys() & {"custom_id", "response", "body"} for row in rows):
        begin = " ".join(text[:_BEGINNING].split())
        raise _unreadable(f"{what} is no JSONL now" + (f" (it begins with {begin!r})" if begin else " (it is empty)"))
    cut = bool(spoilt) and lines[-1].lstrip().startswith("{") and not _objects_of(lines[-1])
    if len(rows) + spoilt < least or (cut and not text.endswith("\n")):
        raise _unreadable(
            f"{what} ends too early now: {len(rows)} of {counted(max(least, len(lines)), 'line')} can be read"
        )
    if spoilt:
        logger.warning("%d lines of a batch file are no JSON objects", spoilt)
    return rows


def _unreadable(what: str) -> NovitaConnectionError:
    return NovitaConnectionError(
        what, next_step="Nothing is lost and nothing needs to be run again: call get_batch again in a minute."
    )


def _objects_of(text: str) -> list[Json]:
    try:
        return objects(load_json(text))
    except ValueError:
        return []


def match(asked: Sequence[Json], answers: Sequence[Json]) -> Matched:
    """Match rows to answers by their ids, whatever the order. Takes seconds for many.

    Args:
        asked: The input; empty where it is gone, then every answer is a row.
    """
    by_id: dict[str, list[Json]] = {}
    for answer in answers:
        by_id.setdefault(_id_of(answer), []).append(answer)
    for several in by_id.values():
        if len(several) > 1:  # a row that was tried again: the good answer counts
            several.sort(key=lambda one: read_answer(one)[0] != "ok")
    rows = list(asked) or [{"custom_id": _id_of(answer) or None} for answer in answers]
    results, failed = list[str](), list[str]()
    counts: dict[RowStatus, int] = {}
    tokens: dict[str, list[Usage]] = {}
    left = {name: list(several) for name, several in by_id.items()}
    for number, row in enumerate(rows, 1):
        name = _id_of(row)
        found = left[name].pop(0) if left.get(name) else None
        status, told, usage = ("missing", _MISSING, None) if found is None else read_answer(found)
        counts[status] = counts.get(status, 0) + 1
        results.append(_line(number, row, status, told))
        if status != "ok" and "body" in row:
            failed.append(json.dumps(row, ensure_ascii=False))
        if usage is not None:
            model = a_text(an_object(row.get("body")).get("model")) or a_text(told.get("model"))
            tokens.setdefault(model, []).append(usage)
    known = {_id_of(row) for row in rows}
    for name, several in left.items():
        for answer in several:
            status, told, usage = read_answer(answer)
            if usage is not None:
                tokens.setdefault(a_text(told.get("model")), []).append(usage)
            if (
                name not in known or status == "ok"
            ):  # a failed try is not reported if another one of the same row went well
                note = "one more answer to this row" if name in known else "no row of the input has this id"
                results.append(_line(len(results) + 1, answer, status, {**told, "note": note}))
    whole = ("".join(f"{line}\n" for line in lines) for lines in (results, failed))
    return Matched(next(whole), next(whole), counts, tokens)


_MISSING: Json = {"error": "there is no answer to this row in the batch's files"}


def _id_of(row: Json) -> str:
    value: Any = row.get("custom_id")
    return "" if value is None else str(value)


def _line(number: int, row: Json, status: RowStatus, told: Json) -> str:
    made: Json = {"row": number, "custom_id": row.get("custom_id"), "status": status}
    if isinstance(row.get("body"), dict):
        made["input"] = _asked(row["body"])
    return json.dumps({**made, **told}, ensure_ascii=False)


def read_answer(line: Json) -> tuple[RowStatus, Json, Usage | None]:
    """What became of a row, read from its line of the output: its state, what it says, and the tokens it used."""
    response = _object_in(line.get("response")) or _object_in(line.get("body"))
    completion = _object_in(response.get("body")) or (response if "choices" in response else {})
    code = a_count(response.get("status_code"))
    errors = [an_error(one.get("error")) for one in (line, response, completion)]
    if "choices" not in completion and error_words(completion)[2]:
        errors.append(completion)
    error: Any = next((one for one in errors if one), None)
    if error is not None or (code is not None and code >= 400) or not completion:
        whole: Any = error or completion or response.get("body")
        return (
            "failed",
            {"error": whole or (f"status {code}" if code else "its answer is empty")},
            read_usage(completion.get("usage")),
        )
    made = Generation.of_whole(completion)
    usage = made.counted
    choices = objects(completion.get("choices"))
    first = made.first
    told: Json = {"text": first.text}
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in first.calls]
    for name, value in (
        ("reasoning", first.reasoning),
        ("tool_calls", calls),
        ("finish_reason", first.finish_reason),
        ("other_choices", choices[1:]),
        ("model", made.model),
        ("usage", completion.get("usage")),
    ):
        if value:
            told[name] = value
    if made.ending == "refused":
        return "refused", {**told, "error": made.trouble}, usage
    if first.finish_reason == "length":
        return "cut", {**told, "error": f"cut at max_tokens{_so_far(first.text, first.reasoning)}"}, usage
    if made.ending in ("empty", "broken_call"):
        return "empty", {**told, "error": made.trouble}, usage
    return "ok", told, usage


def _so_far(text: str, reasoning: str) -> str:
    return "" if text.strip() else ", while it was still thinking" if reasoning else ", with nothing said"


def _object_in(value: Any) -> Json:
    """An object, which may also be written as text."""
    if isinstance(value, str):
        found = _objects_of(value)
        return found[0] if len(found) == 1 else {}
    return an_object(value)


def _asked(body: Any) -> Any:
    """What a row asked: its prompt, or the last thing the user said."""
    held = an_object(body)
    if "prompt" in held:
        return held["prompt"]
    for message in reversed(objects(held.get("messages"))):
        if message.get("role") == "user":
            return message.get("content")
    return None
