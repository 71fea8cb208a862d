"""JSON text from outside: parsed without half emojis, without endless numbers, and within bounds of depth and memory.

What a parsed value holds is read in answers.py.
"""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeGuard

from .wellformed import well_formed_text_of_json

Json = dict[str, Any]
"""A JSON object."""

_MOST_DIGITS = 400


def is_object(value: object) -> TypeGuard[Json]:
    """Whether a parsed value is an object, whose keys are always text."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a parsed value is a list."""
    return isinstance(value, list)


def is_objects(value: object) -> TypeGuard[list[Json]]:
    """Whether a parsed value is a list of objects and of nothing else."""
    return is_list(value) and all(map(is_object, value))


def is_row(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether a value is a list, or a tuple, which JSON writes as a list."""
    return isinstance(value, list | tuple)


MOST_PARTS = 1_000_000
"""The most lists and objects in one JSON text. Each takes three letters of text but a hundred bytes of memory."""


def refuse_crowd(text: str) -> None:
    """Refuse JSON that would take far more memory than it has letters.

    Raises:
        ValueError: It has more lists and objects than any answer.
    """
    if len(text) > MOST_PARTS and text.count("[") + text.count("{") > MOST_PARTS:
        raise ValueError(f"it holds more than {MOST_PARTS:,} lists and objects")


def read_json(data: bytes | str) -> Any:
    """Parse a JSON text from outside, without halves in any string or key.

    NaN and Infinity are accepted, because servers send them; a caller who passes a number on must check it.

    Raises:
        ValueError: It is no JSON, or nested too deeply to be read.
    """
    text = well_formed_text_of_json(data)
    refuse_crowd(text)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def well_formed_json(value: Any) -> Any:
    """A JSON value (as `json.dumps` takes it) without halves in any string or key."""
    return read_json(json.dumps(value))


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


def not_a_number(value: Any) -> str | None:
    """The path at which a value holds NaN or Infinity ("body.temperature"), which JSON lacks; None if there is none."""
    if isinstance(value, float):
        return None if math.isfinite(value) else ""
    inner: Iterable[tuple[Any, Any]] = ()
    if is_object(value):
        inner = value.items()
    elif is_list(value):
        inner = enumerate(value)
    for key, held in inner:
        if isinstance(held, float | dict | list) and (place := not_a_number(held)) is not None:
            here = f"[{key}]" if isinstance(key, int) else str(key)
            return f"{here}{'' if not place or place.startswith('[') else '.'}{place}"
    return None
