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
from mcp import Client
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ..conftest import text_of
from ..serving import serve_asgi
from .callers import caller, facts

OTHER_KEY = "sk-somebody-else"
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


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic c2s6"}, {"Authorization": "Bearer"}])
def test_a_caller_without_a_key_is_told_how_to_bring_one(url: str, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{url}/mcp", json=LIST, headers={**ACCEPT, **headers})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert "novita.ai" in answer.json()["error_description"]


def test_a_strange_host_is_refused(url: str) -> None:
    answer = httpx.post(f"{url}/mcp", json=LIST, headers={**ACCEPT, **BEARER, "Host": "evil.example"})

    assert answer.status_code == 421


def test_a_strange_origin_is_refused(url: str) -> None:
    answer = httpx.post(f"{url}/mcp", json=LIST, headers={**ACCEPT, **BEARER, "Origin": "https://evil.example"})

    assert answer.status_code == 403


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
