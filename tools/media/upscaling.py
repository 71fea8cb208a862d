"""How many times larger a picture becomes where its size in pixels is asked for."""

import re

from ...novita.core.errors import InputError
from ..kit.context import Caller

MOST_TIMES = 8.0


async def scale_to(caller: Caller, image: str, size: str, scale: object) -> float:
    """The factor that brings a picture to a size: its longer side to that many pixels, or both sides to at least it.

    Raises:
        InputError: It is no size, the picture is as large already, or it would become more than eight times as large.
    """
    if scale is not None:
        raise InputError("Give either scale or size")
    found = re.fullmatch(r"(\d{2,5})(?:\s*(?:px)?\s*[xX\u00d7*]\s*(\d{2,5}))?\s*(?:px)?", size.strip())
    if found is None:
        raise InputError(f"size {size[:20]!r} is no size", next_step="Such as 3840 or 3840x2160.")
    loaded, _ = await (await caller.inputs.load(image, "image")).loaded()
    caller.hold.release()
    width, height = loaded.width or 0, loaded.height or 0
    if not width or not height:
        raise InputError(f"How large {loaded.name} is cannot be read", next_step="Give scale instead.")
    wanted = [int(side) for side in found.groups() if side]
    times = max(wanted[0] / width, wanted[1] / height) if len(wanted) == 2 else wanted[0] / max(width, height)
    if times <= 1:
        raise InputError(f"{loaded.name} has {width}x{height} pixels already, and {size} is not more")
    if times > MOST_TIMES:
        raise InputError(
            f"{loaded.name} has {width}x{height} pixels: {size} is {times:.1f} times as large, and "
            f"{MOST_TIMES:g} times is the most",
            next_step="Upscale it twice, or ask for less.",
        )
    return round(times, 4)
