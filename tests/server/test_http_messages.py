"""What hosts really post: the HTTP door reads and refuses as the pipe does, in both eras."""

import json
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from mcp_types.version import LATEST_MODERN_VERSION
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from pydantic_core import from_json

from ..serving import serve_asgi
from .test_messages import HALF, NO_REQUESTS, SILENCE

VERSIONS = {"legacy": "2025-11-25", "auto": LATEST_MODERN_VERSION}


@pytest.fixture
def http(settings: Settings, era: str) -> Generator[httpx.Client]:
    headers = {
        "Authorization": f"Bearer {DEFAULT_KEY}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": VERSIONS[era],
    }
    with serve_asgi(http_app(web_server(settings), settings)) as url, httpx.Client(headers=headers, timeout=30) as http:
        http.base_url = httpx.URL(url)
        yield http


def call(arguments: str, era: str, tool: str = "generate_image") -> dict[str, Any]:
    """A tools/call whose arguments are written out by hand: body and headers."""
    meta = ', "_meta": {"progressToken": "p"}'
    headers: dict[str, str] = {}
    if era == "auto":
        client = {"name": "test", "version": "1"}
        envelope = {
            "io.modelcontextprotocol/protocolVersion": VERSIONS[era],
            "io.modelcontextprotocol/clientInfo": client,
            "io.modelcontextprotocol/clientCapabilities": {},
            "progressToken": "p",
        }
        meta = f', "_meta": {json.dumps(envelope)}'
        headers = {"Mcp-Method": "tools/call", "Mcp-Name": tool}
    params = f'{{"name": "{tool}", "arguments": {arguments}{meta}}}'
    body = f'{{"jsonrpc": "2.0", "id": 9001, "method": "tools/call", "params": {params}}}'
    return {"content": body.encode(), "headers": headers}


def messages(answer: httpx.Response) -> list[dict[str, Any]]:
    """The messages of an answer, read as the strictest reader does."""
    if answer.headers["content-type"].startswith("application/json"):
        return [from_json(answer.content, allow_inf_nan=False)]
    lines = [line.removeprefix(b"data:") for line in answer.content.splitlines() if line.startswith(b"data:")]
    return [from_json(line, allow_inf_nan=False) for line in lines if line.strip()]


def test_half_an_emoji_in_an_argument_is_replaced_and_the_call_answered(
    http: httpx.Client, era: str, world: World
) -> None:
    answer = http.post("/mcp", **call(rf'{{"prompt": "fox {HALF}", "options": {{}}}}', era))

    last = messages(answer)[-1]
    assert last["id"] == 9001, last
    assert last["result"]["structuredContent"]["status"] == "succeeded"
    assert [request.body["prompt"] for request in world.requests if request.method == "POST"] == ["fox \ufffd"]


@pytest.mark.parametrize(
    "arguments",
    [rf'{{"prompt": "x", "unheard{HALF}": 1}}', rf'{{"prompt": "x", "options": {{"{HALF}": ["{HALF}"]}}}}'],
)
def test_half_an_emoji_comes_back_replaced_in_errors(arguments: str, http: httpx.Client, era: str) -> None:
    last = messages(http.post("/mcp", **call(arguments, era)))[-1]

    assert "\ufffd" in last["result"]["content"][0]["text"]


def test_what_is_no_request_is_answered_as_json_rpc_says(http: httpx.Client) -> None:
    for what, (body, code, named) in NO_REQUESTS.items():
        answer = http.post("/mcp", content=body)

        (told,) = messages(answer)
        assert (answer.status_code, told["error"]["code"], told["id"]) == (400, code, named), what


def test_a_body_beyond_what_is_taken_is_refused(http: httpx.Client) -> None:
    def pieces() -> Generator[bytes]:
        for _ in range(80):
            yield b" " * 65_536

    for body in (b" " * 5_000_000, pieces()):
        assert http.post("/mcp", content=body).status_code == 413


def test_a_blank_body_and_a_notification_do_no_harm(http: httpx.Client, era: str) -> None:
    assert http.post("/mcp", content=b"").status_code == 400
    assert http.post("/mcp", content=SILENCE[3]).status_code == 202
    assert messages(http.post("/mcp", **call('{"prompt": "x", "dry_run": true}', era)))[-1]["id"] == 9001
