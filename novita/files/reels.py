"""Reads clips and sounds piece by piece: pictures of one size at a steady rate, and sound as long as the pictures.

Everything here works and blocks: call it in a thread. montage.py puts together what is read here.
"""

# The types that come with av leave these unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from . import pyav
from .kinds import MediaType

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

HERTZ = 48_000
"""Samples a second of all sound in work. It is stereo in 32-bit floats, so that nothing is clipped before the end."""
SAMPLE = 8
"""Bytes of one stereo sample: two channels of four bytes."""
CHUNK = 4_096
"""Stereo samples in one chunk."""
FASTEST = 60
"""The most pictures a second."""
MOST_PIXELS = 4_096 * 2_304
"""The most pixels in one picture of a clip."""

Tick = Callable[[], None]
"""Called for every picture and every chunk of sound. It raises to stop the work."""


@dataclass(frozen=True)
class Reel:
    """A clip or a sound.

    Args:
        name: What messages call the clip or sound.
        seconds: Its length.
        width: The width of its pictures as displayed, in pixels; 0 if it has none.
        rate: Its pictures a second.
        codec: The codec of its pictures.
    """

    data: bytes
    name: str
    found: MediaType
    seconds: float
    width: int = 0
    height: int = 0
    rate: Fraction = Fraction(25)
    codec: str = ""
    sounds: bool = False

    @property
    def films(self) -> bool:
        """Whether the reel has pictures."""
        return self.width > 0


@dataclass(frozen=True)
class Scene:
    """A part of a reel, in seconds from the reel's beginning."""

    reel: Reel
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def read_reel(data: bytes, found: MediaType, name: str) -> Reel:
    """Read the measures of a clip or a sound.

    Raises:
        InputError: The file cannot be decoded, has no known length, or has pictures larger than MOST_PIXELS.
    """
    pyav.must_be_here(f"Working on {name}", "Use an editor of this machine")
    # Imported here and not at the top, since few calls need PyAV and importing it takes long.
    import av
    from av.error import FFmpegError

    try:
        with av.open(BytesIO(data), "r") as source:
            sounds = bool(source.streams.audio)
            if found.kind == "audio" or not source.streams.video:
                seconds = float(source.duration or 0) / av.time_base or _counted(source)
                return _long_enough(Reel(data, name, found, seconds, sounds=sounds))
            stream = source.streams.video[0]
            rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
            length = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            seconds = length or float(source.duration or 0) / av.time_base
            first = next(iter(source.decode(stream)), None)
            if first is None:
                raise InputError(f"{name} holds no picture", next_step="Give another clip.")
            turned = _turned(first) in (90, 270)
            width, height = (first.height, first.width) if turned else (first.width, first.height)
            codec = stream.codec_context.name
    except FFmpegError as error:
        raise InputError(f"{name} cannot be decoded", next_step="Export it again, as MP4 or MP3.") from error
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{name} has {width}x{height} pixels; {MOST_PIXELS / 1e6:.0f} megapixels a picture are worked on at most"
        )
    rate = min(rate, Fraction(FASTEST)) if rate > 0 else Fraction(25)
    return _long_enough(Reel(data, name, found, seconds, width, height, rate, codec, sounds))


def _counted(source: Any) -> float:
    """The seconds of a sound whose header does not tell them, found by decoding it all."""
    return sum(frame.samples / frame.sample_rate for frame in source.decode(audio=0)) if source.streams.audio else 0.0


def _long_enough(reel: Reel) -> Reel:
    if reel.seconds <= 0:
        raise InputError(f"{reel.name} does not say how long it is", next_step="Export it again, as MP4 or MP3.")
    return reel


def _turned(frame: VideoFrame) -> int:
    """By how many degrees clockwise a picture must be turned for display, from the note that phones write."""
    return -int(getattr(frame, "rotation", 0) or 0) % 360


_TURNS = {90: (("transpose", "clock"),), 180: (("hflip", ""), ("vflip", "")), 270: (("transpose", "cclock"),)}


def pictures(cut: Scene, size: tuple[int, int], rate: Fraction, tick: Tick) -> Iterator[VideoFrame]:
    """The pictures of a part at a steady rate, all of one `size`, with bars if their shape differs."""
    import av

    count = max(1, round(cut.seconds * rate))
    with av.open(BytesIO(cut.reel.data), "r") as source:
        stream = source.streams.video[0]
        stream.thread_type = "AUTO"
        begins = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
        if cut.start > 0:
            source.seek(int((begins + cut.start) * av.time_base))
        fit: Callable[[VideoFrame], VideoFrame] | None = None
        held: VideoFrame | None = None
        shown: VideoFrame | None = None
        made = 0
        for frame in source.decode(stream):
            tick()
            at = (frame.time or 0.0) - begins - cut.start
            # The picture before is shown until this one begins.
            while held is not None and made < count and made / rate < at - 1e-4:
                fit = fit or _fitting(stream, held, size)
                shown = shown or fit(held)
                yield shown
                made += 1
            if made >= count:
                return
            held, shown = frame, None
        while held is not None and made < count:
            fit = fit or _fitting(stream, held, size)
            shown = shown or fit(held)
            yield shown
            made += 1


def _fitting(stream: Any, frame: VideoFrame, size: tuple[int, int]) -> Callable[[VideoFrame], VideoFrame]:
    """A function that turns, scales and pads the pictures of one stream."""
    from av.filter import Graph

    width, height = size
    graph = Graph()
    last = graph.add_buffer(template=stream)
    steps = [
        *_TURNS.get(_turned(frame), ()),
        ("scale", f"{width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2"),
        ("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2"),
        ("setsar", "1"),
        ("format", "yuv420p"),
    ]
    for name, settings in steps:
        step = graph.add(name, settings) if settings else graph.add(name)
        last.link_to(step)
        last = step
    last.link_to(graph.add("buffersink"))
    graph.configure()

    def fit(picture: VideoFrame) -> VideoFrame:
        graph.push(picture)
        made: Any = graph.pull()
        return made

    return fit


def picture_at(reel: Reel, second: float) -> bytes:
    """One picture of a clip as PNG. The last one if `second` is the clip's end."""
    wanted = Scene(reel, max(0.0, min(second, reel.seconds - 1 / reel.rate)), reel.seconds)
    frame = next(pictures(wanted, even(reel), reel.rate, lambda: None))
    sink = BytesIO()
    image: Any = frame.to_image()
    image.save(sink, "PNG")
    return sink.getvalue()


def even(reel: Reel) -> tuple[int, int]:
    """The size of a clip's pictures in even numbers, as encoders need it."""
    return max(2, reel.width // 2 * 2), max(2, reel.height // 2 * 2)


def sound(cut: Scene, tick: Tick) -> Iterator[bytes]:
    """The sound of a part in chunks, exactly as long as the part, filled up with silence."""
    left = round(cut.seconds * HERTZ)
    for chunk in _sound_to_the_end(cut, tick):
        part = chunk[: left * SAMPLE]
        left -= len(part) // SAMPLE
        yield part
        if not left:
            return
    while left:
        tick()
        some = min(left, CHUNK)
        left -= some
        yield bytes(some * SAMPLE)


def _sound_to_the_end(cut: Scene, tick: Tick) -> Iterator[bytes]:
    """The sound from the beginning of a part to the end of its file."""
    if not cut.reel.sounds:
        return
    import av
    from av.audio.resampler import AudioResampler

    with av.open(BytesIO(cut.reel.data), "r") as source:
        stream = source.streams.audio[0]
        begins = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
        if cut.start > 1:  # start a second early, since some codecs need a moment before they decode correctly
            source.seek(int((begins + cut.start - 1) * av.time_base))
        alone = stream.codec_context.layout.nb_channels == 1
        resampler = AudioResampler(format="flt", layout="mono" if alone else "stereo", rate=HERTZ)
        skip: int | None = None
        for frame in source.decode(stream):
            tick()
            if skip is None:
                skip = round((cut.start + begins - (frame.time or begins)) * HERTZ)
                if skip < 0:  # the sound begins later than the part
                    yield bytes(-skip * SAMPLE)
                    skip = 0
            for made in resampler.resample(frame):
                part = _on_both_sides(made) if alone else bytes(made.planes[0])[: made.samples * SAMPLE]
                over = min(skip, made.samples)
                skip -= over
                if len(part) > over * SAMPLE:
                    yield part[over * SAMPLE :]
        for made in resampler.resample(None):
            yield _on_both_sides(made) if alone else bytes(made.planes[0])[: made.samples * SAMPLE]


def _on_both_sides(frame: Any) -> bytes:
    """A single channel put on both sides at its full loudness; a resampler would make it 3 dB quieter."""
    channel = array("f", bytes(frame.planes[0])[: frame.samples * SAMPLE // 2])
    both = array("f", bytes(len(channel) * SAMPLE))
    both[::2] = both[1::2] = channel
    return both.tobytes()


def in_chunks(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same sound in chunks of CHUNK samples; the last one may be shorter."""
    held = bytearray()
    for part in parts:
        held += part
        while len(held) >= CHUNK * SAMPLE:
            yield bytes(held[: CHUNK * SAMPLE])
            del held[: CHUNK * SAMPLE]
    if held:
        yield bytes(held)
