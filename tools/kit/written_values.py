"""Reads values as people and hosts write them: "5s", "1,000", "0,7", "2 GB", Python dicts, sizes as pairs.

A value is read only if it can mean just one thing. Every other value is returned unchanged, and the schema refuses it
in its own words.
"""

import ast
import re
import warnings
from collections.abc import Mapping
from typing import Any, cast

from ...novita.core.json_text import read_json

Json = dict[str, Any]

_UNITS: Mapping[str, str] = {
    "seconds": r"s|secs?|seconds?",
    "minutes": r"m|mins?|minutes?",
    "hours": r"h|hrs?|hours?",
    "months": r"months?",
    "gb": r"gb|gib|g",
    "usd": r"usd|\$",
    "tokens": r"tokens?",
    "times": r"x|×|times",
}
_MEASURED: Mapping[str, str] = {
    **dict.fromkeys(("duration", "start", "end"), "seconds"),
    **dict.fromkeys(("scale", "speed", "volume"), "times"),
    "min_context": "tokens",
}
"""The units of arguments whose names do not end with the unit."""

_WHOLE = re.compile(r"[+-]?\d{1,3}(?:[ \u00a0\u202f',]\d{3})+|[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
_COMMA = re.compile(r"[+-]?\d+,\d{1,2}")


def written_number(name: str, kind: str, text: str) -> int | str:
    """A number as people write it, converted to the argument's unit. The text itself if it is not clearly one number.

    A number that may have a fraction stays text, reduced to the plain number.

    Args:
        name: The argument's name, which tells its unit.
        kind: "integer" or "number".
    """
    bare = text.strip()
    unit = _UNITS.get(_MEASURED.get(name, name.rpartition("_")[2]))
    if name.endswith("_usd") or name == "cost_usd":
        bare = bare.removeprefix("$").lstrip()
    if unit:
        bare = re.sub(rf"(?i)(?<=[\d.])\s*(?:{unit})\Z", "", bare)
    if kind == "integer" and _WHOLE.fullmatch(bare):
        return int(re.sub(r"[ \u00a0\u202f',]", "", bare)) if len(bare) < 40 else text
    if _COMMA.fullmatch(bare):
        bare = bare.replace(",", ".")
    if not _NUMBER.fullmatch(bare):
        return text
    if kind == "number":
        return bare  # stays text, so that an amount of money keeps all its digits
    number = float(bare)
    return int(number) if number.is_integer() else text


def written_boolean(text: str) -> bool | str:
    """A boolean written like a switch (on, off, yes, no). Other texts are returned unchanged for the schema to read."""
    bare = text.strip()
    return {"enabled": True, "enable": True, "disabled": False, "disable": False}.get(bare.casefold(), bare)


_FENCE = re.compile(r"\s*```\w*\s*(?P<inside>.*?)\s*```\s*", re.DOTALL)
_LONGEST_LITERAL = 100_000


def written_json(text: str) -> Any:
    """The value of a JSON text, also inside a Markdown fence, or of a Python list or dict.

    Raises:
        ValueError: The text is neither.
    """
    fenced = _FENCE.fullmatch(text)
    inside = fenced["inside"] if fenced else text
    try:
        return read_json(inside)
    except ValueError:
        if len(inside) > _LONGEST_LITERAL or not inside.lstrip().startswith(("{", "[")):
            raise
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns about a backslash without a meaning
            found: Any = ast.literal_eval(inside.strip())
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError("neither JSON nor what Python writes") from error
    return _plain(found)


def _plain(value: Any) -> Any:
    """The value in JSON's types only, such as lists in place of tuples.

    Raises:
        ValueError: It holds something that JSON does not have.
    """
    if isinstance(value, dict):
        held = cast("dict[Any, Any]", value)
        if all(isinstance(key, str) for key in held):
            return {key: _plain(each) for key, each in held.items()}
    elif isinstance(value, list | tuple):
        return [_plain(each) for each in cast("list[Any]", value)]
    elif value is None or isinstance(value, str | int | float):
        return value
    raise ValueError("Python, and no JSON")


def as_object(value: Any) -> Any:
    """An object made from a list of its fields, as forms send it: `[{"name": ..., "value": ...}]` or `[{...}]`."""
    rows = cast("list[Any]", value) if isinstance(value, list) else list[Any]()
    if not rows:
        return cast(Any, value)
    if not all(isinstance(row, dict) for row in rows):
        return rows
    for key in ("name", "key"):
        if all(row.keys() == {key, "value"} and isinstance(row[key], str) for row in rows):
            return {row[key]: row["value"] for row in rows}
    return rows[0] if len(rows) == 1 else rows


def as_list(value: Json) -> list[Any] | Json:
    """A list made from an object of numbered items: `{"0": ..., "1": ...}`."""
    numbers = [int(key) for key in value if key.isascii() and key.isdigit() and len(key) < 6]
    if not value or sorted(numbers) != list(range(len(value))):
        return value
    return [value[key] for key in sorted(value, key=int)]


_SIDES = re.compile(r"(\d{2,5})(?:\s*[x*×✕,;]\s*|\s+by\s+|\s+)(\d{2,5})(?:\s*(?:px|pixels))?", re.IGNORECASE)
_COLONS = str.maketrans({"∶": ":", "：": ":", "꞉": ":", "／": "/"})


def written_text(name: str, value: Any) -> Any:
    """A size or a ratio as people write them: `1024 by 768`, `[1024, 768]`, `{"width": ...}`, or with other colons."""
    if name == "aspect_ratio" and isinstance(value, str):
        return value.strip().translate(_COLONS)
    if name != "size":
        return value
    pair = cast("list[Any]", value) if isinstance(value, list) else list[Any]()
    if isinstance(value, dict):
        held = cast(Json, value)
        pair = [held["width"], held["height"]] if held.keys() == {"width", "height"} else []
    written = "x".join(map(str, pair)) if len(pair) == 2 else value if isinstance(value, str) else ""
    sides = _SIDES.fullmatch(written.strip())
    return f"{sides[1]}x{sides[2]}" if sides else cast(Any, value)
