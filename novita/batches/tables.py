"""Files of rows as people have them: JSONL and CSV in any usual encoding. Every fault is reported with its line."""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from ..core.answers import a_list
from ..core.errors import InputError
from ..core.json_text import Json, is_object, read_json
from ..core.words import counted
from ..text.plain_text import decoded
from .batch_files import MOST_BYTES

_SHOWN_FAULTS = 8
_SHOWN_LINES = 3
_DELIMITERS = ",;\t|"
_ROWS_TRIED = 20


class Faults:
    """What is wrong, line by line. The first few faults are reported; a fault of many lines is reported once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: dict[str, list[int]] = {}

    def add(self, line: int, what: str) -> None:
        self._lines.setdefault(what.rstrip("."), []).append(line)

    @property
    def any_found(self) -> bool:
        """Whether there was any."""
        return bool(self._lines)

    def refuse(self) -> None:
        """Raise InputError if there was any."""
        if self._lines:
            shown = [_told(lines, what) for what, lines in list(self._lines.items())[:_SHOWN_FAULTS]]
            left = sum(len(lines) for lines in list(self._lines.values())[_SHOWN_FAULTS:])
            more = f"; and {left} more" if left else ""
            raise InputError(
                f"{self._name} cannot be run as a batch: {'; '.join(shown)}{more}",
                next_step="Mend these lines and call again.",
            )


def _told(lines: list[int], what: str) -> str:
    if len(lines) <= _SHOWN_LINES:
        return "; ".join(f"line {line}: {what}" for line in lines)
    return f"line {lines[0]} and {counted(len(lines) - 1, 'more line')}: {what}"


def read_table(data: bytes, name: str) -> list[tuple[int, Json]]:
    """The rows of a .jsonl, .csv or .tsv file, with the lines they begin in.

    Raises:
        InputError: Lines that are no rows, an encoding nobody knows, or nothing in it.
    """
    text = decoded(data, name)
    faults = Faults(name)
    if name.casefold().endswith((".csv", ".tsv", ".tab")):
        rows = list(_csv_rows(text, name, faults))
    elif text.lstrip().startswith("["):
        rows = _listed_rows(text, faults)
    else:
        rows = list(_json_rows(text, faults))
    if faults.any_found and (others := _rows_in_a_row(text)):
        return others
    faults.refuse()
    if not rows:
        raise InputError(f"{name} has no rows")
    return rows


def _json_rows(text: str, faults: Faults) -> Iterator[tuple[int, Json]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip("\ufeff \t\r"):
            continue
        try:
            found: Any = read_json(line)
        except ValueError:
            faults.add(number, "it is not valid JSON")
            continue
        if (row := _row(found)) is not None:
            yield number, row
        else:
            faults.add(number, "it is no JSON object")


def _row(value: Any) -> Json | None:
    """The row that a value stands for: an object, or a text, which is a prompt."""
    if isinstance(value, str) and value.strip():
        return {"prompt": value}
    return value if is_object(value) else None


_BETWEEN = re.compile(r"[\s,\ufeff]+")


def _rows_in_a_row(text: str) -> list[tuple[int, Json]]:
    """Objects that follow each other, over several lines, without line ends or with commas between, perhaps in
    brackets; nothing where anything else stands there. With the lines they begin in.
    """
    bare = text.strip("\ufeff \t\r\n")
    shift = text.count("\n", 0, text.find(bare))
    if bare.startswith("[") and bare.endswith("]"):
        bare = f" {bare[1:-1]}"
    decoder, rows, line, place = json.JSONDecoder(), list[tuple[int, Json]](), 1 + shift, 0
    while place < len(bare):
        if between := _BETWEEN.match(bare, place):
            line += bare.count("\n", place, between.end())
            place = between.end()
            continue
        try:
            _, end = decoder.raw_decode(bare, place)
            row = _row(read_json(bare[place:end]))
        except (ValueError, RecursionError):
            return []
        if row is None:
            return []
        rows.append((line, row))
        line += bare.count("\n", place, end)
        place = end
    return rows


def _listed_rows(text: str, faults: Faults) -> list[tuple[int, Json]]:
    """The rows of one JSON list, counted from 1; of lines that happen to begin with a bracket, their faults."""
    try:
        found = a_list(read_json(text))
    except ValueError:
        return list(_json_rows(text, faults))
    rows = [(number, _row(value)) for number, value in enumerate(found, 1)]
    for number, row in rows:
        if row is None:
            faults.add(number, "it is no JSON object")
    return [(number, row) for number, row in rows if row is not None]


def _csv_rows(text: str, name: str, faults: Faults) -> Iterator[tuple[int, Json]]:
    csv.field_size_limit(MOST_BYTES)  # the module's own limit is 131,072 letters, and a log or a chapter is longer
    said = re.match(r"sep=(.)\r?\n", text)  # Excel writes this first line
    body = text[said.end() :] if said else text
    skipped = 1 if said else 0
    delimiter = said[1] if said else _delimiter(body, name)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    while True:
        line = reader.line_num + 1 + skipped
        try:
            cells = next(reader, None)
        except csv.Error:
            faults.add(line, f"a quote that begins here is not closed properly (read up to line {reader.line_num})")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            names = _columns(cells)
            _check_names(names, line, faults)
        elif len(cells) != len(names):
            faults.add(line, "it has not as many cells as the first line")
        else:
            yield line, {key: cell for key, cell in zip(names, cells, strict=True) if key}


_OURS = frozenset({"custom_id", "id", "prompt"})


def _columns(cells: list[str]) -> list[str]:
    """The names of columns; beside prompts those that mean something here in any case, else as they are: it is data."""
    names = [cell.strip() for cell in cells]
    plain = [name.casefold().replace(" ", "_") for name in names]
    if "prompt" not in plain:
        return names
    return [ours if ours in _OURS else name for name, ours in zip(names, plain, strict=True)]


def _check_names(names: list[str], line: int, faults: Faults) -> None:
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        faults.add(line, f"the column {twice[:40]!r} is there twice")


def _delimiter(text: str, name: str) -> str:
    """What separates the cells: the mark that gives the first rows the same number of cells, and more than one."""
    if name.casefold().endswith((".tsv", ".tab")):
        return "\t"
    best, most = ",", 1
    for mark in _DELIMITERS:
        widths: list[int] = []
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
        try:
            for cells in reader:
                if cells:
                    widths.append(len(cells))
                if len(widths) >= _ROWS_TRIED:
                    break
        except csv.Error:
            pass
        if widths and widths[0] > most and len(set(widths)) == 1:
            best, most = mark, widths[0]
    return best
