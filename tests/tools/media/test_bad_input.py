"""Files and values that do not do: a clear error, with the way on, and nothing paid. See also kit/test_bad_input.py."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from ...conftest import Connect
from ..media_things import clip, done, link_to, nothing_paid, picture, recording, refused


async def test_a_video_where_an_image_belongs(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    path = clip(tmp_path / "clip.mp4", seconds=1, world=world)
    async with connect() as client:
        for reference in (path, link_to(path, world, settings.base_url)):
            call = client.call_tool("generate_video", {"prompt": "a fox", "image": reference})
            await refused(call, "video/mp4", "image is wanted", "Nothing was billed")
    nothing_paid(world)


async def test_an_image_where_a_video_or_a_sound_belongs(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png")
    async with connect() as client:
        wish = {"video": path, "image": path, "edit": "swap_face"}
        await refused(client.call_tool("edit_video", wish), "image/png", "video is wanted")
        await refused(
            client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": path}), "image/png", "audio is wanted"
        )
    nothing_paid(world)


async def test_a_result_of_another_kind(connect: Connect, world: World) -> None:
    async with connect() as client:
        task_id = (await done(client.call_tool("generate_speech", {"text": "A fox."})))["task_id"]
        spent = len(world.charges)

        call = client.call_tool("remove_background", {"model": "remove-background", "image": f"task:{task_id}/0"})
        await refused(call, "is audio, and image is wanted")
        call = client.call_tool("remove_background", {"model": "remove-background", "image": f"task:{task_id}/7"})
        await refused(call, "there is no 7")
    assert len(world.charges) == spent


@pytest.mark.parametrize("kind", ["png", "mp3"])
async def test_a_hundred_megabytes(connect: Connect, world: World, tmp_path: Path, kind: str) -> None:
    if kind == "png":
        path = Path(picture(tmp_path / "huge.png"))
        tool, argument, model = "remove_background", "image", "remove-background"
    else:
        path = Path(recording(tmp_path / "huge.mp3", "A fox.", world))
        tool, argument, model = "transcribe_audio", "audio", "glm-asr"
    with path.open("ab") as file:
        file.truncate(100 * 2**20)
    async with connect() as client:
        await refused(client.call_tool(tool, {argument: str(path), "model": model}), "100.0 MiB", "at most")
    nothing_paid(world)


async def test_a_link_that_answers_a_web_page(connect: Connect, world: World, settings: Settings) -> None:
    page = world.files.add("fox.png", "image/png", b"<!DOCTYPE html><html><body>Log in first</body></html>")
    async with connect() as client:
        wish = {"image": world.files.link(page, settings.base_url), "prompt": "make it blue"}
        await refused(client.call_tool("edit_image", wish), "text/html", "image is wanted")
    nothing_paid(world)


@pytest.mark.parametrize(
    "link",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.5/fox.png",
        "http://localhost:9/fox.png",
        "http://[::1]/fox.png",
        "http://2130706433/fox.png",
        "http://user:secret@files.example/fox.png",
    ],
)
async def test_a_private_address_over_http(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], world: World, link: str
) -> None:
    async with connect_http() as client:
        text = await refused(client.call_tool("edit_image", {"image": link, "prompt": "make it blue"}))
        assert "private" in text or "password" in text
        assert "secret" not in text
    nothing_paid(world)


VALUES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "a ratio the model cannot do": (
        "generate_video",
        {"prompt": "a fox", "model": "kling-v3.0-std-t2v", "aspect_ratio": "21:9"},
        ("`aspect_ratio`", "16:9"),
    ),
    "a ratio no picture has": (
        "generate_image",
        {"prompt": "a fox", "model": "gemini-2.5-flash-image-text-to-image", "aspect_ratio": "7:1"},
        ("`aspect_ratio`", "16:9"),
    ),
    "a misspelt option": (
        "generate_image",
        {"prompt": "a fox", "model": "txt2img", "options": {"guidence_scale": 7}},
        ("guidence_scale", "Did you mean `request.guidance_scale`?"),
    ),
    "an option that is a common argument the model has not": (
        "generate_image",
        {"prompt": "a fox", "model": "flux-1-schnell", "options": {"negative_prompt": "dogs"}},
        ("`negative_prompt` is not one of its arguments",),
    ),
    "a common argument twice": (
        "generate_image",
        {"prompt": "a fox", "model": "flux-1-schnell", "count": 2, "options": {"count": 3}},
        ("`count` is given twice",),
    ),
    "an argument and an option against each other": (
        "generate_image",
        {"prompt": "a fox", "model": "txt2img", "seed": 1, "options": {"seed": 2}},
        ("`seed`", "options.seed", "give one"),
    ),
    "an empty text": ("generate_speech", {"text": "   "}, ("`text`", "must not be empty")),
    "no text": ("generate_speech", {"text": ""}, ("text",)),
    "a text over the model's limit": (
        "generate_speech",
        {"text": "fox " * 3_000, "model": "minimax-speech-2.8-hd"},
        ("9999 characters", "12000"),
    ),
    "a prompt over the model's limit": (
        "generate_video",
        {"prompt": "fox " * 1_000, "model": "kling-v3.0-std-t2v"},
        ("`prompt`", "at most", "4000"),
    ),
    "an old V2 name that has a new one": (
        "generate_image",
        {"prompt": "a fox", "model": "txt2img", "options": {"batch_size": 2}},
        ("`batch_size` is an old V2 name", "`request.image_num`"),
    ),
    "an old V2 name in a native input": (
        "run_media_model",
        {"model": "txt2img", "input": {"request": {"prompt": "a fox", "cfg_scale": 7}}},
        ("`cfg_scale` is an old V2 name", "`request.guidance_scale`"),
    ),
    "an old V2 name that is gone": (
        "generate_image",
        {"prompt": "a fox", "model": "txt2img", "options": {"n_iter": 2}},
        ("`n_iter` is an old V2 name", "gone in V3"),
    ),
    "an old V2 way in the prompt": (
        "generate_image",
        {"prompt": "a fox <lora:add_detail:0.8>", "model": "txt2img"},
        ("<lora:", "options.loras"),
    ),
    "sound from a silent model": (
        "generate_video",
        {"prompt": "a fox", "model": "kling-v1.6-t2v", "sound": True},
        ("`sound`", "Models that take all of this"),
    ),
    "a webhook on a model without": (
        "generate_image",
        {"prompt": "a fox", "model": "qwen-image-txt2img", "webhook_url": "https://me.example/done"},
        ("`webhook_url` is not one of its arguments", "txt2img"),
    ),
    "a webhook that is no address": (
        "generate_image",
        {"prompt": "a fox", "model": "txt2img", "webhook_url": "me.example/done"},
        ("`webhook_url`", "http(s)"),
    ),
    "a format no voice has": ("generate_speech", {"text": "A fox.", "format": "aiff"}, ("format",)),
    "a strength over one": ("edit_image", {"image": "x", "strength": 2}, ("strength",)),
}


@pytest.mark.parametrize("case", VALUES)
async def test_a_value_the_model_cannot_take(connect: Connect, world: World, case: str) -> None:
    tool, arguments, words = VALUES[case]
    async with connect() as client:
        await refused(client.call_tool(tool, arguments), *words, "billed")
    nothing_paid(world)


async def test_a_picture_the_model_cannot_take_says_which_limit(connect: Connect, world: World, tmp_path: Path) -> None:
    wide = picture(tmp_path / "wide.png", (2000, 300))
    tiny = picture(tmp_path / "tiny.png", (100, 80))
    async with connect() as client:
        wish = {"prompt": "a fox", "model": "seedance-v1-lite-i2v"}
        await refused(client.call_tool("generate_video", wish | {"image": wide}), "ratio", "Crop or pad")
        await refused(client.call_tool("generate_video", wish | {"image": tiny}), "100x80", "resize=true")
    nothing_paid(world)


@pytest.mark.old_models
async def test_transparency_is_flattened_only_when_asked(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    """Novita's pages of Wan: PNG without alpha. What was changed has no link, so a model that takes files must do."""
    path = picture(tmp_path / "clear.png", (600, 600), mode="RGBA")
    async with connect() as client:
        wish = {"prompt": "a fox", "model": "wan2.6-i2v", "image": path}
        await refused(client.call_tool("generate_video", wish), "transparen", "resize=true")
        nothing_paid(world)

        made = await client.call_tool("generate_video", wish | {"resize": True, "wait_seconds": 0, "confirm": True})
        assert not made.is_error
        assert world.count("wan2_6_i2v", "accepted") == 1
