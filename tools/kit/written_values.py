"""Reads values as people and hosts write them: "5s", "1,000", "0,7", "2 GB", Python dicts, sizes as pairs.

A value is read only if it can mean just one thing. Every other value is returned unchanged, and the schema refuses it
in its own words.
"""

import ast
import re
import warnings
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, cast

from ...novita.core.json_text import read_json
from ...novita.core.placeholders import unquoted

Json = dict[str, Any]

_TIMES: Mapping[str, int] = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
"""Units of time in seconds: a span in one of them is read in every other."""

_UNITS: Mapping[str, str] = {
    "seconds": r"s|secs?|seconds?",
    "minutes": r"m|mins?|minutes?",
    "hours": r"h|hrs?|hours?",
    "days": r"d|days?",
    "months": r"months?",
    "gb": r"gb|gib|g",
    "usd": r"usd|\$",
    "tokens": r"tokens?",
    "usd_per_hour": r"(?:usd|\$)?\s*(?:(?:/|per|an)\s*(?:h|hr|hour))?",
    "times": r"x|×|times",
}
_MEASURED: Mapping[str, str] = {
    **dict.fromkeys(("duration", "start", "end"), "seconds"),
    **dict.fromkeys(("scale", "speed", "volume"), "times"),
    "max_usd_per_hour": "usd_per_hour",
    "min_context": "tokens",
}
"""The units of arguments whose names do not end with the unit."""

_WHOLE = re.compile(r"[+-]?\d{1,3}(?:[ \u00a0\u202f',]\d{3})+|[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
_COMMA = re.compile(r"[+-]?\d+,\d{1,2}")
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?\s*[a-z]+[\s,]*)+")


def written_number(name: str, kind: str, text: str) -> int | str:
    """A number as people write it, converted to the argument's unit. The text itself if it is not clearly one number.

    A number that may have a fraction stays text, reduced to the plain number.

    Args:
        name: The argument's name, which tells its unit.
        kind: "integer" or "number".
    """
    bare = text.strip()
    measure = _MEASURED.get(name, name.rpartition("_")[2])
    if "usd" in name.split("_"):
        bare = bare.removeprefix("$").lstrip()
    if unit := _UNITS.get(measure):
        bare = re.sub(rf"(?i)(?<=[\d.])\s*(?:{unit})\Z", "", bare)
    bare = _span(bare, measure) or bare
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


def _span(text: str, measure: str) -> str:
    """A span of time such as "90 minutes" or "1h 30m", as a number in another unit; empty where it is none."""
    if measure not in _TIMES or not _SPAN.fullmatch(text.casefold()):
        return ""
    seconds = Decimal(0)
    for number, unit in re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.casefold()):
        length = next((each for name, each in _TIMES.items() if re.fullmatch(_UNITS[name], unit)), None)
        if length is None:
            return ""
        seconds += Decimal(number) * length
    return f"{float(seconds / _TIMES[measure]):.12g}"


def written_boolean(text: str) -> bool | str:
    """A boolean written like a switch (on, off, yes, no). Other texts are returned unchanged for the schema to read."""
    bare = text.strip()
    return {"enabled": True, "enable": True, "disabled": False, "disable": False}.get(bare.casefold(), bare)


_FENCE = re.compile(r"\s*```\w*\s*(?P<inside>.*?)\s*```\s*", re.DOTALL)
_LONGEST_LITERAL = 100_000


def written_json(text: str) -> Any:
    """The value of a JSON text, also inside a Markdown fence, or of a Python list or dict.

    Raises:
        ValueError: The text is neither, or nested more deeply than any argument.
    """
    fenced = _FENCE.fullmatch(text)
    inside = fenced["inside"] if fenced else text
    try:
        return _not_too_deep(read_json(inside))
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


_MOST_LEVELS = 200
"""Levels of lists and objects in a JSON text. Arguments are walked by recursion, which ends at some 500."""


def _not_too_deep(value: Any) -> Any:
    """The value. Walked level by level, so that the check itself does not recurse.

    Raises:
        ValueError: It is nested too deeply.
    """
    level: list[Any] = [value]
    for _ in range(_MOST_LEVELS):
        level = [inner for each in level for inner in _members(each)]
        if not level:
            return value
    raise ValueError("nested too deeply")


def _members(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast(Json, value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()


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
    """An object made from a list of its fields, as forms send it: `[{"name": ..., "value": ...}]` or `[{...}]`.

    Also one made from variables as Docker takes them, `["A=b"]`. An empty list is an empty object.
    """
    rows = cast("list[Any]", value) if isinstance(value, list) else list[Any]()
    if not rows:
        return {} if isinstance(value, list) else value
    if all(isinstance(row, str) and _VARIABLE.match(row) for row in rows):
        return dict(row.split("=", 1) for row in rows)
    if not all(isinstance(row, dict) for row in rows):
        return rows
    for key in ("name", "key"):
        if all(row.keys() == {key, "value"} and isinstance(row[key], str) for row in rows):
            return {row[key]: row["value"] for row in rows}
    return rows[0] if len(rows) == 1 else rows


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def as_list(value: Json) -> list[Any] | Json:
    """A list made from an object of numbered items: `{"0": ..., "1": ...}`."""
    numbers = [int(key) for key in value if key.isascii() and key.isdigit() and len(key) < 6]
    if not value or sorted(numbers) != list(range(len(value))):
        return value
    return [value[key] for key in sorted(value, key=int)]


def _written_period(value: Any) -> Any:
    """A period as one text, where its first and its last day came as a list or as `{"start": ..., "end": ...}`."""
    ends: list[Any] = list(cast("list[Any]", value)) if isinstance(value, list) else []
    if isinstance(value, dict):
        held = cast(Json, value)
        ends = [held[name] for name in ("start", "from", "end", "to") if name in held] if len(held) == 2 else []
    return " to ".join(ends) if len(ends) == 2 and all(isinstance(end, str) for end in ends) else cast(Any, value)


_NAMES = frozenset({"model", "checkpoint", "voice"})
_FILES = frozenset({"image", "mask", "end_image", "video", "audio", "file"})
_HOLDS_A_FILE = ("url", "path", "uri", "file_path", "image_url", "video_url", "audio_url", "source")
"""Fields of a message's part, or of another tool's answer, that carry a file, or an object with one."""


_DEEPEST_FILE = 6
"""Levels of objects, lists and JSON texts in which a file is looked for; message parts have two or three."""


def written_file(value: Any, levels: int = _DEEPEST_FILE) -> Any:
    """The address or path in a part of a message, such as `{"type": "image_url", "image_url": {"url": ...}}`.

    Base64 beside its media type becomes a data URI. Of a list, each item is read. All else comes back as it came.
    """
    if not levels:
        return value
    if isinstance(value, list):
        return [written_file(each, levels - 1) for each in cast("list[Any]", value)]
    part: Any = value
    if isinstance(value, str) and value.lstrip().startswith('{"'):
        try:
            part = read_json(value)
        except ValueError:
            return value
    if not isinstance(part, dict):
        return cast(Any, value)
    held = cast(Json, part)
    kind = held.get("mimeType") or held.get("mime_type") or held.get("media_type")
    if isinstance(held.get("data"), str) and isinstance(kind, str):
        return f"data:{kind};base64,{held['data']}"
    inside = [written_file(held[key], levels - 1) for key in _HOLDS_A_FILE if held.get(key)]
    return inside[0] if len(inside) == 1 and isinstance(inside[0], str) else cast(Any, value)


_SIDES = re.compile(
    r"(\d{2,5})\s*(?:px|pixels)?(?:\s*[x*×✕,;]\s*|\s+by\s+|\s+)(\d{2,5})\s*(?:px|pixels)?", re.IGNORECASE
)
_COLONS = str.maketrans({"∶": ":", "：": ":", "꞉": ":", "／": "/"})


def written_text(name: str, value: Any) -> Any:
    """A size or a ratio as people write them: `1024 by 768`, `[1024, 768]`, `{"width": ...}`, or with other colons.

    Also an id without what was pasted around it, and the file in a part of a message.
    """
    if name == "aspect_ratio" and isinstance(value, str):
        return value.strip().translate(_COLONS)
    if name in _FILES:
        return written_file(value)
    if name == "period":
        return _written_period(value)
    if (name.endswith("_id") or name in _NAMES) and isinstance(value, str):
        return re.sub(rf"(?i)^{name}\s*[:=]\s*", "", unquoted(value))
    if name != "size":
        return value
    pair = cast("list[Any]", value) if isinstance(value, list) else list[Any]()
    if isinstance(value, dict):
        held = cast(Json, value)
        pair = [held["width"], held["height"]] if held.keys() == {"width", "height"} else []
    written = "x".join(map(str, pair)) if len(pair) == 2 else value if isinstance(value, str) else ""
    sides = _SIDES.fullmatch(written.strip())
    return f"{sides[1]}x{sides[2]}" if sides else cast(Any, value)
