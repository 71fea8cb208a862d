"""Most values are checked without the schema library, which takes long to import: the two must agree."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from novita_mcp.novita.core.schema_errors import first_error
from novita_mcp.novita.media.catalogue import shipped
from novita_mcp.novita.text.request_checks import schemas

VALUES: list[Any] = [
    *(None, True, False, 0, 1, 1.0, 1.5, -1, 7, 512, 2_000, 10**9, 1e300),
    *("", "x", "1", "jpeg", "1:1", "1024*1024", "auto", "a" * 3_000),
    *([], ["x"], [1, "x"], [{}], ["x"] * 20, {}, {"x": 1}, {"role": "user", "content": "x"}),
    [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    {"prompt": "x", "model": "y", "messages": [{"role": "user", "content": "x"}]},
]
ODD = [
    {"enum": [1, "x", None]},
    {"enum": [True]},
    {"enum": [[1]]},
    {"const": 1},
    {"const": False},
    {"type": "integer", "maximum": 1},
    {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    {"oneOf": [{"additionalProperties": False, "patternProperties": {"x": {}}}, {"type": "object"}]},
    {"anyOf": [{"maxLength": 1}, {"type": "null"}]},
    {"not": {"type": "string"}},
    {"items": False},
    {"additionalProperties": {"type": "string"}},
    {"format": "uri", "pattern": "^[a-z]+$", "x-anything": 1},
]


def leaves(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for inner in schema.values():
            yield from leaves(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from leaves(inner)


def every_schema() -> list[str]:
    """The schemas of all requests and of each of their fields, each once."""
    whole = [*ODD, *(model.input for model in shipped().models), *schemas().values()]
    kinds = ("type", "enum", "const", "oneOf", "anyOf")
    found = (
        one
        for schema in whole
        for one in leaves(schema)
        if any(isinstance(one.get(kind), str | list) for kind in kinds)
    )
    worded = ("description", "default", "examples")
    bare = ({name: rule for name, rule in one.items() if name not in worded} for one in found)
    return sorted({json.dumps(one) for one in [*ODD, *bare]})


def test_what_is_checked_without_the_library_is_what_the_library_says() -> None:
    for text in every_schema():
        schema = json.loads(text)
        library = Draft202012Validator(schema)
        for value in VALUES:
            assert (first_error(schema, value) is None) == library.is_valid(value), (text, value)


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
