"""How large an enlarged picture becomes: the call gives a factor, or a size in pixels."""

import re

from ...novita.core.errors import InputError
from ..kit.context import Caller

MOST_TIMES = 8.0


async def enlarged(
    caller: Caller, image: str, size: object, scale: object
) -> tuple[object, tuple[float, float] | None]:
    """The factor to ask an upscaler for, and the width and height that result from it.

    Raises:
        InputError: The picture cannot be enlarged to the size that the call asks for.
    """
    loaded, _ = await (await caller.inputs.load(image, "image")).loaded()
    caller.hold.release()
    width, height = loaded.width or 0, loaded.height or 0
    if size is not None:
        scale = _factor(loaded.name, width, height, str(size), scale)
    times = float(str(scale)) if scale is not None else None
    return scale, (round(width * times), round(height * times)) if times and width and height else None


def _factor(name: str, width: int, height: int, size: str, scale: object) -> float:
    """The factor that brings a picture to a size: its longer side to that many pixels, or both sides to at least it.

    Raises:
        InputError: The text is no size, the picture is already that large, or the factor would be more than eight.
    """
    if scale is not None:
        raise InputError("Give either scale or size")
    found = re.fullmatch(r"(\d{2,5})(?:\s*(?:px)?\s*[xX\u00d7*]\s*(\d{2,5}))?\s*(?:px)?", size.strip())
    if found is None:
        raise InputError(f"size {size[:20]!r} is no size", next_step="Such as 3840 or 3840x2160.")
    if not width or not height:
        raise InputError(f"How large {name} is cannot be read", next_step="Give scale instead.")
    wanted = [int(side) for side in found.groups() if side]
    times = max(wanted[0] / width, wanted[1] / height) if len(wanted) == 2 else wanted[0] / max(width, height)
    if times <= 1:
        raise InputError(f"{name} has {width}x{height} pixels already, and {size} is not more")
    if times > MOST_TIMES:
        raise InputError(
            f"{name} has {width}x{height} pixels: {size} is {times:.1f} times as large, and "
            f"{MOST_TIMES:g} times is the most",
            next_step="Upscale it twice, or ask for less.",
        )
    return times
