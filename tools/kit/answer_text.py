"""Writes answers as text for a model. Only our own fields begin a line, so that no other text can pass for one.

Prompts, lyrics, web pages and names of machines come from others. A line break in one could forge a field such as
`status: succeeded` or `next_step: ...`, so every text of several lines is indented.
"""

import json
from typing import Any, cast

_INDENT = "  "


def plain(data: Any, indent: int = 0) -> str:
    """Data as short readable lines: every value of the structured answer, none of JSON's noise."""
    pad = _INDENT * indent
    lines: list[str] = []
    if isinstance(data, dict):
        for key, value in cast(dict[str, Any], data).items():
            name = key if _is_one_line(key) else json.dumps(key)
            if isinstance(value, dict | list) and value:
                inline = json.dumps(value, ensure_ascii=False)
                if len(inline) <= 60 and inline.count("{") + inline.count("[") == 1 and _is_one_line(inline):
                    lines.append(f"{pad}{name}: {inline}")
                else:
                    lines += [f"{pad}{name}:", plain(value, indent + 1)]
            else:
                lines.append(f"{pad}{name}: {_scalar(value, indent)}")
    elif isinstance(data, list) and (table := _table(cast(list[Any], data))):
        lines += [f"{pad}{row}" for row in table]
    elif isinstance(data, list):
        for item in cast(list[Any], data):
            if isinstance(item, dict | list):
                body = plain(item, indent + 1)
                lines.append(f"{pad}- {body.lstrip()}")
            else:
                lines.append(f"{pad}- {_scalar(item, indent)}")
    else:
        lines.append(f"{pad}{_scalar(data, indent)}")
    return "\n".join(lines)


def as_one(text: str) -> str:
    """A sentence of ours that quotes others. If the quoted text breaks the line, the following lines are indented."""
    return text if _is_one_line(text) else ("\n" + _INDENT).join(text.splitlines())


_TABLE_FROM = 5
"""The number of rows from which on a table is shorter than naming the fields in every row."""


def _table(rows: list[Any]) -> list[str] | None:
    """A header line and one line for each row; None if the list is not one of many short flat rows."""
    if len(rows) < _TABLE_FROM or not all(isinstance(row, dict) for row in rows):
        return None
    names = list(dict.fromkeys(name for row in cast(list[dict[str, Any]], rows) for name in row))
    cells = [[_cell(row.get(name)) for name in names] for row in cast(list[dict[str, Any]], rows)]
    if any(cell is None for line in cells for cell in line) or not all(_is_one_line(name) for name in names):
        return None
    return [f"({' | '.join(names)})", *("- " + " | ".join(cast(list[str], line)) for line in cells)]


def _cell(value: Any) -> str | None:
    """A value as one cell of a row; None if it does not fit in one."""
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        inner = cast(list[Any], value)
        if not all(isinstance(each, str | int | float) for each in inner):
            return None
        return _cell(", ".join(map(str, inner)))
    if isinstance(value, dict) or (isinstance(value, str) and not _is_one_line(value)):
        return None
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if "|" in value or value == "-" else value
    return json.dumps(value)


def _scalar(value: Any, indent: int) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if _is_one_line(value):
        return value
    # As YAML writes a block: a bar, then every line deeper than the name it belongs to.
    return "\n".join(["|", *(f"{_INDENT * (indent + 1)}{line}".rstrip() for line in value.splitlines())])


def _is_one_line(text: str) -> bool:
    """Whether the text has no line break of any kind, including U+2028 and vertical tabs."""
    return not text or text.splitlines() == [text]
