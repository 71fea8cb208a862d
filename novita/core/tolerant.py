"""Readers for JSON from outside, in which any field may be missing, null, of another type, or not a number."""

import email.utils
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, cast

from .wellformed import refuse_crowd, well_formed_text_of_json

Json = dict[str, Any]

_MOST_DIGITS = 400
MOST_COUNT = 2**53
"""The largest whole number that every JSON reader reads exactly."""
MOST_AMOUNT = Decimal(10) ** 12
DAY, YEAR = 86_400.0, 366 * 86_400.0
_LAST_MOMENT = 32_503_680_000.0
"""Unix seconds of the year 3000; a larger number is not a time but a mistake."""


def load_piece(text: str) -> Any:
    """Parse a piece of a stream: as `load_json`, but lone surrogates stay, because the next piece may bring the rest.

    Raises:
        ValueError: It is no JSON, or nested beyond reason.
    """
    return _loads(text, lambda name: None, _finite)


def load_json(data: str | bytes) -> Any:
    """Parse JSON that may have a byte order mark, lone surrogates, and NaN or Infinity, which become None.

    Raises:
        ValueError: It is no JSON, or nested beyond reason.
    """
    return load_piece(well_formed_text_of_json(data))


def load_strict(data: str | bytes) -> Any:
    """Parse JSON that will be sent on, so NaN and Infinity are refused.

    Raises:
        ValueError: It is not JSON, or holds NaN or Infinity; the message says where.
    """
    return _loads(well_formed_text_of_json(data), _no_number, _strictly_finite)


def _loads(text: str, constant: Callable[[str], Any], real: Callable[[str], Any]) -> Any:
    refuse_crowd(text)
    try:
        return json.loads(text, parse_constant=constant, parse_float=real, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _whole(digits: str) -> int | None:
    """A whole number; None if it has more digits than Python reads."""
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def _strictly_finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _no_number(digits)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"it holds {name[:20]}, which JSON does not know")


def an_object(value: Any) -> Json:
    """The value where it is an object, else an empty one."""
    return cast(Json, value) if isinstance(value, dict) else {}


def a_list(value: Any) -> list[Any]:
    """The value where it is a list, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def objects(value: Any) -> list[Json]:
    """The objects of a list; an object alone is a list of one, anything else is none."""
    if isinstance(value, dict):
        return [cast(Json, value)]
    return [cast(Json, one) for one in a_list(value) if isinstance(one, dict)]


def a_text(value: Any) -> str:
    """The value where it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def a_number(value: Any) -> float | None:
    """A finite number, also where it is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def a_count(value: Any) -> int | None:
    """A whole number from 0 to `MOST_COUNT`, also written as text or with a decimal point; otherwise None."""
    if type(value) is int:  # nearly always
        return value if 0 <= value <= MOST_COUNT else None
    found = a_number(value)
    return int(found) if found is not None and 0 <= found <= MOST_COUNT else None


def a_whole(value: Any) -> int | None:
    """A whole number that a database keeps (64 bits), also as text, or below 0; None for a broken one."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,19}\s*", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**63 else None
    found = a_number(value)
    return int(found) if found is not None and found.is_integer() and abs(found) <= MOST_COUNT else None


def an_amount(value: Any, most: Decimal = MOST_AMOUNT) -> Decimal | None:
    """An exact amount; None if it is not one, or larger than `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        found = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):  # ValueError: more digits than Python writes
        return None
    return found if found.is_finite() and -most <= found <= most else None


def a_moment(value: Any) -> datetime | None:
    """A time from Unix seconds, as number or text; None for 0 and less (Novita's "never") and for anything else."""
    seconds = a_number(value)
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None and 0 < seconds < _LAST_MOMENT else None


def a_lifetime(value: Any) -> float | None:
    """Seconds for which something lives; None if the value is 0, missing or not a number."""
    seconds = a_number(value)
    return seconds if seconds is not None and 0 < seconds <= 10 * YEAR else None


def a_header_date(header: str) -> float | None:
    """Unix seconds of a date as HTTP headers carry it, in UTC where no zone stands in it; None where it is none."""
    try:
        found = email.utils.parsedate_to_datetime(header)
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError, OSError, IndexError, TypeError):
        return None  # the errors that Python's date parsers have raised in various versions


def not_a_number(value: Any) -> str | None:
    """The path at which a value holds NaN or Infinity ("body.temperature"), which JSON lacks; None if there is none."""
    if isinstance(value, float):
        return None if math.isfinite(value) else ""
    inner = an_object(value).items() if isinstance(value, dict) else enumerate(a_list(value))
    for key, held in inner:
        if isinstance(held, float | dict | list) and (place := not_a_number(held)) is not None:
            here = f"[{key}]" if isinstance(key, int) else str(key)
            return f"{here}{'' if not place or place.startswith('[') else '.'}{place}"
    return None


def an_error(value: Any) -> Any:
    """The content of a field `error`; None if it is null or an object of nulls."""
    if isinstance(value, dict) and not any(an_object(value).values()):
        return None
    return value or None  # pyright: ignore[reportUnknownVariableType]


def error_words(data: Json, depth: int = 4) -> tuple[int | None, str, str]:
    """Code, name and message of an error, at any depth under `error`, `errors`, `detail` or `message`."""
    code = next((found for name in ("code", "status", "status_code") if (found := a_count(data.get(name)))), None)
    names = (a_text(data.get(name)) for name in ("reason", "code", "type"))
    reason = next((name for name in names if _NAME.fullmatch(name)), "")
    said = ""
    for name in ("error", "errors", "message", "detail", "msg"):
        held: Any = data.get(name)
        if isinstance(held, str) and held.strip():
            said = said or held
            continue
        for one in objects(held)[: 1 if depth else 0]:
            inner = error_words(one, depth - 1)
            code, reason, said = inner[0] or code, inner[1] or reason, said or inner[2]
        if isinstance(held, list) and not objects(held):
            said = said or " ".join(str(one) for one in a_list(held) if one)
    return code, reason, said


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*_[A-Za-z0-9_]+")
