"""Values that satisfy a JSON Schema, as a language model that must follow the schema would write them.

This is written by hand because the libraries for it (jsf, hypothesis-jsonschema) cannot take words from a prompt.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w-]+(?: [A-Z][\w-]+)*")
_QUOTED = re.compile(r"[\"'“]([^\"'”]{1,80})[\"'”]")
_FORMATS = {
    "date-time": "2026-08-01T12:00:00Z",
    "date": "2026-08-01",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_DEEPEST = 6  # From this depth on only required members are written.
_DEEPEST_AT_ALL = 40
_LONGEST_CHAIN = 40
_LARGEST = 5_000
_TRIES = 12

Schema = Mapping[str, Any]


class UnsatisfiableSchemaError(Exception):
    """No value was found, or the schema is not valid. The text says which."""


def value_for(schema: Schema, *, hint: str, rng: random.Random) -> Any:
    """A JSON value that validates against `schema`, with words and numbers taken from `hint` where they fit."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise UnsatisfiableSchemaError(f"invalid JSON schema: {error.message}") from error
    # The default registry would fetch what a $ref names, so an empty one is used.
    validator: Any = Draft202012Validator(schema, registry=Registry())
    writer = _Writer(schema, hint, rng)
    try:
        for _ in range(_TRIES):
            value = writer.write(schema, "", 0)
            if validator.is_valid(value):
                return value
    except (re.error, Unresolvable, RecursionError) as error:
        raise UnsatisfiableSchemaError(f"invalid JSON schema: {error}") from error
    raise UnsatisfiableSchemaError("unsupported JSON schema: no answer could be held to it")


class _Writer:
    def __init__(self, root: Schema, hint: str, rng: random.Random) -> None:
        self._root = root
        self._rng = rng
        self._hint = hint.lower()
        self._words: list[str] = _WORD.findall(hint) or ["answer"]
        self._names: list[str] = _QUOTED.findall(hint) + _NAME.findall(hint)
        self._numbers = [float(number) for number in _NUMBER.findall(hint)]

    def write(self, schema: Schema | bool, name: str, depth: int) -> Any:
        if depth > _DEEPEST_AT_ALL:
            raise UnsatisfiableSchemaError("unsupported JSON schema: it requires itself without end")
        if isinstance(schema, bool):
            return self._words[0]
        schema = self._flatten(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choose(schema["enum"])
        match self._type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return self._number(schema, whole=True)
            case "number":
                return self._number(schema, whole=False)
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _flatten(self, schema: Schema, depth: int) -> Schema:
        """One level of $ref, allOf, anyOf and oneOf resolved into a plain schema."""
        for _ in range(_LONGEST_CHAIN):
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**self._resolve(schema["$ref"]), **rest}
            elif "allOf" in schema:
                schema = _merge(schema, "allOf", schema["allOf"])
            elif choices := schema.get("anyOf") or schema.get("oneOf"):
                key = "anyOf" if schema.get("anyOf") else "oneOf"
                # In recursive schemas the last choice is usually null or a leaf, so it ends the recursion.
                chosen = choices[-1] if depth >= _DEEPEST else self._rng.choice(choices)
                schema = _merge(schema, key, [chosen])
            else:
                return schema
        raise UnsatisfiableSchemaError("invalid JSON schema: references go round in a circle")

    def _resolve(self, ref: str) -> Schema:
        if not ref.startswith("#"):
            raise UnsatisfiableSchemaError(f"unsupported JSON schema: $ref {ref!r} points outside")
        found: Any = self._root
        for part in ref.removeprefix("#").strip("/").split("/") if len(ref) > 1 else ():
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or key not in found:
                raise UnsatisfiableSchemaError(f"invalid JSON schema: $ref {ref!r} points nowhere")
            found = cast("Mapping[str, Any]", found)[key]
        return cast("Schema", found)

    def _type(self, schema: Schema) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            named = [each for each in cast("list[str]", kind) if each != "null"]
            return self._rng.choice(named) if named else "null"
        if isinstance(kind, str):
            return kind
        if "properties" in schema or "required" in schema:
            return "object"
        if "items" in schema or "prefixItems" in schema:
            return "array"
        return "string"

    def _choose(self, values: Sequence[Any]) -> Any:
        if not values:
            raise UnsatisfiableSchemaError("unsupported JSON schema: an empty enum allows nothing")
        mentioned = [value for value in values if isinstance(value, str) and value and value.lower() in self._hint]
        return mentioned[0] if mentioned else self._rng.choice(values)

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required: Sequence[str] = schema.get("required", ())
        # Leaving out optional members ends the recursion of schemas that refer to themselves.
        names = [name for name in properties if depth < _DEEPEST or name in required]
        names += [name for name in required if name not in properties]
        return {name: self.write(properties.get(name, True), name, depth + 1) for name in names}

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        least = _size(schema, "minItems")
        most = schema.get("maxItems", max(3, least))
        length = least if depth >= _DEEPEST else min(max(least, self._rng.randint(1, 3)), most)
        prefix: Sequence[Any] = schema.get("prefixItems", ())
        items = schema.get("items", True)
        values: list[Any] = []
        for index in range(max(length, min(len(prefix), most))):
            value = self.write(prefix[index] if index < len(prefix) else items, name, depth + 1)
            if not (schema.get("uniqueItems") and value in values):
                values.append(value)
        return values

    def _number(self, schema: Schema, *, whole: bool) -> float:
        low = schema.get("minimum", schema.get("exclusiveMinimum", None))
        high = schema.get("maximum", schema.get("exclusiveMaximum", None))
        low, high = _span(low, high)
        fitting = [number for number in self._numbers if low <= number <= high and (number.is_integer() or not whole)]
        number = fitting[0] if fitting and self._rng.random() < 0.8 else round(self._rng.uniform(low, high), 2)
        step = schema.get("multipleOf")
        if step:
            number = round(number / step) * step
        return int(number) if whole or (step and float(number).is_integer()) else number

    def _string(self, schema: Schema, name: str) -> str:
        if "format" in schema and schema["format"] in _FORMATS:
            return _FORMATS[schema["format"]]
        if "pattern" in schema:
            return _matching(schema["pattern"], self._words, self._rng)
        if self._names:
            text = self._rng.choice(self._names)
        else:
            text = " ".join(self._rng.sample(self._words, min(3, len(self._words))))
        least = _size(schema, "minLength")
        while len(text) < least:
            text += " " + self._rng.choice([*self._words, name or "more"])
        return text[: schema.get("maxLength", len(text))]


def _size(schema: Schema, name: str) -> int:
    size = int(schema.get(name, 0))
    if size > _LARGEST:
        raise UnsatisfiableSchemaError(f"unsupported JSON schema: {name} {size}")
    return size


def _merge(schema: Schema, key: str, parts: Sequence[Schema | bool]) -> Schema:
    merged: dict[str, Any] = {name: value for name, value in schema.items() if name != key}
    for part in parts:
        if isinstance(part, bool):
            continue
        both = {**merged, **part}
        if "properties" in merged and "properties" in part:
            both["properties"] = {**merged["properties"], **part["properties"]}
        if "required" in merged and "required" in part:
            both["required"] = [*merged["required"], *part["required"]]
        merged = both
    return merged


def _span(low: float | None, high: float | None) -> tuple[float, float]:
    if low is None and high is None:
        return 0, 100
    if low is None:
        return cast("float", high) - 100, cast("float", high)
    return low, low + 100 if high is None else high


def _matching(pattern: str, words: Sequence[str], rng: random.Random) -> str:
    """A text for a simple pattern: literals, classes, \\d, \\w and counts."""
    out = ""
    for piece in re.finditer(r"\\(.)|\[([^\]]+)\]|\(\?:|([^\\\[\]{}+*?^$()|])|\{(\d+)(?:,\d*)?\}|([+*?])", pattern):
        escaped, group, literal, times, _ = piece.groups()
        if escaped:
            out += {"d": rng.choice("0123456789"), "w": rng.choice("abcdef"), "s": " "}.get(escaped, escaped)
        elif group:
            out += _of_class(group, rng)
        elif literal:
            out += rng.choice("abcdef") if literal == "." else literal
        elif times:
            last, out = out[-1:], out[:-1]
            out += last * min(int(times), _LARGEST)
    return out or rng.choice(words)


def _of_class(group: str, rng: random.Random) -> str:
    spans = re.findall(r"(.)-(.)|\\(.)|(.)", group)
    first, last, escaped, single = rng.choice(spans)
    if first:
        return chr(rng.randint(ord(first), ord(last)))
    return {"d": "0", "w": "a"}.get(escaped, escaped) or single
