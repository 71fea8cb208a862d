"""What a JSON schema objects to, in one clear sentence."""

from typing import Any

from .json_paths import Json

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
    # Not at the top: the schema library costs more to import than everything else here, and many calls need none.
    from jsonschema import Draft202012Validator

    errors: list[Any] = list(Draft202012Validator(schema).iter_errors(value))  # pyright: ignore[reportUnknownMemberType]
    # A list of values says more than a type does.
    return min(
        errors,
        key=lambda error: (len(error.absolute_path), str(error.absolute_path), error.validator != "enum"),
        default=None,
    )


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
