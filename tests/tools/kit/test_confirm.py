"""Dear acts need a yes: a dialog where the client has one, else a second call; nothing is sent before it."""

from decimal import Decimal
from typing import Any

import pytest
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, ErrorData
from novita_mcp.simulator.core.world import World

from ...building import quick
from ...conftest import Connect, structured, text_of

SPEND = "flux_1_schnell"
DEAR: dict[str, Any] = {"build": quick, "confirm_above_usd": Decimal("0.001")}
FOX = {"prompt": "a fox", "model": "flux-1-schnell"}


class User:
    """Answers the dialog, and remembers what was asked."""

    def __init__(self, answer: ElicitResult | ErrorData) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        self.asked.append(params.message)
        return self.answer


YES = ElicitResult(action="accept", content={"yes": True})


async def test_without_a_dialog_the_first_answer_shows_price_and_how_to_go_on(connect: Connect, world: World) -> None:
    async with connect(**DEAR) as client:
        answer = structured(await client.call_tool("generate_image", FOX))
        assert answer["status"] == "needs_confirmation"
        assert "$0.003" in answer["next_step"]
        assert "confirm=true" in answer["next_step"]
        assert not world.requests

        answer = structured(await client.call_tool("generate_image", {**FOX, "confirm": True}))
        assert answer["status"] == "succeeded"
    assert world.count(SPEND) == 1


async def test_a_yes_in_the_dialog_is_enough(connect: Connect, world: World) -> None:
    user = User(YES)
    async with connect(client={"elicitation_callback": user}, **DEAR) as client:
        answer = structured(await client.call_tool("generate_image", FOX))
        assert answer["status"] == "succeeded"
    (question,) = user.asked
    assert "$0.003" in question
    assert world.count(SPEND) == len(world.charges) == 1


@pytest.mark.parametrize(
    "answer",
    [
        ElicitResult(action="decline"),
        ElicitResult(action="cancel"),
        ElicitResult(action="accept", content={"yes": False}),
    ],
    ids=["decline", "cancel", "accepted with no"],
)
async def test_a_no_is_final_and_costs_nothing(answer: ElicitResult, connect: Connect, world: World) -> None:
    user = User(answer)
    async with connect(client={"elicitation_callback": user}, **DEAR) as client:
        result = await client.call_tool("generate_image", FOX)
        assert result.is_error
        assert "declined" in text_of(result)
        assert "Nothing was billed" in text_of(result)
        listed = structured(await client.call_tool("list_tasks", {}))
        assert listed["tasks"] == []
    assert not world.requests
    assert len(user.asked) == 1


async def test_who_has_confirmed_is_not_asked_again(connect: Connect, world: World) -> None:
    user = User(YES)
    async with connect(client={"elicitation_callback": user}, **DEAR) as client:
        structured(await client.call_tool("generate_image", {**FOX, "confirm": True}))
    assert user.asked == []


async def test_what_is_cheap_is_not_asked_about(connect: Connect, world: World) -> None:
    user = User(YES)
    async with connect(client={"elicitation_callback": user}, build=quick) as client:
        structured(await client.call_tool("generate_image", FOX))
    assert user.asked == []


async def test_what_is_wrong_is_told_before_anybody_is_asked(connect: Connect, world: World) -> None:
    user = User(YES)
    async with connect(client={"elicitation_callback": user}, **DEAR) as client:
        result = await client.call_tool("generate_image", {**FOX, "save_to": "/etc/fox.png"})
        assert result.is_error
    assert user.asked == []
    assert not world.requests


async def test_a_cap_is_not_lifted_by_a_yes(connect: Connect, world: World) -> None:
    async with connect(call_limit_usd=Decimal("0.001"), **DEAR) as client:
        result = await client.call_tool("generate_image", {**FOX, "confirm": True})
        assert result.is_error
        assert "cap" in text_of(result)
        assert "Nothing was billed" in text_of(result)
    assert not world.requests
