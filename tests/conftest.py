"""What every test may ask for: a simulator with a world to hold, and a client on our server."""

import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx
import httpx2
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult
from novita_mcp.novita.core import redaction
from novita_mcp.novita.core.client import new_http
from novita_mcp.novita.core.network import way
from novita_mcp.novita.core.network.quick import QuickPool
from novita_mcp.novita.core.network.way import take_the_quick_road
from novita_mcp.server.app import BuildApp, create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.serving import Running, serve

from .clients_learn import knows_the_tools, schemas_compiled_once

NewPool = Callable[..., httpx.AsyncClient]

# A machine that is busy is no fault of what is tested: no example fails because it, or making it, took long.
examples.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
examples.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-surface", action="store_true", help="Rewrite the stored lists of tools, README and manifest.json."
    )
    parser.addoption(
        "--update-conformance", action="store_true", help="Rewrite what passes of the official conformance suite."
    )
    parser.addoption("--update-journeys", action="store_true", help="Rewrite the calls and tokens of docs/journeys.md.")
    parser.addoption("--update-clients", action="store_true", help="Rewrite what was seen of other people's clients.")


@pytest.hookimpl(optionalhook=True)  # by pytest-xdist, for `-n auto`
def pytest_xdist_auto_num_workers() -> int:
    """A worker more than there are cores: a third of the time a test waits for sockets and processes."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests() -> Generator[None]:
    """A process remembers secrets for a while: what one test gave as a password may be plain text in the next."""
    yield
    for late in redaction._late.values():  # pyright: ignore[reportPrivateUsage]
        late.clear()


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Generator[None]:
    with schemas_compiled_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_road() -> None:
    """Calls to Novita go as in a server that has warmed up, whichever test comes first."""
    take_the_quick_road(QuickPool)


@pytest.fixture(params=["httpcore", "aiohttp"])
def new_pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> NewPool:
    """Makes connections to Novita, as they are before the warm-up and after it."""
    monkeypatch.setattr(way, "_quick", None)
    if request.param == "aiohttp":
        take_the_quick_road(QuickPool)
    return partial(new_http, quick=True)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """Novita's state. Tasks are done at the first look; what Novita has switched off answers where a test says so."""
    old_models = request.node.get_closest_marker("old_models") is not None
    return World(WorldSettings(task_seconds=0, old_models=old_models))


@pytest.fixture
def simulator(world: World) -> Generator[Running]:
    """Novita over real HTTP."""
    with serve(world) as running:
        yield running


@pytest.fixture
def settings(simulator: Running, tmp_path: Path) -> Settings:
    """Settings of a server on the simulator, with its own folders."""
    return Settings(
        api_key=DEFAULT_KEY,
        base_url=simulator.url,
        output_dir=tmp_path / "out",
        journal=str(tmp_path / "journal.sqlite3"),
        allowed_dirs=str(tmp_path),
        confirm_above_usd=Decimal(1000),
        shipped_models_only=True,  # no call but the tool's own, unless a test is about that
    )


class Connect(Protocol):
    """Opens a client on our server. Keywords change settings (`toolsets="all"`); `build` makes its shared parts."""

    def __call__(
        self, *, client: dict[str, Any] = ..., build: BuildApp | None = ..., **changes: Any
    ) -> AbstractAsyncContextManager[Client]: ...


@pytest.fixture(params=["auto", pytest.param("legacy", marks=pytest.mark.legacy_era)])
def era(request: pytest.FixtureRequest) -> str:
    """The protocol era the client speaks: "auto" is modern; "legacy" shakes hands, in CI's second stage."""
    return request.param


@pytest.fixture
def connect(settings: Settings, era: str) -> Connect:
    """An MCP client on our server, in memory; every test that takes this runs once per era."""
    # A factory, not a client: pytest-asyncio tears a fixture down in another task, and anyio forbids that.

    @asynccontextmanager
    async def open_client(
        *, client: dict[str, Any] | None = None, build: BuildApp | None = None, **changes: Any
    ) -> AsyncGenerator[Client]:
        app = create_app(replace(settings, **changes), build=build)
        async with Client(app, mode=era, **(client or {})) as opened:
            yield knows_the_tools(opened)

    return open_client


@pytest.fixture
def connect_http(settings: Settings, era: str) -> Callable[..., AbstractAsyncContextManager[Client]]:
    """As `connect`, over real Streamable HTTP, with a bearer key."""
    from novita_mcp.server.http import http_app, web_server

    from .serving import serve_asgi

    @asynccontextmanager
    async def open_client(*, key: str = DEFAULT_KEY, **changes: Any) -> AsyncGenerator[Client]:
        chosen = replace(settings, **changes)
        with serve_asgi(http_app(web_server(chosen), chosen)) as url:
            async with (
                httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30) as http,
                Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=era) as opened,
            ):
                yield opened

    return open_client


def text_of(result: CallToolResult) -> str:
    """All text of an answer."""
    return "\n".join(block.text for block in result.content if block.type == "text")


def fields_of(result: CallToolResult) -> dict[str, Any]:
    """What an answer says in fields."""
    return result.structured_content or {}


def structured(result: CallToolResult) -> dict[str, Any]:
    """What an answer says in fields; it must be no error."""
    assert not result.is_error, text_of(result)
    return fields_of(result)
