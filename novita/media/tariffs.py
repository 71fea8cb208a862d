"""Calculates what a request costs by the expressions of Novita's site. They are CEL over the request's body.

The expressions come from outside, so a CEL library evaluates them, never Python. Only expressions that cannot take long
are evaluated: short ones without loops and patterns. The library is imported when the first price needs it.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from ..core.json_paths import Json
from ..core.json_text import is_object
from .catalog_entry import MediaModel

_LONGEST, _DEEPEST, _LONGEST_TEXT = 400, 12, 10_000
_MOST_UNITS = 10**9
_UNIT = Decimal("0.0001")
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
_CALLS = frozenset({"int", "uint", "double", "string", "size", "has", "startsWith", "endsWith", "contains"})
"""Functions that an expression may call. None of them loops over a list or matches a pattern."""


def may_be_evaluated(expression: str) -> bool:
    """Whether an expression is safe to evaluate: short, not deeply nested, and without loops."""
    if not 0 < len(expression) <= _LONGEST:
        return False
    depth = 0
    for letter in expression:
        depth += (letter in "([{") - (letter in ")]}")
        if depth > _DEEPEST:
            return False
    return set(_CALL.findall(expression)) <= _CALLS


def charged(model: MediaModel, body: Json, letters: int | None) -> Decimal | None:
    """US dollars for a body by the model's tariff; None if the model has none, or it cannot be evaluated.

    If several prices may apply, the highest of them is used.

    Args:
        letters: The number of characters of the text in the body, if there is one.
    """
    tariff = model.tariff
    if tariff is None:
        return None
    known: dict[str, Any] = {"body": _whole(model.input, body), "characters": letters}
    if letters is None:
        del known["characters"]
    fitting: list[int] = []
    for picked, units in tariff.skus:
        holds = _value(picked, known)
        if holds is not False:
            fitting.append(units)
        if holds is True:
            break
    amounts = [_value(tariff.charge, {**known, "sku": units}) for units in fitting]
    told = [Decimal(str(one)) for one in amounts if isinstance(one, int | float) and not isinstance(one, bool)]
    if not told or len(told) < len(amounts) or not all(0 <= one <= _MOST_UNITS for one in told):
        return None
    return max(max(told), Decimal(1)) * _UNIT  # at least one unit is charged


def _value(expression: str, known: Mapping[str, Any]) -> object:
    """The value of an expression; None if it cannot be evaluated."""
    if not may_be_evaluated(expression):
        return None
    try:
        return _evaluate()(expression, dict(known))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return None


def _whole(schema: Json, body: Json) -> Json:
    """A body with the documented defaults of missing fields, and without long texts such as files."""
    found: Json = {}
    parts: Json = schema.get("properties", {})
    for name, part in parts.items():
        if name in body:
            continue
        default: Any = _whole(part, {}) if "properties" in part else part.get("default")
        found |= {name: default} if default is not None else {}
    for name, value in body.items():
        if is_object(value):
            found[name] = _whole(parts.get(name, {}), value)
        elif not isinstance(value, str) or len(value) <= _LONGEST_TEXT:
            found[name] = value
    return found


@cache
def _evaluate() -> Callable[[str, dict[str, Any]], object]:
    from cel import evaluate  # most processes never need it

    return evaluate


def load_cel() -> None:
    """Import the library. That takes a moment, so it is done in a thread before a price needs it."""
    _evaluate()
