"""Models first seen since June 2026, on the OpenAI-style image routes and in their makers' own dialects."""

from pathlib import Path

import pytest
from novita_mcp.simulator.core.world import World
from PIL import Image, ImageChops

from ...conftest import Connect
from ..media_things import Json, body_of, done, film_of, image_of, mask, picture, refused


async def test_a_prompt_alone_goes_to_the_newest_documented_model(connect: Connect, world: World) -> None:
    async with connect() as client:
        answer = await done(client.call_tool("generate_image", {"prompt": "a poster that says FOX"}))

        assert answer["model"] == "ming-image-0.1-design"
        assert answer["estimated_cost_usd"] == "0.016384"
        assert image_of(answer).size == (2048, 2048)
        assert body_of(world, "ming_image_design")["model"] == "ming-image-0.1-design"


async def test_a_shape_is_a_bucket_and_a_size_must_be_one_that_comes_out(connect: Connect, world: World) -> None:
    async with connect() as client:
        wish: Json = {"prompt": "a fox", "model": "ming-image-0.1-design"}
        wide = await done(client.call_tool("generate_image", wish | {"aspect_ratio": "16:9", "format": "jpeg"}))
        assert image_of(wide).size[0] / image_of(wide).size[1] == pytest.approx(16 / 9, rel=0.03)
        small = await done(client.call_tool("generate_image", wish | {"size": "1024x1024"}))
        assert (image_of(small).size, small["estimated_cost_usd"]) == ((1024, 1024), "0.004096")
        await refused(client.call_tool("generate_image", wish | {"size": "1536x1024"}), "1024x1024 or 2048x2048")
        await refused(client.call_tool("generate_image", wish | {"image": "x"}), "Unknown argument")


async def test_what_is_white_in_a_mask_is_cut_out_for_a_model_that_wants_holes(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    path, half = picture(tmp_path / "fox.png", (512, 512)), mask(tmp_path / "mask.png", (512, 512))
    async with connect() as client:
        wish = {"image": path, "mask": half, "prompt": "a green hill", "confirm": True}
        answer = await done(client.call_tool("inpaint_image", wish))

        assert answer["model"] == "gpt-image-2-edit"  # unlike the older ones, no notice names it
        before, after = Image.open(path).convert("RGB"), image_of(answer).convert("RGB")
        left, right = (0, 0, 250, 512), (262, 0, 512, 512)
        assert ImageChops.difference(before.crop(left), after.crop(left)).getbbox() is not None
        assert ImageChops.difference(before.crop(right), after.crop(right)).getbbox() is None


async def test_a_picture_says_its_type_where_the_dialect_wants_it(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    drawn = picture(tmp_path / "fox.jpg")
    async with connect() as client:
        wish = {"image": drawn, "prompt": "make it blue", "model": "gemini-3.1-flash-image", "confirm": True}
        answer = await done(client.call_tool("edit_image", wish))

        assert image_of(answer).size == (1024, 1024)
        given, words = body_of(world, "gemini_3_1_flash_image")["contents"][0]["parts"]
        assert given["inlineData"]["mimeType"] == "image/jpeg"
        assert words == {"text": "make it blue"}


@pytest.mark.parametrize(
    ("model", "operation", "query"),
    [
        ("minimax-h3", "minimax_h3", "query_minimax_h3"),
        ("seedance-2.5", "seedance_2_5", "query_seedance_2"),
        ("veo-3.1-fast-generate-001", "veo_3_1_fast", "get_task_result"),
    ],
)
async def test_a_clip_is_followed_on_the_route_of_its_maker(
    connect: Connect, world: World, tmp_path: Path, model: str, operation: str, query: str
) -> None:
    frame = picture(tmp_path / "fox.png")
    wish: Json = {"prompt": "it runs", "image": frame, "duration": 4, "model": model, "confirm": True}
    async with connect() as client:
        started = await client.call_tool("generate_video", wish | {"wait_seconds": 0})
        assert not started.is_error
    async with connect() as client:  # another session finds the route again
        answered: Json = started.structured_content or {}
        task_id: str = answered["task_id"]
        answer = await done(client.call_tool("get_task", {"task_id": task_id}))

        assert film_of(answer).seconds == pytest.approx(4, abs=0.3)
        assert world.count(operation, "accepted") == 1
        assert world.count(query, "accepted") >= 1


async def test_a_failed_clip_of_an_own_route_says_why(connect: Connect, world: World) -> None:
    world.fail_next_task("the fox ran away")
    async with connect() as client:
        wish = {"prompt": "a fox", "model": "minimax-h3", "duration": 4, "confirm": True}
        await refused(client.call_tool("generate_video", wish), "the fox ran away")


async def test_layers_come_as_one_picture_each(connect: Connect, world: World, tmp_path: Path) -> None:
    async with connect() as client:
        native = {"model": "ming-image-0.1-design-layer", "prompt": "3 layers"}
        native["image"] = [picture(tmp_path / "poster.png")]  # pyright: ignore[reportArgumentType]
        wish = {"model": "ming-image-0.1-design-layer", "input": native, "confirm": True}
        answer = await done(client.call_tool("run_media_model", wish))

        assert len(answer["artifacts"]) == 3
