"""Small pictures of finished files for the chat, and what a file measures.

Everything here works and blocks: call it in a thread. What cannot be decoded has no picture and no measures;
that is never an error here.
"""

import base64
import struct
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .media_types import Kind

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE = 512
UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError, TypeError, RuntimeError, struct.error),
    Warning,
)
"""What Pillow raises on damaged files, depending on the format; it also warns, which may be set to raise."""


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
    """Measures, as far as they could be read. Sides in pixels as displayed, duration in seconds."""

    width: int | None = None
    height: int | None = None
    duration: float | None = None


def open_picture(source: bytes | Path) -> "Image | None":
    """The picture with only its header read, or None if it is none Pillow can open (or absurdly large)."""
    from PIL import Image

    try:
        return Image.open(BytesIO(source) if isinstance(source, bytes) else source)
    except (*UNREADABLE, Image.DecompressionBombError):
        return None


def displayed_size(picture: "Image") -> tuple[int, int]:
    """Width and height as shown, with the camera's orientation applied."""
    width, height = picture.size
    try:
        turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except UNREADABLE:
        turned = False
    return (height, width) if turned else (width, height)


def upright(picture: "Image") -> "Image":
    """The first frame, decoded, turned as displayed, as RGB or RGBA.

    Raises:
        OSError and others of damaged files.
    """
    from PIL import ImageOps

    picture.seek(0)
    turned = ImageOps.exif_transpose(picture)
    clear = turned.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in turned.info
    if turned.mode.startswith("I") or turned.mode == "F":
        # 16 bits a channel: convert() would clip, not scale.
        turned = turned.convert("F").point(lambda value: value / 256).convert("L")
    return turned.convert("RGBA" if clear else "RGB")


def has_alpha(picture: "Image") -> bool:
    return "A" in picture.getbands() or "transparency" in picture.info


def thumbnail(source: bytes | Path, *, longest: int = LONGEST_SIDE, max_bytes: int = 90_000) -> Thumb | None:
    """A picture of at most `longest` pixels a side and `max_bytes` bytes; None where it cannot be decoded."""
    from PIL import Image

    picture = open_picture(source)
    if picture is None:
        return None
    try:
        with picture:
            picture.draft("RGB", (longest * 2, longest * 2))  # JPEG decodes smaller, and faster
            whole = upright(picture)
            return _small(whole, longest, max_bytes)
    except (*UNREADABLE, Image.DecompressionBombError):
        return None


def _small(picture: "Image", longest: int, max_bytes: int) -> Thumb:
    """The best that fits: quality falls first, then size."""
    from PIL import Image

    # JPEG is what every host shows; only what is really see-through needs WebP.
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
    """The same thumbs, made smaller where needed so that together they stay below `total_base64` characters."""
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


def poster(path: Path, *, longest: int = LONGEST_SIDE, max_bytes: int = 90_000) -> Thumb | None:
    """A frame of a video that shows something, where PyAV is installed and can read it."""
    try:
        import av
        from av.error import FFmpegError
    except ImportError:
        return None
    try:
        with av.open(str(path), "r") as container:
            shown: Image | None = None
            for number, frame in enumerate(container.decode(video=0)):
                shown = cast("Image", cast(Any, frame).to_image())
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
    """What a file measures. Length and sides of video and of packed audio need PyAV."""
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
    try:
        with wave.open(BytesIO(source) if isinstance(source, bytes) else str(source), "rb") as sound:
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            # A streamed file does not know its length and claims the largest: what is there counts.
            frames = min(sound.getnframes(), size // max(1, sound.getnchannels() * sound.getsampwidth()))
            return Probe(duration=round(frames / sound.getframerate(), 3))
    except (wave.Error, ZeroDivisionError, *UNREADABLE):
        return None


def _probe_av(source: bytes | Path) -> Probe:
    try:
        import av
        from av.error import FFmpegError
    except ImportError:
        return Probe()
    try:
        with av.open(BytesIO(source) if isinstance(source, bytes) else str(source), "r") as container:
            seconds = round(container.duration / av.time_base, 3) if container.duration else None
            picture = container.streams.video[0] if container.streams.video else None
            if picture is None or not picture.width:
                return Probe(duration=seconds)
            return Probe(picture.width, picture.height, seconds)
    except (FFmpegError, *UNREADABLE):
        return Probe()
