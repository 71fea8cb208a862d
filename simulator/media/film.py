"""Makes films: real MP4 and GIF files of the length, size and frame rate asked for, from words, pictures or clips.

Drawing must be cheap: a clip of 5 s and 720p takes a fraction of a second. So only a few different pictures are drawn
for each second, at a small size, and the encoder's scaler enlarges them. The same request gives the same frames.
"""

# The types of av and Pillow are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
from av.error import FFmpegError
from av.video.frame import VideoFrame
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from .sound import Samples, frames

SOUND_RATE: Final = 44100
_DRAWN_SIDE: Final = 640  # Pixels of the longer side of a drawn picture.
_DRAWN_RATE: Final = 8  # At most so many different pictures for a second.
_DRAWN_PIXELS: Final = 90_000_000  # All enlarged pictures together: a long 4K film gets fewer for each second.

Draw = Callable[[float], Image.Image]
"""Draws the picture for a moment between 0, the start of the film, and 1, its end."""


class NotAFilmError(ValueError):
    """The bytes hold no video that can be decoded."""


class NotAPictureError(ValueError):
    """The bytes hold no picture that can be decoded."""


@dataclass(frozen=True)
class Clip:
    """What a video file contains: pixels, seconds, frames, frames for a second, and whether it has sound."""

    width: int
    height: int
    seconds: float
    frames: int
    fps: float
    sound: bool


@dataclass(frozen=True)
class Film:
    """A film to make.

    `pictures` are key frames: the film begins with the first one and, if there are several, ends with the last one.
    `clip` is a video whose frames are changed instead, and `face` is put on the figure in it. `sound` makes mono
    samples at SOUND_RATE when the film is made. Without it the film has no sound track.
    """

    width: int
    height: int
    seconds: float
    fps: int = 8
    words: str = ""
    seed: int = 0
    pictures: tuple[bytes, ...] = ()
    clip: bytes | None = None
    face: bytes | None = None
    sound: Callable[[], Samples] | None = None


def make_film(film: Film) -> bytes:
    """The film as MP4 (H.264, yuv420p, AAC)."""
    width, height = _even(film.width), _even(film.height)
    count = max(1, round(film.seconds * film.fps))
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        picture = out.add_stream("libx264", rate=film.fps, options={"preset": "ultrafast", "crf": "30"})
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        picture.time_base = Fraction(1, film.fps)
        voice = None
        if film.sound is not None:
            voice = out.add_stream("aac", rate=SOUND_RATE)
            voice.layout = "mono"
            voice.bit_rate = 64000
        for index, frame in enumerate(_held(film, width, height, count)):
            frame.pts = index
            frame.time_base = Fraction(1, film.fps)
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))
        if voice is not None and film.sound is not None:
            for part in frames(_fitted(film.sound(), round(film.seconds * SOUND_RATE)), SOUND_RATE):
                out.mux(voice.encode(part))
            out.mux(voice.encode(None))
    return file.getvalue()


def make_gif(film: Film) -> bytes:
    """The film as a GIF of the same length, without sound."""
    count = max(2, round(film.seconds * min(film.fps, _DRAWN_RATE)))
    draw = _drawing(film, film.width, film.height)
    pictures = [draw(index / (count - 1)).resize((film.width, film.height)) for index in range(count)]
    pages = [picture.quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for picture in pictures]
    file = io.BytesIO()
    pages[0].save(
        file, "GIF", save_all=True, append_images=pages[1:], duration=round(1000 * film.seconds / count), loop=0
    )
    return file.getvalue()


def look_at(data: bytes) -> Clip:
    """What the video contains. Raises NotAFilmError."""
    try:
        with av.open(io.BytesIO(data), "r") as source:
            if not source.streams.video:
                raise NotAFilmError("the file has no pictures")
            stream = source.streams.video[0]
            if stream.codec_context.name in {"png", "mjpeg", "webp", "gif", "bmp", "tiff"}:
                raise NotAFilmError("the file is a picture")
            fps = float(stream.average_rate or 0)
            count = stream.frames or sum(1 for packet in source.demux(stream) if packet.size)
            seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            if not seconds and fps:
                seconds = count / fps
            return Clip(stream.width, stream.height, seconds, count, fps, bool(source.streams.audio))
    except (FFmpegError, EOFError) as error:
        raise NotAFilmError("the bytes are no video file") from error


def stills(data: bytes, count: int) -> list[Image.Image]:
    """`count` frames spread evenly over the video, the first one and the last one included. Raises NotAFilmError."""
    clip = look_at(data)
    wanted = [round(i * max(0, clip.frames - 1) / max(1, count - 1)) for i in range(count)]
    kept: dict[int, Image.Image] = {}
    scale = min(1.0, _DRAWN_SIDE / max(clip.width, clip.height))
    size = _even(round(clip.width * scale)), _even(round(clip.height * scale))
    try:
        with av.open(io.BytesIO(data), "r") as source:
            needed = set(wanted)
            for index, frame in enumerate(source.decode(video=0)):
                if index in needed:
                    kept[index] = frame.to_image(width=size[0], height=size[1])
    except (FFmpegError, EOFError) as error:
        raise NotAFilmError("the bytes are no video file") from error
    if not kept:
        raise NotAFilmError("the video has no frames")
    return [kept[min(kept, key=lambda have: abs(have - index))] for index in wanted]


def imagine(words: str, width: int = 960, height: int = 540) -> bytes:
    """A JPEG picture for the words. It stands for a picture behind a link, as links are not followed."""
    file = io.BytesIO()
    _imagined(Film(width, height, 1, words=words), (width, height))(0).save(file, "JPEG")
    return file.getvalue()


def open_picture(data: bytes) -> tuple[Image.Image, str]:
    """The picture in RGB, and its format by Pillow's name (PNG, JPEG...). Raises NotAPictureError."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            # Pillow calls a JPEG with a second picture in it, as cameras write it, MPO.
            return image.convert("RGB"), {"MPO": "JPEG"}.get(image.format or "", image.format or "")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NotAPictureError("the bytes are no picture") from error


def has_alpha(data: bytes) -> bool:
    """Whether some part of the picture is transparent. The data must be a picture."""
    with Image.open(io.BytesIO(data)) as image:
        return image.has_transparency_data


def _held(film: Film, width: int, height: int, count: int) -> Iterator[VideoFrame]:
    """Every frame of the film. A drawn picture is repeated until the next one is due."""
    rate = min(film.fps, _DRAWN_RATE, max(1, int(_DRAWN_PIXELS / (width * height * film.seconds))))
    distinct = max(2, math.ceil(count * rate / film.fps)) if count > 1 else 1
    draw = _drawing(film, width, height)
    shown, frame = -1, None
    for index in range(count):
        number = min(distinct - 1, index * distinct // count)
        if frame is None or number != shown:
            shown = number
            picture = draw(number / max(1, distinct - 1))
            whole: VideoFrame = VideoFrame.from_image(picture)
            frame = whole.reformat(width, height, "yuv420p")
        yield frame


def _drawing(film: Film, width: int, height: int) -> Draw:
    scale = min(1.0, _DRAWN_SIDE / max(width, height))
    size = _even(round(width * scale)), _even(round(height * scale))
    if film.clip is not None:
        return _reworked(film, size)
    if film.pictures:
        return _animated(film, size)
    return _imagined(film, size)


def _imagined(film: Film, size: tuple[int, int]) -> Draw:
    """Shapes that drift over a soft background, with the words below. Words and seed decide what it looks like."""
    width, height = size
    rng = random.Random(f"{film.words}|{film.seed}")
    tiny = Image.frombytes("RGB", (8, 5), bytes(rng.randrange(20, 200) for _ in range(120)))
    ground = tiny.resize((round(width * 1.4), round(height * 1.4)), Image.Resampling.BICUBIC)
    shapes = [
        (
            rng.uniform(0.06, 0.2) * min(size),
            (rng.random(), rng.random()),
            (rng.choice((-1, 1)), rng.choice((-2, -1, 1, 2))),
            (rng.randrange(80, 256), rng.randrange(80, 256), rng.randrange(80, 256)),
        )
        for _ in range(6)
    ]
    font = ImageFont.load_default(max(10, height // 16))
    caption = film.words.replace("\n", " ")[: max(8, width * 26 // max(10, height))]

    def draw(moment: float) -> Image.Image:
        left, top = round(moment * 0.4 * width), round(moment * 0.4 * height)
        picture = ground.crop((left, top, left + width, top + height))
        pen = ImageDraw.Draw(picture)
        for radius, (x, y), (dx, dy), colour in shapes:
            cx = (0.5 + 0.45 * math.sin(2 * math.pi * (x + dx * moment / 2))) * width
            cy = (0.5 + 0.45 * math.cos(2 * math.pi * (y + dy * moment / 4))) * height
            pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=colour)
        pen.text((width // 40, height - height // 10), caption, fill="white", font=font)
        return picture

    return draw


def _animated(film: Film, size: tuple[int, int]) -> Draw:
    """A camera that moves into the picture, or from key frame to key frame."""
    keys = [_cover(open_picture(data)[0], size) for data in film.pictures]
    rng = random.Random(f"{film.words}|{film.seed}")
    towards = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8)
    depth = rng.uniform(0.12, 0.25)

    def draw(moment: float) -> Image.Image:
        if len(keys) == 1:
            return _zoomed(keys[0], depth * moment, towards)
        place = moment * (len(keys) - 1)
        number = min(int(place), len(keys) - 2)
        between = place - number
        # The key frames are not zoomed: the first and last frame must be the pictures that were sent.
        zoom = depth * math.sin(math.pi * between)
        return Image.blend(_zoomed(keys[number], zoom, towards), _zoomed(keys[number + 1], zoom, towards), between)

    return draw


def _reworked(film: Film, size: tuple[int, int]) -> Draw:
    """The frames of the clip in another light, with the pictures beside them or the face on the figure."""
    if film.clip is None:
        raise NotAFilmError("there is no clip to work on")
    count = max(2, math.ceil(film.seconds * min(film.fps, _DRAWN_RATE)))
    pictures = [_cover(still, size) for still in stills(film.clip, count)]
    rng = random.Random(f"{film.words}|{film.seed}")
    light = Image.new("RGB", size, (rng.randrange(256), rng.randrange(256), rng.randrange(256)))
    small = size[0] // 4, size[1] // 4
    insets = [_cover(open_picture(data)[0], small) for data in film.pictures[:4]]
    face = _cover(open_picture(film.face)[0], (small[1], small[1])) if film.face is not None else None

    def draw(moment: float) -> Image.Image:
        frame = pictures[round(moment * (count - 1))]
        if face is not None:
            picture = frame.copy()
            oval = Image.new("L", face.size, 0)
            ImageDraw.Draw(oval).ellipse((0, 0, face.width - 1, face.height - 1), fill=255)
            picture.paste(face, ((size[0] - face.width) // 2, size[1] // 5), oval)
            return picture
        picture = Image.blend(frame, light, 0.25)
        for number, inset in enumerate(insets):
            picture.paste(inset, (number * small[0], 0))
        return picture

    return draw


def _cover(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale the picture until it fills the size, and cut off the rest."""
    width, height = size
    ratio = max(width / image.width, height / image.height)
    inner = width / ratio, height / ratio
    left, top = (image.width - inner[0]) / 2, (image.height - inner[1]) / 2
    box = (left, top, min(image.width, left + inner[0]), min(image.height, top + inner[1]))
    return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)


def _zoomed(image: Image.Image, depth: float, towards: tuple[float, float]) -> Image.Image:
    if depth <= 0:
        return image
    width, height = image.width * (1 - depth), image.height * (1 - depth)
    left, top = (image.width - width) * towards[0], (image.height - height) * towards[1]
    return image.resize(image.size, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))


def _fitted(samples: Samples, count: int) -> Samples:
    """The samples, cut or filled with silence to the length of the film."""
    fitted = samples[:count]
    fitted.frombytes(bytes(2 * (count - len(fitted))))
    return fitted


def _even(pixels: int) -> int:
    return max(2, pixels - pixels % 2)
