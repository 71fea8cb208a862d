"""The documented requests, from the simulator's own copy of the API facts: independent of the catalogue's entries."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

AREAS = ("image", "video", "audio", "newer")
Json = dict[str, Any]


@cache
def book(area: str) -> Json:
    """The facts of an area, as the simulator carries them."""
    return json.loads((files("novita_mcp.simulator.core.documentation") / f"{area}.json").read_text(encoding="utf-8"))


@cache
def operations() -> dict[str, Json]:
    """Every documented media operation by its operationId."""
    return {name: facts for area in AREAS for name, facts in book(area)["operations"].items()}


def _plain(name: str) -> str:
    """A field's name: of a form's part `image[]`, `image`, since the other would read as a path."""
    return name.removesuffix("[]")


def resolved(area: str, node: Any) -> Any:
    """A schema without references, closed where the facts do not say that it is open."""
    if isinstance(node, list):
        return [resolved(area, item) for item in node]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(node, dict):
        return node
    schema: Json = dict(node)  # pyright: ignore[reportUnknownArgumentType]
    if "$ref" in schema:
        name = schema.pop("$ref").rsplit("/", 1)[1]
        schema = {**book(area)["components"][name], **schema}
        return resolved(area, schema)
    kept: Json = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {_plain(name): resolved(area, part) for name, part in value.items()}
        elif key == "required":
            kept[key] = [_plain(name) for name in value]
        elif key in ("enum", "default"):
            kept[key] = value
        else:
            kept[key] = resolved(area, value)
    if "properties" in kept:
        kept.setdefault("additionalProperties", False)
    return kept


@cache
def request_schema(operation: str) -> Json:
    """The documented request body of an operation."""
    facts = operations()[operation]
    return resolved(facts["area"], next(iter(facts["request"].values())))


def answer_schemas(operation: str) -> Json:
    """The documented 2xx answers: content type and schema."""
    facts = operations()[operation]
    found: Json = {}
    for answer in facts["responses"].values():
        kinds: Json = answer or {}
        found |= {kind: resolved(facts["area"], schema) for kind, schema in kinds.items()}
    return found
