"""combine_media: files put together here, measured in what comes out: length, pictures, loudness."""

import math
from array import array
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import pytest
from av.audio.resampler import AudioResampler
from novita_mcp.novita.files import montage
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.film import SOUND_RATE, Film, look_at, make_film
from novita_mcp.simulator.media.sound import SoundFormat, encode
from novita_mcp.tools.media import combining
from PIL import Image

from ...conftest import Connect, fields_of, text_of
from ..media_things import done, link_to, one, picture, recording, refused

Json = dict[str, Any]


def tone(seconds: float, hertz: float, peak: float) -> "array[int]":
    """A steady tone, mono."""
    step = 2 * math.pi * hertz / SOUND_RATE
    return array("h", [int(peak * 32_767 * math.sin(step * at)) for at in range(round(seconds * SOUND_RATE))])


def film(path: Path, seconds: float = 1.5, size: tuple[int, int] = (320, 240), peak: float = 0.0) -> str:
    """A clip; with a tone of 440 Hz where it has a peak."""
    made = (lambda: tone(seconds, 440, peak)) if peak else None
    path.write_bytes(make_film(Film(*size, seconds, words="a fox", sound=made)))
    return str(path)


def narration(path: Path, seconds: float = 1.5, peak: float = 0.4) -> str:
    """A tone of 880 Hz in place of a voice."""
    path.write_bytes(encode(tone(seconds, 880, peak), SoundFormat(path.suffix[1:], SOUND_RATE)))
    return str(path)


def loudness(path: str, hertz: float, start: float = 0.5, end: float = 1.0) -> float:
    """How loud a tone is in a part of a file: its peak, 1 at full scale, of both sides together."""
    heard = array("f")
    resampler = AudioResampler(format="flt", layout="stereo", rate=SOUND_RATE)
    with av.open(path) as source:
        for frame in source.decode(audio=0):
            for part in resampler.resample(frame):
                heard.frombytes(bytes(part.planes[0])[: part.samples * 8])
    left = heard[::2][round(start * SOUND_RATE) : round(end * SOUND_RATE)]
    step = 2 * math.pi * hertz / SOUND_RATE
    cosine = sum(value * math.cos(step * at) for at, value in enumerate(left))
    sine = sum(value * math.sin(step * at) for at, value in enumerate(left))
    return 2 * math.hypot(cosine, sine) / len(left)


def saved(answer: Json) -> str:
    return str(one(answer)["path"])


async def test_a_narration_takes_the_place_of_a_clips_sound_as_loud_as_it_was(connect: Connect, tmp_path: Path) -> None:
    clip, voice = film(tmp_path / "clip.mp4", peak=0.3), narration(tmp_path / "voice.wav")
    async with connect() as client:
        answer = await done(client.call_tool("combine_media", {"do": "replace_sound", "files": [clip, voice]}))

    seen = look_at(Path(saved(answer)).read_bytes())
    assert (seen.width, seen.height, seen.frames) == (320, 240, 12)
    assert seen.seconds == pytest.approx(1.5, abs=0.1)
    assert loudness(saved(answer), 880) == pytest.approx(0.4, rel=0.05)
    assert loudness(saved(answer), 440) < 0.01
    assert answer["estimated_cost_usd"] == "0"


async def test_music_goes_under_a_clips_sound_and_neither_becomes_softer(connect: Connect, tmp_path: Path) -> None:
    clip, music = film(tmp_path / "clip.mp4", peak=0.3), narration(tmp_path / "music.mp3")
    async with connect() as client:
        answer = await done(client.call_tool("combine_media", {"do": "mix_sound", "files": [clip, music]}))
        soft = {"do": "mix_sound", "files": [clip, music], "volume": 0.5}
        softer = await done(client.call_tool("combine_media", soft))

    assert loudness(saved(answer), 440) == pytest.approx(0.3, rel=0.06)
    assert loudness(saved(answer), 880) == pytest.approx(0.4, rel=0.06)
    assert loudness(saved(softer), 880) == pytest.approx(0.2, rel=0.06)


async def test_what_would_be_clipped_is_held_down(connect: Connect, tmp_path: Path) -> None:
    clip, music = film(tmp_path / "clip.mp4", peak=0.8), narration(tmp_path / "music.wav", peak=0.8)
    async with connect() as client:
        wish = {"do": "mix_sound", "files": [clip, music], "save_to": str(tmp_path / "loud.mkv")}
        answer = await done(client.call_tool("combine_media", wish))

    assert saved(answer).endswith("loud.mkv")
    # Held down together, and not cut off: what is cut off has overtones that were not there.
    assert 0.3 < loudness(saved(answer), 440) < 0.6
    assert loudness(saved(answer), 440 * 3) < 0.05


async def test_a_longer_sound_ends_with_the_clip_and_the_answer_says_so(connect: Connect, tmp_path: Path) -> None:
    clip, voice = film(tmp_path / "clip.mp4", seconds=2), narration(tmp_path / "voice.wav", seconds=4)
    async with connect() as client:
        answer = await done(client.call_tool("combine_media", {"do": "mix_sound", "files": [clip, voice]}))

    assert one(answer)["duration_seconds"] == pytest.approx(2, abs=0.1)
    assert "4.0 s long and the clip 2.0 s: its end is cut off" in answer["remark"]


async def test_clips_of_other_shapes_and_without_sound_are_joined(connect: Connect, tmp_path: Path) -> None:
    files = [film(tmp_path / "a.mp4", 2, peak=0.3), film(tmp_path / "b.mp4", 2, (240, 320))]
    async with connect() as client:
        answer = await done(client.call_tool("combine_media", {"do": "join", "files": files}))

    seen = look_at(Path(saved(answer)).read_bytes())
    assert (seen.width, seen.height) == (320, 240)
    assert seen.seconds == pytest.approx(4, abs=0.1)
    assert loudness(saved(answer), 440, 0.5, 1.0) == pytest.approx(0.3, rel=0.06)
    assert loudness(saved(answer), 440, 2.5, 3.0) < 0.01


async def test_a_clip_and_a_sound_are_cut_and_looped(connect: Connect, tmp_path: Path) -> None:
    clip, voice = film(tmp_path / "clip.mp4", peak=0.3), narration(tmp_path / "voice.mp3")
    async with connect() as client:
        part = await done(
            client.call_tool("combine_media", {"do": "trim", "files": [clip], "start": 0.25, "end": 1.25})
        )
        end = await done(client.call_tool("combine_media", {"do": "trim", "files": [voice], "start": -1}))
        loop = await done(client.call_tool("combine_media", {"do": "loop", "files": [clip], "end": 4.5}))

    assert one(part)["duration_seconds"] == pytest.approx(1, abs=0.1)
    assert loudness(saved(part), 440, 0.2, 0.7) == pytest.approx(0.3, rel=0.06)
    assert (one(end)["mime"], one(end)["kind"]) == ("audio/mpeg", "audio")
    assert one(end)["duration_seconds"] == pytest.approx(1, abs=0.1)
    assert one(loop)["duration_seconds"] == pytest.approx(4.5, abs=0.1)
    assert loudness(saved(loop), 440, 3.5, 4.0) == pytest.approx(0.3, rel=0.06)


async def test_a_still_is_the_picture_of_its_moment(connect: Connect, tmp_path: Path) -> None:
    film_of_two = [tmp_path / "red.mp4", tmp_path / "blue.mp4"]
    for path, colour in zip(film_of_two, ("red", "blue"), strict=True):
        page = BytesIO()
        Image.new("RGB", (320, 240), colour).save(page, "PNG")
        path.write_bytes(make_film(Film(320, 240, 2, pictures=(page.getvalue(),))))
    async with connect() as client:
        both = await done(client.call_tool("combine_media", {"do": "join", "files": [*map(str, film_of_two)]}))
        name = f"task:{both['task_id']}/0"
        first, last = [
            await done(client.call_tool("combine_media", {"do": "frame", "files": [name], "start": start}))
            for start in (0.5, -0.01)
        ]

    red, blue = [Image.open(saved(each)).convert("RGB").getpixel((10, 10)) for each in (first, last)]
    assert isinstance(red, tuple)
    assert isinstance(blue, tuple)
    assert red[0] > red[2] + 60
    assert blue[2] > blue[0] + 60
    assert (one(first)["mime"], one(first)["width"]) == ("image/png", 320)


@pytest.mark.parametrize(("form", "mime"), [("webm", "video/webm"), ("gif", "image/gif"), ("m4a", "audio/mp4")])
async def test_a_clip_becomes_another_kind_of_file(connect: Connect, tmp_path: Path, form: str, mime: str) -> None:
    clip = film(tmp_path / "clip.mp4", 1, peak=0.3)
    async with connect() as client:
        answer = await done(client.call_tool("combine_media", {"do": "convert", "files": [clip], "format": form}))

    assert one(answer)["mime"] == mime
    if form != "gif":
        assert one(answer)["duration_seconds"] == pytest.approx(1, abs=0.1)


async def test_a_picture_becomes_another_kind_of_file(connect: Connect, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox.png", mode="RGBA")
    async with connect() as client:
        answer = await done(client.call_tool("combine_media", {"do": "convert", "files": [path], "format": "jpg"}))

    made = Image.open(saved(answer))
    assert (made.format, made.size, made.getpixel((1, 1))) == ("JPEG", (640, 480), (255, 255, 255))


async def test_what_was_made_is_a_result_like_any(
    connect: Connect, tmp_path: Path, world: World, settings: Settings
) -> None:
    """Found by its task, listed, read as a resource, taken as an input; and nothing of it went to Novita."""
    clip = link_to(film(tmp_path / "clip.mp4", 2), world, settings.base_url)
    async with connect() as client:
        spoken = await done(client.call_tool("generate_speech", {"text": "Good morning, fox."}))
        asked = len([request for request in world.requests if request.method != "GET"])
        both = {"do": "replace_sound", "files": [clip, f"task:{spoken['task_id']}/0"]}
        answer = await done(client.call_tool("combine_media", both))
        again = await done(client.call_tool("get_task", {"task_id": answer["task_id"]}))
        listed = fields_of(await client.call_tool("list_tasks", {}))
        short = {"do": "trim", "files": [f"task:{answer['task_id']}/0"], "end": 1}
        part = await done(client.call_tool("combine_media", short))

    assert again["artifacts"] == answer["artifacts"]
    assert listed["tasks"][0]["tool"] == "combine_media"
    assert one(part)["duration_seconds"] == pytest.approx(1, abs=0.1)
    assert len([request for request in world.requests if request.method != "GET"]) == asked


async def test_what_cannot_be_done_is_said_before_any_work(connect: Connect, tmp_path: Path) -> None:
    clip, voice = film(tmp_path / "clip.mp4", 1), narration(tmp_path / "voice.wav", 1)
    fox = picture(tmp_path / "fox.png")
    cases: list[tuple[Json, str]] = [
        ({"do": "replace_sound", "files": [clip]}, "a clip, then a sound; 1 were given"),
        ({"do": "replace_sound", "files": [voice, voice]}, "has no pictures"),
        ({"do": "mix_sound", "files": [clip, clip]}, "has no sound"),
        ({"do": "join", "files": [clip, voice]}, "cannot be joined one after the other"),
        ({"do": "join", "files": [fox, clip]}, "is a picture"),
        ({"do": "loop", "files": [clip]}, "loop needs end"),
        ({"do": "loop", "files": [clip], "end": 9_000}, "at most"),
        ({"do": "trim", "files": [clip]}, "start or end"),
        ({"do": "trim", "files": [clip], "start": 5}, "1.0 s long"),
        ({"do": "trim", "files": [clip], "start": 3, "end": 2}, "must come after"),
        ({"do": "convert", "files": [clip]}, "needs format"),
        ({"do": "convert", "files": [clip], "format": "doc"}, "cannot be written here"),
        ({"do": "convert", "files": [voice], "format": "mp4"}, "has no pictures"),
        ({"do": "convert", "files": [clip], "format": "mp3"}, "has no sound"),
        ({"do": "trim", "files": [str(tmp_path / "none.mp4")], "end": 1}, "There is no file"),
        ({"do": "trim", "files": ["/etc/hostname"], "end": 1}, "outside the folders"),
    ]
    async with connect() as client:
        for arguments, words in cases:
            await refused(client.call_tool("combine_media", arguments), words)


@pytest.mark.parametrize("do", ["frame", "replace_sound"])
async def test_a_sound_where_a_clip_is_needed_is_refused(
    connect: Connect, tmp_path: Path, world: World, do: str
) -> None:
    sound = recording(tmp_path / "line.mp3", "The fox crossed the field.", world)
    async with connect() as client:
        wish = {"do": do, "files": [sound] if do == "frame" else [sound, sound]}
        await refused(client.call_tool("combine_media", wish), "line.mp3", "picture", "Nothing was billed")


async def test_a_damaged_clip_is_refused(connect: Connect, tmp_path: Path) -> None:
    whole = Path(film(tmp_path / "clip.mp4", 1)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    async with connect() as client:
        await refused(
            client.call_tool("combine_media", {"do": "trim", "files": [str(tmp_path / "cut.mp4")], "end": 1}), "cut off"
        )


async def test_work_has_bounds(connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = film(tmp_path / "clip.mp4", 1)
    trim = {"do": "trim", "files": [clip], "end": 0.9}
    async with connect() as client:
        with monkeypatch.context() as bounds:
            bounds.setattr(montage, "MOST_WORK", 10_000)
            await refused(client.call_tool("combine_media", trim), "too much work")
        with monkeypatch.context() as bounds:
            bounds.setattr(montage, "MOST_BYTES", 100)
            await refused(client.call_tool("combine_media", trim), "grows over")
        with monkeypatch.context() as bounds:
            bounds.setattr(combining, "LONGEST_WORK", -1)
            await refused(client.call_tool("combine_media", trim), "takes longer")
        await done(client.call_tool("combine_media", trim))


async def test_work_that_outlasts_the_call_goes_on_and_is_had_by_its_id(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novita_mcp.novita.media.jobs.SHORT_WORK", 0)
    async with connect(wait_seconds=0) as client:
        wish = {"do": "trim", "files": [film(tmp_path / "clip.mp4")], "end": 1}
        begun = await client.call_tool("combine_media", wish)
        first = fields_of(begun)
        assert first["status"] == "working"
        assert "costs nothing" in text_of(begun)
        later = await done(client.call_tool("get_task", {"task_id": first["task_id"], "wait_seconds": 60}))
        assert later["status"] == "succeeded"
        assert Path(saved(later)).is_file()
