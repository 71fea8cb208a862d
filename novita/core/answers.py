"""The one reader of Novita's answers: any spelling of a key, any type for a value, fields that are missing or null.

Novita's pages, its generations of routes and the known clients disagree about all of these (`networkStorages[].Id`,
`gpuNum: "1"`, `template: null`). An answer is declared as a `Shape`, whose fields are read by the functions here; where
an answer has no fixed fields, the functions serve alone. A value that cannot be read is "not told", and never a fault.
An answer that cannot be read at all raises NovitaConnectionError.
"""

import email.utils
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError, model_validator

from .errors import NovitaConnectionError
from .json_text import Json, is_list, is_object, is_objects, is_row

MOST_COUNT = 2**53
"""The largest whole number that every JSON reader reads exactly."""
MOST_AMOUNT = Decimal(10) ** 12
DAY, YEAR = 86_400.0, 366 * 86_400.0
_LAST_MOMENT = 32_503_680_000.0
"""Unix seconds of the year 3000; a larger number is not a time but a mistake."""
_MILLISECONDS = 1e11
"""A larger number counts milliseconds: as seconds it would lie beyond the year 5000."""

# Values


def an_object(value: Any) -> Json:
    """The value where it is an object, else an empty one."""
    return value if is_object(value) else {}


def a_list(value: Any) -> list[Any]:
    """The value where it is a list, else an empty one."""
    return value if is_list(value) else []


def objects(value: Any) -> list[Json]:
    """The objects of a list; an object alone is a list of one, anything else is none."""
    return [one for one in (value if is_list(value) else [value]) if is_object(one)]


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
    """A time from Unix seconds or milliseconds, as number or text, or from a text like `2026-11-30T16:00:00Z`.

    A text without a zone is in UTC. None for 0 and less, and for the year 1 (Novita's words for "never"), and for
    anything else.
    """
    number = a_number(value)
    if number is not None:
        seconds = number / 1000 if number > _MILLISECONDS else number
    else:
        seconds = _seconds_of(a_text(value))
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None and 0 < seconds < _LAST_MOMENT else None


def _seconds_of(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None


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


def an_error(value: Any) -> Any:
    """The content of a field `error`; None if it is null or an object of nulls."""
    return None if is_object(value) and not any(value.values()) else value or None


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


# Shapes

_CLOCKS_APART = 120.0
"""Seconds by which Novita's clock may be behind ours."""


def _folded(key: str) -> str:
    return key.replace("_", "").lower()


def _folded_keys(data: Json) -> Json:
    return {_folded(key): value for key, value in data.items()}


class Shape(BaseModel):
    """Part of an answer. Keys are matched without regard to case and underscores; unknown ones are dropped.

    A field that is null or an empty text is as one that is missing: it has its default.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    other_names: ClassVar[Mapping[str, str]] = {}
    """Name in the other generation or in older answers -> our field. Where an answer has several, the first that says
    something is read, and the field's own name before all."""

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, data: Any) -> Any:
        if not is_object(data):
            return data
        told = {_folded(key): value for key, value in data.items() if value is not None}
        read: Json = {}
        for field, names in _spellings(cls):
            found = [told[name] for name in names if name in told]
            said = next((value for value in found if value != ""), "")
            if said != "" or (found and cls.model_fields[field].is_required()):
                read[field] = said
        return read


@cache
def _spellings(kind: type[Shape]) -> Sequence[tuple[str, Sequence[str]]]:
    """Every field, and what it may be called: by its own name first, then by the others in their order."""
    others = kind.other_names.items()
    return [
        (field, [_folded(field), *(_folded(other) for other, ours in others if ours == field)])
        for field in kind.model_fields
    ]


def _whole(value: Any) -> int | None:
    amount = an_amount(value)
    return None if amount is None else int(amount)


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def an_id(value: Any) -> str:
    """An id, also where it is a number; empty where there is none."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value else ""


def _rows(value: Any) -> list[Any]:
    """The objects of a list; a single object is read as a list of one."""
    items = value if is_list(value) else [value]
    return [item for item in items if isinstance(item, dict | BaseModel)]


def _words(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if is_row(value) else []


def _whether(value: Any) -> bool:
    return value.strip().lower() == "true" if isinstance(value, str) else bool(value)


def _whether_told(value: Any) -> bool | None:
    return _whether(value) if isinstance(value, bool | str) else None


def _object(value: Any) -> Any:
    """An object where some answers have a list of one, or nothing."""
    if is_list(value):
        value = next(iter(value), None)
    return value if is_object(value) or isinstance(value, BaseModel) else {}


T = TypeVar("T", bound=Shape)

Id = Annotated[str, BeforeValidator(an_id)]
Count = Annotated[int, BeforeValidator(lambda value: a_count(value) or 0)]  # pyright: ignore[reportUnknownLambdaType]
Number = Annotated[float | None, BeforeValidator(a_number)]
Whole = Annotated[int | None, BeforeValidator(_whole)]
Amount = Annotated[Decimal | None, BeforeValidator(an_amount)]
Moment = Annotated[datetime | None, BeforeValidator(a_moment)]
Text = Annotated[str, BeforeValidator(_text)]
"""Numbers and objects become text, too."""
Plain = Annotated[str, BeforeValidator(a_text)]
"""What is not text is left out."""
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Whether = Annotated[bool, BeforeValidator(_whether)]
WhetherTold = Annotated[bool | None, BeforeValidator(_whether_told)]
Secret = Annotated[SecretStr, BeforeValidator(lambda value: SecretStr(_text(value)))]  # pyright: ignore[reportUnknownLambdaType]
Rows = Annotated[tuple[T, ...], BeforeValidator(_rows)]
One = Annotated[T, BeforeValidator(_object)]


def read_shape(kind: type[T], data: Any, doing: str) -> T:
    """One object of an answer.

    Raises:
        NovitaConnectionError: It is not such an object. The error does not quote it, because it may hold a secret.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _unreadable(doing, error) from error


def read_rows(kind: type[T], data: Any, doing: str, *names: str, whole: bool = False) -> list[T]:
    """The list under the first of `names` that holds something, in any spelling; null and absent are empty.

    Args:
        whole: The list must be there, though it may be null, and hold objects only: for bills, where a row that is
            left out would be money that is left out.

    Raises:
        NovitaConnectionError: It is no such list, or not an answer with a list.
    """
    found = rows_in(data, doing, *names, whole=whole)
    try:
        return [kind.model_validate(row) for row in found]
    except ValidationError as error:
        raise _unreadable(doing, error) from error


def rows_in(data: Any, doing: str, *names: str, whole: bool = False) -> list[Json]:
    """The objects of a list as they came; arguments and errors as of `read_rows`."""
    if not is_object(data):
        raise NovitaConnectionError(f"Novita's answer while {doing} could not be read (no object)")
    told = _folded_keys(data)
    held = [told[name] for name in map(_folded, names) if name in told]
    if whole and not (held and (held[0] is None or is_objects(held[0]))):
        raise NovitaConnectionError(f"Novita's answer while {doing} could not be read (no list)")
    return objects(next((value for value in held if value), None))


def total_in(data: Any) -> int | None:
    """How many rows there are on all pages of a list; None where the answer does not say."""
    return a_count(_folded_keys(an_object(data)).get("total"))


def next_cursor_in(data: Any) -> str | None:
    """Where the next page of a list begins; None where this is the last."""
    told = _folded_keys(an_object(data))
    more = told.get("hasmore")
    return None if more is not None and not _whether(more) else an_id(told.get("nextcursor")) or None


def _unreadable(doing: str, error: ValidationError) -> NovitaConnectionError:
    where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "no object"
    return NovitaConnectionError(f"Novita's answer while {doing} could not be read ({where})")


def id_in(data: Any, *names: str) -> str:
    """The id of the thing that was made: under one of `names`, in any spelling, or the bare answer. Empty if absent."""
    if isinstance(data, str):
        return data
    told = _folded_keys(an_object(data))
    return next(filter(None, (an_id(told.get(_folded(name))) for name in names)), "")


def may_come_of(created_at: datetime | None, asked: datetime) -> bool:
    """Whether a thing may be the result of a request sent at `asked`: it is not older, give or take the clocks."""
    return created_at is None or created_at.timestamp() >= asked.timestamp() - _CLOCKS_APART
