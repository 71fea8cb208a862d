"""Our client for sandboxes against the simulator over a socket."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from novita_mcp.novita.core.backoff import RetryPolicy
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.sandbox.hosts import DOMAIN
from novita_mcp.novita.sandbox.inside import Inside
from novita_mcp.novita.sandbox.sandboxes import Sandboxes, Wish
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.sandbox.service import area
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes
from novita_mcp.simulator.serving import Running, serve

CODE = "code-interpreter-v1"
Open = Callable[..., AbstractAsyncContextManager[Inside]]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def state(world: World) -> SimulatedSandboxes:
    found = area(world)
    found.pause_seconds_per_gib = 0
    return found


@pytest.fixture
def running(world: World, state: SimulatedSandboxes) -> Iterator[Running]:
    with serve(world) as up:
        yield up


@pytest.fixture
def sandboxes(running: Running) -> Callable[..., AbstractAsyncContextManager[Sandboxes]]:
    """Opens the control plane, with a pool of its own."""

    @asynccontextmanager
    async def open_plane(key: str = DEFAULT_KEY, url: str = running.url) -> AsyncGenerator[Sandboxes]:
        async with new_http() as http:
            client = NovitaClient(http, key, base_url=url, retries=RetryPolicy(attempts=3, first=0.01))
            yield Sandboxes.of(client, DOMAIN)

    return open_plane


@pytest.fixture
def opened(sandboxes: Callable[..., AbstractAsyncContextManager[Sandboxes]]) -> Open:
    """Makes a sandbox and opens its door."""

    @asynccontextmanager
    async def enter(**wish: Any) -> AsyncGenerator[Inside]:
        async with sandboxes() as plane:
            made = await plane.create(replace(Wish(CODE, 600), **wish))
            yield await Inside.enter(plane, made.id)

    return enter
