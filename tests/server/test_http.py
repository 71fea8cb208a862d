"""Streamable HTTP: who may come in, what each caller sees, and that any copy can answer.

Codes are those of MCP and of RFC 6750; that callers stay apart is a promise of ours.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ..conftest import text_of
from ..serving import serve_asgi
from .callers import caller, facts

pytestmark = pytest.mark.old_models

OTHER_KEY = "sk-somebody-else"
PATIENCE = 30.0
LIST: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
ACCEPT = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
BEARER = {"Authorization": f"Bearer {DEFAULT_KEY}"}


@pytest.fixture
def url(settings: Settings) -> Generator[str]:
    with serve_asgi(http_app(web_server(settings), settings)) as base:
        yield base


Open = Callable[[str], AbstractAsyncContextManager[Client]]


@pytest.fixture
def as_caller(url: str, era: str) -> Open:
    """Opens a client that comes with its own key."""

    return lambda key: caller(url, key, mode=era)


def test_a_caller_without_a_key_is_told_how_to_bring_one(url: str) -> None:
    """Only where a token was sent is there one to call invalid (RFC 6750, 3.1)."""
    for header in (None, "Basic c2s6", "Bearer", "Bearersk-1", "Token sk-1", "Bearer: sk-1"):
        headers = {} if header is None else {"Authorization": header}
        answer = httpx.post(f"{url}/mcp", json=LIST, headers={**ACCEPT, **headers})
        challenge, told = answer.headers["WWW-Authenticate"], answer.json()

        assert answer.status_code == 401
        assert "novita.ai" in told["error_description"]
        sent = header == "Bearer: sk-1"
        assert challenge == 'Bearer realm="novita"' + (', error="invalid_token"' if sent else ""), header
        assert told.get("error") == ("invalid_token" if sent else None), header


SIGN_IN = (
    *(f"GET /.well-known/oauth-protected-resource{end}" for end in ("", "/", "/mcp", "/mcp/")),  # RFC 9728
    *(f"GET /.well-known/oauth-authorization-server{end}" for end in ("", "/mcp")),  # RFC 8414
    *(f"GET /.well-known/openid-configuration{end}" for end in ("", "/mcp")),
    *(f"GET /mcp/.well-known/{what}" for what in ("oauth-protected-resource", "openid-configuration")),
    *("GET /.well-known/jwks.json", "GET /authorize?response_type=code", "GET /oauth/authorize", "GET /userinfo"),
    *(f"POST {before}/register" for before in ("", "/mcp", "/oauth", "/connect", "/oauth/v2")),  # RFC 7591
    *("POST /register/", "POST /token", "POST /mcp/token", "POST /oauth2/token", "POST /revoke"),
    *("POST /introspect", "POST /device_authorization", "POST /par"),
)


def test_whoever_looks_for_a_sign_in_reads_our_sentence(url: str) -> None:
    """As OAuth says errors: a client that parses them shows the sentence, and falls over nothing."""
    for method, path in map(str.split, SIGN_IN):
        answer = httpx.request(method, f"{url}{path}", headers=ACCEPT)
        assert answer.status_code == 404, path
        assert answer.headers["Content-Type"] == "application/json", path
        assert answer.json()["error"] == "access_denied"
        assert "Authorization: Bearer <key>" in answer.json()["error_description"]


def test_what_only_begins_like_the_door_is_not_the_door(url: str) -> None:
    for path in ("/mcpfoo", "/mcp.json", "/mcp-metrics"):
        for headers in (ACCEPT, {**ACCEPT, **BEARER}, {**ACCEPT, "Origin": "https://evil.example"}):
            assert httpx.post(f"{url}{path}", json=LIST, headers=headers).status_code == 404


def test_there_is_no_stream_to_get_and_no_session_to_end(url: str) -> None:
    for version in ("2025-11-25", "2026-07-28"):
        for more in ({}, {"Last-Event-ID": "5"}, {"Mcp-Session-Id": "none"}):
            headers = {"Accept": "text/event-stream", **BEARER, "MCP-Protocol-Version": version, **more}
            for method in ("GET", "DELETE", "HEAD", "PUT", "OPTIONS"):
                answer = httpx.request(method, f"{url}/mcp", headers=headers)
                assert (answer.status_code, answer.headers["Allow"]) == (405, "POST"), method


def test_a_strange_host_is_refused(url: str) -> None:
    answer = httpx.post(f"{url}/mcp", json=LIST, headers={**ACCEPT, **BEARER, "Host": "evil.example"})

    assert answer.status_code == 421


def test_a_strange_origin_is_refused(url: str) -> None:
    answer = httpx.post(f"{url}/mcp", json=LIST, headers={**ACCEPT, **BEARER, "Origin": "https://evil.example"})

    assert answer.status_code == 403


async def test_what_is_claimed_is_what_happens_and_lists_say_how_long_they_hold(url: str, era: str) -> None:
    """Nothing that is listed changes while a server runs: no subscription is offered, and lists may be kept."""
    async with caller(url, mode=era) as client:
        claimed = client.server_capabilities
        assert claimed is not None
        for part in (claimed.tools, claimed.prompts, claimed.resources):
            assert part is not None
            assert not part.list_changed
        assert claimed.resources is not None
        assert not claimed.resources.subscribe
        assert claimed.completions is not None
        assert claimed.logging is None
        if era == "auto":
            with pytest.raises(MCPError):
                async with client.listen(resource_subscriptions=["novita://tasks"]):
                    pass
        listed = await client.list_tools()
        if era == "auto":
            assert (listed.ttl_ms, listed.cache_scope) == (3_600_000, "public")


async def test_all_that_is_said_says_whom_it_is_for(settings: Settings, era: str) -> None:
    few = replace(settings, rate_limit=3)
    with serve_asgi(http_app(web_server(few), few)) as url:
        async with caller(url, mode=era) as client:
            answers = [
                await client.call_tool("get_balance", {}),
                await client.call_tool("get_task", {"task_id": "no-such-task"}),
                await client.call_tool("generate_image", {"promt": "a fox"}),
                await client.call_tool("get_balance", {}),
            ]
            prompt = await client.get_prompt("monthly_cost_review", {})
    said = [block for answer in answers for block in answer.content] + [one.content for one in prompt.messages]

    assert [answer.is_error for answer in answers] == [False, True, True, True]
    assert "Too many calls" in text_of(answers[3])
    for block in said:
        assert block.annotations is not None, block
        assert block.annotations.audience == ["assistant", "user"]
        assert block.annotations.priority == 1


# Browsers

PAGE = "https://app.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version",
}
OURS = (PAGE, "http://localhost:6274", "http://localhost", "http://[::1]:3000")
FOREIGN = (
    *("https://evil.example", "null", "https://app.example.evil", "http://app.example", "http://localhost.evil:80"),
    *("http://localhost:6274.evil", "http://localhost:", "https://app.example:8443"),
)


@pytest.fixture
def open_to_a_page(settings: Settings) -> Generator[str]:
    allowed = replace(settings, allowed_origins="https://App.example/")  # as a person copies it
    with serve_asgi(http_app(web_server(allowed), allowed)) as base:
        yield base


def test_a_page_that_is_allowed_asks_first_and_needs_no_key_for_that(open_to_a_page: str) -> None:
    for origin in OURS:
        answer = httpx.options(f"{open_to_a_page}/mcp", headers={"Origin": origin, **PREFLIGHT})
        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert answer.headers["Access-Control-Allow-Headers"] == PREFLIGHT["Access-Control-Request-Headers"]
        assert "Origin" in answer.headers["Vary"]


def test_a_page_that_is_allowed_may_read_answers_and_refusals(open_to_a_page: str) -> None:
    for origin in OURS:
        for path, key, status in (("/mcp", BEARER, 200), ("/mcp", {}, 401), ("/register", {}, 404)):
            asking = {**ACCEPT, **key, "Origin": origin}
            answer = httpx.post(f"{open_to_a_page}{path}", json=LIST, headers=asking, timeout=PATIENCE)
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            exposed = answer.headers["Access-Control-Expose-Headers"]
            assert "WWW-Authenticate" in exposed
            assert "Mcp-Session-Id" in exposed


def test_a_foreign_page_gets_nothing(open_to_a_page: str) -> None:
    for origin in FOREIGN:
        asked = httpx.options(f"{open_to_a_page}/mcp", headers={"Origin": origin, **PREFLIGHT})
        called = httpx.post(f"{open_to_a_page}/mcp", json=LIST, headers={**ACCEPT, **BEARER, "Origin": origin})
        assert (asked.status_code, called.status_code) == (403, 403)
        signing = httpx.post(f"{open_to_a_page}/register", json={}, headers={"Origin": origin})
        for answer in (asked, called, signing, httpx.get(f"{open_to_a_page}/healthz", headers={"Origin": origin})):
            assert not [name for name in answer.headers if name.startswith("access-control")]


def test_hosts_and_origins_that_are_allowed_come_in(settings: Settings) -> None:
    allowed = replace(settings, allowed_hosts="mcp.example", allowed_origins="https://app.example")
    come_from = {"Host": "mcp.example", "Origin": "https://app.example"}
    with serve_asgi(http_app(web_server(allowed), allowed)) as base:
        answer = httpx.post(f"{base}/mcp", json=LIST, headers={**ACCEPT, **BEARER, **come_from})

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_without_a_key_and_without_asking_novita(url: str, path: str, world: World) -> None:
    answer = httpx.get(f"{url}{path}")

    assert (answer.status_code, answer.json()["status"]) == (200, "ok" if path == "/healthz" else "ready")
    assert not world.requests


async def test_each_caller_pays_with_its_own_key(as_caller: Open, world: World) -> None:
    world.add_account(OTHER_KEY, balance_usd=7)
    async with as_caller(OTHER_KEY) as other:
        made = await other.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        balance = await other.call_tool("get_balance", {})

        assert not made.is_error, text_of(made)
        assert facts(balance)["available_usd"] == "6.965"
    assert world.balance_usd(DEFAULT_KEY) == 100


async def test_a_wrong_key_is_an_error_the_model_can_read(as_caller: Open, world: World) -> None:
    async with as_caller("sk-wrong") as client:
        answer = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})

        assert answer.is_error
        assert "key" in text_of(answer)
        assert "sk-wrong" not in text_of(answer)
    assert not world.charges


async def test_callers_do_not_see_each_others_tasks(as_caller: Open, world: World) -> None:
    world.add_account(OTHER_KEY)
    async with as_caller(DEFAULT_KEY) as mine, as_caller(OTHER_KEY) as other:
        started = await mine.call_tool(
            "generate_image", {"model": "qwen-image-txt2img", "prompt": "my secret fox", "wait_seconds": 0}
        )
        task_id = facts(started)["task_id"]

        seen = await other.call_tool("list_tasks", {})
        taken = await other.call_tool("get_task", {"task_id": task_id})
        own = await mine.call_tool("list_tasks", {})

        assert facts(seen)["tasks"] == []
        assert taken.is_error
        assert "secret" not in text_of(taken)
        assert [task["task_id"] for task in facts(own)["tasks"]] == [task_id]


async def test_nothing_of_the_machine_is_shown_or_taken(as_caller: Open, tmp_path: Path) -> None:
    async with as_caller(DEFAULT_KEY) as client:
        made = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        saved = await client.call_tool(
            "generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox", "save_to": str(tmp_path)}
        )

        assert str(tmp_path) not in text_of(made)
        assert saved.is_error


async def test_any_copy_answers_for_what_another_started(settings: Settings, era: str, tmp_path: Path) -> None:
    """Copies share nothing but Novita: not even the journal."""
    copies = [replace(settings, journal=str(tmp_path / f"{name}.sqlite3")) for name in ("one", "two")]
    with (
        serve_asgi(http_app(web_server(copies[0]), copies[0])) as one,
        serve_asgi(http_app(web_server(copies[1]), copies[1])) as two,
    ):

        async def call(url: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
            async with caller(url, mode=era) as client:
                answer = await client.call_tool(tool, arguments)
                assert not answer.is_error, text_of(answer)
                return facts(answer)

        started = await call(
            one, "generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox", "wait_seconds": 0}
        )
        finished = await call(two, "get_task", {"task_id": started["task_id"]})

    assert started["status"] == "working"
    assert finished["status"] == "succeeded"
