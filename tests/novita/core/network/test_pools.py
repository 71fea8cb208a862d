"""Many connections in small pools: as many as are allowed, none left behind, no turn lost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from novita_mcp.novita.core.client import new_http
from novita_mcp.novita.core.network import limits, pools, way
from novita_mcp.novita.core.network.quick import QuickPool

from ....raw_server import answer, raw_host, talking_host


@asynccontextmanager
async def patient_host() -> AsyncGenerator[tuple[str, set[asyncio.StreamWriter]]]:
    """A host that keeps its connections; its address, and those that are open."""
    opened = set[asyncio.StreamWriter]()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        finally:
            opened.discard(writer)

    async with talking_host(meet) as host:
        yield host.url, opened


async def test_no_more_than_allowed_are_under_way_and_all_have_their_answer() -> None:
    full, go = anyio.Event(), anyio.Event()
    done: list[int] = []

    async def serve(writer: asyncio.StreamWriter) -> None:
        if host.open == limits.MOST:
            full.set()
        await go.wait()
        await answer(b"ok")(writer)

    async def get() -> None:
        done.append((await http.get(host.url)).status_code)

    async with raw_host(serve) as host, new_http() as http, anyio.create_task_group() as group:
        for _ in range(limits.MOST + 20):
            group.start_soon(get)
        with anyio.fail_after(60):
            await full.wait()
        with pytest.raises(httpx.PoolTimeout, match="in use"):
            await http.get(host.url, timeout=httpx.Timeout(60, pool=0.01))
        go.set()
    assert done == [200] * (limits.MOST + 20)
    assert host.most == limits.MOST


async def test_what_fails_is_cancelled_or_is_closed_early_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST", 1)
    asked, never = anyio.Event(), anyio.Event()

    async def serve(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await never.wait()

    async with raw_host(serve) as silent, raw_host(answer(b"x" * 1_000_000)) as host, new_http() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("http://127.0.0.1:1")
        async with anyio.create_task_group() as group:
            group.start_soon(http.get, silent.url)
            await asked.wait()
            group.cancel_scope.cancel()
        async with http.stream("GET", host.url) as response:
            assert response.status_code == 200
        assert (await http.get(host.url, timeout=httpx.Timeout(60, pool=0.01))).status_code == 200
        never.set()


async def test_a_busy_minute_leaves_no_connections_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESTS", 0.2)
    async with patient_host() as (url, opened), new_http() as http:
        async with anyio.create_task_group() as group:
            for _ in range(pools.POOLS):
                group.start_soon(http.get, url)
        await anyio.sleep(0.3)  # what rests is told by the clock of the loop
        with anyio.fail_after(30):
            await http.get(url)
            while len(opened) != 1:
                await anyio.sleep(0.01)


async def test_connections_from_before_the_quick_road_are_closed_once_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "RESTS", 0.2)
    monkeypatch.setattr(way, "_quick", None)
    async with patient_host() as (url, opened), new_http(quick=True) as http:
        await http.get(url)
        before = set(opened)
        way.take_the_quick_road(QuickPool)
        with anyio.fail_after(30):
            while opened & before:
                await http.get(url)
                await anyio.sleep(0.01)


async def test_calls_one_after_another_share_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESTS", 600)
    async with patient_host() as (url, opened), new_http() as http:
        seen = set[asyncio.StreamWriter]()
        for _ in range(5):
            await http.get(url)
            seen |= opened
        assert len(seen) == 1
