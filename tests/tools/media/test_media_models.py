"""The tools about models: what there is, what one takes, what it costs, and any of them with its own input."""

from decimal import Decimal
from typing import Any

import pytest
from mcp import Client
from novita_mcp.novita.media.lookup import media_model, media_models
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, text_of
from ..media_things import Json, body_of, done, film_of, image_of, nothing_paid, refused


async def asked(client: Client, tool: str, **arguments: Any) -> Json:
    """The structured answer."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


async def test_every_model_is_listed_page_by_page(connect: Connect) -> None:
    async with connect() as client:
        seen: list[str] = []
        page: Json = {"more": True}
        while page["more"]:
            page = await asked(client, "list_media_models", retired=True, offset=len(seen))
            seen += [model["id"] for model in page["models"]]

        assert sorted(seen) == sorted(model.id for model in media_models())
        assert page["total"] == len(seen)


async def test_a_list_can_be_narrowed(connect: Connect) -> None:
    async with connect() as client:
        found = await asked(client, "list_media_models", does="first-last frame", search="vidu q2", retired=True)

        assert {model["id"] for model in found["models"]} == {
            "vidu-q2-pro-startend2video",
            "vidu-q2-turbo-startend2video",
            "vidu-q2-pro-fast-startend2video",
        }
        await refused(client.call_tool("list_media_models", {"does": "telepathy"}), "text_to_image")


async def test_nothing_retired_is_listed_unasked(connect: Connect) -> None:
    async with connect() as client:
        found = await asked(client, "list_media_models", search="wan2.7")

        assert found["models"] == []


async def test_one_model_is_described_with_its_own_schema(connect: Connect) -> None:
    async with connect() as client:
        found = await asked(client, "describe_media_model", model="Kling V3.0 std t2v")

        assert found["id"] == "kling-v3.0-std-t2v"
        assert found["arguments"]["duration"] == "duration"
        assert found["native_schema"]["properties"]["prompt"]["type"] == "string"
        assert found["source"].startswith("https://")
        await refused(client.call_tool("describe_media_model", {"model": "kling-3-std-t2w"}), "kling-v3.0-std-t2v")


@pytest.mark.old_models
async def test_any_model_runs_with_its_own_input(connect: Connect, world: World) -> None:
    async with connect() as client:
        native = {"prompt": "a fox", "size": "512*768", "seed": 5}
        answer = await done(client.call_tool("run_media_model", {"model": "z-image-turbo", "input": native}))

        assert image_of(answer).size == (512, 768)
        assert answer["seed"] == 5
        assert body_of(world, "z_image_turbo") == native


async def test_a_native_input_is_checked_before_it_is_sent(connect: Connect, world: World) -> None:
    async with connect() as client:
        for native, words in (
            ({"prompt": "a fox", "sizes": "1:1"}, ("`sizes`", "`size`")),
            ({"size": "512*512"}, ("needs", "`prompt`")),
            ({"prompt": "a fox", "seed": "many"}, ("`seed`", "whole number")),
        ):
            call = client.call_tool("run_media_model", {"model": "z-image-turbo", "input": native})
            await refused(call, *words)
    nothing_paid(world)


async def test_a_dry_run_shows_request_and_price_and_sends_nothing(connect: Connect, world: World) -> None:
    async with connect() as client:
        wish = {"model": "flux-1-schnell", "prompt": "a fox", "count": 4, "dry_run": True}
        shown = await asked(client, "generate_image", **wish)

        assert shown["status"] == "dry_run"
        assert shown["request"]["path"] == "/v3beta/flux-1-schnell"
        assert shown["request"]["body"]["image_num"] == 4
        assert shown["estimated_cost_usd"] == "0.012"
    nothing_paid(world)


async def test_the_estimate_is_what_is_charged(connect: Connect, world: World) -> None:
    async with connect() as client:
        for wish in (
            {"model": "kling-v3.0-std-t2v", "duration": 5},
            {"model": "flux-1-schnell", "count": 3},
        ):
            arguments = {name: value for name, value in wish.items() if name != "model"}
            found = await asked(client, "estimate_cost", model=wish["model"], arguments=arguments)
            before = Decimal(str(world.balance_usd()))
            tool = "generate_video" if "duration" in wish else "generate_image"
            await done(client.call_tool(tool, {"prompt": "a fox", **wish}))

            assert found["basis"] == "documented"
            assert before - Decimal(str(world.balance_usd())) == Decimal(found["estimated_cost_usd"])


async def test_an_unknown_price_is_said_to_be_unknown(connect: Connect) -> None:
    async with connect() as client:
        found = await asked(client, "estimate_cost", model="glm-tts", arguments={"text": "hello"})

        assert found["basis"] == "unknown"
        assert found["estimated_cost_usd"] == "unknown"


async def test_checkpoints_are_searched_and_paged(connect: Connect) -> None:
    async with connect() as client:
        first = await asked(client, "search_checkpoints", type="checkpoint")
        second = await asked(client, "search_checkpoints", type="checkpoint", cursor=first["next_cursor"])
        named = await asked(client, "search_checkpoints", query="realis", type="checkpoint")

        names = [found["name"] for found in (*first["checkpoints"], *second["checkpoints"])]
        assert len(set(names)) == len(names) > 20
        assert named["checkpoints"]
        assert all("realis" in found["name"].casefold() for found in named["checkpoints"])


@pytest.mark.old_models
async def test_a_found_checkpoint_makes_a_picture(connect: Connect, world: World) -> None:
    async with connect() as client:
        found = await asked(client, "search_checkpoints", type="checkpoint")
        name = next(one["name"] for one in found["checkpoints"] if one["sdxl"])
        answer = await done(client.call_tool("generate_image", {"prompt": "a fox", "checkpoint": name}))

        assert answer["model"] == "txt2img"
        assert body_of(world, "txt2img")["request"]["model_name"] == name


@pytest.mark.old_models
async def test_options_pick_a_model_that_has_them(connect: Connect, world: World) -> None:
    """A native name only txt2img knows must not end as "unknown option" of the default model."""
    async with connect() as client:
        options = {"sampler_name": "Euler a", "steps": 12}
        wish = {"prompt": "a fox", "checkpoint": "dreamshaper_8_93211.safetensors", "options": options}
        answer = await done(client.call_tool("generate_image", wish))
        assert answer["model"] == "txt2img"
        assert body_of(world, "txt2img")["request"]["steps"] == 12

        answer = await done(client.call_tool("generate_image", {"prompt": "a fox", "options": {"watermark": False}}))
        assert "watermark" in body_of(world, media_model(answer["model"]).operation)


@pytest.mark.parametrize("state", ["retired", "gone"])
async def test_a_retired_model_is_called_and_a_404_names_living_ones(
    connect: Connect, world: World, state: str
) -> None:
    """Some still answer; for those that do not, the caller is shown the way."""
    world.set(old_models=state == "retired")
    wish = {"prompt": "a fox", "model": "wan2.6-t2v", "duration": 5, "confirm": True}
    async with connect() as client:
        call = client.call_tool("generate_video", wish)
        if state == "retired":
            assert film_of(await done(call)).seconds == pytest.approx(5, abs=0.3)
            return
        text = await refused(call, "wan2.6-t2v is not served by Novita any more", "kling-v3.0-std-t2v")
        assert "Nothing was billed" in text
    assert not world.charges


async def test_a_model_is_described_by_what_each_tool_takes(connect: Connect, world: World) -> None:
    """What a tool does not carry goes in its options, under the common name: no error sends anybody in a circle."""
    async with connect() as client:
        told = await asked(client, "describe_media_model", model="txt2video")
        assert "prompt" in told["tools"]["generate_video"]
        assert "options.checkpoint" in told["tools"]["generate_video"]

        told = await asked(client, "describe_media_model", model="minimax-speech-2.8-turbo")
        assert {"text", "voice", "options.volume"} <= set(told["tools"]["generate_speech"])
        wish = {"text": "Good morning.", "model": "minimax-speech-2.8-turbo", "options": {"volume": 2}}
        await done(client.call_tool("generate_speech", wish))
        assert body_of(world, "minimax_speech_2_8_turbo")["voice_setting"]["vol"] == 2

        wrong = {"model": "flux-1-schnell", "input": {"prompt": "a fox", "count": 2}}
        await refused(client.call_tool("run_media_model", wrong), "In this model's own words it is `image_num`")


@pytest.mark.parametrize(
    ("asked_for", "told"),
    [
        ({"search": "talking head"}, "generate_video"),
        ({"search": "lip-sync"}, "sound=true"),
        ({"search": "avatar"}, "generate_video"),
        ({"search": "female voices"}, "voice='calm female'"),
        ({"search": "dubbing"}, "transcribe_audio"),
        ({"search": "super-resolution"}, "'upscale'"),
        ({"does": "upscale"}, "No upscaler is known to live"),
        ({"does": "extend_video"}, "last frame"),
        ({"does": "text_to_speech", "search": "qqq"}, "Without search, these do text_to_speech: "),
    ],
)
async def test_where_no_model_fits_it_is_said_what_would(asked_for: Json, told: str, connect: Connect) -> None:
    async with connect() as client:
        found = await asked(client, "list_media_models", **asked_for)

    assert found["models"] == []
    assert told in found["next_step"]
    assert "retired=true" in found["next_step"]
