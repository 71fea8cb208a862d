"""Small pictures of finished files for the chat, and the measures of files: sides and length.

Everything here works and blocks: call it in a thread. A file that cannot be decoded has no small picture and no
measures; that is never an error here.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import pyav
from .decoding import UNREADABLE, decoded_bytes, open_picture
from .kinds import Kind

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE = 512


@dataclass(frozen=True)
class Thumb:
    """A small picture."""

    data: bytes
    mime: str

    @property
    def base64(self) -> str:
        return base64.b64encode(self.data).decode("ascii")


@dataclass(frozen=True)
class Probe:
    """The measures of a file, as far as they could be read: sides in pixels as displayed, duration in seconds."""

    width: int | None = None
    height: int | None = None
    duration: float | None = None


def displayed_size(picture: "Image") -> tuple[int, int]:
    """Width and height as shown, with the camera's orientation applied."""
    width, height = picture.size
    tags: Any = getattr(picture, "tag_v2", None)
    if tags is not None:  # newer versions of Pillow give a TIFF's size as it is displayed; the tags hold the raw size
        width, height = tags.get(256, width), tags.get(257, height)
    return (height, width) if orientation(picture) in (5, 6, 7, 8) else (width, height)


def orientation(picture: "Image") -> int:
    """The EXIF orientation: how the camera was held. 1 is upright."""
    try:
        found: Any = picture.getexif().get(0x0112, 1)
    except UNREADABLE:
        return 1
    return found if found in range(2, 9) else 1


def upright(picture: "Image", *, about: tuple[int, int] | None = None) -> "Image":
    """The first frame, decoded, turned as displayed, as RGB or RGBA.

    Args:
        about: The wanted size, as displayed. If the format allows, the picture is decoded smaller, but never smaller
            than that, and is shrunk to about that size before anything else is done with it.

    Raises:
        Any of UNREADABLE, such as OSError, if the file is damaged.
    """
    from PIL import ImageOps

    picture.seek(0)
    if about is not None:
        reduce_to(picture, about)
    ImageOps.exif_transpose(picture, in_place=True)
    clear = picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
    if picture.mode.startswith("I") or picture.mode == "F":
        # With 16 bits per channel convert() would cut bright values off instead of scaling them.
        picture = picture.convert("F").point(lambda value: value / 256).convert("L")
    wanted = "RGBA" if clear else "RGB"
    return picture if picture.mode == wanted else picture.convert(wanted)


def reduce_to(picture: "Image", about: tuple[int, int]) -> None:
    """Decode a picture, and shrink it in place by a whole number if it is several times larger than `about`."""
    from PIL import Image

    wanted = about if displayed_size(picture) == picture.size else (about[1], about[0])
    picture.draft("RGB", wanted)  # a JPEG decodes smaller, and faster
    picture.load()
    factor = min(picture.size[0] // max(1, wanted[0]), picture.size[1] // max(1, wanted[1]))
    if factor >= 2 and picture.mode in ("L", "RGB", "RGBA", "LA"):
        picture.thumbnail((picture.size[0] // factor, picture.size[1] // factor), Image.Resampling.BOX)


def has_alpha(picture: "Image") -> bool:
    return "A" in picture.getbands() or "transparency" in picture.info


def thumbnail(source: bytes | Path, *, longest: int = LONGEST_SIDE, max_bytes: int = 90_000) -> Thumb | None:
    """A picture of at most `longest` pixels a side and `max_bytes` bytes. None if the source cannot be decoded."""
    picture = open_picture(source)
    if picture is None:
        return None
    try:
        with picture:
            return _small(upright(picture, about=_around(picture, longest * 2)), longest, max_bytes)
    except UNREADABLE:
        return None


def _around(picture: "Image", side: int) -> tuple[int, int]:
    """The size, as displayed, of the picture scaled so that its longer side is `side`."""
    width, height = displayed_size(picture)
    factor = min(1.0, side / max(width, height))
    return max(1, int(width * factor)), max(1, int(height * factor))


def thumbnail_cost(source: bytes | Path) -> int:
    """The most memory that making a thumbnail takes, reckoned from the header. 0 if the source is no picture."""
    picture = open_picture(source)
    if picture is None:
        return 0
    with picture:
        return decoded_bytes(picture, drafted(picture, _around(picture, 2 * LONGEST_SIDE)))


def drafted(picture: "Image", about: tuple[int, int]) -> int:
    """By how much a JPEG is decoded smaller on the way to `about` (as displayed): 1, 2, 4 or 8; 1 for other formats."""
    if picture.format not in ("JPEG", "MPO"):
        return 1
    width, height = displayed_size(picture)
    return max(
        scale for scale in (1, 2, 4, 8) if scale == 1 or (width >= about[0] * scale and height >= about[1] * scale)
    )


def _small(picture: "Image", longest: int, max_bytes: int) -> Thumb:
    """The best small picture that fits into `max_bytes`: first the quality is lowered, then the size."""
    from PIL import Image

    # Every host shows JPEG; only pictures with transparent parts need WebP.
    clear = picture.mode == "RGBA" and picture.getchannel("A").getextrema() != (255, 255)
    kind, mime = ("WEBP", "image/webp") if clear else ("JPEG", "image/jpeg")
    if not clear:
        picture = picture.convert("RGB")
    side = longest
    while True:
        small = picture.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        for quality in (82, 68, 52, 36):
            sink = BytesIO()
            small.save(sink, kind, quality=quality)
            if sink.tell() <= max_bytes or (side <= 32 and quality == 36):
                return Thumb(sink.getvalue(), mime)
        side = max(32, side * 3 // 4)


def fit_thumbnails(thumbs: Sequence[Thumb | None], total_base64: int = 600_000) -> list[Thumb | None]:
    """The same thumbs, made smaller if needed, so that all together stay below `total_base64` characters."""
    present = [thumb for thumb in thumbs if thumb is not None]
    if sum(_encoded(thumb) for thumb in present) <= total_base64:
        return list(thumbs)
    share = total_base64 // len(present) // 4 * 3
    return [
        thumb if thumb is None or len(thumb.data) <= share else thumbnail(thumb.data, max_bytes=share)
        for thumb in thumbs
    ]


def _encoded(thumb: Thumb) -> int:
    return (len(thumb.data) + 2) // 3 * 4


def _shown(frame: Any) -> "Image":
    """A frame of PyAV, which tells no types, as a picture."""
    return frame.to_image()


def poster(path: Path, *, longest: int = LONGEST_SIDE, max_bytes: int = 90_000) -> Thumb | None:
    """A frame of a video that shows something. None if PyAV is not installed or cannot read the video."""
    if not pyav.is_here():
        return None
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path), "r") as container:
            shown: Image | None = None
            for number, frame in enumerate(container.decode(video=0)):
                shown = _shown(frame)
                # Many clips begin black: look a second or two further for a frame with something on it.
                if number >= 48 or _busy(shown):
                    break
            return _small(shown, longest, max_bytes) if shown is not None else None
    except (FFmpegError, *UNREADABLE):
        return None


def _busy(picture: "Image") -> bool:
    from PIL import ImageStat

    return max(ImageStat.Stat(picture.resize((32, 32))).stddev) > 8


def probe(source: bytes | Path, kind: Kind) -> Probe:
    """The measures of a file. Those of video and of compressed audio need PyAV."""
    if kind == "image":
        picture = open_picture(source)
        if picture is None:
            return Probe()
        with picture:
            return Probe(*displayed_size(picture))
    if kind not in ("video", "audio"):
        return Probe()
    found = _probe_wave(source) if kind == "audio" else None
    return found or _probe_av(source)


def _probe_wave(source: bytes | Path) -> Probe | None:
    import wave  # not at the top: most calls measure no sound

    try:
        with wave.open(BytesIO(source) if isinstance(source, bytes) else str(source), "rb") as sound:
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            # A file that was streamed does not know its length and claims the largest: count the frames that are there.
            frames = min(sound.getnframes(), size // max(1, sound.getnchannels() * sound.getsampwidth()))
            return Probe(duration=round(frames / sound.getframerate(), 3))
    except (wave.Error, ZeroDivisionError, *UNREADABLE):
        return None


def _probe_av(source: bytes | Path) -> Probe:
    if not pyav.is_here():
        return Probe()
    import av
    from av.error import FFmpegError

    try:
        with av.open(BytesIO(source) if isinstance(source, bytes) else str(source), "r") as container:
            seconds = round(container.duration / av.time_base, 3) if container.duration else None
            picture = container.streams.video[0] if container.streams.video else None
            if picture is None or not picture.width:
                return Probe(duration=seconds)
            return Probe(picture.width, picture.height, seconds)
    except (FFmpegError, *UNREADABLE):
        return Probe()
