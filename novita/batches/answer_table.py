"""Answers of a batch beside their rows, as a table that spreadsheets open: one row each, a column for each field.

A row that was fields sent as JSON gives a column for each of them; an answer that is a JSON object gives one for each
of its members, those that the schema of the request names first.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.answers import an_object
from ..core.json_text import Json, load_json

_OURS = ("row", "custom_id", "status")
_MOST_COLUMNS = 200


def answer_table(results: str, schema_fields: Sequence[str] = ()) -> str:
    """The results file of a batch as CSV. Blocks.

    Args:
        results: Lines of JSON as `match` writes them.
        schema_fields: What a schema names, in its order.
    """
    rows = [an_object(load_json(line)) for line in results.split("\n") if line.strip()]
    asked = [_fields_of(row.get("input")) for row in rows]
    said = [_fields_of(row.get("text")) for row in rows]
    given = (
        _names(asked) if all(one is not None for one, row in zip(asked, rows, strict=True) if "input" in row) else []
    )
    named = _names([dict.fromkeys(schema_fields), *said]) if any(said) or schema_fields else []
    answers = [name if name not in (*_OURS, *given, "input", "text", "error") else f"answer_{name}" for name in named]
    head = [*_OURS, *(given or ["input"]), *(answers or ["text"]), "error"]
    file = io.StringIO(newline="")
    table = csv.writer(file, lineterminator="\n")
    table.writerow(head)
    for row, fields, answer in zip(rows, asked, said, strict=True):
        left = [_cell((fields or {}).get(name)) for name in given] if given else [_cell(row.get("input"))]
        # An answer that is no object stands in the first of the columns, rather than nowhere.
        told = answer if answer is not None else {named[0]: row.get("text")} if named else {}
        right = [_cell(told.get(name)) for name in named] if named else [_cell(row.get("text"))]
        table.writerow([*(_cell(row.get(name)) for name in _OURS), *left, *right, _cell(row.get("error"))])
    return file.getvalue()


def _fields_of(value: Any) -> Json | None:
    """The members of an object, also one that is written as text or within a fence; None for anything else."""
    if isinstance(value, str):
        bare = value.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
        if not bare.startswith("{"):
            return None
        try:
            value = load_json(bare)
        except ValueError:
            return None
    return an_object(value) if isinstance(value, dict) else None


def _names(objects: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """The names of members, in the order they are first seen."""
    found = dict.fromkeys(name for one in objects for name in one or ())
    return list(found)[:_MOST_COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def schema_fields(asked: Sequence[Json]) -> list[str]:
    """The members that the schema of the first row's request names."""
    body = an_object(asked[0].get("body")) if asked else {}
    schema = an_object(an_object(an_object(body.get("response_format")).get("json_schema")).get("schema"))
    return list(an_object(schema.get("properties")))
