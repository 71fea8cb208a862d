"""Sixty-four people who signed in, on one company key: two copies behind nginx, PostgreSQL, S3, one copy killed.

Skipped only where Debian's postgresql or nginx is not installed.
"""

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.media.tasks import TaskStore
from novita_mcp.simulator.serving import serve

from ...postgres import binaries, run_postgres
from ...storage import run_storage
from ..callers import facts
from ..sign_in.authority import authorization_server
from .team import balancer, copies, nginx_installed
from .test_balanced import CALLERS, Callers, kill_and_start_again, until_all_are_noted

pytest.importorskip("psycopg")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(binaries() is None, reason="Debian's postgresql is not installed"),
    pytest.mark.skipif(not nginx_installed(), reason="Debian's nginx is not installed"),
]

TEAM_KEY = "sk_the-company-key-0123456789"
AUDIENCE = "https://mcp.example.com/mcp"
MORE = 10
"""Pictures that the team may still make once everybody has one."""
LONGEST = 240.0
"""Seconds for all of it, once the servers run; it takes a tenth of that."""


async def test_every_paid_file_is_with_its_owner_and_the_limit_of_the_team_is_exact(tmp_path: Path) -> None:
    world = World(WorldSettings(task_seconds=3600, old_models=True))
    world.add_account(TEAM_KEY)
    names = [f"person-{number:02d}" for number in range(CALLERS)]
    with (
        run_postgres() as postgres,
        run_storage() as storage,
        serve(world) as simulator,
        authorization_server() as held,
    ):
        settings: dict[str, Any] = {
            "NOVITA_MCP_JOURNAL": (journal := postgres.new()),
            "NOVITA_MCP_ARTIFACTS": storage.url(),
            "NOVITA_MCP_PUBLIC_URL": "http://127.0.0.1:9",  # nobody: webhooks go nowhere, and are asked after
            "NOVITA_MCP_OAUTH_ISSUER": held.issuer,
            "NOVITA_MCP_OAUTH_AUDIENCE": AUDIENCE,
            "NOVITA_MCP_TEAM_KEY": TEAM_KEY,
            "NOVITA_MCP_TEAM_LIMIT_USD": str((CALLERS + MORE) * await counted_for_one(simulator.url)),
            **storage.credentials,
        }
        bearers = {name: held.token(AUDIENCE, name, exp=int(time.time()) + 3_600) for name in names}
        with copies(tmp_path, simulator.url, **settings) as (one, two), balancer([one, two]) as url:
            limits = httpx.Limits(max_connections=2 * CALLERS)
            async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
                callers = Callers(http, bearers)
                with anyio.fail_after(LONGEST):
                    async with anyio.create_task_group() as group:
                        for name in names:
                            group.start_soon(callers.make, name)
                        await until_all_are_noted(journal)
                        await kill_and_start_again(one)
                        world.set(task_seconds=0.5)
                        world.advance(3600)
                    check(world, callers, names)
                    # Everybody wants another one: the team may have a few, whichever copies are asked.
                    async with anyio.create_task_group() as group:
                        for name in names:
                            group.start_soon(callers.make, name)
                assert len(world.charges) == CALLERS + MORE
                assert sum(map(len, callers.files.values())) == CALLERS + MORE
        assert "Traceback" not in one.log + two.log
        assert TEAM_KEY not in one.log + two.log
        assert not any(token in one.log + two.log for token in bearers.values())


async def counted_for_one(novita: str) -> Decimal:
    """What the caps take for one picture, in USD."""
    wish = {"model": "qwen-image-txt2img", "prompt": "a fox", "dry_run": True}
    async with Client(create_app(Settings(api_key=TEAM_KEY, base_url=novita, journal="off"))) as client:
        told = facts(await client.call_tool("generate_image", wish))
    return Decimal(told.get("counted_usd", told["estimated_cost_usd"]))


def check(world: World, callers: Callers, names: list[str]) -> None:
    """Each has the one picture that was asked for in that name, whole, and nobody another's."""
    tasks = world.area(TaskStore).tasks
    owned = [task_id for files in callers.files.values() for task_id in files]
    assert len(owned) == len(set(owned)) == len(tasks) == CALLERS
    assert not callers.unclear.total()
    for name in names:
        ((task_id, (link,)),) = callers.files[name].items()
        assert callers.titles[task_id] == f"fox 0 for {name}"
        (output,) = tasks[task_id].outputs
        assert httpx.get(link).content == world.files.files[output.file.id].data
