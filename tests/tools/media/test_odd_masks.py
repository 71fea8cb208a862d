"""Masks as people have them reach Novita white on black and in the picture's size, or are refused before money."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from PIL import Image, ImageDraw

from ...conftest import Connect
from ...odd_media import photo, put, saved, scene
from ..media_things import body_of, done, link_to, nothing_paid, picture, refused

pytestmark = pytest.mark.old_models

SIZE = (640, 480)
HOLE = (0, 0, 199, 479)
"""Where every mask here marks: the left of a picture of 640x480."""
WISH = {"prompt": "hat", "checkpoint": "dreamshaper_8_93211.safetensors"}


def marked(draw_on: Image.Image, fill: Any, box: tuple[int, int, int, int] = HOLE) -> Image.Image:
    ImageDraw.Draw(draw_on).rectangle(box, fill=fill)
    return draw_on


def with_hole(ground: Image.Image) -> Image.Image:
    """As OpenAI's tools want it: alpha 0 where to paint."""
    return marked(ground.convert("RGBA"), (0, 0, 0, 0))


MASKS = {
    "another size": marked(Image.new("L", (320, 240)), 255, (0, 0, 99, 239)),
    "another size by a pixel": marked(Image.new("L", (641, 480)), 255),
    "a hole in black": with_hole(Image.new("RGB", SIZE)),
    "a hole in the picture itself": with_hole(scene(SIZE)),
    "a hole in white and black": with_hole(Image.effect_noise(SIZE, 90).convert("RGB")),
    "white on nothing": marked(Image.new("RGBA", SIZE), (255, 255, 255, 255)),
    "white on black on nothing": marked(
        marked(Image.new("RGBA", SIZE), (0, 0, 0, 255), (0, 0, 500, 400)), (255, 255, 255, 255)
    ),
    "ones for white": marked(Image.new("L", SIZE), 1),
    "a palette": marked(Image.new("L", SIZE), 255).convert("P"),
    "one bit": marked(Image.new("1", SIZE), 1),
    "sixteen bits": marked(Image.new("I;16", SIZE), 65_535),
    "as it should be": marked(Image.new("L", SIZE), 255),
}


def got_mask(world: World) -> Image.Image:
    body = body_of(world, "inpainting")["request"]
    mask = Image.open(io.BytesIO(base64.b64decode(body["mask_image_base64"])))
    image = Image.open(io.BytesIO(base64.b64decode(body["image_base64"])))
    assert mask.size == image.size
    return mask.convert("L")


async def test_every_kind_of_mask_marks_what_it_was_drawn_for(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png", SIZE)
    async with connect() as client:
        for name, drawn in MASKS.items():
            mask = put(tmp_path, f"{name}.png", saved(drawn, "PNG"))
            await done(client.call_tool("inpaint_image", {"image": path, "mask": mask, **WISH}))
            got = got_mask(world)
            assert got.size == SIZE, name
            inside, outside = got.getpixel((100, 240)), got.getpixel((400, 240))
            assert (inside, outside) == (255, 0), name


async def test_a_jpeg_is_a_mask_too(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png", SIZE)
    mask = put(tmp_path, "mask.jpg", saved(marked(Image.new("RGB", SIZE), "white"), "JPEG"))
    async with connect() as client:
        await done(client.call_tool("inpaint_image", {"image": path, "mask": mask}))


NOTHING = {
    "all black": Image.new("L", SIZE),
    "nearly black": marked(Image.new("L", SIZE, 2), 9),
    "wholly transparent": Image.new("RGBA", SIZE),
    "black without a hole": Image.new("RGBA", SIZE, (0, 0, 0, 255)),
}


async def test_a_mask_that_marks_nothing_is_refused_before_money(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    path, mask = picture(tmp_path / "fox.png", SIZE), ""
    async with connect() as client:
        for name, drawn in NOTHING.items():
            mask = put(tmp_path, f"{name}.png", saved(drawn, "PNG"))
            for more in (WISH, {}):  # inpainting and erasing
                call = client.call_tool("inpaint_image", {"image": path, "mask": mask, **more})
                await refused(call, "marks nothing", "White marks", "Nothing was billed")
        links = {"image": link_to(path, world, settings.base_url), "mask": link_to(mask, world, settings.base_url)}
        call = client.call_tool("inpaint_image", {**links, "model": "image-eraser"})
        await refused(call, "marks nothing", "Nothing was billed")
    nothing_paid(world)


async def test_a_mask_of_another_shape_is_refused_with_both_sizes_or_stretched_on_request(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    path = picture(tmp_path / "fox.png", SIZE)
    mask = put(tmp_path, "mask.png", saved(marked(Image.new("L", (512, 512)), 255, (0, 0, 159, 511)), "PNG"))
    async with connect() as client:
        wish = {"image": path, "mask": mask, **WISH}
        await refused(
            client.call_tool("inpaint_image", wish), "512x512", "640x480", "resize=true", "Nothing was billed"
        )
        nothing_paid(world)

        await done(client.call_tool("inpaint_image", {**wish, "resize": True}))
        assert got_mask(world).getpixel((190, 240)) == 255


@pytest.mark.parametrize("lying", [True, False])
async def test_a_mask_goes_with_a_photo_that_lay_on_its_side(
    connect: Connect, world: World, tmp_path: Path, lying: bool
) -> None:
    """The photo is turned upright. Its mask is turned with it if it was drawn on the lying pixels."""
    path = put(tmp_path, "exif6.jpg", photo((1200, 800), orientation=6))
    # Seen upright, the upper left of the lying pixels is at the upper right.
    drawn = (
        marked(Image.new("L", (1200, 800)), 255, (0, 0, 300, 200))
        if lying
        else marked(Image.new("L", (800, 1200)), 255, (599, 0, 799, 300))
    )
    async with connect() as client:
        mask = put(tmp_path, "mask.png", saved(drawn, "PNG"))
        await done(client.call_tool("inpaint_image", {"image": path, "mask": mask, **WISH}))
    got = got_mask(world)
    assert got.size == (800, 1200)
    assert (got.getpixel((700, 100)), got.getpixel((100, 100)), got.getpixel((700, 1100))) == (255, 0, 0)


async def test_the_mask_follows_a_picture_that_is_resized(connect: Connect, world: World, tmp_path: Path) -> None:
    size = (4800, 3600)
    path = put(tmp_path, "large.jpg", saved(Image.new("RGB", size, "green"), "JPEG"))
    mask = put(tmp_path, "mask.png", saved(marked(Image.new("L", size), 255, (0, 0, 1000, 3599)), "PNG"))
    async with connect() as client:
        await done(client.call_tool("inpaint_image", {"image": path, "mask": mask, "resize": True, **WISH}))
    assert got_mask(world).width < 4800


async def test_a_mask_that_is_right_is_sent_as_it_is(connect: Connect, world: World, tmp_path: Path) -> None:
    path, right = picture(tmp_path / "fox.png", SIZE), saved(MASKS["as it should be"], "PNG")
    async with connect() as client:
        await done(client.call_tool("inpaint_image", {"image": path, "mask": put(tmp_path, "mask.png", right), **WISH}))
    assert base64.b64decode(body_of(world, "inpainting")["request"]["mask_image_base64"]) == right
