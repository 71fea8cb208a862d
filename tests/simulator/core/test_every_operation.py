"""Sends invented requests, made from the documented schemas, to every operation. The simulator itself never fails."""

import random
import re
from typing import Any

import pytest
from novita_mcp.simulator.core.facts import Operation, answer_problems, operations, request_schema
from novita_mcp.simulator.media.tasks import TaskStore

from ..sim_api import Api, Json, as_base64, photo

PATTERNED = ("1024*1024", "1024x1024", "2048x2048", "2K", "2026-01", "abc", "1:1", "a-b")
PICTURE = as_base64(photo((320, 320)))


class Inventor:
    """Values a schema allows. `extra` is the share of optional fields that are sent."""

    def __init__(self, roll: random.Random, extra: float) -> None:
        self.roll, self.extra = roll, extra

    def value(self, schema: Json, name: str = "") -> Any:
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.roll.choice(schema["enum"])
        if "properties" not in schema and (ways := schema.get("oneOf") or schema.get("anyOf")):
            return self.value(self.roll.choice(ways), name)
        kind: Any = schema.get("type", "object" if "properties" in schema else "string")
        if not isinstance(kind, str):
            kind = next(one for one in schema["type"] if one != "null")
        match kind:
            case "object":
                return self.object(schema)
            case "array":
                count = max(schema.get("minItems", 0), min(self.roll.randint(0, 2), schema.get("maxItems", 2)))
                return [self.value(schema.get("items", {}), name) for _ in range(count)]
            case "integer":
                least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
                return self.roll.randint(least, min(schema.get("maximum", least + 64), least + 500))
            case "number":
                least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 0.01)
                return round(self.roll.uniform(least, schema.get("maximum", least + 5)), 2)
            case "boolean":
                return self.roll.random() < 0.5
            case _:
                return self.text(schema, name)

    def object(self, schema: Json) -> Json:
        needed = set(schema.get("required", []))
        ways: list[Json] = schema.get("anyOf") or schema.get("oneOf") or []
        for way in ways[:1]:
            needed |= set(way.get("required", []))
        return {
            name: self.value(part, name)
            for name, part in schema.get("properties", {}).items()
            if name in needed or self.roll.random() < self.extra
        }

    def text(self, schema: Json, name: str) -> str:
        if pattern := schema.get("pattern"):
            return next(text for text in PATTERNED if re.search(pattern, text))
        if "contentEncoding" in schema or "base64" in name or name in ("image_file", "mask_file", "face_image_file"):
            return PICTURE
        if any(word in name for word in ("image", "img", "mask", "frame")):
            return self.roll.choice(["https://example.com/a.png", PICTURE, f"data:image/png;base64,{PICTURE}"])
        if any(word in name for word in ("url", "video", "audio")):
            return "https://example.com/a.mp4"
        return "hello world hello"[: min(schema.get("maxLength", 11), 11)]


def ask(api: Api, operation: Operation, inventor: Inventor) -> None:
    """Send one invented request. The answer must be as documented, or one of the documented errors."""
    takes_json = operation.request is not None and "application/json" in operation.request
    body = inventor.value(request_schema(operation)) if takes_json else None
    query: Json = {}
    for parameter in operation.facts["parameters"]:
        if parameter["in"] == "query" and (parameter.get("required") or inventor.roll.random() < inventor.extra):
            query[parameter["name"]] = inventor.value(parameter.get("schema", {}), parameter["name"])
    path = re.sub(r"\{\w+\}", "abc", operation.path)
    answer = api.http.request(operation.method, path, json=body, params=query)
    told = f"{operation.id} {answer.status_code} {answer.text[:300]}"
    assert answer.status_code < 500, told
    answers: Json = operation.facts["responses"].get("200") or {}
    documented = answers.get("application/json")
    if answer.status_code >= 400:
        assert answer.json()["message"], told
    elif (
        answer.status_code == 200
        and documented is not None
        and answer.headers.get("content-type") == "application/json"
    ):
        assert answer_problems(operation, answer.json()) == [], told
        if operation.is_task and operation.area != "llm" and (task_id := answer.json().get("task_id")):
            for _ in range(3 if task_id in api.world.area(TaskStore).tasks else 0):
                result = api.good("get_task_result", task_id=task_id)
                assert result["task"]["status"] != "TASK_STATUS_FAILED", result


@pytest.mark.parametrize(("seed", "extra"), [(1, 0.0), (2, 0.4)])
def test_no_request_the_documentation_allows_makes_the_simulator_fail(api: Api, seed: int, extra: float) -> None:
    api.world.add_account("sk-simulated", 1e6)
    inventor = Inventor(random.Random(seed), extra)
    for operation in operations().values():
        if not operation.path.startswith("/{"):
            ask(api, operation, inventor)
    assert sum(api.world.counters["accepted"].values()) > 150
