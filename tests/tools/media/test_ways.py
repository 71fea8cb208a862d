"""A model that is gone: the next of its chain, or an error that says what lives. Nothing is billed, and nothing is
taken for gone that is not."""

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult
from novita_mcp.novita.journal import gone
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, text_of
from ..media_things import Json, done, picture, refused

NO_ROUTE: Json = {
    "status": 404,
    "body": '{"code": 404, "message": "route not found"}',
    "content_type": "application/json",
}
NO_MODEL: Json = {
    "status": 404,
    "body": '{"code": 404, "reason": "MODEL_NOT_FOUND", "message": "model not found", "metadata": {}}',
    "content_type": "application/json",
}
PAGE: Json = {"status": 404, "body": "<html><body>Not Found</body></html>", "content_type": "text/html"}
PLAIN: Json = {"status": 404, "body": "404 page not found", "content_type": "text/plain"}
CLIP: Json = {"prompt": "a fox", "duration": 3}
FIRST, SECOND = "kling-v3.0-std-t2v", "kling-v3.0-pro-t2v"


def route(model: str) -> str:
    return f"/v3/async/{model}"


def noted(settings: Settings) -> list[tuple[str, str]]:
    """Models in the journal's table of what is gone, with whose they are: everybody's are nobody's."""
    with sqlite3.connect(str(settings.journal)) as db:
        return db.execute("SELECT model, owner FROM gone ORDER BY model").fetchall()


async def test_the_next_of_the_chain_is_taken_and_named_first_with_its_price(
    connect: Connect, world: World, settings: Settings
) -> None:
    world.trouble(NO_ROUTE, path=route(FIRST), times=-1)
    async with connect() as client:
        result = await client.call_tool("generate_video", CLIP)
        answer: Json = result.structured_content or {}
        first_line = text_of(result).splitlines()[0]

        assert answer["model"] == SECOND
        assert first_line.startswith(f"{FIRST} is not served by Novita any more; {SECOND} took its place, for $0.336.")
        assert [charge.usd for charge in world.charges] == [pytest.approx(0.336)]
        assert noted(settings) == [(FIRST, "")]

        again = await client.call_tool("get_task", {"task_id": answer["task_id"]})
        assert text_of(again).startswith(f"{FIRST} is not served")


async def test_what_is_gone_is_not_asked_for_again_until_some_days_later(
    connect: Connect, world: World, settings: Settings
) -> None:
    world.trouble(NO_ROUTE, path=route(FIRST), times=1)
    async with connect() as client:
        await done(client.call_tool("generate_video", CLIP))
        second = await done(client.call_tool("generate_video", CLIP))
        assert second["model"] == SECOND
        assert "remark" not in second
        assert [request.path for request in world.requests].count(route(FIRST)) == 1
        lists = await client.call_tool("describe_media_model", {"model": FIRST})
        assert "gone since" in text_of(lists)

    with sqlite3.connect(str(settings.journal)) as db:
        db.execute("UPDATE gone SET seen = seen - ?", (gone.TRIED_AGAIN_AFTER + 1,))
    async with connect() as client:
        assert (await done(client.call_tool("generate_video", CLIP)))["model"] == FIRST
    assert noted(settings) == []  # it answered again


async def test_a_model_is_gone_for_the_key_that_was_told_so(connect: Connect, world: World, settings: Settings) -> None:
    world.trouble(NO_MODEL, path="/openai/v1/images/generations", times=1)
    async with connect() as client:
        answer = await done(client.call_tool("generate_image", {"prompt": "a fox"}))
        assert answer["model"] == "seedream-5.0-lite"
    ((model, owner),) = noted(settings)
    assert model == "ming-image-0.1-design"
    assert owner


async def test_a_dearer_one_is_asked_about_and_a_cheaper_one_is_not(connect: Connect, world: World) -> None:
    asked: list[str] = []

    async def person(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"yes": True})

    world.trouble(NO_ROUTE, path=route(FIRST), times=-1)
    async with connect(client={"elicitation_callback": person}, confirm_above_usd=Decimal("0.2")) as client:
        answer = await done(client.call_tool("generate_video", CLIP | {"confirm": True}))  # a yes to $0.252
        assert answer["model"] == SECOND
    assert [f"Run {SECOND}." in question and "$0.336" in question for question in asked] == [True]


async def test_nobody_to_ask_is_shown_the_dearer_price_and_can_agree(connect: Connect, world: World) -> None:
    world.trouble(NO_ROUTE, path=route(FIRST), times=-1)
    async with connect(confirm_above_usd=Decimal("0.2")) as client:
        first = await client.call_tool("generate_video", CLIP | {"confirm": True})
        told: Json = first.structured_content or {}
        assert (told["status"], told["model"]) == ("needs_confirmation", SECOND)
        assert not world.charges
        assert (await done(client.call_tool("generate_video", CLIP | {"confirm": True})))["model"] == SECOND


@pytest.mark.parametrize("answer", [NO_ROUTE, PAGE, PLAIN], ids=["everything", "page", "plain"])
async def test_a_wrong_address_takes_nothing_for_gone(
    connect: Connect, world: World, settings: Settings, answer: Json
) -> None:
    world.trouble(answer, times=-1)
    async with connect() as client:
        text = await refused(client.call_tool("generate_video", CLIP), "NOVITA_BASE_URL", "Nothing was billed")
        await refused(client.call_tool("generate_image", {"prompt": "a fox"}), "NOVITA_BASE_URL")
        named = {"prompt": "a fox", "model": "seedream-4.5"}
        await refused(client.call_tool("generate_image", named), "NOVITA_BASE_URL")
        assert "not served by Novita any more" not in text
    assert noted(settings) == []


async def test_several_heads_at_once_prove_nothing(connect: Connect, world: World, settings: Settings) -> None:
    """Although the list of language models is there."""
    world.trouble(NO_ROUTE, method="POST", times=-1)
    async with connect() as client:
        await refused(client.call_tool("generate_video", CLIP), FIRST, SECOND, "Nothing was billed")
    assert noted(settings) == []


async def test_a_model_that_was_named_is_never_swapped(connect: Connect, world: World, settings: Settings) -> None:
    world.trouble(NO_ROUTE, path=route(FIRST), times=-1)
    async with connect() as client:
        wish = CLIP | {"model": FIRST}
        text = await refused(client.call_tool("generate_video", wish), f"{FIRST} is not served", SECOND)
        assert "Nothing was billed" in text
    assert noted(settings) == [(FIRST, "")]
    assert not world.charges


async def test_another_404_is_told_as_it_is(connect: Connect, world: World, settings: Settings) -> None:
    odd: Json = {"status": 404, "body": '{"code": 404, "reason": "VOICE_NOT_FOUND", "message": "no such voice"}'}
    world.trouble(odd | {"content_type": "application/json"}, path="/v3/minimax-speech-2.8-turbo", times=-1)
    async with connect() as client:
        text = await refused(client.call_tool("generate_speech", {"text": "Hello."}), "no such voice")
        assert "not served" not in text
    assert noted(settings) == []


async def test_frames_of_this_machine_go_along_to_the_next(connect: Connect, world: World, tmp_path: Path) -> None:
    async with connect() as client:
        wish = {"prompt": "a fox", "duration": 5, "image": picture(tmp_path / "fox.png")}
        first = await done(client.call_tool("generate_video", wish))  # the best that takes a file of this machine
        world.trouble(NO_ROUTE, path="/v3/minimax/v2/video_generation", times=-1)
        answer = await done(client.call_tool("generate_video", wish))
        assert answer["model"] != first["model"] == "minimax-h3"
        assert "minimax-h3" in answer["remark"]
