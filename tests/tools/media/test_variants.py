"""Variants, styles and sizes: what people ask of a picture beside what is in it."""

from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.core.world import World

from ...building import quick
from ...conftest import Connect, fields_of, text_of
from ..media_things import body_of, done, image_of, picture, refused

Json = dict[str, Any]


async def test_a_picture_takes_the_style_of_another(connect: Connect, world: World, tmp_path: Path) -> None:
    fox, style = picture(tmp_path / "fox.png"), picture(tmp_path / "style.png", (400, 400), colour="blue")
    async with connect(build=quick) as client:
        wish = {"image": fox, "style": style, "model": "seedream-4.0"}
        shown = fields_of(await client.call_tool("edit_image", {**wish, "dry_run": True}))
        await done(client.call_tool("edit_image", wish))
        await refused(client.call_tool("edit_image", {**wish, "edit": "outpaint"}), "style goes with")
    body = shown["request"]["body"]
    assert "style of picture 2" in body["prompt"]
    assert len(body_of(world, "seedream_4_0")["images"]) == 2


async def test_variants_of_an_edit_come_in_one_call(connect: Connect, world: World, tmp_path: Path) -> None:
    fox = picture(tmp_path / "fox.png")
    async with connect(build=quick) as client:
        wish = {"image": fox, "prompt": "make it blue", "count": 3}
        answer = await done(client.call_tool("edit_image", wish))
        again = await done(client.call_tool("edit_image", wish))
    made = [line["made"][0] for line in answer["each"]]
    assert len({Path(path).read_bytes() for path in made}) == 3
    assert all(Path(path).name.startswith("fox_edited") for path in made)
    assert {line["status"] for line in again["each"]} == {"made before"}
    assert len(world.charges) == 3


@pytest.mark.parametrize(("size", "times"), [("1280", 2.0), ("1920x1440", 3.0), ("1600 x 900", 2.5)])
async def test_a_picture_is_enlarged_to_a_size_in_pixels(
    connect: Connect, tmp_path: Path, size: str, times: float
) -> None:
    fox = picture(tmp_path / "fox.png", (640, 480))
    async with connect(build=quick) as client:
        told = [
            fields_of(await client.call_tool("upscale_image", {"image": fox, **wish, "dry_run": True}))
            for wish in ({"size": size}, {"scale": times})
        ]
    assert told[0]["request"] == told[1]["request"]


async def test_a_size_that_cannot_be_is_refused(connect: Connect, world: World, tmp_path: Path) -> None:
    fox = picture(tmp_path / "fox.png", (640, 480))
    async with connect(build=quick) as client:
        for wish, words in (
            ({"size": "600"}, "640x480 pixels already"),
            ({"size": "9000"}, "8 times is the most"),
            ({"size": "large"}, "is no size"),
            ({"size": "1280", "scale": 2}, "either scale or size"),
        ):
            await refused(client.call_tool("upscale_image", {"image": fox, **wish}), words)
    assert not world.charges


@pytest.mark.old_models
async def test_a_lora_of_another_base_is_refused_and_one_of_the_same_is_not(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        found: dict[str, str] = {}
        for kind in ("checkpoint", "lora"):
            cursor: Json = {}
            for _ in range(12):
                page = await client.call_tool("search_checkpoints", {"type": kind, **cursor})
                told: Json = fields_of(page)
                for row in told["checkpoints"]:
                    base = "xl" if "XL" in (row.get("base") or "") else "1" if "1.5" in (row.get("base") or "") else ""
                    if base and not row.get("inpainting"):
                        found.setdefault(f"{kind} {base}", row["name"])
                if not told.get("next_cursor"):
                    break
                cursor = {"cursor": told["next_cursor"]}
        wish = {"prompt": "a fox", "model": "txt2img", "checkpoint": found["checkpoint 1"]}
        strange = {"loras": [{"model_name": found["lora xl"], "strength": 0.7}]}
        fitting = {"loras": [{"model_name": found["lora 1"], "strength": 0.7}]}
        text = await refused(client.call_tool("generate_image", {**wish, "options": strange}), "do not work together")
        assert "SDXL" in text and "Stable Diffusion 1" in text
        assert not world.charges
        result = await client.call_tool("generate_image", {**wish, "options": fitting})
        assert not result.is_error, text_of(result)


@pytest.mark.parametrize(
    ("size", "made", "told"),
    [
        ("3840", (3840, 2880), ""),  # more than the first model makes, so another does it
        ("3840x3840", (3840, 3840), ""),
        ("6400", None, "not 6400x4800"),  # more than any makes: that is said, and the shape is kept
    ],
)
async def test_what_is_enlarged_has_the_size_that_was_asked_for_or_the_answer_says_why_not(
    connect: Connect, tmp_path: Path, size: str, made: tuple[int, int] | None, told: str
) -> None:
    fox = picture(tmp_path / "fox.png", (1600, 1600) if "x" in size else (1600, 1200))
    async with connect() as client:
        answer = await done(client.call_tool("upscale_image", {"image": fox, "size": size}))
    width, height = image_of(answer).size
    if made is not None:
        assert (width, height) == made
        assert "It becomes" not in answer["remark"]
    else:
        assert told in answer["remark"] and f"{width}x{height}" in answer["remark"]
        assert abs(width / height - 4 / 3) < 0.01


@pytest.mark.parametrize("model", ["seedream-5.0-lite", "seedream-4.5", "seedream-4.0"])
async def test_an_edited_picture_keeps_its_shape(connect: Connect, tmp_path: Path, model: str) -> None:
    """Where no size is asked for; the documented default is a square."""
    fox = picture(tmp_path / "fox.png", (900, 1600))
    async with connect() as client:
        wish = {"image": fox, "prompt": "in snow", "model": model}
        answer = await done(client.call_tool("edit_image", wish))
        wide = await done(client.call_tool("edit_image", {**wish, "size": "2560x1440"}))
    width, height = image_of(answer).size
    assert abs(width / height - 9 / 16) < 0.01
    assert image_of(wide).size == (2560, 1440)
