"""Reads JSON values of uncertain shape. A value that is absent, null or of another type counts as empty."""

from typing import Any, cast

Json = dict[str, Any]


def obj(value: Any) -> Json:
    """The object, else {}."""
    return cast("Json", value) if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The list, else []."""
    return cast("list[Any]", value) if isinstance(value, list) else []
