"""Where no file is saved, links are what a caller has: get_task renews those that have expired."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
from mcp import Client
from novita_mcp.simulator.core.world import World

from ...conftest import fields_of, text_of

Connect = Callable[..., AbstractAsyncContextManager[Client]]
SHORT = 100
"""Seconds that a link holds: less than what is still worth handing out."""


async def test_a_link_that_has_expired_is_renewed(connect_http: Connect, world: World) -> None:
    world.set(task_seconds=100, link_ttl=SHORT)
    async with connect_http() as client:
        asked = {"prompt": "a fox looks up", "duration": 5, "wait_seconds": 0, "confirm": True}
        task: dict[str, Any] = {"task_id": fields_of(await client.call_tool("generate_video", asked))["task_id"]}
        world.advance(1_000)
        first = fields_of(await client.call_tool("get_task", task))["artifacts"][0]
        world.advance(1_000)
        second = await client.call_tool("get_task", task)
    renewed = fields_of(second)["artifacts"][0]

    assert httpx.get(first["url"]).status_code == 403
    assert httpx.get(renewed["url"]).status_code == 200
    assert renewed["expires_at"] > first["expires_at"]
    assert fields_of(second)["status"] == "succeeded", text_of(second)
    assert len(world.charges) == 1, "nothing is made or paid for twice"


async def test_what_is_no_task_at_novita_is_not_said_to_be_renewed(connect_http: Connect) -> None:
    """A picture that came with its request's answer: there is nobody to ask for a fresh link."""
    async with connect_http() as client:
        made = fields_of(await client.call_tool("generate_image", {"prompt": "a fox", "count": 2}))
        again = fields_of(await client.call_tool("get_task", {"task_id": made["task_id"]}))

    assert made["task_id"].startswith("sync-")
    for answer in (made, again):
        assert "download" in answer["next_step"] and "nobody can renew" in answer["next_step"]
