"""Clips, sounds and pictures put together on this machine: joined, cut, looped, given a sound, changed in format.

Everything here works and blocks: call it in a thread. Pictures are encoded anew unless only the sound changes. Sound
keeps its loudness: mixed sounds are added up, and only peaks that would be clipped are held down.
"""

# The types that come with av leave these unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from itertools import chain
from typing import Any

from ..core.errors import InputError
from ..core.words import counted
from .decoding import UNREADABLE, open_header
from .kinds import MediaType
from .pictures import upright
from .reels import HERTZ, SAMPLE, Reel, Scene, Tick, even, in_chunks, pictures, sound

MIB = 2**20
LONGEST = 1_800.0
"""The longest result, in seconds."""
MOST_WORK = 2e10
"""The most pixels in all pictures of a result together: 1080p for about five minutes."""
MOST_BYTES = 512 * MIB
"""The largest result."""
_GIF_SIDE, _GIF_RATE, _GIF_SECONDS = 480, 12, 30
_SLOW_PICTURES = {"libx264": {"preset": "veryfast", "crf": "20"}, "libvpx": {"deadline": "realtime", "cpu-used": "8"}}


@dataclass(frozen=True)
class Packing:
    """How a kind of file is written: its container, and the codecs of its pictures and its sound."""

    container: str
    pictures: str
    sound: str
    bits: int = 0


PACKINGS = {
    "mp4": Packing("mp4", "libx264", "aac", 192_000),
    "mov": Packing("mov", "libx264", "aac", 192_000),
    "mkv": Packing("matroska", "libx264", "aac", 192_000),
    "webm": Packing("webm", "libvpx", "libopus", 128_000),
    "mp3": Packing("mp3", "", "libmp3lame", 192_000),
    "wav": Packing("wav", "", "pcm_s16le"),
    "flac": Packing("flac", "", "flac"),
    "m4a": Packing("ipod", "", "aac", 192_000),
    "aac": Packing("adts", "", "aac", 192_000),
    "ogg": Packing("ogg", "", "libopus", 128_000),
    "opus": Packing("ogg", "", "libopus", 128_000),
}
"""How each format is written, by its name."""
PICTURES = ("png", "jpeg", "webp")
"""The formats for single pictures."""


def kept_format(found: MediaType) -> str:
    """The format of the result when the caller names none: the file's own, or the usual one of its kind."""
    usual = "mp3" if found.kind == "audio" else "mp4"
    return found.name if found.name in PACKINGS else usual


def assemble(cuts: Sequence[Scene], form: str, tick: Tick) -> bytes:
    """Join parts one after the other into one clip, or into one sound if `form` is a format of sounds.

    The first part decides the size of the pictures and how many there are a second.

    Raises:
        InputError: A part of a clip has no pictures, or the result passes a bound of `check_work`.
    """
    check_work(cuts, form)
    chunks = in_chunks(chain.from_iterable(sound(cut, tick) for cut in cuts))
    if form == "gif":
        return _gif(cuts, tick)
    packing = PACKINGS[form]
    if not packing.pictures:
        if not any(cut.reel.sounds for cut in cuts):
            raise InputError(f"{cuts[0].reel.name} has no sound")
        return _write(packing, chunks=chunks)
    size, rate = even(cuts[0].reel), cuts[0].reel.rate
    seen = chain.from_iterable(pictures(cut, size, rate, tick) for cut in cuts)
    sounds = any(cut.reel.sounds for cut in cuts)
    return _write(packing, seen=seen, size=size, rate=rate, chunks=chunks if sounds else None)


def check_work(cuts: Sequence[Scene], form: str) -> None:
    """Refuse work whose result would pass LONGEST or MOST_WORK.

    Raises:
        InputError: It names the bound that is passed.
    """
    seconds = sum(cut.seconds for cut in cuts)
    if seconds > LONGEST:
        raise InputError(
            f"It would be {counted(round(seconds / 60), 'minute')} long; {LONGEST / 60:.0f} are made here at most"
        )
    if form != "gif" and not PACKINGS[form].pictures:
        return
    blind = next((cut.reel for cut in cuts if not cut.reel.films), None)
    if blind is not None:
        raise InputError(f"{blind.name} has no pictures, which a {form} needs")
    if form == "gif" and seconds > _GIF_SECONDS:
        raise InputError(f"A GIF of {seconds:.0f} s is too long; {_GIF_SECONDS} s are made", next_step="Trim it first.")
    width, height = even(cuts[0].reel)
    work = seconds * float(cuts[0].reel.rate) * width * height
    if form != "gif" and work > MOST_WORK:
        least = MOST_WORK / (float(cuts[0].reel.rate) * width * height)
        raise InputError(f"{seconds:.0f} s of {width}x{height} are too much work here; {least:.0f} s are the most")


def add_sound(clip: Reel, added: Reel, tick: Tick, *, mix: bool, volume: float, form: str) -> bytes:
    """A clip with a narration or music added from its beginning. The result is as long as the clip.

    Args:
        mix: Whether the clip's own sound stays beneath the added one. If not, it is dropped.
        volume: The loudness of the added sound; 1 leaves it as it is.

    Raises:
        InputError: The clip has no pictures, or the added file has no sound.
    """
    if not clip.films:
        raise InputError(f"{clip.name} has no pictures; a sound can only be added to a clip")
    if not added.sounds:
        raise InputError(f"{added.name} has no sound")
    whole = Scene(clip, 0, clip.seconds)
    check_work([whole], form)
    laid = in_chunks(sound(Scene(added, 0, clip.seconds), tick))
    under = in_chunks(sound(whole, tick)) if mix and clip.sounds else None
    chunks = _mixed([laid] if under is None else [laid, under], volume)
    packing = PACKINGS[form]
    if clip.codec in ("h264", "hevc") and form in ("mp4", "mov", "mkv"):
        return _with_pictures_as_they_are(clip, packing, chunks, tick)
    seen = pictures(whole, even(clip), clip.rate, tick)
    return _write(packing, seen=seen, size=even(clip), rate=clip.rate, chunks=chunks)


def _mixed(sounds: Sequence[Iterator[bytes]], volume: float) -> Iterator[bytes]:
    """Sounds of the same length, added up, the first at `volume`. Peaks that would be clipped are held down."""
    from av.audio.layout import AudioLayout
    from av.filter import Graph

    graph = Graph()
    doors: list[Any] = []
    for _ in sounds:
        doors.append(
            graph.add_abuffer(
                sample_rate=HERTZ, format="flt", layout=AudioLayout("stereo"), time_base=Fraction(1, HERTZ)
            )
        )
    louder = graph.add("volume", f"{volume:g}")
    doors[0].link_to(louder)
    last = louder
    if len(doors) > 1:
        last = graph.add("amix", f"inputs={len(doors)}:normalize=0:duration=longest")
        louder.link_to(last, 0, 0)
        for place, door in enumerate(doors[1:], 1):
            door.link_to(last, 0, place)
    # level=false: the limiter would otherwise make everything louder until the peaks reach its limit.
    steps = (("alimiter", "limit=0.97:level=false:latency=true"), ("aformat", "sample_fmts=flt:channel_layouts=stereo"))
    for name, settings in (*steps, ("abuffersink", "")):
        step = graph.add(name, settings) if settings else graph.add(name)
        last.link_to(step)
        last = step
    graph.configure()
    at = 0
    for chunks in zip(*sounds, strict=True):
        for door, chunk in zip(doors, chunks, strict=True):
            door.push(_frame(chunk, at))
        at += len(chunks[0]) // SAMPLE
        yield from _pulled(last)
    for door in doors:
        door.push(None)
    yield from _pulled(last)


def _pulled(sink: Any) -> Iterator[bytes]:
    from av.error import BlockingIOError as NothingYet
    from av.error import EOFError as NothingMore

    while True:
        try:
            made = sink.pull()
        except (NothingYet, NothingMore):
            return
        yield bytes(made.planes[0])[: made.samples * SAMPLE]


def _frame(chunk: bytes, at: int) -> Any:
    from av.audio.frame import AudioFrame

    frame = AudioFrame(format="flt", layout="stereo", samples=len(chunk) // SAMPLE)
    plane = frame.planes[0]
    plane.update(chunk + bytes(plane.buffer_size - len(chunk)))
    frame.sample_rate, frame.pts, frame.time_base = HERTZ, at, Fraction(1, HERTZ)
    return frame


def _write(
    packing: Packing,
    *,
    chunks: Iterator[bytes] | None,
    seen: Iterator[Any] | None = None,
    size: tuple[int, int] | None = None,
    rate: Fraction = Fraction(25),
) -> bytes:
    """Write a file of pictures and sound, keeping both about equally far."""
    import av

    file = BytesIO()
    with av.open(file, "w", format=packing.container) as out:
        picture: Any = None
        if size is not None:
            picture = out.add_stream(packing.pictures, rate=rate, options=_SLOW_PICTURES[packing.pictures])
            picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
            picture.time_base = 1 / rate
        voice: Any = _voice(out, packing) if chunks is not None else None
        written = 0
        for index, frame in enumerate(seen or ()):
            frame.pts, frame.time_base, frame.pict_type = index, 1 / rate, 0
            out.mux(picture.encode(frame))
            if chunks is not None:
                written = _write_sound(out, voice, chunks, written, until=(index + 1) / rate)
            _bounded(file)
        if picture is not None:
            out.mux(picture.encode(None))
        if chunks is not None:
            _write_sound(out, voice, chunks, written, until=None)
            out.mux(voice.encode(None))
    _bounded(file)
    return file.getvalue()


def _voice(out: Any, packing: Packing) -> Any:
    voice = out.add_stream(packing.sound, rate=HERTZ)
    voice.layout = "stereo"
    if packing.bits:
        voice.bit_rate = packing.bits
    return voice


def _write_sound(
    out: Any, stream: Any, chunks: Iterator[bytes], written: int, *, until: float | Fraction | None
) -> int:
    """Write sound until the moment `until`, or all of it. Returns how much is written by then."""
    while until is None or written < until * HERTZ:
        chunk = next(chunks, None)
        if chunk is None:
            break
        out.mux(stream.encode(_frame(chunk, written)))
        written += len(chunk) // SAMPLE
    return written


def _with_pictures_as_they_are(clip: Reel, packing: Packing, chunks: Iterator[bytes], tick: Tick) -> bytes:
    """The clip with another sound; its pictures are copied without encoding them again."""
    import av

    file = BytesIO()
    with av.open(BytesIO(clip.data), "r") as source, av.open(file, "w", format=packing.container) as out:
        stream = source.streams.video[0]
        picture = out.add_stream_from_template(stream)
        voice, written = _voice(out, packing), 0
        for packet in source.demux(stream):
            tick()
            if packet.dts is None:
                continue
            packet.stream = picture
            until = float(packet.dts * (stream.time_base or 0))
            out.mux(packet)
            written = _write_sound(out, voice, chunks, written, until=until)
            _bounded(file)
        _write_sound(out, voice, chunks, written, until=None)
        out.mux(voice.encode(None))
    _bounded(file)
    return file.getvalue()


def _bounded(file: BytesIO) -> None:
    if file.tell() > MOST_BYTES:
        raise InputError(
            f"The result grows over {MOST_BYTES // MIB} MiB", next_step="Make it shorter, or with smaller pictures."
        )


def _gif(cuts: Sequence[Scene], tick: Tick) -> bytes:
    """An animation of small pictures that repeats for ever."""
    from PIL import Image

    rate = min(cuts[0].reel.rate, Fraction(_GIF_RATE))
    width, height = even(cuts[0].reel)
    factor = min(1.0, _GIF_SIDE / max(width, height))
    size = max(2, int(width * factor) // 2 * 2), max(2, int(height * factor) // 2 * 2)
    seen = chain.from_iterable(pictures(cut, size, rate, tick) for cut in cuts)
    pages = [frame.to_image().quantize(128, Image.Quantize.FASTOCTREE) for frame in seen]
    sink = BytesIO()
    pages[0].save(sink, "GIF", save_all=True, append_images=pages[1:], duration=round(1000 / rate), loop=0)
    return sink.getvalue()


def repacked_picture(data: bytes, form: str, name: str) -> bytes:
    """A picture in another format. Transparent parts become white if the format has no transparency.

    Raises:
        InputError: The picture cannot be decoded.
    """
    from PIL import Image

    try:
        with open_header(data) as picture:
            whole = upright(picture)
    except UNREADABLE as error:
        raise InputError(f"{name} cannot be decoded") from error
    if form == "jpeg" and whole.mode == "RGBA":
        ground = Image.new("RGB", whole.size, "white")
        ground.paste(whole, mask=whole.getchannel("A"))
        whole = ground
    sink = BytesIO()
    whole.info = {}
    whole.save(sink, form.upper(), **({} if form == "png" else {"quality": 92}))
    return sink.getvalue()
