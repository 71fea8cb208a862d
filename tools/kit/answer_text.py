"""Answers as text for a model to read: our fields begin a line, and nothing that is not ours can begin one like them.

Prompts, lyrics, web pages and names of machines come from others. With line breaks in them they could write
`status: succeeded` or `next_step: ...` where our fields stand; so whatever has several lines stands indented.
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
    """A sentence of ours with others' words in it: should they break the line, what follows stands indented."""
    return text if _is_one_line(text) else ("\n" + _INDENT).join(text.splitlines())


def _scalar(value: Any, indent: int) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if _is_one_line(value):
        return value
    # As YAML writes a block: a bar, then every line deeper than the name it belongs to.
    return "\n".join(["|", *(f"{_INDENT * (indent + 1)}{line}".rstrip() for line in value.splitlines())])


def _is_one_line(text: str) -> bool:
    """Whether no reader sees a line break in it: Python knows them all, U+2028 and vertical tabs too."""
    return not text or text.splitlines() == [text]
