"""Estimates what a media call will cost, from published prices. It uses exact decimals, never floats."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..core.costs import Cost, Family, assumed
from ..core.json_paths import Json
from .catalog_entry import Capability, MediaModel
from .clips import Lengths, clips_of, whole_seconds
from .price_rows import FilesSeen, Size, argument_value, letters_of, number, reckon, seconds_of

LONGEST_MADE = 16
"""Seconds that a video is assumed to have if neither the request nor the model says: the longest any model makes."""
LONGEST_CLIP = 30
"""The same for a video that is made from a clip of unknown length: the longest clip that a model takes."""
LONGEST_LYRICS = 4
"""Thousands of characters that lyrics are assumed to have, which is about as many as a song may have."""


def estimate(
    model: MediaModel, body: Mapping[str, Any], *, picture: Size | None = None, lengths: Lengths | None = None
) -> Cost:
    """What a native request body will cost on this model.

    Args:
        picture: Width and height of the input picture, for prices that depend on them.
        lengths: The text that stands for a clip in the body -> its length in seconds.
    """
    native, known = dict(body), lengths or {}
    found = reckon(model, native, FilesSeen(picture, known))
    if found.usd is not None:
        return Cost(found.usd, found.note, found.basis)
    # The price is not known, so the spending limits count the ceiling for this kind and amount of media.
    things = max(1, int(argument_value(model, native, "count") or 1))
    family, amount = _measure(model, native, known)
    each = assumed(family, amount * things)
    return Cost(None, found.note, found.basis, ceiling=each.ceiling, things=things, asks=family == "second_of_video")


def _measure(model: MediaModel, body: Json, lengths: Lengths) -> tuple[Family, Decimal]:
    """The family of one result, and the largest amount that it may have in the family's unit."""
    if model.makes == "video":
        return "second_of_video", seconds_of(model, body) or _longest_seconds(model, body, lengths)
    if model.makes == "voice" or {Capability.CLONE_VOICE, Capability.DESIGN_VOICE} & set(model.does):
        return "voice", Decimal(1)
    if Capability.TEXT_TO_SPEECH in model.does:
        return "thousand_characters", Decimal(letters_of(model, body) or 0) / 1_000
    if Capability.LYRICS in model.does:
        return "thousand_characters", Decimal(LONGEST_LYRICS)
    if model.makes == "audio" or Capability.TRANSCRIBE in model.does:
        return "minute_of_sound", Decimal(1)  # songs are sold whole; a recording to write down has half a minute
    return "picture", Decimal(1)


def _longest_seconds(model: MediaModel, body: Json, lengths: Lengths) -> Decimal:
    """The length of the longest video that the request may make: that of its clip, or what the model's schema says."""
    argument, clips = model.arguments.get("duration"), clips_of(model, body)
    if "video" in model.arguments and argument is None:
        limits = model.arguments["video"].limits
        longest = (limits.max_seconds if limits else None) or LONGEST_CLIP
        return whole_seconds(lengths.get(clips[0], longest) if clips else longest)
    schema = model.field(argument.paths[0]) if argument and argument.paths else None
    allowed: list[Any] = [*(schema or {}).get("enum", ()), (schema or {}).get("maximum")]
    return max((found for one in allowed if (found := number(one))), default=Decimal(LONGEST_MADE))
