"""generate_video and edit_video: the model follows from what is given, the clip is as long and as large as asked."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.media.lookup import media_model
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, fields_of
from ..media_things import body_of, clip, done, film_of, link_to, one, picture, refused


async def test_a_text_becomes_a_clip_of_the_asked_length(connect: Connect, world: World) -> None:
    async with connect() as client:
        wish = {"prompt": "a fox runs", "duration": 3, "aspect_ratio": "9:16"}
        answer = await done(client.call_tool("generate_video", wish))

        film = film_of(answer)
        assert answer["model"] == "kling-v3.0-std-t2v"
        assert film.seconds == pytest.approx(3, abs=0.2)
        assert film.width < film.height
        assert one(answer)["duration_seconds"] == pytest.approx(3, abs=0.2)
        assert world.count("kling_v3_0_std_t2v", "accepted") == 1


async def test_a_clip_comes_with_a_poster_to_look_at(connect: Connect) -> None:
    async with connect() as client:
        result = await client.call_tool("generate_video", {"prompt": "a fox runs", "duration": 3})

        assert [block.type for block in result.content] == ["text", "image"]


FRAMES: dict[str, tuple[dict[str, str | list[str]], str]] = {
    "a first frame by link": ({"image": "link"}, "kling-v3.0-std-i2v"),
    "a first frame of this machine": ({"image": "path"}, "minimax-h3"),
    "first and last frame": ({"image": "path", "end_image": "path"}, "seedance-v1-lite-i2v"),
    "references": ({"images": ["path", "path"]}, "vidu-q1-reference2video"),
    "key frames": ({"image": "path", "images": ["path", "path"]}, "vidu-q2-pro-multiframe"),
}


@pytest.mark.old_models
@pytest.mark.parametrize("case", FRAMES)
async def test_the_model_follows_from_the_frames(
    connect: Connect, world: World, tmp_path: Path, settings: Settings, case: str
) -> None:
    given, model = FRAMES[case]
    path = picture(tmp_path / "fox.png")
    ways = {"path": path, "link": link_to(path, world, settings.base_url)}
    arguments: dict[str, Any] = {
        name: [ways[way] for way in value] if isinstance(value, list) else ways[value] for name, value in given.items()
    }
    async with connect() as client:
        answer = await done(client.call_tool("generate_video", arguments | {"prompt": "it runs", "confirm": True}))

        assert answer["model"] == model
        assert film_of(answer).frames > 10
        assert world.count(media_model(model).operation, "accepted") == 1


async def test_sound_is_made_where_it_is_asked_for(connect: Connect) -> None:
    async with connect() as client:
        for sound in (True, False):
            wish = {"prompt": "a fox barks", "duration": 3, "sound": sound}
            assert film_of(await done(client.call_tool("generate_video", wish))).sound is sound


async def test_what_no_model_can_do_is_refused_with_those_that_come_near(connect: Connect, world: World) -> None:
    async with connect() as client:
        await refused(client.call_tool("generate_video", {"prompt": "a fox", "duration": 59}), "No model", "duration")
        wish = {"prompt": "a fox", "model": "minimax-hailuo-02", "sound": True}
        await refused(client.call_tool("generate_video", wish), "`sound`", "kling-v3.0-std-t2v")
        wish = {"prompt": "a fox", "model": "kling-v3.0-std-i2v"}
        await refused(client.call_tool("generate_video", wish), "image to video")
    assert not world.charges


EDITS: dict[str, tuple[dict[str, Any], str, str]] = {
    "edit": (
        {"prompt": "make it night"},
        "wan2.7-videoedit",
        "2.0006",
    ),  # 4 s in, 10 s at the longest
    "restyle": ({"prompt": "as a cartoon"}, "wan2.7-r2v", "1.2861"),  # 4 s in, 5 s out
    "motion": ({"image": "person"}, "kling-v3.0-motion-control", "0.504"),
    "translate": ({"language": "French"}, "heygen-video-translate", "0.2668"),
    "swap_face": ({"image": "person"}, "video-merge-face", "0.06"),  # as if it had 30 frames a second
    "extend": ({"prompt": "it goes on", "model": "wan2.7-i2v"}, "wan2.7-i2v", "0.7145"),
}


@pytest.mark.old_models
@pytest.mark.parametrize("edit", EDITS)
async def test_each_edit_of_a_clip_goes_to_the_model_for_it(
    connect: Connect, world: World, tmp_path: Path, settings: Settings, edit: str
) -> None:
    more, model, usd = EDITS[edit]
    film = link_to(clip(tmp_path / "clip.mp4", world=world), world, settings.base_url)
    arguments: dict[str, Any] = {"video": film, "edit": edit, "confirm": True, **more}
    if "image" in more:
        arguments["image"] = picture(tmp_path / "face.png", colour="yellow")
    async with connect() as client:
        answer = await done(client.call_tool("edit_video", arguments))

        assert answer["model"] == model
        assert film_of(answer).frames > 10
        assert world.count(media_model(model).operation, "accepted") == 1
    assert Decimal(answer["estimated_cost_usd"]) == Decimal(usd)
    charged = sum(charge.micro_usd for charge in world.charges)
    assert charged == Decimal(usd) * 1_000_000 or (edit == "swap_face" and charged < Decimal(usd) * 1_000_000)


async def test_a_clip_that_is_too_long_is_refused_by_its_link(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    """Novita's page: a reference of motion has 3 to 30 seconds."""
    film = link_to(clip(tmp_path / "clip.mp4", seconds=31, size=(320, 320), world=world), world, settings.base_url)
    wish = {"video": film, "image": picture(tmp_path / "face.png"), "edit": "motion", "confirm": True}
    async with connect() as client:
        await refused(client.call_tool("edit_video", wish), "31.0 s long", "at most 30 s")
    assert not world.charges


async def test_a_result_of_ours_is_counted_as_long_as_it_was_made(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    async with connect() as client:
        made = await done(client.call_tool("generate_video", {"prompt": "a fox runs", "duration": 3}))
        wish = {"video": f"task:{made['task_id']}/0", "image": picture(tmp_path / "face.png"), "edit": "motion"}
        shown = await client.call_tool("edit_video", wish | {"dry_run": True})
    assert Decimal(fields_of(shown)["estimated_cost_usd"]) == Decimal("0.378")


async def test_a_clip_that_cannot_be_measured_is_counted_as_the_longest(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    """Its beginning tells what it is, its index stands at an end that does not come."""
    whole = Path(clip(tmp_path / "clip.mp4", world=world)).read_bytes()
    index = whole.rindex(b"moov") - 4
    (tmp_path / "cut.mp4").write_bytes(whole[:index])
    film = link_to(str(tmp_path / "cut.mp4"), world, settings.base_url)
    wish = {"video": film, "image": picture(tmp_path / "face.png"), "edit": "motion", "dry_run": True}
    async with connect() as client:
        shown = await client.call_tool("edit_video", wish)
    answer = fields_of(shown)
    assert Decimal(answer["estimated_cost_usd"]) == Decimal("3.78")
    assert answer["status"] == "dry_run"


async def test_native_input_is_priced_by_its_clip_too(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    film = link_to(clip(tmp_path / "clip.mp4", seconds=3, world=world), world, settings.base_url)
    face = link_to(picture(tmp_path / "face.png"), world, settings.base_url)
    native = {"video": film, "image": face, "model_name": "kling-v3-0-pro", "character_orientation": "video"}
    wish = {"model": "kling-v3.0-motion-control", "input": native, "dry_run": True}
    async with connect() as client:
        shown = await client.call_tool("run_media_model", wish)
        assert not shown.is_error
        assert Decimal(fields_of(shown)["estimated_cost_usd"]) == Decimal("0.504")
        native["video"] = f"{settings.base_url}/not-there.mp4"  # Novita fetches it, or says that it cannot
        shown = await client.call_tool("run_media_model", wish)
        assert Decimal(fields_of(shown)["estimated_cost_usd"]) == Decimal("5.04")


async def test_the_video_for_a_face_swap_is_sent_ahead_and_named_by_its_id(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    """Novita's page: PUT the bare file to the upload host, then give its assets_id."""
    film = clip(tmp_path / "clip.mp4", seconds=1, world=world)
    face = picture(tmp_path / "face.png", colour="yellow")
    async with connect() as client:
        wish = {"video": film, "image": face, "edit": "swap_face"}
        planned = await client.call_tool("edit_video", wish | {"dry_run": True})
        assert not planned.is_error
        assert world.count("upload_video_asset") == 0

        await done(client.call_tool("edit_video", wish | {"confirm": True}))

        (upload,) = world.received("upload_video_asset")
        assert upload.headers["content-type"] == "video/mp4"
        sent = body_of(world, "video_merge_face")["request"]
        assert sent["video_assets_id"].startswith("asset-")


async def test_an_upload_that_fails_costs_nothing_and_says_so(connect: Connect, world: World, tmp_path: Path) -> None:
    world.trouble({"status": 400, "body": '{"message": "bad film"}'}, operation="upload_video_asset", times=-1)
    film = clip(tmp_path / "clip.mp4", seconds=1, world=world)
    face = picture(tmp_path / "face.png", colour="yellow")
    async with connect() as client:
        wish = {"video": film, "image": face, "edit": "swap_face"}
        await refused(
            client.call_tool("edit_video", wish | {"confirm": True}),
            "uploading the video",
            "bad film",
            "Nothing was billed",
        )
    assert world.count("video_merge_face") == 0
    assert not world.charges
