"""The tools that work on pictures: what comes back really derives from what was handed in."""

from pathlib import Path

import pytest
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from PIL import Image, ImageChops

from ...conftest import Connect
from ..media_things import body_of, data_uri, done, image_of, link_to, mask, one, picture, refused

pytestmark = pytest.mark.old_models


def differs(first: str, second: Image.Image, box: tuple[int, int, int, int] | None = None) -> bool:
    """Whether two pictures differ clearly, within a box."""
    with Image.open(first) as opened:
        left = opened.convert("RGB").crop(box) if box else opened.convert("RGB")
    right = second.convert("RGB").crop(box) if box else second.convert("RGB")
    extrema = ImageChops.difference(left, right).convert("L").getextrema()
    return extrema[1] > 20  # pyright: ignore[reportOperatorIssue, reportIndexIssue, reportUnknownVariableType]


async def test_a_picture_is_edited_by_instruction(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png")
    async with connect() as client:
        answer = await done(client.call_tool("edit_image", {"image": path, "prompt": "make it blue"}))

        assert answer["model"] == "seedream-5.0-lite"
        assert differs(path, image_of(answer))
        assert body_of(world, "seedream_5_0_lite")["prompt"] == "make it blue"


async def test_a_second_picture_picks_a_model_that_takes_references(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    path, other = picture(tmp_path / "fox.png"), picture(tmp_path / "hat.png", colour="blue")
    async with connect() as client:
        answer = await done(
            client.call_tool("edit_image", {"image": path, "images": [other], "prompt": "put the hat on the fox"})
        )

        assert answer["model"] == "seedream-5.0-lite"
        sent = body_of(world, "seedream_5_0_lite")["image"]
        assert [one.startswith("data:image/png;base64,") for one in sent] == [True, True]


@pytest.mark.parametrize(
    ("edit", "more", "operation"),
    [
        ("restyle", {"prompt": "in oil", "strength": 0.6, "checkpoint": "dreamshaper_8_93211.safetensors"}, "img2img"),
        ("reimagine", {"model": "reimagine"}, "reimagine"),
        ("outpaint", {"prompt": "a field", "size": "1024x768", "model": "outpainting"}, "outpainting"),
        ("remove_text", {"model": "remove-text"}, "remove_text"),
        ("swap_face", {}, "merge_face"),
    ],
)
async def test_each_special_edit_goes_to_the_model_for_it(
    connect: Connect, world: World, tmp_path: Path, edit: str, more: dict[str, object], operation: str
) -> None:
    path = picture(tmp_path / "fox.png")
    if edit == "swap_face":
        more = {"images": [picture(tmp_path / "face.png", colour="yellow")]}
    async with connect() as client:
        answer = await done(client.call_tool("edit_image", {"image": path, "edit": edit, **more}))

        made = image_of(answer)
        assert world.count(operation, "accepted") == 1
        assert made.size == ((1024, 768) if edit == "outpaint" else (640, 480))


async def test_only_the_masked_half_is_repainted(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png", (512, 512))
    async with connect() as client:
        answer = await done(
            client.call_tool(
                "inpaint_image",
                {
                    "image": path,
                    "mask": mask(tmp_path / "mask.png", (512, 512)),
                    "prompt": "a green hill",
                    "checkpoint": "dreamshaper_8_93211_inpainting.safetensors",
                },
            )
        )

        made = image_of(answer)
        assert differs(path, made, (0, 0, 200, 512))
        assert not differs(path, made, (300, 0, 512, 512))
        assert world.count("inpainting", "accepted") == 1


async def test_without_a_prompt_what_the_mask_covers_is_erased(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png")
    async with connect() as client:
        answer = await done(
            client.call_tool("inpaint_image", {"image": path, "mask": mask(tmp_path / "mask.png"), "model": "cleanup"})
        )

        assert differs(path, image_of(answer))
        assert world.count("cleanup", "accepted") == 1


async def test_an_upscaled_picture_is_larger_by_the_factor(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png", (320, 240))
    async with connect() as client:
        answer = await done(client.call_tool("upscale_image", {"model": "upscale", "image": path, "scale": 2}))

        assert image_of(answer).size == (640, 480)
        assert one(answer)["width"] == 640


async def test_a_removed_background_is_transparent(connect: Connect, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png")
    async with connect() as client:
        answer = await done(client.call_tool("remove_background", {"model": "remove-background", "image": path}))

        made = image_of(answer)
        assert made.mode == "RGBA"
        assert (made.getpixel((2, 2)), made.getpixel((320, 240))) == ((255, 255, 255, 0), (255, 0, 0, 255))


async def test_a_background_is_replaced_behind_the_subject(connect: Connect, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png")
    async with connect() as client:
        answer = await done(
            client.call_tool(
                "replace_background", {"model": "replace-background", "image": path, "prompt": "a beach at dusk"}
            )
        )

        made = image_of(answer).convert("RGB")
        assert made.getpixel((2, 2)) != (255, 255, 255)
        assert made.getpixel((320, 240)) == (255, 0, 0)


async def test_a_picture_is_described_in_words(connect: Connect, world: World, tmp_path: Path) -> None:
    async with connect() as client:
        answer = await done(
            client.call_tool("describe_image", {"model": "img2prompt", "image": picture(tmp_path / "fox.png")})
        )

        assert "red" in answer["text"]
        assert answer["artifacts"] == []
        assert world.count("image_to_prompt", "accepted") == 1


async def test_a_picture_comes_as_path_link_data_or_earlier_result(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    path = picture(tmp_path / "fox.png")
    async with connect() as client:
        made = await done(client.call_tool("generate_image", {"prompt": "a fox"}))
        for reference in (
            path,
            link_to(path, world, settings.base_url),
            data_uri(path),
            f"task:{made['task_id']}/0",
        ):
            answer = await done(
                client.call_tool("remove_background", {"model": "remove-background", "image": reference})
            )
            assert image_of(answer).mode == "RGBA"


async def test_a_model_that_takes_links_only_is_not_for_a_file_of_this_machine(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    path = picture(tmp_path / "fox.png", (320, 240))
    async with connect() as client:
        wish = {"model": "image-remove-background"}
        named = {"image": path, **wish}
        await refused(client.call_tool("remove_background", named), "only as a public link")
        assert not world.charges

        linked = {"image": link_to(path, world, settings.base_url), **wish}
        answer = await done(client.call_tool("remove_background", linked))
        assert answer["model"] == "image-remove-background"


async def test_a_picture_over_the_limit_is_refused_with_the_limit_and_resized_when_asked(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    path = picture(tmp_path / "fox.png", (1600, 1200))
    async with connect() as client:
        call = {"image": path, "edit": "reimagine", "model": "reimagine"}
        await refused(client.call_tool("edit_image", call), "1600x1200", "1024", "resize=true")
        assert not world.charges

        answer = await done(client.call_tool("edit_image", call | {"resize": True}))
        assert image_of(answer).size == (1024, 768)
