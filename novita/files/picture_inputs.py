"""A picture as people have it, made into one that may be sent: whole, upright, without what is private.

Everything here works and blocks: call it in a thread. Two steps, so that nothing is decoded before it is known to be
worth it: `look` reads the header and says what there is to do and how much memory it takes; `prepare` does it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import InputError
from .containers import CutError, is_whole, without_private_parts
from .decoding import UNREADABLE, TooManyPixelsError, decoded_bytes, open_header, readable_formats
from .kinds import MediaType
from .media_limits import BrokenLimit, MediaLimits, bring_within, find_trouble, refuse
from .pictures import Probe, displayed_size, drafted, has_alpha, orientation

if TYPE_CHECKING:
    from PIL.Image import Image

_EXIF_PLACES = (0x8769, 0x8825, 0x02BC, 0x83BB, 0x010E, 0x013B, 0x010F, 0x0110)
"""EXIF, GPS, XMP, IPTC, description, artist, maker and model of the camera: where a TIFF keeps what is private."""


@dataclass(frozen=True)
class PictureLook:
    """What a picture's header shows.

    Args:
        cost: Bytes that preparing it takes at most.
        turned: Its EXIF orientation; 1 is upright.
        rewrite: Why it is written anew, in words that follow its name; empty if it is not.
    """

    found: MediaType
    measures: Probe
    cost: int
    turned: int
    rewrite: str
    resize: bool


@dataclass(frozen=True)
class PreparedPicture:
    """A picture that may be sent. `changed` says what was done to its pixels, in words that follow its name."""

    data: bytes
    found: MediaType
    measures: Probe
    turned: int
    changed: str


def look(data: bytes, found: MediaType, limits: MediaLimits, name: str, *, resize: bool) -> PictureLook:
    """Read the header of a picture, and refuse what cannot become what the model takes.

    Raises:
        InputError: It is damaged, too large, or outside the limits and may not or cannot be resized.
    """
    try:
        picture = open_header(data)
    except TooManyPixelsError as error:
        raise InputError(f"{name} cannot be used: {error}", next_step="Give a smaller picture.") from error
    except UNREADABLE as error:
        raise _unreadable(found, name) from error
    with picture:
        measures, turned = Probe(*displayed_size(picture)), orientation(picture)
        foreign = found.name == "heic" and "heic" not in limits.formats
        broken = find_trouble(limits, found, len(data), measures)
        if not limits.alpha and has_alpha(picture):
            broken.append(BrokenLimit("it is transparent and the model takes no transparency", True))
        if foreign:  # its size in bytes is that of another format, and converting it mends the format
            broken = [one for one in broken if one.about not in ("format", "bytes")]
        if broken and not (resize and all(one.mendable for one in broken)):
            raise refuse(name, broken)
        rewrite = (
            "was resized here"
            if broken
            else "was converted here"
            if foreign
            else "was turned upright here"
            if turned != 1
            else "was written anew without its camera's notes"
            if found.name in ("tiff", "avif") and _tells_more(picture)
            else ""
        )
        if rewrite:
            size = measures.width or 1, measures.height or 1
            scaled = limits.scaled(*size) if resize else size
            held = decoded_bytes(picture, drafted(picture, scaled))
            cost = held + (held if scaled == size else scaled[0] * scaled[1] * 8)
        else:
            cost = decoded_bytes(picture, drafted(picture, (1, 1)))
    return PictureLook(found, measures, cost, turned, rewrite, resize)


def prepare(data: bytes, seen: PictureLook, limits: MediaLimits, name: str) -> PreparedPicture:
    """Decode a picture that was looked at, so that a damaged one is found before it is paid for, and tidy it.

    Raises:
        InputError: It is damaged or cut off, or cannot be brought within the limits.
    """
    try:
        if not is_whole(data, seen.found):
            raise CutError("its parts end after the file does")
        bare = without_private_parts(data, seen.found)
    except CutError as error:
        raise InputError(
            f"{name} is cut off or damaged: {error}", next_step="Fetch or export it again; nothing can mend it here."
        ) from error
    if seen.rewrite:
        made, found, measures = bring_within(data, seen.found, limits, name, resize=seen.resize)
        return PreparedPicture(made, found, measures, seen.turned, seen.rewrite)
    try:
        with open_header(data) as picture:
            picture.draft(picture.mode, (1, 1))  # a JPEG need not be whole in memory to be known to be whole
            picture.load()
    except UNREADABLE as error:
        raise InputError(
            f"{name} is damaged or cut off: it begins like {seen.found.name.upper()} but cannot be decoded to its end",
            next_step="Fetch or export it again; nothing can mend it here.",
        ) from error
    return PreparedPicture(bare, seen.found, seen.measures, 1, "")


def _unreadable(found: MediaType, name: str) -> InputError:
    kind = found.name.upper()
    if found.name == "heic" and "HEIF" not in readable_formats():
        return InputError(
            f"{name} is HEIC, as iPhones write it, and the library that reads it (pi-heif) is not installed here",
            next_step="Have the user export it as JPEG (on a Mac: sips -s format jpeg photo.heic --out photo.jpg), or "
            "whoever runs this server install pi-heif.",
        )
    return InputError(
        f"{name} begins like {kind} but cannot be decoded; it is damaged",
        next_step="Fetch or export it again, as PNG or JPEG.",
    )


def _tells_more(picture: "Image") -> bool:
    try:
        return any(place in picture.getexif() for place in _EXIF_PLACES)
    except UNREADABLE:
        return True
