"""Makes JSON schemas that every client can read: flat, closed, without titles, anyOf, null or $ref.

Clients and the model APIs behind them reject unions and references, and titles only cost tokens.
"""

from typing import Any, Literal, cast

from pydantic import BaseModel
from pydantic.config import JsonDict
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from .argument_reading import BROUGHT_WITHIN

_DROPPED = ("title", "additionalProperties", "$defs")

UNLISTED: JsonDict = {"unlisted": True}
"""`json_schema_extra` of an argument that calls may give but that is not listed: agents rarely have a use for it."""

_BOUNDS = ("minimum", "maximum")
_LENGTHS = ("minLength", "maxLength", "minItems", "maxItems")


class _Flat(GenerateJsonSchema):
    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        # Show only the inner type: leaving the value out means the same as null, and every client can read that.
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default") in (None, False):  # leaving the argument out means the same
            made.pop("default", None)
        return made

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        # Pydantic writes decimals as exact strings and accepts numbers too. Show one type in place of that union.
        return {"type": "string"} if self.mode == "serialization" else {"type": "number"}


def flat_schema(model: type[BaseModel], mode: JsonSchemaMode = "validation") -> dict[str, Any]:
    """The schema of `model` without references. Objects with declared fields accept no others on input."""
    made = model.model_json_schema(by_alias=True, mode=mode, schema_generator=_Flat)
    return cast(dict[str, Any], _inline(made, made.get("$defs", {}), mode))


def listed_arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """The part of a tool's arguments that hosts are shown, with the description of each first.

    The listing shows every bound for which a call can be refused.
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
    """The schema of a tool's answers for hosts. It has no descriptions, since the names of fields say enough.

    Only fields with a few possible values keep their description, since it says what the values mean.
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
            # These keys are names of fields, not keywords of the schema: a field called "title" stays.
            made[key] = {name: _inline(inner, defs, mode) for name, inner in value.items()}
        elif key not in _DROPPED or _is_shown(key, value, mode):
            made[key] = _inline(value, defs, mode)
    if made.get("type") == "object" and "properties" in made and mode == "validation":
        made["additionalProperties"] = False
    return made


def _is_shown(key: str, value: Any, mode: JsonSchemaMode) -> bool:
    """Whether a keyword is shown. Types for the values of a free-form object are shown in answers, not in arguments."""
    return (
        key == "additionalProperties" and mode == "serialization" and isinstance(value, dict) and bool(value)  # pyright: ignore[reportUnknownArgumentType]
    )
