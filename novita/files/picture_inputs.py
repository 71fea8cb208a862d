"""Prepares a user's picture for sending: checks that it is whole, turns it upright, removes private parts.

Everything here works and blocks: call it in a thread. It takes two steps, so that a picture is decoded only if needed:
`look` reads the header and says what there is to do and how much memory that takes; `prepare` does the work.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import InputError
from .containers import CutError, is_whole, without_private_parts
from .decoding import BUDGET, UNREADABLE, TooManyPixelsError, decoded_bytes, open_header, readable_formats
from .kinds import MediaType
from .media_limits import BrokenLimit, MediaLimits, bring_within, find_trouble, refuse
from .pictures import Probe, displayed_size, drafted, has_alpha, orientation

if TYPE_CHECKING:
    from PIL.Image import Image

_EXIF_PLACES = (0x8769, 0x8825, 0x02BC, 0x83BB, 0x010E, 0x013B, 0x010F, 0x0110)
"""The private fields of a TIFF: EXIF, GPS, XMP, IPTC, description, artist, and maker and model of the camera."""


@dataclass(frozen=True)
class PictureLook:
    """What a picture's header shows.

    Args:
        cost: The most bytes of memory that preparing the picture takes.
        turned: Its EXIF orientation; 1 is upright.
        rewrite: Why the picture must be encoded anew, in words that follow its name; empty if it need not be.
    """

    found: MediaType
    measures: Probe
    cost: int
    turned: int
    rewrite: str
    resize: bool


@dataclass(frozen=True)
class PreparedPicture:
    """A picture that is ready to be sent. `changed` says what was done to its pixels, in words that follow its name."""

    data: bytes
    found: MediaType
    measures: Probe
    turned: int
    changed: str


def look(data: bytes, found: MediaType, limits: MediaLimits, name: str, *, resize: bool) -> PictureLook:
    """Read the header of a picture, and refuse a picture that cannot be made acceptable to the model.

    Raises:
        InputError: The picture is damaged or too large, or breaks a limit and may not or cannot be resized.
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
        if foreign:  # converting changes the format and the number of bytes, so these limits cannot be judged yet
            broken = [limit for limit in broken if limit.about not in ("format", "bytes")]
        if broken and not (resize and all(limit.mendable for limit in broken)):
            if all(limit.mendable for limit in broken):  # what then goes wrong is said at once: resizing is no way out
                _check_whole(data, found, name)
                scaled = limits.scaled(measures.width or 1, measures.height or 1)
                BUDGET.check(decoded_bytes(picture, drafted(picture, scaled)) + scaled[0] * scaled[1] * 8, name)
            raise refuse(name, broken)
        rewrite = (
            "was resized here"
            if broken
            else "was converted here"
            if foreign
            else "was turned upright here"
            if turned != 1
            else "was saved again without its camera's notes"
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
    """Decode and tidy a picture that `look` has read. A damaged picture is thus found before anything is paid for.

    Raises:
        InputError: The picture is damaged or cut off, or cannot be brought within the limits.
    """
    bare = _check_whole(data, seen.found, name)
    if seen.rewrite:
        made, found, measures = bring_within(data, seen.found, limits, name, resize=seen.resize)
        return PreparedPicture(made, found, measures, seen.turned, seen.rewrite)
    try:
        with open_header(data) as picture:
            picture.draft(picture.mode, (1, 1))  # the smallest size shows damage just as well
            picture.load()
    except UNREADABLE as error:
        raise InputError(
            f"{name} is damaged or cut off: it begins like {seen.found.name.upper()} but cannot be decoded to its end",
            next_step="Fetch or export it again; it cannot be repaired here.",
        ) from error
    return PreparedPicture(bare, seen.found, seen.measures, 1, "")


def _check_whole(data: bytes, found: MediaType, name: str) -> bytes:
    """The picture without its private parts.

    Raises:
        InputError: It is cut off.
    """
    try:
        if not is_whole(data, found):
            raise CutError("its parts end after the file does")
        return without_private_parts(data, found)
    except CutError as error:
        raise InputError(
            f"{name} is cut off or damaged: {error}", next_step="Fetch or export it again; it cannot be repaired here."
        ) from error


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
