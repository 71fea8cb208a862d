"""The clips that go into a request: which they are, and how long they are taken to be where a price goes by that."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..core.json_paths import MISSING, Json, get_path
from ..core.json_text import is_list, is_object
from .catalog_entry import MediaModel

Lengths = Mapping[str, float]
"""Seconds of a clip, by the text that stands for it in the body."""

_BLURRED = 0.05
"""Seconds that a file may be longer than its length in whole ones, as its sound track ends a little later."""


def clips_of(model: MediaModel, body: Json) -> list[str]:
    """The clips in a native body, as they stand there: links, files, ids."""
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
    """Whether a body stands without the files it will have, as where a price is asked beforehand."""
    paths = [path.partition("[")[0] for name in model.media_arguments() for path in model.arguments[name].paths]
    return bool(paths) and all(get_path(body, path) in (MISSING, None) for path in paths)


def goes_by_clips(model: MediaModel) -> bool:
    """Whether what a call costs hangs on how long its clips are."""
    if "video" not in model.arguments:
        return False
    return not model.price or any(row.follows or row.input_seconds or row.per == "frame" for row in model.price)


def whole_seconds(length: float) -> Decimal:
    """A length as it is billed: by the second that has begun."""
    return Decimal(max(1, math.ceil(length - _BLURRED)))
