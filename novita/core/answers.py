"""Reading GPU answers: keys in any spelling, lists that may be null, numbers and times that may be text.

The two generations of the API and the known clients disagree about all of these (`networkStorages[].Id`,
`gpuNum: "1"`, `template: null`), so a shape accepts every form. An answer that cannot be read at all raises
NovitaConnectionError.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError, model_validator

from .errors import NovitaConnectionError
from .tolerant import a_moment, an_amount

_CLOCKS_APART = 120.0
"""Seconds by which Novita's clock may be behind ours."""


def _folded(key: str) -> str:
    return key.replace("_", "").lower()


class Shape(BaseModel):
    """Part of an answer. Keys are matched without regard to case and underscores; unknown ones are dropped."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    other_names: ClassVar[Mapping[str, str]] = {}
    """Name in the other generation or in older answers -> our field."""

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = {_folded(name): name for name in cls.model_fields}
        others = {_folded(other): field for other, field in cls.other_names.items()}
        given = cast(dict[str, Any], data)
        read = {others[_folded(key)]: value for key, value in given.items() if _folded(key) in others}
        read |= {fields[_folded(key)]: value for key, value in given.items() if _folded(key) in fields}
        return {name: value for name, value in read.items() if value is not None}


def _whole(value: Any) -> int | None:
    amount = an_amount(value)
    return None if amount is None else int(amount)


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def _rows(value: Any) -> list[Any]:
    """The objects of a list; a single object is read as a list of one."""
    items = cast(list[Any], value) if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict | BaseModel)]


def _words(value: Any) -> list[str]:
    items = cast(list[Any], value) if isinstance(value, list | tuple) else []
    return [item for item in items if isinstance(item, str)]


def _whether(value: Any) -> bool:
    return value.strip().lower() == "true" if isinstance(value, str) else bool(value)


def _object(value: Any) -> Any:
    """An object where some answers have a list of one, or nothing."""
    if isinstance(value, list):
        value = next(iter(cast(list[Any], value)), None)
    return cast(Any, value) if isinstance(value, dict | BaseModel) else {}


T = TypeVar("T", bound=Shape)

Whole = Annotated[int | None, BeforeValidator(_whole)]
Amount = Annotated[Decimal | None, BeforeValidator(an_amount)]
Moment = Annotated[datetime | None, BeforeValidator(a_moment)]
Text = Annotated[str, BeforeValidator(_text)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Whether = Annotated[bool, BeforeValidator(_whether)]
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


def read_rows(kind: type[T], data: Any, doing: str, *names: str) -> list[T]:
    """The list under the first of `names` that is there; null and absent are empty."""
    if not isinstance(data, dict):
        raise NovitaConnectionError(f"Novita's answer while {doing} could not be read (no object)")
    found: Any = None
    for name in names:
        found = found or cast(dict[str, Any], data).get(name)
    if found is None:
        return []
    try:
        return [kind.model_validate(row) for row in _rows(found)]
    except ValidationError as error:
        raise _unreadable(doing, error) from error


def _unreadable(doing: str, error: ValidationError) -> NovitaConnectionError:
    where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "no object"
    return NovitaConnectionError(f"Novita's answer while {doing} could not be read ({where})")


def id_in(data: Any, *names: str) -> str:
    """The id of the thing that was made: under one of `names`, in any spelling, or the bare answer. Empty if absent."""
    if isinstance(data, str):
        return data
    if not isinstance(data, dict):
        return ""
    folded = {_folded(key): value for key, value in cast(dict[str, Any], data).items()}
    for name in names:
        value = folded.get(_folded(name))
        if isinstance(value, str | int) and value:
            return str(value)
    return ""


def may_come_of(created_at: datetime | None, asked: datetime) -> bool:
    """Whether a thing may be the result of a request sent at `asked`: it is not older, give or take the clocks."""
    return created_at is None or created_at.timestamp() >= asked.timestamp() - _CLOCKS_APART
