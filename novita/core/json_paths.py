"""Reading and writing JSON by path: `a.b`, `a[0]`, `a[]` (a new item), `a[*]` (every item).

Written by hand, because the libraries for the usual path languages (JSONPath, JMESPath) read but do not build bodies.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from .json_text import Json as Json  # also found here, beside the paths into it
from .json_text import is_list, is_object

MISSING: Final = object()
"""The value of an absent field. None would not do, because JSON's null is a value."""

_STEP = re.compile(r"([^.\[\]]+)((?:\[(?:\d+|\*)?\])*)")


def steps(path: str) -> list[str | int]:
    """The path as keys; -1 is a new item, -2 every item."""
    found: list[str | int] = []
    for name, brackets in _STEP.findall(path):
        found.append(name)
        for inside in re.findall(r"\[([^\]]*)\]", brackets):
            found.append(-1 if inside == "" else -2 if inside == "*" else int(inside))
    return found


def get_path(body: Any, path: str) -> Any:
    """The value at a path without new or every item; MISSING if there is none."""
    here: Any = body
    for step in steps(path):
        if isinstance(step, str):
            here = here.get(step, MISSING) if is_object(here) else MISSING
        else:
            here = here[step] if is_list(here) and 0 <= step < len(here) else MISSING
    return here


def dig(data: Any, path: str) -> Any:
    """As `get_path`, but None for an absent field; for reading answers."""
    found = get_path(data, path)
    return None if found is MISSING else found


def every(body: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value at a path, with the path that leads to it alone.

    `[]` means every item here, as `[*]` does: reading adds none.
    """
    return _every(body, steps(path), "")


def _every(here: Any, way: list[str | int], place: str) -> Iterator[tuple[str, Any]]:
    if not way:
        yield place, here
        return
    step, rest = way[0], way[1:]
    if isinstance(step, str):
        if is_object(here) and step in here:
            yield from _every(here[step], rest, f"{place}.{step}" if place else step)
    elif is_list(here):
        for number, item in enumerate(here):
            if step in (-1, -2, number):
                yield from _every(item, rest, f"{place}[{number}]")


def put(body: Json, path: str, value: Any, *, each: Json | None = None) -> None:
    """Write a value at a path, and create the objects and lists on the way.

    Args:
        each: Further fields of every item that `[]` adds; `{n}` in them becomes the item's number.
    """
    _put(body, steps(path), value, each or {})


def _put(here: Any, way: list[str | int], value: Any, each: Json) -> None:
    step, rest = way[0], way[1:]
    if isinstance(step, str):
        if not rest:
            here[step] = value
            return
        if not isinstance(here.get(step), dict | list):
            here[step] = {} if isinstance(rest[0], str) else []
        _put(here[step], rest, value, each)
        return
    items: list[Any] = here
    if step == -2:
        for number in range(len(items)):
            _put(items, [number, *rest], value, each)
        return
    fields = each if step == -1 else {}
    if step == -1:
        step = len(items)
    while len(items) <= step:
        items.append(_item(rest, fields, len(items) + 1))
    if rest:
        _put(items[step], rest, value, each)
    else:
        items[step] = value


def _item(rest: list[str | int], each: Json, number: int) -> Any:
    if not rest:
        return None
    if not isinstance(rest[0], str):
        return []
    return {name: one.format(n=number) if isinstance(one, str) else one for name, one in each.items()}


def drop(body: Json, path: str) -> None:
    """Remove a field, and the objects it leaves empty."""
    way = steps(path)
    trail: list[Any] = [body]
    for step in way[:-1]:
        trail.append(trail[-1][step])
    del trail[-1][way[-1]]
    for holder, step in reversed(list(zip(trail[:-1], way[:-1], strict=True))):
        if holder[step] == {}:
            del holder[step]


def leaves(body: Json, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a body by path, objects opened, lists not."""
    for name, value in body.items():
        if is_object(value) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
