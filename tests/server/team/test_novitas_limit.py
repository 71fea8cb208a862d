"""Callers of a server wait for Novita's own limit by turns, and hear why."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World

from ...conftest import text_of
from ..callers import facts

WISH = {"model": "qwen-image-txt2img", "prompt": "a fox"}
SPEND = "qwen_image_txt2img"

pytestmark = pytest.mark.old_models
Open = Callable[..., AbstractAsyncContextManager[Client]]


async def test_a_request_that_novita_turns_away_waits_with_a_word_and_is_paid_once(
    connect_http: Open, world: World
) -> None:
    world.trouble({"error": "RATE_LIMIT_EXCEEDED", "retry_after": 1}, operation=SPEND, times=1)
    heard: list[str | None] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async with connect_http() as client:
        made = facts(await client.call_tool("generate_image", WISH, progress_callback=note))
    assert made["status"] == "succeeded"
    assert "waiting for Novita's limit, about 1 s" in heard
    assert (world.count(SPEND), len(world.charges)) == (2, 1)


async def test_where_the_limit_is_far_away_nothing_is_sent_again(connect_http: Open, world: World) -> None:
    world.trouble({"error": "RATE_LIMIT_EXCEEDED", "retry_after": 600}, operation=SPEND)
    async with connect_http() as client:
        first = await client.call_tool("generate_image", WISH)
        second = await client.call_tool("generate_image", {**WISH, "prompt": "an owl"})
    for answer in (first, second):
        assert answer.is_error
        assert "Call again in about 600 seconds" in text_of(answer)
        assert "Nothing was billed" in text_of(answer)
    assert (world.count(SPEND), len(world.charges)) == (1, 0)
