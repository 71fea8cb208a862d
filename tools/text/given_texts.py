"""Texts that a caller hands in: as a list, or in a file on this machine, behind a link or from an earlier task."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from anyio import to_thread

from ...novita.core.errors import InputError
from ...novita.core.json_text import read_json
from ...novita.core.words import counted
from ...novita.text.nearest import TextIndex, is_index, read_index
from ...novita.text.plain_text import decoded
from ..kit.context import Caller

_TEXT_FIELDS = ("text", "document", "content", "body", "passage", "description", "question", "title", "name")
"""Usual names of the column that holds the text, the likeliest first."""
MOST_TEXTS = 50_000


@dataclass(frozen=True)
class GivenTexts:
    """Texts, and their vectors if an index was handed in."""

    texts: Sequence[str]
    index: TextIndex | None = None


async def given_texts(
    caller: Caller, texts: Sequence[str] | None, file: str | None, *, called: str = "texts"
) -> GivenTexts:
    """The texts of a call.

    Raises:
        InputError: Both a list and a file are given, or neither, or the file holds no texts.
    """
    if bool(texts) == bool(file):
        raise InputError(f"Give either {called} or file")
    if file is None:
        return GivenTexts(texts or ())
    source = await caller.inputs.load(file, "text")
    data = await source.read()
    name = source.name
    if is_index(data):
        index = await to_thread.run_sync(partial(read_index, data, name))
        return GivenTexts(index.texts, index)
    return GivenTexts(await to_thread.run_sync(partial(read_texts, data, name)))


def read_texts(data: bytes, name: str) -> list[str]:
    """The texts in a file: a JSON list, JSON lines, a table, or one text per line. It blocks: call it in a thread.

    Raises:
        InputError: The file holds no texts, or too many.
    """
    text = decoded(data, name)
    plain = name.casefold()
    if text.lstrip().startswith("[") and (listed := _of_json(text)) is not None:
        found = [_text_of(row) for row in listed]
    elif text.lstrip().startswith("{"):
        rows = [_of_line(line) for line in text.splitlines() if line.strip()]
        found = [_text_of(row) for row in rows]
    elif plain.endswith((".csv", ".tsv")):
        found = _column(text, "\t" if plain.endswith(".tsv") else "")
    else:
        found = [line.strip() for line in text.splitlines()]
    kept = [row for row in found if row.strip()]
    if not kept:
        raise InputError(f"{name} holds no texts", next_step="Give lines, a CSV with a column text, or JSON lines.")
    if len(kept) > MOST_TEXTS:
        raise InputError(f"{name} holds {counted(len(kept), 'text')}; {MOST_TEXTS:,} are taken at once")
    return kept


def _of_json(text: str) -> list[object] | None:
    try:
        found: object = read_json(text)
    except ValueError:
        return None
    return cast("list[object]", found) if isinstance(found, list) else None


def _of_line(line: str) -> object:
    try:
        return cast(object, read_json(line))
    except ValueError:
        return line


def _text_of(row: object) -> str:
    """The text of a row: the row itself, or its member that holds the text."""
    if not isinstance(row, dict):
        return "" if row is None else str(row)
    held = {str(key): value for key, value in cast("dict[Any, Any]", row).items() if isinstance(value, str)}
    named = next((name for name in _TEXT_FIELDS if held.get(name)), "")
    return held[named] if named else max(held.values(), key=len, default="")


def _column(text: str, delimiter: str) -> list[str]:
    """The texts of a table: the column with a usual name for texts, else the column with the most letters."""
    first = text.partition("\n")[0]
    mark = delimiter or max(",;\t", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark) if any(row)]
    if not rows:
        return []
    names = [cell.strip().casefold() for cell in rows[0]]
    known = next((names.index(name) for name in _TEXT_FIELDS if name in names), None)
    if known is None:
        wide = max(map(len, rows))
        known = max(range(wide), key=lambda at: sum(len(row[at]) for row in rows[1:] if at < len(row)))
    return [row[known] for row in rows[1:] if known < len(row)]
