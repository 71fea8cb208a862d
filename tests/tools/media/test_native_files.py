"""Native input and options: files are found, checked and written as the field takes them; no path goes out."""

import base64
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from ...conftest import Connect
from ...odd_media import cut_jpeg, photo, put, saved, scene, sound_as, wav
from ..media_things import body_of, clip, done, link_to, nothing_paid, picture, refused


def run(model: str, given: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    return "run_media_model", {"model": model, "input": given, **more}


@pytest.mark.old_models
async def test_a_path_is_read_and_sent_as_the_field_takes_it(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "plain.png")
    data = Path(path).read_bytes()
    async with connect() as client:
        for reference in (path, f"file://{path}", f"  {path}"):
            await done(client.call_tool(*run("qwen-image-edit", {"prompt": "x", "image": reference})))
            assert base64.b64decode(body_of(world, "qwen_image_edit")["image"]) == data

        await done(client.call_tool(*run("seedream-4.0", {"prompt": "x", "images": [path, path]})))
        sent = body_of(world, "seedream_4_0")["images"]
        assert sent == [f"data:image/png;base64,{base64.b64encode(data).decode()}"] * 2


@pytest.mark.old_models
async def test_an_earlier_result_is_its_link_or_its_content(connect: Connect, world: World) -> None:
    async with connect() as client:
        made = await done(client.call_tool("generate_image", {"prompt": "fox"}))
        reference = f"task:{made['task_id']}/0"
        await done(client.call_tool(*run("qwen-image-edit", {"prompt": "x", "image": reference})))
        saved_bytes = Path(made["artifacts"][0]["path"]).read_bytes()
        assert base64.b64decode(body_of(world, "qwen_image_edit")["image"]) == saved_bytes

        await done(client.call_tool(*run("seedream-4.0", {"prompt": "x", "images": [reference]})))
        assert body_of(world, "seedream_4_0")["images"][0].startswith("http")


async def test_a_file_in_an_option_is_resolved_too(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png")
    unit = {"model_name": "control_v11f1e_sd15_tile", "image_base64": path, "strength": 1.0}
    async with connect() as client:
        wish = {
            "image": path,
            "prompt": "oil",
            "edit": "restyle",
            "checkpoint": "dreamshaper_8_93211.safetensors",
            "options": {"controlnet": {"units": [unit]}},
        }
        answer = await client.call_tool("edit_image", {**wish, "dry_run": True})
        assert not answer.is_error, answer
        assert str(tmp_path) not in str(answer.structured_content)


@pytest.mark.old_models
async def test_what_is_native_already_goes_out_as_it_is(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    clean = saved(scene((200, 100)), "JPEG")  # its base64 begins with /9j/, like a path
    packed = base64.b64encode(clean).decode()
    link = link_to(picture(tmp_path / "fox.png"), world, settings.base_url)
    async with connect() as client:
        await done(client.call_tool(*run("qwen-image-edit", {"prompt": "x", "image": packed})))
        assert body_of(world, "qwen_image_edit")["image"] == packed
        await done(client.call_tool(*run("seedream-4.0", {"prompt": "x", "images": [link]})))
        assert body_of(world, "seedream_4_0")["images"] == [link]
        # A link where only content is taken is fetched.
        await done(client.call_tool(*run("qwen-image-edit", {"prompt": "x", "image": link})))
        assert base64.b64decode(body_of(world, "qwen_image_edit")["image"]) == (tmp_path / "fox.png").read_bytes()


async def test_native_content_is_checked_like_any_other(connect: Connect, world: World, tmp_path: Path) -> None:
    whole = base64.b64encode(saved(scene((200, 100)), "JPEG")).decode()
    bad = {
        "cut": base64.b64encode(cut_jpeg()).decode(),
        "cut base64": whole[: len(whole) // 2],
        "a letter amiss": f"{whole[:3_000]}%{whole[3_000:]}",
        "no base64": "x" * 3_000,
        "a sound": base64.b64encode(wav(1)).decode(),
        "absent": str(tmp_path / "absent.png"),
        "outside": "/etc/hostname",
        "unknown": "task:nobody-knows/0",
        "a malformed link": "https://[::1/",
        "empty data": "data:image/png;base64,",
    }
    async with connect() as client:
        for name, value in bad.items():
            call = client.call_tool(*run("qwen-image-edit", {"prompt": "x", "image": value}))
            text = await refused(call, "`image`", "Nothing was billed")
            assert "fault in novita-mcp" not in text, name
    nothing_paid(world)


async def test_a_field_that_only_takes_links_refuses_a_file(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png")
    async with connect() as client:
        given = {"prompt": "x", "images": [path]}
        await refused(client.call_tool(*run("flux-2-dev", given)), "`images[0]`", "only links", "Nothing was billed")
        wish = {"prompt": "x", "model": "vidu-q3-pro-t2v"}
        for option in ({"wm_url": path}, {"no_such_field": path}):
            await refused(client.call_tool("generate_video", {**wish, "options": option}), "Nothing was billed")
    nothing_paid(world)


async def test_a_path_in_a_field_that_takes_no_file_is_refused(connect: Connect, world: World, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png")
    async with connect() as client:
        for value in (path, "task:abc/0", f"file://{path}"):
            given = {"text": "Hi", "voice_setting": {"voice_id": value}}
            text = await refused(client.call_tool(*run("minimax-speech-02-turbo", given)), "voice_id", "names one")
            assert "Nothing was billed" in text
    nothing_paid(world)


async def test_recordings_of_a_form_are_file_parts_and_malformed_ones_are_refused(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    given = {"type": "tts", "title": "Ada", "train_mode": "fast", "visibility": "private"}
    voice = put(tmp_path, "a.mp3", wav(3)), put(tmp_path, "b.amr", sound_as("amr", wav(3)))
    async with connect() as client:
        for bad in ("no base64 at all", "data:audio/wav;base64,@@@", "A" * 2_000, 'data:audio/wav;base64,A"'):
            call = client.call_tool(*run("fish-audio-voice-cloning", {**given, "voices": [bad]}))
            await refused(call, "voices[0]", "Nothing was billed")
        nothing_paid(world)

        await done(client.call_tool(*run("fish-audio-voice-cloning", {**given, "voices": list(voice)})))
        assert world.count("fish_audio_voice_cloning", "accepted") == 1


@pytest.mark.old_models
async def test_a_photo_in_native_input_carries_no_notes_of_its_camera(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    path = put(tmp_path, "photo.jpg", photo((400, 300), orientation=6))
    async with connect() as client:
        await done(client.call_tool(*run("qwen-image-edit", {"prompt": "x", "image": path})))
        assert b"Secret" not in base64.b64decode(body_of(world, "qwen_image_edit")["image"])


@pytest.mark.old_models
@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("http://127.0.0.1:99999/x.png", "malformed"),
        (" https://[::1/", "malformed"),
        ("http://", "no host"),
    ],
)
async def test_a_link_that_cannot_be_is_refused_in_native_input_too(
    connect: Connect, world: World, link: str, words: str
) -> None:
    async with connect() as client:
        await refused(client.call_tool(*run("seedream-4.0", {"prompt": "x", "images": [link]})), "`images", words)
    nothing_paid(world)


async def test_over_http_no_path_is_read(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], world: World, tmp_path: Path
) -> None:
    path = picture(tmp_path / "fox.png")
    async with connect_http() as client:
        call = client.call_tool(*run("qwen-image-edit", {"prompt": "x", "image": path}))
        await refused(call, "`image`", "File paths cannot be used")
    nothing_paid(world)


@pytest.mark.parametrize("suffix", ["mp4"])
async def test_an_uploaded_film_names_its_type(connect: Connect, world: World, tmp_path: Path, suffix: str) -> None:
    film = clip(tmp_path / f"film.{suffix}", seconds=2, world=world)
    async with connect() as client:
        wish = {"video": film, "image": picture(tmp_path / "face.png"), "edit": "swap_face", "confirm": True}
        await done(client.call_tool("edit_video", wish))
    (upload,) = [request for request in world.requests if request.method == "PUT"]
    assert upload.headers["content-type"] == "video/mp4"
