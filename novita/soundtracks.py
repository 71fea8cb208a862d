"""The sound of a video as a sound file. Blocks: call it in a thread."""

# The types that come with av leave these unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import wave
from io import BytesIO

from .errors import InputError

RATE = 24_000
"""Hz, mono: all that a recognizer or a voice cloner hears, at 48 kB a second."""
LONGEST = 1_800
"""Seconds of sound taken out at most."""


def sound_of(video: bytes, name: str) -> bytes:
    """The first sound track of a video as WAV, mono, 16 bit, as long as the track.

    Args:
        name: What errors call the video.

    Raises:
        InputError: It has no sound, cannot be decoded, or is longer than half an hour.
    """
    # Not at the top: few calls need it, and it takes long to import.
    import av
    from av.audio.resampler import AudioResampler
    from av.error import FFmpegError

    file = BytesIO()
    try:
        with av.open(BytesIO(video), "r") as container, wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(RATE)
            if not container.streams.audio:
                raise InputError(f"{name} is a video without sound", next_step="Give a recording, or one with sound.")
            seconds = container.duration / av.time_base if container.duration else LONGEST
            if seconds > LONGEST:
                raise InputError(f"{name} has {seconds / 60:.0f} minutes; sound is taken out of half an hour at most")
            # Codecs pad the end; a video of exactly the longest length must not become too long by that.
            left = 2 * round(seconds * RATE)
            resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
            for frame in (*container.decode(audio=0), None):
                for part in resampler.resample(frame):
                    samples = bytes(part.planes[0])[: min(left, 2 * part.samples)]
                    sound.writeframes(samples)
                    left -= len(samples)
    except FFmpegError as error:
        raise InputError(f"The sound of {name} cannot be decoded", next_step="Give it as mp3 or wav.") from error
    return file.getvalue()
