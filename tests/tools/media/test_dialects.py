"""One call per dialect: how a request is nested, and every shape in which an answer may bring its files.

Requests are judged by the simulator, which holds them to the documented schemas; here it is shown that the common
arguments arrived where each dialect wants them, and that something real came back.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.core.json_paths import get_path
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.pixels import encode, paint
from novita_mcp.simulator.media.sound import listen
from novita_mcp.simulator.media.tasks import TaskStore

from ...conftest import Connect
from ..media_things import Json, body_of, done, image_of, link_to, one, picture, recording, refused

SD = {"checkpoint": "dreamshaper_8_93211.safetensors"}

REQUESTS: dict[str, tuple[str, Json, str, Json]] = {
    "extra and request": (
        "generate_image",
        {"model": "txt2img", "size": "512x640", "count": 2, "seed": 5, "format": "webp", **SD},
        "txt2img",
        {"request.width": 512, "request.image_num": 2, "request.seed": 5, "extra.response_image_type": "webp"},
    ),
    "flat": (
        "generate_image",
        {"model": "hunyuan-image-3", "size": "1024x768", "seed": 5},
        "hunyuan_image_3",
        {"size": "1024*768", "seed": 5},
    ),
    "input and parameters": (
        "generate_video",
        {"model": "wan2.6-t2v", "duration": 5, "resolution": "720p", "seed": 5},
        "wan2_6_t2v",
        {"input.prompt": "a fox", "parameters.duration": 5, "parameters.seed": 5},
    ),
    "a duration that is text": (
        "generate_video",
        {"model": "kling-2.5-turbo-t2v", "duration": 5},
        "kling_2_5_turbo_t2v",
        {"duration": "5"},
    ),
    "a resolution that is a mode": (
        "generate_video",
        {"model": "seedance-v1-lite-t2v", "duration": 5, "resolution": "480P", "aspect_ratio": "1:1"},
        "seedance_v1_lite_t2v",
        {"resolution": "480p", "aspect_ratio": "1:1", "duration": 5},
    ),
}


@pytest.mark.old_models
@pytest.mark.parametrize("case", REQUESTS)
async def test_common_arguments_arrive_where_the_dialect_wants_them(connect: Connect, world: World, case: str) -> None:
    tool, arguments, operation, native = REQUESTS[case]
    async with connect() as client:
        answer = await done(client.call_tool(tool, {"prompt": "a fox", "confirm": True, **arguments}))

        body = body_of(world, operation)
        assert {path: get_path(body, path) for path in native} == native
        assert len(answer["artifacts"]) == arguments.get("count", 1)


@pytest.mark.old_models
async def test_extra_and_image_file_at_once(connect: Connect, world: World, tmp_path: Path) -> None:
    """The older editing routes: base64 in, base64 in `image_file` out."""
    path = picture(tmp_path / "fox.png")
    async with connect() as client:
        native = {
            "image_file": b64(path),
            "mask_file": b64(path),
            "extra": {"response_image_type": "jpeg"},
        }
        wish: Json = {"model": "cleanup", "input": native}
        answer = await done(client.call_tool("run_media_model", wish))

        assert one(answer)["path"].endswith(".jpg")
        assert image_of(answer).size == (640, 480)
        assert world.count("cleanup", "accepted") == 1


def b64(path: str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


SYNC: dict[str, tuple[str, Json, str]] = {
    "images as objects": ("generate_image", {"prompt": "a fox", "model": "flux-1-schnell"}, "png"),
    "images as strings": ("generate_image", {"prompt": "a fox", "model": "seedream-4.5"}, "jpg"),
    "image_urls": ("generate_image", {"prompt": "a fox", "model": "seedream-3-0-txt2img"}, "jpg"),
    "base64 in a list": (
        "generate_image",
        {"prompt": "a fox", "model": "seedream-3-0-txt2img", "options": {"response_format": "b64_json"}},
        "jpg",
    ),
    "hex in audio": ("generate_speech", {"text": "A fox.", "model": "minimax-speech-02-hd"}, "mp3"),
    "hex in data.audio": ("generate_speech", {"text": "A fox.", "model": "minimax-speech-2.8-hd"}, "mp3"),
    "a link in data.audio": (
        "generate_speech",
        {"text": "A fox.", "model": "minimax-speech-2.8-hd", "options": {"output_format": "url"}},
        "mp3",
    ),
    "raw bytes": ("generate_speech", {"text": "A fox.", "model": "glm-tts", "format": "wav"}, "wav"),
    "raw bytes of a stream": ("generate_speech", {"text": "A fox.", "model": "fish-audio-text-to-speech"}, "mp3"),
    "flat events": (
        "generate_speech",
        {"text": "A fox.", "model": "minimax-speech-02-hd", "options": {"stream": True}},
        "mp3",
    ),
    "nested events": (
        "generate_speech",
        {"text": "A fox.", "model": "minimax-speech-2.8-hd", "options": {"stream": True}},
        "mp3",
    ),
}


@pytest.mark.old_models
@pytest.mark.parametrize("case", SYNC)
async def test_every_shape_of_an_answer_becomes_a_file(connect: Connect, world: World, case: str) -> None:
    tool, arguments, suffix = SYNC[case]
    async with connect() as client:
        answer = await done(client.call_tool(tool, arguments))

        made = one(answer)
        assert made["path"].rpartition(".")[2] == suffix
        if tool == "generate_image":
            assert image_of(answer).width >= 512
        else:
            heard = listen(Path(made["path"]).read_bytes())
            assert heard.seconds == pytest.approx(made["duration_seconds"], abs=0.2)
            assert len(heard.signs) == 1
    assert world.leaked_keys == 0
    assert not world.area(TaskStore).tasks


@pytest.mark.old_models
async def test_a_text_answer(connect: Connect, world: World, tmp_path: Path) -> None:
    path = recording(tmp_path / "said.wav", "Foxes are orange.", world)
    async with connect() as client:
        answer = await done(client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": path}))

        assert answer["text"] == "Foxes are orange."
        assert answer["artifacts"] == []


async def test_a_multipart_request(connect: Connect, world: World, tmp_path: Path) -> None:
    path = recording(tmp_path / "me.mp3", "It was a dark and stormy night, and the fox slept. " * 4, world)
    async with connect() as client:
        wish = {"audio": path, "name": "narrator", "model": "fish-audio-voice-cloning"}
        answer = await done(client.call_tool("clone_voice", wish))

        (request,) = world.received("fish_audio_voice_cloning")
        assert request.headers["content-type"].startswith("multipart/form-data")
        voice = answer["values"]["voice_id"]
        wish = {"text": "Hello", "voice": voice, "model": "fish-audio-text-to-speech"}
        assert one(await done(client.call_tool("generate_speech", wish)))["kind"] == "audio"


async def test_an_error_inside_a_200_is_an_error(connect: Connect, world: World) -> None:
    async with connect() as client:
        wish = {"text": "A fox.", "model": "minimax-speech-2.8-hd", "voice": "nobody-knows-me"}
        await refused(client.call_tool("generate_speech", wish), "2013", "voice id not exist", "list_tasks")
    assert not world.charges


async def test_both_places_of_a_task_id_are_read(connect: Connect, world: World, settings: Settings) -> None:
    """{code, msg, data: {task_id}} is said to be seen on routes whose page shows {task_id}."""
    accepted = json.dumps({"code": 0, "msg": "", "data": {"task_id": "task-odd"}})
    world.trouble({"status": 200, "body": accepted}, operation="qwen_image_txt2img")
    finished = json.dumps(task_result(world, settings.base_url))
    world.trouble({"status": 200, "body": finished}, operation="get_task_result")
    async with connect() as client:
        answer = await done(client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"}))

        assert answer["task_id"] == "task-odd"
        assert image_of(answer).size == (64, 64)


@pytest.mark.old_models
@pytest.mark.parametrize("model", ["txt2img-v2", "img2img-v2", "upscale-v2"])
async def test_a_retired_v2_model_is_looked_at_where_v2_tasks_are(
    connect: Connect, world: World, tmp_path: Path, model: str
) -> None:
    path = picture(tmp_path / "fox.png", (256, 256))
    wish: Json = {"model": model}
    match model:
        case "txt2img-v2":
            tool, wish = "generate_image", wish | {"prompt": "a fox", "size": "512x512", **SD}
        case "img2img-v2":
            tool, wish = "edit_image", wish | {"image": path, "prompt": "a fox", "edit": "restyle", **SD}
        case _:
            tool, wish = "upscale_image", wish | {"image": path, "scale": 2}
    async with connect() as client:
        assert image_of(await done(client.call_tool(tool, wish))).size == (512, 512)

        world.fail_next_task("out of memory")
        await refused(client.call_tool(tool, wish), "out of memory")
    assert world.count("get_progress_v2") == 2
    assert world.count("get_task_result") == 0


# Task results ------------------------------------------------------------------------------------------------------


def task_result(world: World, base_url: str, **changes: Any) -> Json:
    """A finished task as Novita tells it, with one picture."""
    file = world.files.add("fox.png", "image/png", encode(paint("a fox", 1, (64, 64)), "png"))
    entry = {"image_url": world.files.link(file, base_url), "image_url_ttl": "3600", "image_type": "png"}
    task = {"task_id": "task-odd", "status": "TASK_STATUS_SUCCEED", "reason": "", "progress_percent": 100, "eta": 0}
    result: Json = {"extra": {}, "task": task, "images": [entry], "videos": [], "audios": []}
    return result | changes


async def looked_at(connect: Connect, world: World, result: Json, more: tuple[Json, ...] = ()) -> Json:
    """The answer of get_task where Novita says this (and then that) about it."""
    for one_result in (result, *more):
        world.trouble({"status": 200, "body": json.dumps(one_result)}, operation="get_task_result")
    async with connect() as client:
        return await done(client.call_tool("get_task", {"task_id": "task-odd"}))


async def test_several_kinds_at_once(connect: Connect, world: World, settings: Settings, tmp_path: Path) -> None:
    base_url = settings.base_url
    sound = link_to(recording(tmp_path / "said.mp3", "A fox.", world), world, base_url)
    result = task_result(world, base_url)
    result["audios"] = [{"audio_url": sound, "audio_url_ttl": 3600, "audio_type": "mp3", "audio_metadata": None}]

    answer = await looked_at(connect, world, result)

    assert [artifact["kind"] for artifact in answer["artifacts"]] == ["image", "audio"]
    assert [Path(artifact["path"]).suffix for artifact in answer["artifacts"]] == [".png", ".mp3"]


@pytest.mark.parametrize(("ttl", "known"), [(1800, True), ("1800", True), ("0", False), (0, False), (None, False)])
async def test_the_life_of_a_link_comes_as_number_or_text(
    connect: Connect, world: World, settings: Settings, ttl: object, known: bool
) -> None:
    result = task_result(world, settings.base_url)
    result["images"][0]["image_url_ttl"] = ttl

    answer = await looked_at(connect, world, result)

    assert ("expires_at" in answer["artifacts"][0]) is known


async def test_null_lists_are_empty_lists(connect: Connect, world: World, settings: Settings) -> None:
    answer = await looked_at(connect, world, task_result(world, settings.base_url, videos=None, audios=None))

    assert len(answer["artifacts"]) == 1


async def test_the_seed_that_was_used_is_told(connect: Connect, world: World, settings: Settings) -> None:
    for seed in ("77", 77):
        answer = await looked_at(connect, world, task_result(world, settings.base_url, extra={"seed": seed}))
        assert answer["seed"] == 77


async def test_what_the_nsfw_check_found_is_told(connect: Connect, world: World, settings: Settings) -> None:
    result = task_result(world, settings.base_url)
    result["images"][0]["nsfw_detection_result"] = {"valid": True, "confidence": 92.5}

    answer = await looked_at(connect, world, result)

    assert answer["artifacts"][0]["nsfw"] == 92.5


@pytest.mark.parametrize("status", ["TASK_STATUS_UNKNOWN", "TASK_STATUS_NEVER_HEARD_OF", "", None])
async def test_an_unknown_state_is_waited_out(
    connect: Connect, world: World, settings: Settings, status: str | None
) -> None:
    finished = task_result(world, settings.base_url)
    unknown = finished | {"task": finished["task"] | {"status": status}, "images": None}

    answer = await looked_at(connect, world, unknown, (finished,))

    assert len(answer["artifacts"]) == 1
    assert world.count("get_task_result") == 2


@pytest.mark.old_models
async def test_a_task_that_failed_says_why(connect: Connect, world: World) -> None:
    world.fail_next_task("NSFW content detected")
    async with connect() as client:
        text = await refused(
            client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"}),
            "NSFW content detected",
        )
        assert "task-" in text
        listed: Json = (await client.call_tool("list_tasks", {})).structured_content or {}
        assert [task["state"] for task in listed["tasks"]] == ["failed"]
