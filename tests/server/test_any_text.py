"""Any string in any text field, from a host and from Novita, leaves the server alive and its lines readable.

One server process for all; what it says is read as the strictest readers do, which refuse half an emoji.
"""

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from novita_mcp.simulator.app import create_app
from novita_mcp.simulator.core.world import World, WorldSettings
from novita_mcp.tools import TOOLSETS
from pydantic_core import from_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..serving import serve_asgi
from .children import Child, child
from .test_messages import ANY_TEXT

Json = dict[str, Any]

TOOLS: dict[str, Json] = {spec.name: spec.build().taken for toolset in TOOLSETS for spec in toolset.tools}
QUICK = hypothesis_settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass
class Spoiler:
    """Novita between the simulator and us: one value of each JSON answer, or a key, becomes another."""

    app: ASGIApp
    text: Any = ""
    place: int = -1
    """Which value that is no list and no object, counted as they stand; -1 leaves all as they are."""
    spoilt: int = 0
    _left: int = field(default=0, repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.place < 0:
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def keep(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            else:
                body.extend(message.get("body", b""))

        await self.app(scope, receive, keep)
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": self._changed(bytes(body))})

    def _changed(self, body: bytes) -> bytes:
        if body.startswith(b"data:"):
            return b"\n".join(self._event(line) for line in body.split(b"\n"))
        return self._json(body)

    def _event(self, line: bytes) -> bytes:
        return b"data:" + self._json(line.removeprefix(b"data:")) if line.startswith(b"data:") else line

    def _json(self, data: bytes) -> bytes:
        try:
            value: object = json.loads(data)
        except ValueError:
            return data
        self._left = self.place % max(1, _texts(value))
        return json.dumps(self._walk(value)).encode()

    def _walk(self, value: object) -> object:
        if isinstance(value, list):
            return [self._walk(each) for each in cast("list[object]", value)]
        if isinstance(value, dict):
            return {str(self._next(name)): self._walk(each) for name, each in cast("dict[str, object]", value).items()}
        return self._next(value)

    def _next(self, text: object) -> object:
        self._left -= 1
        if self._left == -1:
            self.spoilt += 1
            return self.text
        return text


def _texts(value: object) -> int:
    if isinstance(value, list):
        return sum(_texts(each) for each in cast("list[object]", value))
    if isinstance(value, dict):
        return sum(1 + _texts(each) for each in cast("dict[str, object]", value).values())
    return 1


@pytest.fixture(scope="module")
def novita() -> Generator[tuple[Spoiler, str]]:
    spoiler = Spoiler(create_app(World(WorldSettings(task_seconds=0))))
    with serve_asgi(spoiler) as url:
        yield spoiler, url


@pytest.fixture(scope="module")
def server(novita: tuple[Spoiler, str], tmp_path_factory: pytest.TempPathFactory) -> Generator[Child]:
    home: Path = tmp_path_factory.mktemp("home")
    quiet = {"NOVITA_MCP_WAIT_SECONDS": "0", "NOVITA_MCP_CONFIRM_ABOVE_USD": "1000"}
    with child(home, novita[1], "--toolsets", "all", **quiet) as running:
        running.initialize()
        running.answer(running.send("tools/list"))  # builds the tools, which takes its time
        yield running


def answered(server: Child, tool: str, arguments: str) -> Json:
    """The answer to a call whose arguments are JSON text; every line up to it is strict JSON."""
    seen = len(server.stdout)
    number = 10_000 + seen
    head = f'{{"jsonrpc": "2.0", "id": {number}, "method": "tools/call", "params": {{"name": "{tool}", "arguments": '
    server.send_line(f"{head}{arguments}}}}}".encode("utf-8", "surrogatepass"))
    answer = server.answer(number)
    for line in server.stdout[seen:]:
        from_json(line.encode(), allow_inf_nan=False)
    return answer


def with_text(schema: Json, text: str) -> Any:
    """A value for an argument that holds the text wherever it can."""
    match schema.get("type"):
        case "string":
            return text
        case "array":
            return [text]
        case "object":
            return {text: {"a": [text]}}
        case _:
            return text


@QUICK
@given(data=st.data(), text=ANY_TEXT, escaped=st.booleans())
def test_any_text_in_any_argument_of_any_tool(data: st.DataObject, text: str, escaped: bool, server: Child) -> None:
    tool = data.draw(st.sampled_from(sorted(TOOLS)))
    properties: Json = TOOLS[tool]["properties"]
    chosen = {*data.draw(st.sets(st.sampled_from(sorted(properties) or ["x"]))), *TOOLS[tool].get("required", [])}
    given = {name: with_text(properties.get(name, {}), text) for name in sorted(chosen)}
    given |= {"dry_run": True} if "dry_run" in properties else {}

    answer = answered(server, tool, json.dumps(given, ensure_ascii=escaped))

    told = answer["result"]["content"][0]["text"] if "result" in answer else ""
    assert "fault in novita-mcp" not in told, (tool, given, told)


@QUICK
@given(texts=st.lists(ANY_TEXT, min_size=4, max_size=4), escaped=st.booleans())
def test_any_text_in_any_other_request(texts: list[str], escaped: bool, server: Child) -> None:
    one, two, three, four = texts
    template = {"type": "ref/resource", "uri": "novita://tasks/{id}"}
    for method, params in (
        ("resources/read", {"uri": one}),
        ("resources/read", {"uri": f"novita://tasks/{two}"}),
        ("prompts/get", {"name": one, "arguments": {two: three}}),
        ("prompts/get", {"name": "storyboard_to_clip", "arguments": {"idea": four, "shots": three}}),
        ("completion/complete", {"ref": template, "argument": {"name": "id", "value": one}}),
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": two}, "argument": {"name": three, "value": four}},
        ),
        (one, {two: {three: [four]}}),
    ):
        seen = len(server.stdout)
        message = {"jsonrpc": "2.0", "id": 50_000 + seen, "method": method, "params": params}
        server.send_line(json.dumps(message, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))

        assert {"result", "error"} & server.answer(50_000 + seen).keys()
        for line in server.stdout[seen:]:
            from_json(line.encode(), allow_inf_nan=False)


CALLS: list[tuple[str, Json]] = [
    ("generate_image", {"prompt": "a fox"}),
    ("generate_speech", {"text": "a fox"}),
    ("generate_lyrics", {"prompt": "a fox"}),
    ("list_tasks", {}),
    ("search_checkpoints", {"query": "dream"}),
    ("chat", {"prompt": "a fox", "max_tokens": 30}),
    ("complete_text", {"prompt": "a fox", "max_tokens": 30}),
    ("create_embeddings", {"texts": ["a fox"], "inline": True}),
    ("rerank", {"query": "fox", "documents": ["a fox", "a dog"]}),
    ("list_models", {"limit": 3}),
    ("create_batch", {"rows": [{"prompt": "a"}], "options": {"max_tokens": 5}}),
    ("list_batches", {}),
    ("list_files", {}),
    ("list_gpu_products", {}),
    ("create_gpu_instance", {"image": "docker.io/library/ubuntu:24.04", "name": "fox", "confirm": True}),
    ("list_gpu_instances", {}),
    ("list_gpu_templates", {"channel": "official"}),
    ("list_gpu_resources", {"kind": "regions"}),
    ("create_endpoint", {"image": "docker.io/library/nginx:1", "port": 80, "name": "fox", "confirm": True}),
    ("list_endpoints", {"offers": True}),
    ("get_balance", {}),
    ("get_bill", {}),
    ("list_transactions", {}),
    ("list_quotas", {}),
    ("list_api_keys", {}),
    ("search_web", {"query": "foxes"}),
    ("read_web_pages", {"urls": ["https://example.com/fox"]}),
    ("list_sandboxes", {}),
    ("create_sandbox", {"label": "fox", "timeout_minutes": 1, "confirm": True}),
    ("list_media_models", {}),
    ("list_budgets", {}),
    ("get_key_bill", {}),
]
OTHERS: list[Any] = [None, 0, -1, 1.5, 1e300, 2**70, True, [], {}, "x", "9" * 400, [None], {"a": None}]


def lives_on(call: tuple[str, Json], value: Any, place: int, server: Child, novita: tuple[Spoiler, str]) -> None:
    """Call a tool while Novita answers with this value in this place: it is no fault of ours, and others go on."""
    spoiler, _ = novita
    spoiler.text, spoiler.place = value, place
    try:
        answer = answered(server, call[0], json.dumps(call[1]))
    finally:
        spoiler.place = -1

    told = answer["result"]["content"][0]["text"]
    assert "fault in novita-mcp" not in told, (call, value, place, told)
    assert answered(server, "get_balance", "{}")["result"]["structuredContent"]["available_usd"]


@QUICK
@given(call=st.sampled_from(CALLS), text=ANY_TEXT, place=st.integers(0, 400))
def test_any_text_in_any_field_of_any_answer_of_novita(
    call: tuple[str, Json], text: str, place: int, server: Child, novita: tuple[Spoiler, str]
) -> None:
    lives_on(call, text, place, server, novita)


@QUICK
@given(call=st.sampled_from(CALLS), other=st.sampled_from(OTHERS), place=st.integers(0, 400))
def test_a_value_of_another_type_in_any_field_of_any_answer_of_novita(
    call: tuple[str, Json], other: Any, place: int, server: Child, novita: tuple[Spoiler, str]
) -> None:
    lives_on(call, other, place, server, novita)


def test_the_spoiler_spoils(novita: tuple[Spoiler, str], server: Child) -> None:
    """Else the test above would prove nothing."""
    spoiler, _ = novita
    before = spoiler.spoilt
    spoiler.text, spoiler.place = "half \ud83d", 0
    answered(server, "list_gpu_templates", "{}")
    spoiler.place = -1

    assert spoiler.spoilt > before
