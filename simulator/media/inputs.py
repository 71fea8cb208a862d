"""Reads and checks the pictures, clips and recordings of a request, which come as link, data URI or base64.

The content of a link into this simulator is read from the world. No other link is fetched: its content is invented from
the text of the link.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from ..core.calls import Call
from .film import Film, NotAFilmError, NotAPictureError, has_alpha, imagine, look_at, make_film, open_picture
from .sound import NotSoundError, decode

MB: Final = 1_000_000
_OWN_LINK: Final = re.compile(r"/_simulator/files/([0-9a-f]+)/[^?]*\?X-Expires=(\d+)&X-Signature=([0-9a-f]+)$")
_DATA_URI: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,", re.IGNORECASE)
PICTURE_TYPES: Final = frozenset({"JPEG", "PNG", "WEBP", "BMP"})


@dataclass(frozen=True)
class InputLimits:
    """The documented limits of the file in a field.

    `forms` has a letter for each accepted form: u is a link, d a data URI, b plain base64. `sides` are the least and
    the largest width and height in pixels, `ratio` is the largest longer side divided by the shorter one, and `seconds`
    are the least and the largest length. `types` are Pillow's names for pictures, and those of `sniff` for sounds.
    `opaque` refuses a PNG with transparency.
    """

    forms: str = "udb"
    most_mb: float = 100
    sides: tuple[int, int] = (1, 100_000)
    ratio: float = 1000
    seconds: tuple[float, float] = (0, 100_000)
    types: frozenset[str] = frozenset()
    opaque: bool = False


@dataclass(frozen=True)
class TakenInput:
    """An input. A link to the outside has no bytes, only its text as `link`."""

    data: bytes | None
    link: str = ""

    def picture(self) -> bytes:
        return self.data if self.data is not None else imagine(self.link)

    def clip(self) -> bytes:
        """The bytes of a clip. For a link to the outside it takes a tenth of a second to invent one."""
        return self.data if self.data is not None else make_film(Film(1280, 720, 5, words=self.link))


def take(call: Call, value: str, field: str, limits: InputLimits, fault: str = "INVALID_REQUEST_BODY") -> TakenInput:
    """The input that a value gives. `fault` is the name of the error if it cannot be read."""
    if re.match(r"https?://", value, re.IGNORECASE):
        if "u" not in limits.forms:
            raise call.invalid(f"{field}: a link is not accepted here, send base64")
        if "/_simulator/files/" not in value:
            return TakenInput(None, value)
        data = _own(call, value, field, fault)
    elif prefix := _DATA_URI.match(value):
        if "d" not in limits.forms:
            wanted = "plain base64 without the data: prefix" if "b" in limits.forms else "a link"
            raise call.invalid(f"{field}: a data URI is not accepted here, send {wanted}")
        data = _decoded(call, value[prefix.end() :], field, fault)
    elif "b" in limits.forms:
        data = _decoded(call, value, field, fault)
    else:
        raise call.invalid(f"{field}: must be {'a link or data URI' if 'd' in limits.forms else 'a link'}")
    if len(data) > limits.most_mb * MB:
        name = "IMAGE_FILE_EXCEEDS_MAX_SIZE" if fault == "INVALID_IMAGE_FORMAT" else fault
        raise call.fault(name, f"{field}: {len(data) / MB:.1f} MB, at most {limits.most_mb:g} MB")
    return TakenInput(data)


def take_picture(call: Call, value: str, field: str, limits: InputLimits) -> TakenInput:
    """A picture within the limits. Raises the documented image errors."""
    given = take(call, value, field, limits, "INVALID_IMAGE_FORMAT")
    if given.data is None:
        return given
    try:
        picture, kind = open_picture(given.data)
    except NotAPictureError as error:
        raise call.fault("INVALID_IMAGE_FORMAT", f"{field}: {error}") from error
    if limits.types and kind not in limits.types:
        raise call.fault("INVALID_IMAGE_FORMAT", f"{field}: {kind} is not one of {', '.join(sorted(limits.types))}")
    if limits.opaque and kind == "PNG" and has_alpha(given.data):
        raise call.fault("INVALID_IMAGE_FORMAT", f"{field}: PNG must have no alpha channel")
    short, long = sorted(picture.size)
    least, most = limits.sides
    if long > most:
        raise call.fault(
            "IMAGE_EXCEEDS_MAX_RESOLUTION", f"{field}: {picture.width}x{picture.height}, at most {most} px"
        )
    if short < least:
        raise call.fault("INVALID_IMAGE_SIZE", f"{field}: {short} px, at least {least} px a side")
    if long / short > limits.ratio:
        raise call.fault("INVALID_IMAGE_SIZE", f"{field}: sides may differ by {limits.ratio:g} times at most")
    return given


def take_clip(call: Call, value: str, field: str, limits: InputLimits) -> TakenInput:
    """A video within the limits."""
    given = take(call, value, field, limits)
    if given.data is None:
        return given
    try:
        clip = look_at(given.data)
    except NotAFilmError as error:
        raise call.invalid(f"{field}: {error}") from error
    if not limits.sides[0] <= min(clip.width, clip.height) or max(clip.width, clip.height) > limits.sides[1]:
        raise call.invalid(f"{field}: {clip.width}x{clip.height} is outside {limits.sides[0]} to {limits.sides[1]} px")
    _check_length(call, field, clip.seconds, limits, "INVALID_REQUEST_BODY")
    return given


def take_sound(call: Call, value: str, field: str, limits: InputLimits) -> TakenInput:
    """A recording within the limits. Raises INVALID_AUDIO_FILE."""
    given = take(call, value, field, limits, "INVALID_AUDIO_FILE")
    if given.data is not None:
        check_sound(call, given.data, field, limits)
    return given


def check_sound(call: Call, data: bytes, field: str, limits: InputLimits) -> None:
    kind = sniff(data)
    if limits.types and kind not in limits.types:
        raise call.fault("INVALID_AUDIO_FILE", f"{field}: not one of {', '.join(sorted(limits.types))}")
    rate = 8000
    try:
        seconds = len(decode(data, rate, limits.seconds[1] + 1)) / rate
    except NotSoundError as error:
        raise call.fault("INVALID_AUDIO_FILE", f"{field}: {error}") from error
    _check_length(call, field, seconds, limits, "INVALID_AUDIO_FILE")


def sniff(data: bytes) -> str:
    """The type of a file by its first bytes: wav, mp3, flac, ogg, mp4 (also for m4a and mov), or "" if unknown."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[:3] == b"ID3" or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2):
        return "mp3"
    if data[:4] in (b"fLaC", b"OggS"):
        return "flac" if data[0] == 0x66 else "ogg"
    return "mp4" if data[4:8] == b"ftyp" else ""


def _check_length(call: Call, field: str, seconds: float, limits: InputLimits, fault: str) -> None:
    least, most = limits.seconds
    # Codecs fill up the last frame, so a tenth of a second more or less is accepted.
    if not least - 0.1 <= seconds <= most + 0.1:
        raise call.fault(fault, f"{field}: {seconds:.1f} s long, must be {least:g} to {most:g} s")


def _own(call: Call, link: str, field: str, fault: str) -> bytes:
    files = call.world.files
    parts = _OWN_LINK.search(link)
    file = files.files.get(parts[1]) if parts else None
    if parts is None or file is None or files.signature(parts[1], int(parts[2])) != parts[3]:
        raise call.fault(fault, f"{field}: cannot be downloaded (404)")
    if int(parts[2]) < call.world.clock.now():
        raise call.fault(fault, f"{field}: cannot be downloaded (403, the link has expired)")
    return file.data


def _decoded(call: Call, text: str, field: str, fault: str) -> bytes:
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise call.fault(fault, f"{field}: neither a link nor valid base64") from error
    if not data:
        raise call.fault(fault, f"{field}: empty")
    return data
