"""What Novita's site charges for a request, by its own expressions: CEL, over the request's body.

The expressions are foreign. They are evaluated by a library for CEL, never as code, and only where they cannot take
long: short, without comprehensions and patterns. The library is imported when the first price asks for it.
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
"""What an expression may call: nothing that goes through a list, and no pattern."""


def may_be_evaluated(expression: str) -> bool:
    """Whether an expression is bounded: no longer and no deeper than those that are known, and without loops."""
    if not 0 < len(expression) <= _LONGEST:
        return False
    depth = 0
    for letter in expression:
        depth += (letter in "([{") - (letter in ")]}")
        if depth > _DEEPEST:
            return False
    return set(_CALL.findall(expression)) <= _CALLS


def charged(model: MediaModel, body: Json, letters: int | None) -> Decimal | None:
    """US dollars for a body by the model's tariff; None where it has none, or that cannot be said.

    Where it is open which price counts, the dearest that may.

    Args:
        letters: Characters of the text in the body, where there is one.
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
    return max(max(told), Decimal(1)) * _UNIT  # a unit is the least that is charged


def _value(expression: str, known: Mapping[str, Any]) -> object:
    """What an expression comes to; None where that cannot be said."""
    if not may_be_evaluated(expression):
        return None
    try:
        return _evaluate()(expression, dict(known))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return None


def _whole(schema: Json, body: Json) -> Json:
    """A body with the documented defaults of what it leaves out, and without long texts (files)."""
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
    from cel import evaluate  # most processes never price by it

    return evaluate


def load_cel() -> None:
    """Import the library, which takes a moment: in a thread, before a price asks for it."""
    _evaluate()
