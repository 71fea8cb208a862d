"""The documentation as data, and the check of a request against it.

The tables come from `scripts/carry_facts.py`. They are read once (a few milliseconds for all of them); the validator
of an operation is built when its first request arrives.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match  # pyright: ignore[reportUnknownVariableType]

AREAS = ("image", "video", "audio", "newer", "llm", "gpu", "serverless", "account")
Json = dict[str, Any]

# Real clients send these although the schema does not know them, so they pass. The README of the facts lists them under
# "What clients send beyond the files".
NULL_IS_ABSENT = frozenset(
    ["txt2img", "img2img", "inpainting", "txt2video", "img2video", "create_subject_training", "create_style_training"]
)
_TRAINING: Json = {
    "instance_prompt": {},
    "class_prompt": {},
    "lora_r": {},
    "lora_alpha": {},
    "lora_text_encoder_r": {},
    "lora_text_encoder_alpha": {},
    "with_prior_preservation": {},
    "prior_loss_weight": {},
    "learning_rate": {"type": ["number", "string"]},
}
# operation -> place in the body ("" is the top) -> properties added or replaced there
BEYOND_BODY: dict[str, dict[str, Json]] = {
    "create_batch": {"": {"completion_window": {"enum": ["48h", "24h"]}}},
    "create_chat_completion": {
        "": {"parallel_tool_calls": {}, "user": {}, "store": {}, "max_completion_tokens": {"type": ["integer", "null"]}}
    },
    "img2img": {"request": {"extra": {}}},
    "create_gpu_template": {"": {"volumes": {}}, "template": {"volumes": {}}},
    "wan_t2v": {"": {"frames": {}, "model_name": {}}},
    "create_subject_training": {"expert_setting": _TRAINING},
    "create_style_training": {"expert_setting": _TRAINING},
    "delete_network_storage": {"": {"id": {"type": "string"}}},
}
# operation -> parameter -> the documented one it stands for ("": none). The JavaScript SDK writes filter[types].
BEYOND_QUERY: dict[str, dict[str, str]] = {
    "query_models": {
        "filter.type": "filter.types",
        **{f"filter[{name}]": f"filter.{name}" for name in ("visibility", "source", "types", "is_sdxl", "query")},
        "filter[is_inpainting]": "filter.is_inpainting",
        "pagination[limit]": "pagination.limit",
        "pagination[cursor]": "pagination.cursor",
    },
    "list_training_tasks": {"task_type": ""},
}


class Invalid(ValueError):
    """The request is not what the documentation allows; the text names the field."""


@dataclass(frozen=True)
class Operation:
    """One documented call. `path` and `aliases` are templates; `facts` is the whole entry."""

    id: str
    method: str
    path: str
    area: str
    group: str
    """Whose error table answers: media, llm, gpu or billing."""
    public: bool
    aliases: tuple[str, ...]
    facts: Json = field(repr=False, hash=False, compare=False)

    @property
    def request(self) -> Json | None:
        """Content type -> schema; None when no body is documented."""
        return self.facts["request"]

    @property
    def price(self) -> Any:
        """The price as it is documented, which has a different shape in each area; None if it is not documented."""
        return self.facts.get("price")

    @property
    def is_task(self) -> bool:
        return self.facts.get("task") == "async"

    @property
    def models(self) -> tuple[str, ...]:
        """If several operations share the route: the models this one is for. Empty if the route is its own."""
        return tuple(self.facts.get("models", ()))

    def raw_slash(self, parameter: str) -> bool:
        """Whether this path parameter may hold a slash."""
        return any(
            p["name"] == parameter and (p.get("x-raw-slash") or p.get("schema", {}).get("x-raw-slash"))
            for p in self.facts["parameters"]
        )


@cache
def _area(area: str) -> Json:
    """The table of an area. It is empty for models that a test added, which no documentation has."""
    if area not in AREAS:
        return {"operations": {}, "components": {}}
    return json.loads((Path(__file__).with_name("documentation") / f"{area}.json").read_text())


@cache
def operations() -> Mapping[str, Operation]:
    """Every documented operation by its operationId."""
    return {
        name: Operation(
            id=name,
            method=entry["method"],
            path=entry["path"],
            area=area,
            group=entry["group"],
            public=entry["public"],
            aliases=tuple(entry.get("aliases", ())),
            facts=entry,
        )
        for area in AREAS
        for name, entry in _area(area)["operations"].items()
    }


@cache
def error_rows() -> tuple[Json, ...]:
    """Rows of the error tables: group, name (None for batch codes), http_status, meaning, retryable."""
    return tuple(json.loads((Path(__file__).with_name("documentation") / "errors.json").read_text())["errors"])


def error_row(group: str, name: str) -> Json:
    """One row of the error tables; KeyError when the group has no such name."""
    for row in error_rows():
        if row["group"] == group and row["name"] == name:
            return row
    raise KeyError(f"no error {name} in group {group}")


def inlined(schema: Any, components: Json, inside: tuple[str, ...] = ()) -> Any:
    """`schema` with every $ref replaced by what it refers to. A schema that refers to itself allows anything there."""
    if isinstance(schema, list):
        return [inlined(item, components, inside) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    node = cast("Json", schema)
    if isinstance(reference := node.get("$ref"), str):
        name = reference.rsplit("/", 1)[1]
        if name in inside:
            return {}
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        return inlined(components[name] | siblings, components, (*inside, name))
    return {
        key: value if key in ("enum", "const", "default", "required") else inlined(value, components, inside)
        for key, value in node.items()
    }


def closed(schema: Any) -> Any:
    """`schema`, in which an object that lists its properties refuses all others, unless it says otherwise."""
    if isinstance(schema, list):
        return [closed(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    node = {key: closed(value) for key, value in cast("Json", schema).items() if key not in ("enum", "const")}
    node |= {key: schema[key] for key in ("enum", "const") if key in schema}
    if isinstance(node.get("properties"), dict) and isinstance(node.get("type", "object"), (str, list)):
        node.setdefault("additionalProperties", False)
    return node


def request_schema(operation: Operation, content_type: str = "application/json") -> Json:
    """The schema of the body without references, closed, and widened by what real clients send (`BEYOND_BODY`)."""
    schema: Json = closed(inlined((operation.request or {})[content_type], _area(operation.area)["components"]))
    for place, extra in BEYOND_BODY.get(operation.id, {}).items():
        node = schema
        for step in filter(None, place.split(".")):
            node = node.get("properties", {}).get(step, {})
        if "properties" in node:
            node["properties"] |= extra
    _sampler_of_old_clients(schema)
    if operation.id == "img2video":
        schema["properties"]["image_file_resize_mode"]["enum"].append("ORIGINAL_DIMENSION")
    if operation.id == "delete_network_storage":  # one client sends `id` instead of storageId
        schema = {key: value for key, value in schema.items() if key != "required"} | {
            "anyOf": [{"required": ["storageId"]}, {"required": ["id"]}]
        }
    if operation.id == "create_serverless_endpoint":
        ports = schema["properties"]["endpoint"]["properties"]["ports"]
        schema["properties"]["endpoint"]["properties"]["ports"] = {"anyOf": [ports, ports["items"]]}
    return schema


def _sampler_of_old_clients(node: Any) -> None:
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            _sampler_of_old_clients(item)
    elif isinstance(node, dict):
        found = cast("Json", node)
        if "DPM++ 2M Karras" in found.get("enum", ()) and "DPM++ Karras" not in found["enum"]:
            found["enum"].append("DPM++ Karras")
        for value in found.values():
            _sampler_of_old_clients(value)


@cache
def _body_validator(operation_id: str, content_type: str) -> Draft202012Validator:
    return _validator(operations()[operation_id], content_type)


def _validator(operation: Operation, content_type: str) -> Draft202012Validator:
    return Draft202012Validator(request_schema(operation, content_type))


@cache
def _answer_validator(operation_id: str, status: str, content_type: str) -> Draft202012Validator:
    operation = operations()[operation_id]
    schema: Json = inlined(operation.facts["responses"][status][content_type], _area(operation.area)["components"])
    if operation_id == "get_task_result":  # README of the facts, "Found by running real clients": may be null.
        schema["properties"]["audios"]["items"]["properties"]["audio_metadata"]["type"] = ["object", "null"]
    return Draft202012Validator(schema)


def check_body(operation: Operation, body: Any, content_type: str = "application/json") -> Json:
    """The body as the handler gets it. Raises Invalid if the documentation does not allow it."""
    if operation.request is None:
        if body in (None, {}):
            return {}
        raise Invalid("this call takes no request body")
    if body is None:
        if operation.facts["request_required"]:
            raise Invalid("request body is required")
        return {}
    if content_type not in operation.request:
        raise Invalid(f"Content-Type {content_type} is not accepted here, only {', '.join(operation.request)}")
    if operation.id in NULL_IS_ABSENT:
        body = _without_nulls(body)
    known = operations().get(operation.id) is operation
    validator = _body_validator(operation.id, content_type) if known else _validator(operation, content_type)
    _check(validator, body)
    return cast("Json", body)


def check_query(operation: Operation, query: Iterable[tuple[str, str]]) -> Json:
    """The query parameters with their types and the documented defaults. Raises Invalid, which names the parameter."""
    documented = {p["name"]: p for p in operation.facts["parameters"] if p["in"] == "query"}
    lenient = BEYOND_QUERY.get(operation.id, {})
    typed: Json = {}
    for sent, text in query:
        name = lenient.get(sent) or sent
        if name not in documented:
            if name not in lenient:
                raise Invalid(f"unknown query parameter {name!r}")
            typed[name] = text
            continue
        schema = documented[name].get("schema", {})
        if schema.get("type") == "array":
            typed.setdefault(name, []).extend(text.split(","))
        else:
            typed[name] = _typed(text, schema)
    for name, parameter in documented.items():
        schema = parameter.get("schema", {})
        if name in typed:
            # Many clients send what they have not set as an empty text; Go servers read it as unset.
            if typed[name] == "" and not parameter.get("required"):
                del typed[name]
            else:
                _check(Draft202012Validator(inlined(schema, _area(operation.area)["components"])), typed[name], name)
        elif parameter.get("required"):
            raise Invalid(f"query parameter {name!r} is required")
        if name not in typed and "default" in schema:
            typed[name] = schema["default"]
    return typed


def answer_problems(
    operation: Operation, answer: Any, status: int = 200, content_type: str = "application/json"
) -> list[str]:
    """Where an answer differs from the documented schema. Only tests use this."""
    validator = _answer_validator(operation.id, str(status), content_type)
    found: list[Any] = list(validator.iter_errors(answer))  # pyright: ignore[reportUnknownMemberType]
    return [f"{error.json_path}: {error.message[:200]}" for error in found]


def _typed(text: str, schema: Json) -> Any:
    kinds = schema.get("type", "string")
    for kind in cast("list[str]", kinds if isinstance(kinds, list) else [kinds]):
        try:
            if kind == "integer":
                return int(text)
            if kind == "number":
                return float(text)
        except ValueError:
            continue
        if kind == "boolean" and text.lower() in ("true", "false", "1", "0"):
            return text.lower() in ("true", "1")
    return text


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in cast("Json", value).items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in cast("list[Any]", value)]
    return value


def _check(validator: Draft202012Validator, value: Any, name: str = "") -> None:
    # jsonschema's own types are partial.
    found = cast("list[ValidationError]", list(validator.iter_errors(value)))  # pyright: ignore[reportUnknownMemberType]
    if not found:
        return
    worst = cast("ValidationError", best_match(found))
    steps: list[str | int] = list(worst.absolute_path)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    place = ".".join([*filter(None, [name]), *(str(step) for step in steps)])
    said = str(worst.message)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    if len(said) > 300:
        said = f"{said[:120]}...{said[-120:]}"
    raise Invalid(f"{place}: {said}" if place else said)
