"""Makes sound: speech that can be transcribed, music, and the files for them. Nothing here knows of HTTP.

Speech sounds like a hum with tones over it. The tones repeat a *call sign*: a 32-bit number made from the text, as ten
tones of 40 ms. hearing.py keeps the text for each call sign, so it can transcribe a sound even after it was encoded
again, resampled, cut or put under a video. The same request gives the same bytes.
"""

# The types of av are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
import io
import math
import random
import re
import sys
import wave
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

CHARACTERS_A_SECOND: Final = 14.0
SHORTEST: Final = 0.9  # Seconds. Two whole call signs fit in, so that even "Hi" can be transcribed.
_SYMBOL: Final = 0.04  # Seconds of one tone.
_SYMBOLS: Final = 10  # A sync tone, eight nibbles and a check.
_SIGN: Final = _SYMBOL * _SYMBOLS
_SYNC: Final = 16
_TONES: Final = tuple(600 + 150 * k for k in range(17))  # Hz; inside what a telephone, 8 kHz and any codec let through
_HEARD_AT: Final = 8000  # Hz. `listen` resamples to this rate.
_PAUSE: Final = re.compile(r"<#(\d+(?:\.\d+)?)#>")
_SENTENCE_ENDS: Final = frozenset(".!?;\n。！？；")

Samples: TypeAlias = "array[int]"
"""Mono signed 16-bit samples in the machine's byte order."""


class NotSoundError(ValueError):
    """The bytes hold no sound that can be decoded."""


@dataclass(frozen=True)
class SoundFormat:
    """The format of a file. `kind` is mp3, wav, flac, opus (in Ogg) or pcm (raw, 16 bit little endian, interleaved)."""

    kind: str = "mp3"
    rate: int = 32000
    channels: int = 1
    bitrate: int = 128000

    @property
    def media_type(self) -> str:
        return {"mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "opus": "audio/ogg", "pcm": "audio/pcm"}[
            self.kind
        ]


@dataclass(frozen=True)
class Heard:
    """The result of `listen`: the length in seconds, and the call signs in the order in which they were first heard."""

    seconds: float
    signs: tuple[int, ...]


def call_sign(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def spoken_length(text: str, speed: float = 1.0) -> float:
    """How many seconds a voice needs for the text, including its pauses, which are written <#x#>."""
    pauses = sum(float(x) for x in _PAUSE.findall(text))
    letters = " ".join(_PAUSE.sub(" ", text).split())
    return max(SHORTEST, len(letters) / CHARACTERS_A_SECOND / speed) + pauses


def speak(
    text: str, *, voice: str = "", speed: float = 1.0, volume: float = 1.0, pitch: int = 0, rate: int = 32000
) -> Samples:
    """Read the text with the voice. The voice decides the hum, and the text the tones over it."""
    sentence = _call(call_sign(text), _hum_of(voice, pitch), volume, rate)
    breath = array("h", bytes(2 * round(0.15 * rate)))
    total = round(spoken_length(text, speed) * rate)
    out: Samples = array("h")
    letters_a_sign = CHARACTERS_A_SECOND * speed * _SIGN
    at = 0.0
    for piece in _pieces(text):
        if not isinstance(piece, str):
            out.extend(array("h", bytes(2 * round(piece * rate))))
            continue
        at += len(piece)
        while at >= letters_a_sign:
            out.extend(sentence)
            at -= letters_a_sign
        if piece[-1:] in _SENTENCE_ENDS and len(out) > 2 * len(sentence):
            out.extend(breath)
    while len(out) < total:
        out.extend(sentence)
    return out[:total]


def play(seed: str, seconds: float, *, words: str = "", rate: int = 32000) -> Samples:
    """A tune, which the seed decides. If there are words they are sung, so that they can be transcribed."""
    rng = random.Random(seed)
    root = rng.choice((65, 75, 80, 90, 100))
    steps = rng.choice(((1, 1.25, 1.5), (1, 1.2, 1.5), (1, 4 / 3, 5 / 3)))
    chords = [root * rng.choice((1, 9 / 8, 4 / 3, 3 / 2)) for _ in range(4)]
    beats = [_chord([chord * step for step in steps], rate) for chord in chords]
    sung = _call(call_sign(words), 0, 0.8, rate) if words else None
    total = round(seconds * rate)
    out: Samples = array("h")
    while len(out) < total:
        for beat in beats:
            # Three of four beats are sung. The fourth is left to the instruments.
            out.extend(array("h", map(_add, beat, sung)) if sung is not None and beat is not beats[3] else beat)
    return out[:total]


def mix(below: Samples, above: Samples) -> Samples:
    """Both sounds at once. The result is as long as the first one."""
    both = array("h", map(_add, below, above))
    both.extend(below[len(both) :])
    return both


def encode(samples: Samples, form: SoundFormat) -> bytes:
    """Write the samples, which must already have the format's rate, as a file of that format."""
    if form.kind == "pcm":
        return _little_endian(_interleaved(samples, form.channels))
    if form.kind == "wav":
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setnchannels(form.channels)
            writer.setsampwidth(2)
            writer.setframerate(form.rate)
            writer.writeframes(_little_endian(_interleaved(samples, form.channels)))
        return file.getvalue()
    container, codec = {"mp3": ("mp3", "libmp3lame"), "flac": ("flac", "flac"), "opus": ("ogg", "libopus")}[form.kind]
    # LAME is fastest with compression_level 9. Minutes of speech must not take minutes to encode.
    options = {"mp3": {"compression_level": "9"}, "opus": {"compression_level": "0"}}.get(form.kind, {})
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = cast("AudioStream", out.add_stream(codec, rate=form.rate, options=options))
        stream.layout = "stereo" if form.channels == 2 else "mono"
        if form.kind != "flac":
            stream.bit_rate = form.bitrate
        for frame in frames(samples, form.rate, form.channels):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def frames(samples: Samples, rate: int, channels: int = 1, size: int = 8192) -> Iterator[AudioFrame]:
    """The samples as frames for an encoder. Each has `size` samples and its time."""
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        frame = AudioFrame(format="s16", layout="stereo" if channels == 2 else "mono", samples=len(part))
        plane = frame.planes[0]
        data = _interleaved(part, channels).tobytes()
        plane.update(data + bytes(plane.buffer_size - len(data)))
        frame.sample_rate = rate
        frame.pts = start
        yield frame


def decode(data: bytes, rate: int, longest: float = math.inf) -> Samples:
    """The sound of any audio or video file as mono samples, up to `longest` seconds.

    Raises NotSoundError if the bytes are not such a file, or if it has no sound.
    """
    out: Samples = array("h")
    resampler = AudioResampler(format="s16", layout="mono", rate=rate)

    def take(resampled: Iterable[AudioFrame]) -> None:
        for frame in resampled:
            out.frombytes(bytes(frame.planes[0])[: 2 * frame.samples])

    try:
        with av.open(io.BytesIO(data), "r") as source:
            if not source.streams.audio:
                raise NotSoundError("the file has no sound")
            for frame in source.decode(audio=0):
                take(resampler.resample(frame))
                if len(out) > longest * rate:
                    break
            else:
                take(resampler.resample(None))
    except (FFmpegError, EOFError) as error:
        raise NotSoundError("the bytes are no sound file") from error
    return out if longest == math.inf else out[: round(longest * rate)]


def listen(data: bytes, longest: float = 60.0) -> Heard:
    """Hear a file: its length and the call signs in it. Raises NotSoundError."""
    samples = decode(data, _HEARD_AT, longest)
    hop, window = _HEARD_AT // 100, _HEARD_AT // 50
    waves = [
        ([math.cos(2 * math.pi * f * i / _HEARD_AT) for i in range(window)],
         [math.sin(2 * math.pi * f * i / _HEARD_AT) for i in range(window)])
        for f in _TONES
    ]  # fmt: skip
    loudest = [_loudest(samples[at : at + window], waves) for at in range(0, len(samples) - window, hop)]
    signs: dict[int, None] = {}
    at, step = 0, round(_SYMBOL * 100)
    while at < len(loudest):
        if loudest[at] != _SYNC:
            at += 1
            continue
        run = at
        while run < len(loudest) and loudest[run] == _SYNC:
            run += 1
        middle = (at + run - 1) // 2
        places = [middle + step * (i + 1) for i in range(_SYMBOLS - 1)]
        if places[-1] < len(loudest):
            nibbles = [loudest[place] for place in places]
            if all(0 <= n < 16 for n in nibbles) and sum(nibbles[:-1]) % 16 == nibbles[-1]:
                signs[int("".join(f"{n:x}" for n in nibbles[:-1]), 16)] = None
        at = run
    return Heard(len(samples) / _HEARD_AT, tuple(signs))


def _pieces(text: str) -> Iterator[str | float]:
    """The sentences, as text, and the pauses between them, as seconds."""
    for index, part in enumerate(_PAUSE.split(text)):
        if index % 2:
            yield float(part)
        else:
            yield from (" ".join(s.split()) for s in re.split(r"(?<=[.!?;\n。！？；])", part) if s.strip())


def _hum_of(voice: str, pitch: int) -> float:
    # A multiple of 2.5 Hz has whole waves in 0.4 s, so call signs join without a click.
    steps = 36 + int.from_bytes(hashlib.sha256(voice.encode()).digest()[:2], "big") % 60
    return round(steps * 2 ** (pitch / 12)) * 2.5


def _call(sign: int, hum: float, volume: float, rate: int) -> Samples:
    """The samples of one call sign, 0.4 s long."""
    nibbles = [int(digit, 16) for digit in f"{sign:08x}"]
    symbols = [_SYNC, *nibbles, sum(nibbles) % 16]
    loud = 32767 * min(0.55, max(0.03, 0.3 * math.sqrt(volume)))
    size = round(_SIGN * rate)
    out: Samples = array("h", bytes(2 * size))
    edge = 0.004
    for i in range(size):
        t = i / rate
        symbol = min(_SYMBOLS - 1, int(t / _SYMBOL))
        inside = t - symbol * _SYMBOL
        fade = min(1.0, inside / edge, (_SYMBOL - inside) / edge)
        value = fade * math.sin(2 * math.pi * _TONES[symbols[symbol]] * t)
        if hum:
            value += 0.5 * math.sin(2 * math.pi * hum * t)
        out[i] = int(loud * value)
    return out


def _chord(notes: Sequence[float], rate: int) -> Samples:
    """A plucked chord of 0.4 s. Its notes are lower than the tones of call signs."""
    size = round(_SIGN * rate)
    loud = 32767 * 0.12
    return array(
        "h",
        (
            int(loud * math.exp(-3 * i / size) * sum(math.sin(2 * math.pi * note * i / rate) for note in notes))
            for i in range(size)
        ),
    )


def _loudest(part: Sequence[int], waves: Sequence[tuple[list[float], list[float]]]) -> int:
    """The index of the loudest tone in a part of the samples, or -1 if it is silence or noise."""
    energy = sum(map(mul, part, part))
    if energy < 25 * len(part):  # This is silence with the noise of a codec.
        return -1
    powers = [sum(map(mul, part, cos)) ** 2 + sum(map(mul, part, sin)) ** 2 for cos, sin in waves]
    best = max(range(len(powers)), key=powers.__getitem__)
    # A tone alone would give energy * window / 2, but the hum and the tones next to it take a part.
    return best if powers[best] > 0.12 * energy * len(part) / 2 else -1


def _add(a: int, b: int) -> int:
    return max(-32768, min(32767, a + b))


def _interleaved(samples: Samples, channels: int) -> Samples:
    if channels == 1:
        return samples
    both: Samples = array("h", bytes(4 * len(samples)))
    both[0::2] = samples
    both[1::2] = samples
    return both


def _little_endian(samples: Samples) -> bytes:
    if sys.byteorder == "big":
        samples = samples[:]
        samples.byteswap()
    return samples.tobytes()
