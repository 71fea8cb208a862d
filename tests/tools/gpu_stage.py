"""A stage for GPU tests: a server whose clock is the simulator's, and clients that say yes, no, or cannot be asked."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import anyio.abc
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult
from novita_mcp.novita.core.backoff import RetryPolicy
from novita_mcp.novita.core.client import NovitaClient
from novita_mcp.novita.journal.leases import Enforced, Leases
from novita_mcp.server.app import create_app
from novita_mcp.server.building import build_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.tools.kit.context import App

from ..clients_learn import knows_the_tools
from ..conftest import text_of

Json = dict[str, Any]


class StageClock:
    """The simulator's time, so that leases and instances agree; sleeping passes it quickly."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        return self._world.clock.now()

    def wall(self) -> float:
        return self._world.clock.now()

    async def sleep(self, seconds: float) -> None:
        self._world.advance(seconds)
        await anyio.sleep(0.001)


async def leases_are_looked_at() -> None:
    """Until a server has looked at its leases once more, and has done what was due."""
    looks, enforce = 0, Leases.enforce

    async def counted(self: Leases, clients: Mapping[str, NovitaClient] | None = None) -> list[Enforced]:
        nonlocal looks
        done = await enforce(self, clients)
        looks += 1
        return done

    with pytest.MonkeyPatch.context() as patch, anyio.fail_after(60):
        patch.setattr(Leases, "enforce", counted)
        while not looks:
            await anyio.sleep(0.005)


def built_on(world: World) -> Callable[[Settings, anyio.abc.TaskGroup], App]:
    """Makes the parts of a server on the simulator's clock, which looks at its leases often."""

    def build(settings: Settings, background: anyio.abc.TaskGroup) -> App:
        app = build_app(settings, background, clock=StageClock(world))
        app.client = replace(app.client, retries=RetryPolicy(attempts=4, first=0.01, longest=0.02))
        app.leases.tick = 0.02
        app.leases.remember(app.client)
        return app

    return build


@dataclass
class Person:
    """Answers questions: accept, decline or cancel. Remembers them."""

    action: str = "accept"

    def __post_init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        content = {"yes": True} if self.action == "accept" else None
        return ElicitResult.model_validate({"action": self.action, "content": content})


OpenStage = Callable[..., AbstractAsyncContextManager["Stage"]]


@dataclass
class Stage:
    """A client on a server on a world."""

    client: Client
    world: World

    async def call(self, tool: str, **arguments: Any) -> Json:
        """The structured answer of a call that must work."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, text_of(result)
        return result.structured_content or {}

    async def refused(self, tool: str, **arguments: Any) -> str:
        """The text of a call that must be an error."""
        result: CallToolResult = await self.client.call_tool(tool, arguments)
        assert result.is_error, text_of(result)
        return text_of(result)


def stage(settings: Settings, world: World, era: str) -> OpenStage:
    """Opens servers one after the other on the same journal: each is a process of its own."""

    @asynccontextmanager
    async def opened(person: Person | None = None, **changes: Any) -> AsyncGenerator[Stage]:
        app = create_app(replace(settings, **changes), build=built_on(world))
        options: Json = {"elicitation_callback": person} if person else {}
        async with Client(app, mode=era, **options) as client:
            yield Stage(knows_the_tools(client), world)

    return opened
