"""Every tool that spends, walked: above the threshold nothing is sent without a yes, whatever is known of the price."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running

from ...building import quick
from ...conftest import Connect, text_of
from ..gpu_stage import Person
from ..one_call_per_tool import CALLS, Things

Json = dict[str, Any]

LISTS = ("list_models",)
"""Operations that bring live prices which a call can do without."""


def hide_prices(world: World) -> None:
    """No list is to be had."""
    for operation in LISTS:
        world.trouble({"status": 503}, operation=operation, times=-1)


@pytest.mark.parametrize("way", ["nobody", "decline"])
@pytest.mark.parametrize("price", ["known", "unknown"])
@pytest.mark.parametrize("name", list(CALLS))
async def test_above_the_threshold_nothing_is_sent_without_a_yes(
    name: str, price: str, way: str, connect: Connect, world: World, simulator: Running, tmp_path: Path
) -> None:
    arguments = CALLS[name](Things(tmp_path, world, simulator.url))
    if price == "unknown":
        hide_prices(world)
    person = Person("decline")
    options: Json = {} if way == "nobody" else {"client": {"elicitation_callback": person}}
    async with connect(toolsets="all", build=quick, confirm_above_usd=Decimal(0), **options) as client:
        result = await client.call_tool(name, arguments)
    assert not world.charges
    assert not [request for request in world.requests if request.method != "GET"]
    if way == "decline":
        assert result.is_error and "declined" in text_of(result)
        assert len(person.asked) == 1
        return
    answer: Json = result.structured_content or {}
    assert answer["status"] == "needs_confirmation", text_of(result)
    assert answer["model"]
    if answer["estimated_cost_usd"] == "unknown":
        assert Decimal(answer["counted_usd"]) > 0
        assert f"counted as at most ${Decimal(answer['counted_usd']):f}" in answer["next_step"]
    else:
        assert Decimal(answer["estimated_cost_usd"]) > 0


FREE_MODELS = {"chat": "chat/completions", "create_embeddings": "embeddings", "rerank": "rerank"}


@pytest.mark.parametrize("name", FREE_MODELS)
async def test_what_is_known_to_cost_nothing_is_not_asked_about(name: str, connect: Connect, world: World) -> None:
    """A price of zero is a price."""
    row: Json = {"id": "x/free", "endpoints": [FREE_MODELS[name]], "input_token_price_per_m": 0}
    listed = json.dumps({"data": [row | {"output_token_price_per_m": 0}]})
    world.trouble({"status": 200, "body": listed}, operation="list_models", times=-1)
    person = Person("decline")
    async with connect(confirm_above_usd=Decimal(0), client={"elicitation_callback": person}) as client:
        await client.call_tool(name, {**CALLS[name](Things(Path(), world, "")), "model": "x/free"})
    assert person.asked == []
    assert [request for request in world.requests if request.method == "POST"]
