"""Masks: people draw them in many ways, but Novita wants white where the picture changes, black elsewhere, and the
picture's size.

Everything here works and blocks: call it in a thread.
"""

import math
from io import BytesIO
from typing import TYPE_CHECKING

from ..core.errors import InputError
from .decoding import UNREADABLE, open_header
from .pictures import upright

if TYPE_CHECKING:
    from PIL.Image import Image

_SAME_SHAPE = 0.02
"""Two shapes count as equal if the logarithms of their ratios differ by at most this: sizes are whole pixels."""
_WHITE_MARKS = "White marks what is to change, black what stays."


def fit_mask(data: bytes, name: str, size: tuple[int, int] | None, *, turned: int, stretch: bool) -> bytes | None:
    """The mask as PNG, white on black and as large as its picture. None if the given mask is all of that already.

    Args:
        data: The mask as given: the bytes of a whole picture.
        size: The size of the picture the mask belongs to, upright; None if that is not known.
        turned: That picture's EXIF orientation. A mask drawn on the pixels before they were turned is turned likewise.
        stretch: Whether a mask of another shape is stretched to the picture's shape.

    Raises:
        InputError: The mask marks nothing, or has another shape than the picture.
    """
    try:
        with open_header(data) as picture:
            whole = upright(picture)
    except UNREADABLE as error:
        raise InputError(f"{name} is damaged: it cannot be decoded") from error
    drawn = _from_alpha(whole, name) if whole.mode == "RGBA" else None
    grey = drawn or whole.convert("L")
    darkest, brightest = _extrema(grey)
    if (darkest, brightest) == (0, 1):  # programs for labelled data write 0 and 1 in place of 0 and 255
        drawn = grey = grey.point([0] + [255] * 255)
    elif brightest < 32:
        raise InputError(f"{name} is all black, so it marks nothing", next_step=_WHITE_MARKS)
    if size is not None and grey.size != size:
        drawn = grey = _sized(grey, name, size, turned=turned, stretch=stretch)
    if drawn is None:
        return None
    sink = BytesIO()
    grey.info = {}
    grey.save(sink, "PNG")
    return sink.getvalue()


def hole_mask(data: bytes) -> bytes:
    """Turn a mask that is white where the picture changes into a PNG that is transparent there."""
    from PIL import Image, ImageOps

    with open_header(data) as picture:
        grey = upright(picture).convert("L")
    whole = Image.new("RGBA", grey.size, "black")
    whole.putalpha(ImageOps.invert(grey))
    sink = BytesIO()
    whole.save(sink, "PNG")
    return sink.getvalue()


def _from_alpha(picture: "Image", name: str) -> "Image | None":
    """The mask drawn by transparency: a hole where to paint, or white on a transparent ground. None if it is opaque."""
    from PIL import Image, ImageChops

    alpha = picture.getchannel("A")
    if _extrema(alpha)[0] >= 250:
        return None
    seen = alpha.point([0] * 128 + [255] * 128)
    shown = picture.convert("L").histogram(seen)
    total, dark, light = sum(shown), sum(shown[:17]), sum(shown[239:])
    if not total:
        raise InputError(f"{name} is wholly transparent, so it marks nothing", next_step=_WHITE_MARKS)
    if not sum(shown[:128]):
        return alpha  # white drawn on a transparent ground
    if dark + light > 0.98 * total and min(dark, light) > 0.001 * total:
        ground = Image.new("L", picture.size, 0)  # white on black already, with a transparent margin
        ground.paste(picture.convert("L"), mask=alpha)
        return ground
    return ImageChops.invert(alpha)  # a hole where to paint, as OpenAI's tools want it


def _sized(mask: "Image", name: str, size: tuple[int, int], *, turned: int, stretch: bool) -> "Image":
    from PIL import Image, ImageOps

    if turned > 4 and not _alike(mask.size, size) and _alike(mask.size, (size[1], size[0])):
        exif = Image.Exif()
        exif[0x0112] = turned
        mask.info["exif"] = exif.tobytes()
        mask = ImageOps.exif_transpose(mask)
    if not stretch and not _alike(mask.size, size):
        raise InputError(
            f"{name} has {mask.width}x{mask.height} pixels and its picture {size[0]}x{size[1]}, which is another shape",
            next_step="Draw the mask on the picture itself, or call again with resize=true to have it stretched.",
        )
    return mask if mask.size == size else mask.resize(size, Image.Resampling.NEAREST)


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(math.log(one[0] * other[1] / (one[1] * other[0]))) <= _SAME_SHAPE


def _extrema(grey: "Image") -> tuple[int, int]:
    low, high = grey.getextrema()
    return int(low), int(high)  # pyright: ignore[reportArgumentType]  # one band: no pairs
