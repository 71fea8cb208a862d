"""What a JSON schema objects to, in one clear sentence."""

import operator
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from .json_paths import Json
from .json_text import is_list, is_object

_LONGEST_ECHO = 80


def echo(value: object) -> str:
    """A value as an error may show it: short, and never a file."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_ECHO else text[: _LONGEST_ECHO - 1] + "…"


def leaf_problem(schema: Json, value: Any) -> str | None:
    """The first objection to a value, reading on from its name ("must be 5 or 10 (got 7)"); None if there is none."""
    error = first_error(schema, value)
    return None if error is None else describe(error)


def first_error(schema: Json, value: Any) -> Any:
    """The first validation error of a value, the outermost field first; None if there is none."""
    with suppress(_BeyondUsError):
        if _fits(schema, value):
            return None
    # Not at the top: the schema library takes longer to import than a first call may take, and is needed for what is
    # wrong only.
    from jsonschema import Draft202012Validator

    errors: list[Any] = list(Draft202012Validator(schema).iter_errors(value))  # pyright: ignore[reportUnknownMemberType]
    # A list of values says more than a type does.
    return min(
        errors,
        key=lambda error: (len(error.absolute_path), str(error.absolute_path), error.validator != "enum"),
        default=None,
    )


class _BeyondUsError(Exception):
    """The schema says something that only the schema library knows."""


_NOTES = {"title", "description", "default", "examples", "format", "contentEncoding", "contentMediaType"}
"""Keywords that object to nothing."""


def _fits(schema: Any, value: Any) -> bool:
    """Whether the library (draft 2020-12) would find no error. A test compares the two."""
    if not is_object(schema):
        raise _BeyondUsError
    return all(_keeps(keyword, rule, schema, value) for keyword, rule in schema.items())


def _keeps(keyword: str, rule: Any, schema: Json, value: Any) -> bool:
    """Whether a value keeps one keyword of a schema. One of another kind than the keyword is about keeps it."""
    match keyword:
        case "type":
            return any(_is_kind(one, value) for one in ([rule] if isinstance(rule, str) else rule))
        case "enum":
            return any(_same(one, value) for one in rule)
        case "const":
            return _same(rule, value)
        case "oneOf":
            return sum(_fits(one, value) for one in rule) == 1
        case "anyOf":
            return any(_fits(one, value) for one in rule)
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            return not _is_number(value) or not _BREAKS[keyword](value, rule)
        case "minLength" | "maxLength":
            return not isinstance(value, str) or not _BREAKS[keyword](len(value), rule)
        case "minItems" | "maxItems":
            return not is_list(value) or not _BREAKS[keyword](len(value), rule)
        case "pattern":
            return not isinstance(value, str) or re.search(rule, value) is not None
        case "items" if "prefixItems" not in schema:
            return not is_list(value) or all(_fits(rule, one) for one in value)
        case "required":
            return not is_object(value) or all(name in value for name in rule)
        case "properties":
            return not is_object(value) or all(
                _fits(inner, value[name]) for name, inner in rule.items() if name in value
            )
        case "additionalProperties" if isinstance(rule, bool) and "patternProperties" not in schema:
            return rule or not is_object(value) or value.keys() <= schema.get("properties", {}).keys()
        case _:
            if keyword in _NOTES or keyword.startswith("x-"):
                return True
            raise _BeyondUsError


_BREAKS: Mapping[str, Callable[[float, float], bool]] = {
    "minimum": operator.lt,
    "maximum": operator.gt,
    "exclusiveMinimum": operator.le,
    "exclusiveMaximum": operator.ge,
    "minLength": operator.lt,
    "maxLength": operator.gt,
    "minItems": operator.lt,
    "maxItems": operator.gt,
}
"""What breaks a limit; NaN breaks none."""


def _is_kind(kind: str, value: Any) -> bool:
    match kind:
        case "number":
            return _is_number(value)
        case "integer":
            return _is_number(value) and value == value // 1
        case "null":
            return value is None
        case _ if kind in _TYPES:
            return isinstance(value, _TYPES[kind])
        case _:
            raise _BeyondUsError


_TYPES: Mapping[str, type] = {"string": str, "boolean": bool, "array": list, "object": dict}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    """Whether JSON takes two values for equal: other than to Python, true is not 1."""
    if isinstance(one, list | dict):
        raise _BeyondUsError
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def describe(error: Any, *, show: bool = True) -> str:
    """An objection as a predicate. `show` False leaves the value out (files)."""
    rule: Any = error.validator_value
    got = f" (got {echo(error.instance)})" if show else ""
    match error.validator:
        case "enum":
            return f"must be {_either([str(one) for one in rule if one is not None])}{got}"
        case "const":
            return f"must be {rule}{got}"
        case "type":
            kinds = [one for one in ([rule] if isinstance(rule, str) else rule) if one != "null"]
            return f"must be {_either([_KINDS.get(one, one) for one in kinds])}{got}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            return f"must be {_bounds(error.schema)}{got}"
        case "minLength" | "maxLength":
            return f"must have {_lengths(error.schema)} characters (has {len(error.instance)})"
        case "minItems" | "maxItems":
            return f"must hold {_items(error.schema)} items (holds {len(error.instance)})"
        case "pattern":
            return f"must look like {rule}{got}"
        case _:
            return f"{error.message}" if show else "is not what the model takes"


_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _bounds(schema: Json) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{low} to {high}"
    parts = [
        f"{word} {bound}"
        for word, bound in (("at least", low), ("above", above), ("at most", high), ("below", below))
        if bound is not None
    ]
    return " and ".join(parts)


def _lengths(schema: Json) -> str:
    low, high = schema.get("minLength", 0), schema.get("maxLength")
    if not low:
        return f"at most {high}"
    return f"{low} to {high}" if high is not None else f"at least {low}"


def _items(schema: Json) -> str:
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    if low == high:
        return str(low)
    return f"{low} to {high}" if high is not None else f"at least {low}"
