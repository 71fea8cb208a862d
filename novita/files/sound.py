"""Prepares users' recordings for a model: takes the sound out of a video, converts it, cuts it at silences.

Everything here works and blocks: call it in a thread.
"""

# The types that come with av leave these unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from array import array
from dataclasses import dataclass
from io import BytesIO
from itertools import chain

from ..core.errors import InputError
from ..core.words import counted
from . import pyav
from .containers import is_whole
from .kinds import MEDIA_TYPES, MediaType
from .media_limits import MediaLimits, find_trouble, refuse
from .pictures import Probe, probe

RATE = 24_000
"""Hz, mono. Speech recognition and voice cloning use no more than that; it takes 48 kB a second."""
LONGEST = 1_800
"""The longest sound that is converted, in seconds."""
_SHORTEST = 0.05
"""Seconds. A shorter sound cannot contain speech."""
_COMMON = ("wav", "mp3", "m4a", "flac", "ogg", "opus", "aac")
"""Formats that are sent unchanged if the model does not say which ones it accepts."""
_LARGE = ("wav", "aiff", "flac")
"""Formats without strong compression: converting them makes the file much smaller."""


@dataclass(frozen=True)
class Sound:
    """A sound that is ready to be sent. `changed` says what was done to it, in words that follow its name."""

    data: bytes
    found: MediaType
    measures: Probe
    changed: str


def is_foreign(found: MediaType, limits: MediaLimits) -> bool:
    """Whether a sound, or a video whose sound is wanted, has to be converted for the model."""
    if found.kind == "video":
        return True
    return not limits.takes(found) if limits.formats else found.name not in _COMMON


def prepare_sound(data: bytes, found: MediaType, limits: MediaLimits, name: str) -> Sound:
    """A sound that was checked, and converted to WAV if the model does not accept its format.

    Args:
        found: The format: that of a sound, or of a video whose sound is wanted.

    Raises:
        InputError: The file holds no sound, is damaged or cut off, or breaks a limit.
    """
    if not is_whole(data, found):
        raise InputError(
            f"{name} is cut off: it ends before its own header says", next_step="Fetch or record it again."
        )
    measures, changed = probe(data, found.kind), ""
    if found.kind == "audio" and not _has_sound(data):
        raise InputError(f"{name} holds no sound: there is not one sample in it", next_step="Record it again.")
    broken = find_trouble(limits, found, len(data), measures)
    heavy = found.name in _LARGE and [limit.about for limit in broken] == ["bytes"]
    if is_foreign(found, limits) or heavy:
        hopeless = [limit for limit in broken if limit.about == "seconds"]
        if hopeless:  # this is known before anything is decoded
            raise refuse(name, hopeless)
        changed = "is a video, and only its sound is wanted" if found.kind == "video" else "was converted here"
        data, found = sound_of(data, name), MEDIA_TYPES["wav"]
        measures = probe(data, "audio")
        broken = find_trouble(limits, found, len(data), measures)
    elif found.name == "wav" and not measures.duration:
        # The header has no length: the recording program was killed before it could write that.
        data, changed = sound_of(data, name), "was given its length here"
        measures = probe(data, "audio")
        broken = find_trouble(limits, found, len(data), measures)
    if broken:
        raise refuse(name, broken)
    if measures.duration is not None and measures.duration < _SHORTEST:
        raise InputError(f"{name} holds hardly any sound ({measures.duration:g} s)", next_step="Record it again.")
    return Sound(data, found, measures, changed)


def cut_at_silences(data: bytes, name: str, longest: float) -> list[bytes]:
    """A recording cut into WAV pieces of at most `longest` seconds. Each cut is at a silence, not within a word.

    Raises:
        InputError: The recording cannot be decoded, or is longer than half an hour.
    """
    import wave  # not at the top: most calls decode no sound

    with wave.open(BytesIO(sound_of(data, name)), "rb") as whole:
        samples = array("h", whole.readframes(whole.getnframes()))
    pieces: list[bytes] = []
    start, most = 0, int(longest * RATE)
    while start < len(samples):
        end = len(samples) if len(samples) - start <= most else _most_silent(samples, start + most // 2, start + most)
        file = BytesIO()
        with wave.open(file, "wb") as piece:
            piece.setnchannels(1)
            piece.setsampwidth(2)
            piece.setframerate(RATE)
            piece.writeframes(samples[start:end].tobytes())
        pieces.append(file.getvalue())
        start = end
    return pieces


_STEP = RATE // 20
_WINDOW = 6
"""A silence must last so many steps of a twentieth of a second: 0.3 s, as long as a pause between sentences."""


def _most_silent(samples: "array[int]", first: int, last: int) -> int:
    """The middle of the quietest window between two places: the last if several are equal, to make long pieces."""
    # Every 16th sample is enough to tell the loudness, and reading so few is quick.
    loud = [sum(map(abs, samples[at : at + _STEP : 16])) for at in range(first, last - _STEP + 1, _STEP)]
    windows = [sum(loud[at : at + _WINDOW]) for at in range(max(1, len(loud) - _WINDOW + 1))]
    quietest = min(range(len(windows)), key=lambda at: (windows[at], -at))
    return first + (quietest * 2 + _WINDOW) * _STEP // 2


def _has_sound(data: bytes) -> bool:
    """Whether at least one sample of a sound file can be decoded. Without PyAV: True, and Novita judges the file."""
    if not pyav.is_here():
        return True
    import av
    from av.error import FFmpegError

    try:
        with av.open(BytesIO(data), "r") as container:
            return any(frame.samples for frame in container.decode(audio=0)) if container.streams.audio else False
    except FFmpegError:
        return False


def sound_of(data: bytes, name: str) -> bytes:
    """The first sound track of a video or a sound file as WAV, mono, 16 bit, as long as the track.

    Args:
        name: What error texts call the file.

    Raises:
        InputError: The file has no sound, cannot be decoded, or is longer than half an hour.
    """
    pyav.must_be_here(f"Decoding {name}", "Give it as a short mp3 or wav, as the model takes it")
    # Imported here and not at the top, since few calls need PyAV and importing it takes long.
    import wave

    import av
    from av.audio.resampler import AudioResampler
    from av.error import FFmpegError

    file = BytesIO()
    try:
        with av.open(BytesIO(data), "r") as container, wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(RATE)
            if not container.streams.audio:
                raise InputError(f"{name} is a video without sound", next_step="Give a recording, or one with sound.")
            seconds = container.duration / av.time_base if container.duration else LONGEST
            if seconds > LONGEST:
                raise InputError(
                    f"{name} has {counted(round(seconds / 60), 'minute')}; sound is taken out of half an hour at most"
                )
            # Codecs pad the end. A video of exactly the longest allowed length must not become too long by the padding.
            left = 2 * round(seconds * RATE)
            resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
            for frame in chain(container.decode(audio=0), (None,)):
                for part in resampler.resample(frame):
                    samples = bytes(part.planes[0])[: min(left, 2 * part.samples)]
                    sound.writeframes(samples)
                    left -= len(samples)
    except FFmpegError as error:
        raise InputError(f"The sound of {name} cannot be decoded", next_step="Give it as mp3 or wav.") from error
    return file.getvalue()
