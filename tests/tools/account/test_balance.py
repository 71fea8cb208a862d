"""get_balance, as a host meets it."""

from decimal import Decimal
from typing import Any

import pytest
from novita_mcp.simulator.core.world import World

from ...building import quick
from ...conftest import Connect, text_of

READ = "get_user_balance"


async def test_the_balance_is_told_in_dollars_and_as_novita_sent_it(connect: Connect, world: World) -> None:
    world.add_account("sk-simulated", 12.3456)
    async with connect(build=quick) as client:
        result = await client.call_tool("get_balance", {})
        assert not result.is_error
        answer: dict[str, Any] = result.structured_content or {}
        assert Decimal(answer["available_usd"]) == Decimal("12.3456")
        assert answer["raw"]["availableBalance"] == "123456"
        assert "$12.3456 can be spent." in text_of(result)
        # Novita tells of no frozen amount: said so, never 0.
        assert answer["frozen_usd"] == "not told"


@pytest.mark.old_models
async def test_it_falls_by_what_was_made(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        result = await client.call_tool("get_balance", {})
        answer: dict[str, Any] = result.structured_content or {}
        assert float(answer["available_usd"]) == pytest.approx(100 - world.charges[0].usd, abs=0.0001)


@pytest.mark.parametrize(
    "effect",
    [{"status": 500}, {"reset": "before"}, {"garbage": True}, {"cut": 20}, {"empty": True}, {"html": True}],
    ids=str,
)
async def test_a_fault_does_not_keep_it_away(effect: dict[str, Any], connect: Connect, world: World) -> None:
    world.trouble(effect, operation=READ, times=2)
    async with connect(build=quick) as client:
        assert not (await client.call_tool("get_balance", {})).is_error


@pytest.mark.parametrize("body", ["{}", "[]", '"rich"', '{"availableBalance": "much"}', '{"availableBalance": null}'])
async def test_an_answer_without_a_balance_is_an_error(body: str, connect: Connect, world: World) -> None:
    world.trouble({"status": 200, "body": body}, operation=READ, times=-1)
    async with connect(build=quick) as client:
        result = await client.call_tool("get_balance", {})
        assert result.is_error
        assert "balance" in text_of(result)


async def test_a_wrong_key_is_told_with_the_next_step(connect: Connect, world: World) -> None:
    async with connect(build=quick, api_key="sk-never-a-key") as client:
        result = await client.call_tool("get_balance", {})
        assert result.is_error
        assert "key" in text_of(result)
    assert world.count(READ) == 1
