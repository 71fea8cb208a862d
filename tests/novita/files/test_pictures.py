"""Thumbnails fit, look like the picture, and never fail; measures are those of the file as shown."""

import random
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.files.kinds import sniff
from novita_mcp.novita.files.pictures import Thumb, fit_thumbnails, poster, probe, thumbnail
from PIL import Image, ImageStat

from ..conftest import PICTURE_KINDS, draw, encode, tone


def shown(thumb: Thumb | None) -> Image.Image:
    assert thumb is not None
    picture = Image.open(BytesIO(thumb.data))
    picture.load()
    return picture


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    sink = BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_a_thumbnail_has_the_ratio_and_at_most_the_side_asked_for(kind: str) -> None:
    thumb = thumbnail(draw(1200, 800, kind))
    assert thumb is not None
    assert shown(thumb).size in ((512, 341), (512, 342))
    assert len(thumb.data) <= 90_000
    assert thumb.mime == "image/jpeg"


def test_a_small_picture_is_not_blown_up() -> None:
    assert shown(thumbnail(draw(60, 40))).size == (60, 40)


@pytest.mark.parametrize("most", [90_000, 20_000, 3_000])
def test_a_thumbnail_keeps_to_its_bytes(most: int) -> None:
    thumb = thumbnail(draw(900, 900), max_bytes=most)
    assert thumb is not None
    assert len(thumb.data) <= most


def test_a_photo_is_turned_as_its_camera_was_held() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = saved(Image.new("RGB", (400, 200), "red"), "JPEG", exif=exif)
    assert shown(thumbnail(photo)).size == (200, 400)
    assert (probe(photo, "image").width, probe(photo, "image").height) == (200, 400)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_see_through_stays_so(mode: str) -> None:
    clear = Image.new("RGBA", (100, 50), (255, 0, 0, 0))
    clear.paste((255, 0, 0, 255), (0, 0, 50, 50))
    data = saved(clear.convert(mode), "PNG") if mode != "P" else saved(clear.quantize(8), "PNG")
    thumb = thumbnail(data)
    assert thumb is not None
    assert (thumb.mime, shown(thumb).mode) == ("image/webp", "RGBA")
    assert shown(thumb).getchannel("A").getextrema() == (0, 255)


def test_an_alpha_channel_that_hides_nothing_costs_nothing() -> None:
    thumb = thumbnail(saved(Image.new("RGBA", (100, 50), (255, 0, 0, 255)), "PNG"))
    assert thumb is not None
    assert thumb.mime == "image/jpeg"


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "1", "L"])
def test_unusual_modes_are_shown(mode: str) -> None:
    colour: Any = {"CMYK": (0, 255, 255, 0), "I;16": 40_000, "1": 1, "L": 200}[mode]
    kind = "JPEG" if mode == "CMYK" else "PNG"
    pixel: Any = shown(thumbnail(saved(Image.new(mode, (40, 30), colour), kind))).getpixel((20, 15))
    assert pixel[0] > 140  # red, or bright


def test_of_what_moves_the_first_frame_is_shown() -> None:
    frames = [Image.new("RGB", (80, 60), colour) for colour in ("red", "blue")]
    pixel: Any = shown(thumbnail(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))).getpixel((9, 9))
    assert pixel[0] > 200


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_damage_gives_no_picture_and_no_error(kind: str) -> None:
    """Cut or scrambled anywhere: the answer is a thumbnail or None, never an exception."""
    chance, data = random.Random(7), draw(90, 60, kind)
    for _ in range(60):
        broken = bytearray(data[: chance.randrange(len(data))])
        for _ in range(min(6, len(broken))):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        thumb = thumbnail(bytes(broken))
        assert thumb is None or sniff(thumb.data) is not None
        probe(bytes(broken), "image")


def test_what_is_no_picture_has_no_thumbnail(tmp_path: Path) -> None:
    assert thumbnail(b"not a picture") is None
    assert thumbnail(tmp_path / "absent.png") is None
    assert poster(tmp_path / "absent.mp4") is None


def test_many_thumbnails_fit_together_and_keep_their_places() -> None:
    thumbs = [thumbnail(draw(700, 700)), None, *(thumbnail(draw(700, 700)) for _ in range(11))]
    assert sum(len(thumb.base64) for thumb in thumbs if thumb) > 600_000
    fitted = fit_thumbnails(thumbs)
    assert sum(len(thumb.base64) for thumb in fitted if thumb) <= 600_000
    assert [thumb is None for thumb in fitted] == [thumb is None for thumb in thumbs]
    assert fit_thumbnails(thumbs[:3]) == thumbs[:3]


def test_a_clip_has_a_poster_past_its_black_beginning(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(encode("mp4", "mpeg4", black=5))
    assert max(ImageStat.Stat(shown(poster(clip))).mean) > 50


def test_clips_and_sounds_are_measured(tmp_path: Path) -> None:
    clip = probe(encode("mp4", "mpeg4", seconds=2), "video")
    assert (clip.width, clip.height, clip.duration) == (128, 96, 2.0)
    assert probe(tone(1.5), "audio").duration == 1.5
    packed = probe(encode("mp3", "libmp3lame", seconds=2), "audio").duration
    assert packed is not None
    assert abs(packed - 2) < 0.2
    path = tmp_path / "a.wav"
    path.write_bytes(tone(1.5))
    assert probe(path, "audio").duration == 1.5


def test_a_streamed_sound_is_as_long_as_it_is_not_as_it_says() -> None:
    data = bytearray(tone(1.0))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    measured = probe(bytes(data), "audio").duration
    assert measured is not None
    assert abs(measured - 1) < 0.01


def test_without_pyav_clips_are_simply_not_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PyAV is optional; it stands as one that is not to be had, because the test machine has it."""
    clip = encode("mp4", "mpeg4")
    (tmp_path / "clip.mp4").write_bytes(clip)
    monkeypatch.setitem(sys.modules, "av", None)
    assert probe(clip, "video").duration is None
    assert poster(tmp_path / "clip.mp4") is None
