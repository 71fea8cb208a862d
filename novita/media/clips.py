"""The clips in a request, and the lengths that prices are calculated with."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..core.json_paths import MISSING, Json, get_path
from ..core.json_text import is_list, is_object
from .catalog_entry import MediaModel

Lengths = Mapping[str, float]
"""The text that stands for a clip in the body -> the clip's length in seconds."""

_BLURRED = 0.05
"""Seconds by which a file may exceed a whole number of seconds and still count as that number. A sound track often ends
a little later than its film, and should not make a clip of 5 s be billed as 6 s."""


def clips_of(model: MediaModel, body: Json) -> list[str]:
    """The texts that stand for clips in a native body: links, data URIs or ids."""
    argument = model.arguments.get("video")
    found: list[Any] = []
    for path in argument.paths if argument is not None else ():
        head, bracket, leaf = path.partition("[")
        value = get_path(body, head)
        if not bracket:
            found.append(value)
        elif is_list(value):
            inside, wanted = leaf.partition("]")[2].lstrip("."), (argument.each if argument is not None else {})
            for item in value:
                if not inside:
                    found.append(item)
                elif is_object(item) and all(item.get(name) == one for name, one in wanted.items()):
                    found.append(item.get(inside))
    return [one for one in found if isinstance(one, str) and one]


def told_nothing_of_files(model: MediaModel, body: Json) -> bool:
    """Whether a body has none of its files yet, because somebody only asks for a price."""
    paths = [path.partition("[")[0] for name in model.media_arguments() for path in model.arguments[name].paths]
    return bool(paths) and all(get_path(body, path) in (MISSING, None) for path in paths)


def goes_by_clips(model: MediaModel) -> bool:
    """Whether the price of a call depends on the lengths of its clips."""
    if "video" not in model.arguments:
        return False
    return not model.price or any(row.follows or row.input_seconds or row.per == "frame" for row in model.price)


def whole_seconds(length: float) -> Decimal:
    """A length as it is billed: rounded up to whole seconds."""
    return Decimal(max(1, math.ceil(length - _BLURRED)))
