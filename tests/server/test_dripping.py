"""Hosts that callers name and that never come to an end: they cost their caller, and nobody else."""

from asyncio import StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
from mcp import Client
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.core.errors import NovitaConnectionError
from novita_mcp.novita.core.network.pools import SHARE, Outside
from novita_mcp.novita.serverless.gateway import call_service, service_call
from novita_mcp.novita.serverless.shapes import Endpoint
from novita_mcp.simulator.core.world import World

from ..building import QuickClock
from ..conftest import Connect, text_of
from ..raw_server import Serve, drip, raw_host

PATIENCE = 30.0
SEEING = "qwen/qwen3-vl-30b-a3b-instruct"
CROWD = 2 * SHARE


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The links of one call may take two seconds together."""
    monkeypatch.setattr("novita_mcp.tools.kit.context.SHORTEST_LOOKS", 2.0)


async def test_links_that_drip_leave_novita_to_everybody_else(
    connect: Connect, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than one caller may hold; meanwhile, and after, Novita answers."""
    monkeypatch.setattr("novita_mcp.tools.kit.context.SHORTEST_LOOKS", 2 * PATIENCE)  # they end when we say so
    answers: list[str] = []
    balance, enough = None, anyio.Event()

    async def look(client: Client, url: str) -> None:
        result = await client.call_tool("chat", {"prompt": "What is it?", "images": [url], "model": SEEING})
        answers.append(text_of(result))

    with anyio.fail_after(PATIENCE):
        dripping = drip("Content-Type: image/png", until=enough)
        async with raw_host(dripping) as host, connect(wait_seconds=0) as client:
            async with anyio.create_task_group() as group:
                for number in range(CROWD):
                    group.start_soon(look, client, f"{host.url}/{number}.png")
                while host.open < SHARE:
                    await anyio.sleep(0.01)
                balance = await client.call_tool("get_balance", {})
                assert not answers  # they still drip
                assert host.open == SHARE
                enough.set()
            assert balance is not None
            assert not balance.is_error, text_of(balance)
    assert len(answers) == CROWD
    assert all("cannot be reached" in text and "Nothing was billed" in text for text in answers), answers[0]
    assert not world.charges


@pytest.mark.usefixtures("short")
async def test_two_thousand_links_in_one_call_are_answered_within_its_wait(connect: Connect, world: World) -> None:
    with anyio.fail_after(PATIENCE):
        async with raw_host(drip("Content-Type: image/png")) as host, connect(wait_seconds=0) as client:
            links = [f"{host.url}/{number}.png" for number in range(2_000)]
            result = await client.call_tool("chat", {"prompt": "What are they?", "images": links, "model": SEEING})
    assert result.is_error
    assert "Nothing was billed" in text_of(result)
    assert len(host.requests) < SHARE
    assert not world.charges


def headers_that_drip(writer: StreamWriter) -> Awaitable[None]:
    return drip("Content-Type: text/plain\r\nX-A: ", end="")(writer)


@pytest.mark.parametrize("serve", [drip("Content-Type: text/plain"), headers_that_drip], ids=["body", "headers"])
async def test_an_endpoint_that_drips_gets_no_more_than_the_wait_and_one_share(serve: Serve) -> None:
    """However long it goes on, each call ends within its time, and what never went out is not said to cost."""
    ends: list[NovitaConnectionError] = []
    async with raw_host(serve) as host, new_http() as http, new_http() as others:
        outside = Outside(others, share=2)
        client = NovitaClient(http, "sk-a-key", host.url, clock=QuickClock(), outside=outside)
        endpoint = Endpoint.model_validate({"id": "e", "url": host.url})

        async def call(within: float) -> None:
            asked = service_call(client, endpoint, path="/", method="GET", headers=None, body=None)
            with pytest.raises(NovitaConnectionError, match=f"within {within:g} s") as caught:
                await call_service(client, asked, within=within)
            ends.append(caught.value)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(call, 5.0)
                while host.open < 2:
                    await anyio.sleep(0.01)
                for _ in range(3):
                    group.start_soon(call, 0.3)
        assert host.most == 2
    assert [end.billed for end in ends] == ["no"] * 3 + ["maybe"] * 2


@pytest.mark.old_models
async def test_over_http_no_link_leads_to_the_host_of_a_moved_novita(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], world: World
) -> None:
    """Where Novita is moved into our own network, callers get no further into it; their results still go on."""
    async with connect_http() as client:
        made = await client.call_tool("generate_image", {"prompt": "a fox"})
        answer: dict[str, Any] = made.structured_content or {}
        (artifact,) = answer["artifacts"]
        before = len(world.requests)
        by_link = await client.call_tool("remove_background", {"model": "remove-background", "image": artifact["url"]})
        assert by_link.is_error
        assert "private address" in text_of(by_link)
        assert len(world.requests) == before
        by_task = await client.call_tool(
            "remove_background", {"model": "remove-background", "image": f"task:{answer['task_id']}/0"}
        )
        assert not by_task.is_error, text_of(by_task)
