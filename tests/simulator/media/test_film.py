"""The simulator's films can be decoded. They have the length, size, rate and sound asked for, and show the inputs."""

import io

import av
import pytest
from novita_mcp.simulator.media.film import (
    SOUND_RATE,
    Film,
    NotAFilmError,
    NotAPictureError,
    has_alpha,
    imagine,
    look_at,
    make_film,
    make_gif,
    open_picture,
    stills,
)
from novita_mcp.simulator.media.sound import call_sign, listen, speak
from PIL import Image, ImageChops, ImageStat


def picture(colour: str, size: tuple[int, int] = (400, 300), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def mean(image: Image.Image) -> list[float]:
    return ImageStat.Stat(image).mean


def difference(one: Image.Image, other: Image.Image) -> float:
    return sum(mean(ImageChops.difference(one, other)))


@pytest.mark.parametrize(
    ("width", "height", "seconds", "fps"),
    [(1280, 720, 5, 12), (720, 1280, 2, 24), (1366, 768, 1, 25), (512, 512, 25 / 6, 6), (3840, 2160, 1, 12)],
)
def test_a_film_has_the_size_length_and_rate_asked_for(width: int, height: int, seconds: float, fps: int) -> None:
    clip = look_at(make_film(Film(width, height, seconds, fps, words="a fox")))

    assert (clip.width, clip.height, clip.fps, clip.sound) == (width, height, fps, False)
    assert clip.seconds == pytest.approx(seconds, abs=1 / fps)
    assert clip.frames == round(seconds * fps)


def test_any_player_can_show_it() -> None:
    film = make_film(Film(320, 240, 1, words="a fox", sound=lambda: speak("hello", rate=SOUND_RATE)))

    with av.open(io.BytesIO(film)) as file:
        assert file.streams.video[0].codec_context.name == "h264"
        assert file.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert file.streams.audio[0].codec_context.name == "aac"


def test_the_picture_moves() -> None:
    first, middle, last = stills(make_film(Film(640, 360, 3, words="a fox")), 3)

    assert difference(first, middle) > 10
    assert difference(middle, last) > 10


def test_words_and_seed_decide_what_is_seen() -> None:
    def film(words: str, seed: int) -> bytes:
        return make_film(Film(320, 180, 1, words=words, seed=seed))

    assert film("a fox", 1) == film("a fox", 1)
    assert difference(stills(film("a fox", 1), 1)[0], stills(film("a fox", 2), 1)[0]) > 10
    assert difference(stills(film("a fox", 1), 1)[0], stills(film("an owl", 1), 1)[0]) > 10


def test_a_film_starts_and_ends_with_the_frames_given() -> None:
    film = make_film(Film(640, 480, 2, pictures=(picture("red"), picture("lime"), picture("blue"))))

    first, middle, last = (mean(still) for still in stills(film, 3))
    assert first == pytest.approx([254, 0, 0], abs=12)
    assert middle[1] > 200
    assert last == pytest.approx([0, 0, 254], abs=12)


def test_an_edited_clip_still_shows_the_clip_in_another_light() -> None:
    clip = make_film(Film(640, 360, 2, pictures=(picture("red"), picture("blue"))))

    edited = make_film(Film(640, 360, 2, words="at night", clip=clip))

    before, after = stills(clip, 2), stills(edited, 2)
    assert all(difference(one, other) > 5 for one, other in zip(before, after, strict=True))
    assert mean(after[0])[0] > mean(after[1])[0]  # red first, blue last, as in the clip
    assert mean(after[1])[2] > mean(after[0])[2]


def test_a_face_is_put_into_the_middle_of_the_clip_and_nowhere_else() -> None:
    clip = make_film(Film(640, 360, 1, pictures=(picture("navy"),)))

    merged = stills(make_film(Film(640, 360, 1, clip=clip, face=picture("yellow"))), 1)[0]

    assert merged.getpixel((320, 110)) == pytest.approx((255, 255, 0), abs=20)
    assert merged.getpixel((40, 300)) == pytest.approx((0, 0, 128), abs=20)


def test_what_is_said_in_a_film_can_be_heard() -> None:
    film = make_film(Film(320, 180, 4, sound=lambda: speak("look at the snow over there", rate=SOUND_RATE)))

    assert listen(film).signs == (call_sign("look at the snow over there"),)


def test_a_sound_is_cut_to_the_film_or_followed_by_silence() -> None:
    long = make_film(Film(320, 180, 2, sound=lambda: speak("word " * 40, rate=SOUND_RATE)))
    short = make_film(Film(320, 180, 4, sound=lambda: speak("word", rate=SOUND_RATE)))

    assert listen(long).seconds == pytest.approx(2, abs=0.1)
    assert listen(short).seconds == pytest.approx(4, abs=0.1)


def test_a_gif_plays_as_long() -> None:
    with Image.open(io.BytesIO(make_gif(Film(256, 192, 2, words="a fox")))) as gif:
        count: int = getattr(gif, "n_frames", 1)
        assert gif.size == (256, 192)
        assert count * gif.info["duration"] == pytest.approx(2000, abs=200)


@pytest.mark.parametrize("data", [b"", b"<html></html>", picture("red"), picture("red", kind="JPEG")])
def test_what_is_no_video_is_refused(data: bytes) -> None:
    with pytest.raises(NotAFilmError):
        look_at(data)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(NotAPictureError):
        open_picture(make_film(Film(320, 180, 1)))


def test_a_picture_is_opened_with_its_format() -> None:
    assert open_picture(picture("red", kind="WEBP"))[1] == "WEBP"
    assert open_picture(imagine("https://example.com/a.png"))[0].size == (960, 540)


def test_alpha_is_seen() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(file, "PNG")

    assert has_alpha(file.getvalue())
    assert not has_alpha(picture("red"))
