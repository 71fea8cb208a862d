"""JSON schemas as every client can read them: flat, closed, without titles, anyOf, null or $ref.

Clients and the model APIs behind them reject unions and references; titles only cost tokens.
"""

from typing import Any, Literal, cast

from pydantic import BaseModel
from pydantic.config import JsonDict
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from .argument_reading import BROUGHT_WITHIN

_DROPPED = ("title", "additionalProperties", "$defs")

UNLISTED: JsonDict = {"unlisted": True}
"""`json_schema_extra` of an argument that calls may give and no list shows: agents have no use for it unasked."""

_BOUNDS = ("minimum", "maximum")
_LENGTHS = ("minLength", "maxLength", "minItems", "maxItems")


class _Flat(GenerateJsonSchema):
    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        # An absent value says the same as null, and every client can read it.
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default") in (None, False):  # what leaving it out means anyway
            made.pop("default", None)
        return made

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        # Pydantic writes decimals as strings (exact) and accepts numbers too: a union we do not show.
        return {"type": "string"} if self.mode == "serialization" else {"type": "number"}


def flat_schema(model: type[BaseModel], mode: JsonSchemaMode = "validation") -> dict[str, Any]:
    """The schema of `model`, self-contained. Objects with declared fields are closed on input."""
    made = model.model_json_schema(by_alias=True, mode=mode, schema_generator=_Flat)
    return cast(dict[str, Any], _inline(made, made.get("$defs", {}), mode))


def listed_arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """Of the arguments a tool takes, those that a host is shown, each with its description first.

    Every bound that a call is refused for is shown with it.
    """
    shown: dict[str, Any] = {}
    for name, argument in schema.get("properties", {}).items():
        if not argument.get("unlisted"):
            hidden = ("unlisted", *(_BOUNDS if name in BROUGHT_WITHIN else ()))
            kept = {key: value for key, value in argument.items() if key not in hidden}
            shown[name] = {key: kept[key] for key in sorted(kept, key=lambda key: key != "description")}
    return {**schema, "properties": shown}


_SELF_EVIDENT = ("description", "default", "format", "required", "unlisted", *_LENGTHS, *_BOUNDS)


def listed_answer(schema: dict[str, Any]) -> dict[str, Any]:
    """The shape of a tool's answers as a host is shown it: fields are named so that they need no words.

    Words are kept where a field has one of a few values, whose meaning the names alone do not tell.
    """
    shown = cast(dict[str, Any], _without_words(schema))
    if "required" in schema:
        shown["required"] = schema["required"]
    for name, field in schema.get("properties", {}).items():
        if "enum" in field and "description" in field:
            shown["properties"][name] = {"description": field["description"], **shown["properties"][name]}
    return shown


def _without_words(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_words(item) for item in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for key, value in cast(dict[str, Any], node).items():
        if key == "properties":
            made[key] = {name: _without_words(field) for name, field in value.items()}
        elif key not in _SELF_EVIDENT:
            made[key] = _without_words(value)
    return made


def _inline(node: Any, defs: dict[str, Any], mode: Literal["validation", "serialization"]) -> Any:
    if isinstance(node, list):
        return [_inline(item, defs, mode) for item in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    found = cast(dict[str, Any], node)
    if "$ref" in found:
        target = defs[str(found["$ref"]).rsplit("/", 1)[-1]]
        found = {**target, **{key: value for key, value in found.items() if key != "$ref"}}
    made: dict[str, Any] = {}
    for key, value in found.items():
        if key == "properties":
            # Names of fields are not keywords: a field called "title" stays.
            made[key] = {name: _inline(inner, defs, mode) for name, inner in value.items()}
        elif key not in _DROPPED or _is_shown(key, value, mode):
            made[key] = _inline(value, defs, mode)
    if made.get("type") == "object" and "properties" in made and mode == "validation":
        made["additionalProperties"] = False
    return made


def _is_shown(key: str, value: Any, mode: JsonSchemaMode) -> bool:
    """What the values of a free-form object are: answers say it, arguments need not."""
    return (
        key == "additionalProperties" and mode == "serialization" and isinstance(value, dict) and bool(value)  # pyright: ignore[reportUnknownArgumentType]
    )
