"""Most values are checked without the schema library, which takes long to import: the two must agree."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from novita_mcp.novita.core.json_text import is_list, is_object
from novita_mcp.novita.core.schema_errors import first_error
from novita_mcp.novita.media.catalogue import shipped
from novita_mcp.novita.text.request_checks import schemas

VALUES: list[Any] = [
    *(None, True, False, 0, 1, 1.0, 1.5, -1, -0.0, 7, 512, 2_000, 10**9, 10**400, 1e300, math.inf, -math.inf, math.nan),
    *("", "x", "1", "jpeg", "1:1", "1024*1024", "auto", "abc\n", "1.abc", "a" * 3_000),
    *([], ["x"], [1, "x"], [{}], ["x"] * 20, {}, {"x": 1}, {"role": "user", "content": "x"}),
    [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    {"prompt": "x", "model": "y", "messages": [{"role": "user", "content": "x"}]},
]
MISFITS: list[Any] = [None, True, {}]
ODD: list[dict[str, Any]] = [
    {"enum": [1, "x", None]},
    {"enum": [True]},
    {"enum": [[1]]},
    {"const": 1},
    {"const": False},
    {"type": "integer", "maximum": 1},
    {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    {"oneOf": [{"type": "number"}, {"minimum": 1}]},
    {"oneOf": [{"type": "array"}, {"items": {"type": "string"}, "prefixItems": [{}]}]},
    {"maximum": 1, "exclusiveMinimum": 0},
    {"properties": {"x": {"type": "integer"}}, "required": ["x"]},
    {"type": "array", "uniqueItems": True},
    {"oneOf": [{"additionalProperties": False, "patternProperties": {"x": {}}}, {"type": "object"}]},
    {"anyOf": [{"maxLength": 1}, {"type": "null"}]},
    {"not": {"type": "string"}},
    {"items": False},
    {"additionalProperties": {"type": "string"}},
    {"format": "uri", "pattern": "^[a-z]+$", "x-anything": 1},
    {"pattern": "[a-z]"},
]


def library_takes(schema: Any, value: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)  # pyright: ignore[reportUnknownMemberType]


def leaves(schema: Any) -> Iterator[dict[str, Any]]:
    if is_object(schema):
        yield schema
        for inner in schema.values():
            yield from leaves(inner)
    elif is_list(schema):
        for inner in schema:
            yield from leaves(inner)


def every_schema() -> list[dict[str, Any]]:
    """The schemas of all requests and of each of their fields, each once."""
    whole = [*ODD, *(model.input for model in shipped().models), *schemas().values()]
    kinds = ("type", "enum", "const", "oneOf", "anyOf")
    found = (
        one
        for schema in whole
        for one in leaves(schema)
        if any(isinstance(one.get(kind), str | list) for kind in kinds)
    )
    texts = sorted({json.dumps(one) for one in [*ODD, *found]})
    return [json.loads(text) for text in texts]


def around(schema: Any) -> Iterator[Any]:
    """Values on both sides of what a schema says: about itself, its items and its fields."""
    if not is_object(schema):
        return
    for named in (schema.get("enum", ()), schema.get("examples", ()), [schema.get("const")], [schema.get("default")]):
        for value in named:
            yield value
            yield f"{value}\n"
    for limit in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if limit in schema:
            yield from (schema[limit] + step for step in (-1, -0.5, 0, 0.0, 0.5, 1))
    for limit in ("minLength", "maxLength"):
        if limit in schema:
            yield from ("a" * max(0, schema[limit] + step) for step in (-1, 0, 1))
    for one in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from around(one)
    if "items" in schema:
        fitting = next((one for one in around(schema["items"]) if library_takes(schema["items"], one)), "")
        counts = {schema.get(limit, 1) + step for limit in ("minItems", "maxItems") for step in (-1, 0, 1)}
        yield from ([fitting] * count for count in counts if 0 <= count < 100)
        yield from ([fitting, one] for one in around(schema["items"]))
    if "properties" in schema:
        yield from objects_around(schema)


def objects_around(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A fitting object, and each with one field left out, added or changed."""
    tried = {name: [*around(inner), *VALUES] for name, inner in schema["properties"].items()}
    fits = {
        name: next(one for one in tried[name] if library_takes(inner, one))
        for name, inner in schema["properties"].items()
    }
    yield fits
    yield {**fits, "a field that is in no schema": 1}
    yield from ({other: value for other, value in fits.items() if other != name} for name in fits)
    yield from ({**fits, name: one} for name in fits for one in (*around(schema["properties"][name]), *MISFITS))


def test_what_is_checked_without_the_library_is_what_the_library_says() -> None:
    fitted = 0
    for schema in every_schema():
        for value in [*VALUES, *around(schema)]:
            fits = first_error(schema, value) is None
            fitted += fits and isinstance(value, dict)
            assert fits == library_takes(schema, value), (schema, value)
    assert fitted > 1_000  # or the objects that are made for the schemas fit none of them


@pytest.mark.parametrize(("value", "needed"), [(7, "False"), (0, "True")])
def test_the_library_is_imported_for_what_is_wrong_only(value: int, needed: str) -> None:
    said = f"""
import sys
from novita_mcp.novita.core.schema_errors import leaf_problem
leaf_problem({{"type": "integer", "minimum": 1}}, {value})
print("jsonschema" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == [needed], done.stderr
