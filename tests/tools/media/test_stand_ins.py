"""Tools whose own models are gone: what stands in, and what it says about that."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.media.lookup import media_model
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running
from novita_mcp.simulator.text.language_models import models

from ...conftest import Connect, text_of
from ...odd_media import put, wav
from ..media_things import Json, body_of, clip, done, link_to, mask, nothing_paid, picture, recording, refused

NO_MODEL: Json = {
    "status": 404,
    "body": '{"code": 404, "reason": "MODEL_NOT_FOUND", "message": "model not found", "metadata": {}}',
    "content_type": "application/json",
}


@pytest.fixture(autouse=True)
def notices(world: World) -> None:
    """What notices ended answers no more."""
    world.set(old_models=False)


PICTURE_TOOLS: dict[str, tuple[str, Json, str, str]] = {
    "upscale": ("upscale_image", {}, "seedream-5.0-lite", "details change"),
    "cut out": ("remove_background", {}, "ming-image-0.1-design-layer", "layers with transparency"),
    "background": ("replace_background", {"prompt": "a beach"}, "seedream-5.0-lite", "re-draws the picture by words"),
    "outpaint": ("edit_image", {"edit": "outpaint", "size": "1024x768"}, "seedream-5.0-lite", "in the new shape"),
    "remove text": ("edit_image", {"edit": "remove_text"}, "seedream-5.0-lite", "without it"),
    "reimagine": ("edit_image", {"edit": "reimagine"}, "seedream-5.0-lite", "by words"),
    "restyle": ("edit_image", {"edit": "restyle", "prompt": "in oil"}, "seedream-5.0-lite", "by words"),
}


@pytest.mark.parametrize("case", PICTURE_TOOLS)
async def test_another_model_does_it_and_the_answer_begins_with_what_differs(
    connect: Connect, world: World, tmp_path: Path, case: str
) -> None:
    tool, wish, model, differs = PICTURE_TOOLS[case]
    async with connect() as client:
        wish = {"image": picture(tmp_path / "fox.png"), "confirm": True} | wish
        shown = await client.call_tool(tool, wish | {"dry_run": True})
        assert differs in text_of(shown)
        assert (shown.structured_content or {})["model"] == model
        nothing_paid(world)

        result = await client.call_tool(tool, wish)
        answer: Json = result.structured_content or {}
        assert answer["model"] == model, text_of(result)
        assert answer["artifacts"]
        assert differs in text_of(result).splitlines()[0]


async def test_an_enlarged_picture_keeps_its_shape_and_is_as_large_as_the_model_makes_it(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    async with connect() as client:
        wide = picture(tmp_path / "fox.png", (1600, 900))
        answer = await done(client.call_tool("upscale_image", {"image": wide, "scale": 2, "confirm": True}))
        assert answer["model"] == "seedream-5.0-lite"
        asked = [int(side) for side in body_of(world, media_model(answer["model"]).operation)["size"].split("x")]
        assert asked == [3200, 1800]
        answer = await done(client.call_tool("upscale_image", {"image": wide, "scale": 8, "confirm": True}))
        assert answer["model"] == "seedream-4.5", "the first of those that make the largest"
        wide, high = (int(s) for s in body_of(world, media_model(answer["model"]).operation)["size"].split("x"))
        assert wide / high == pytest.approx(16 / 9, rel=0.01)
        assert 16_000_000 < wide * high <= 16_777_216
        assert f"It becomes {wide}x{high} pixels, the most seedream-4.5 makes, not 12800x7200." in answer["remark"]


async def test_where_no_mask_is_taken_any_more_the_words_alone_say_where(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    world.trouble(NO_MODEL, path="/openai/v1/images/edits", times=-1)
    async with connect() as client:
        wish = {"image": picture(tmp_path / "fox.png"), "mask": mask(tmp_path / "m.png"), "prompt": "a hill"}
        answer = await done(client.call_tool("inpaint_image", wish | {"confirm": True}))
        assert answer["model"] == "seedream-5.0-lite"
        assert "No model that takes a mask is known to live" in answer["remark"]
        assert answer["remark"].startswith("gpt-image-2-edit is not served by Novita any more")


CHAT_TOOLS: dict[str, tuple[str, str, str]] = {
    "describe": ("describe_image", "image", "a chat model that sees"),
    "transcribe": ("transcribe_audio", "audio", "a chat model that hears"),
    "lyrics": ("generate_lyrics", "", "a chat model wrote them"),
}


@pytest.mark.parametrize("case", CHAT_TOOLS)
async def test_a_chat_model_sees_hears_and_writes(connect: Connect, world: World, tmp_path: Path, case: str) -> None:
    tool, argument, differs = CHAT_TOOLS[case]
    things = {
        "image": lambda: picture(tmp_path / "fox.png"),
        "audio": lambda: recording(tmp_path / "fox.wav", "Good morning, fox.", world),
    }
    wish: dict[str, Any] = {argument: things[argument]()} if argument else {"prompt": "foxes", "name": "Snow"}
    async with connect() as client:
        answer = await done(client.call_tool(tool, wish | {"confirm": True}))
        assert answer["text"]
        assert "/" in answer["model"]
        assert differs in answer["remark"]
        content = world.received("create_chat_completion")[-1].body["messages"][0]["content"]
        assert [part["type"] for part in content][1:] == {
            "image": ["image_url"],
            "audio": ["input_audio"],
            "": [],
        }[argument]


NOTHING: dict[str, tuple[str, Json, str]] = {
    "music": ("generate_music", {"prompt": "a waltz", "lyrics": "[verse]\nThe fox is in the snow\n"}, "GPU"),
    "extend": ("edit_video", {"edit": "extend"}, "last frame"),
    "edit": ("edit_video", {"edit": "edit", "prompt": "make it snow"}, "edit_image"),
    "restyle": ("edit_video", {"edit": "restyle", "prompt": "as a cartoon"}, "edit_image"),
    "a song without words": ("generate_music", {"prompt": "a slow waltz on a cello", "instrumental": True}, "GPU"),
}


@pytest.mark.parametrize("case", NOTHING)
async def test_where_nothing_lives_that_is_said_with_what_else_there_is(
    connect: Connect, world: World, simulator: Running, tmp_path: Path, case: str
) -> None:
    tool, wish, instead = NOTHING[case]
    if tool == "edit_video":
        wish = wish | {"video": link_to(clip(tmp_path / "a.mp4", world=world), world, simulator.url)}
    async with connect() as client:
        for _ in range(2):  # also once it is remembered
            text = await refused(client.call_tool(tool, wish | {"confirm": True}), instead, "Nothing was billed")
            assert "known to live" in text or "known to be on offer" in text
    assert not world.charges


async def test_where_all_that_might_do_it_is_gone_that_is_said_with_what_else_there_is(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    still = picture(tmp_path / "a.png")
    wish: Json = {"prompt": "x", "image": still, "images": [still, still], "confirm": True}
    async with connect() as client:
        await refused(client.call_tool("generate_video", wish), "are not there", "with image and end_image", "Nothing")
    assert not world.charges


async def test_the_old_routes_go_on_working_where_they_answer_and_are_named(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    world.set(old_models=True)
    async with connect() as client:
        image = picture(tmp_path / "fox.png")
        large = await done(client.call_tool("upscale_image", {"image": image, "scale": 2, "model": "upscale"}))
        assert large["model"] == "upscale"
        assert "remark" not in large
        said = recording(tmp_path / "fox.wav", "Good morning, fox.", world)
        heard = await done(client.call_tool("transcribe_audio", {"audio": said, "model": "glm-asr"}))
        assert heard["text"] == "Good morning, fox."


async def test_before_a_yes_to_what_a_notice_names_that_is_said(connect: Connect, world: World, tmp_path: Path) -> None:
    async with connect(confirm_above_usd=Decimal("0.1")) as client:
        frames = [picture(tmp_path / "a.png"), picture(tmp_path / "b.png")]
        shown = await client.call_tool("generate_video", {"prompt": "x", "image": frames[0], "images": frames})
        assert "said to be switched off since 2026-07-22: where it is, nothing is billed" in text_of(shown)
    nothing_paid(world)


async def test_what_writes_down_a_long_recording_may_write_as_much_as_is_said(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    path = put(tmp_path, "lecture.wav", wav(1_700, rate=8_000))
    async with connect() as client:
        for audio, tokens in ((path, 13_600), (put(tmp_path, "a.wav", wav(2)), 4_000)):
            shown = await client.call_tool("transcribe_audio", {"audio": audio, "dry_run": True})
            assert (shown.structured_content or {})["request"]["body"]["max_tokens"] == tokens
    nothing_paid(world)


async def test_a_recording_that_cannot_be_written_down_whole_is_refused_before_money(
    connect: Connect, world: World, simulator: Running, tmp_path: Path
) -> None:
    """Also behind a link, and also where the model that hears writes too little."""
    whole = wav(1_900, rate=8_000)
    stored = world.files.add("lecture.wav", "audio/wav", whole)
    async with connect() as client:
        for audio in (put(tmp_path, "lecture.wav", whole), world.files.link(stored, simulator.url)):
            await refused(client.call_tool("transcribe_audio", {"audio": audio}), "1900", "Nothing was billed")
        for name, data in {"header_only.wav": wav(2)[:44], "cut.wav": wav(2)[:20_000]}.items():
            call = client.call_tool("transcribe_audio", {"audio": put(tmp_path, name, data)})
            await refused(call, name, "Nothing was billed")
    nothing_paid(world)


async def test_a_model_that_hears_and_writes_too_little_is_not_asked_for_half_an_answer(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    listed = {**models()["qwen/qwen3-omni-30b-a3b-instruct"].listing(), "max_output_tokens": 4_096}
    world.trouble(
        {"status": 200, "body": json.dumps({"data": [listed]}), "content_type": "application/json"},
        operation="list_models",
        times=-1,
    )
    path, note = put(tmp_path, "talk.wav", wav(600, rate=8_000)), put(tmp_path, "note.wav", wav(60, rate=8_000))
    async with connect() as client:
        wish = {"model": listed["id"], "dry_run": True}
        await refused(
            client.call_tool("transcribe_audio", wish | {"audio": path}), "at most 4,096 tokens", "Nothing was billed"
        )
        shown = await client.call_tool("transcribe_audio", wish | {"audio": note})
        assert (shown.structured_content or {})["status"] == "dry_run"
    nothing_paid(world)
