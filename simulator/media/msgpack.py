"""Reads MessagePack, for the one route that needs bytes inside a structure (Fish Audio's references)."""

from __future__ import annotations

import struct
from typing import Any, Final

from ..core.facts import Invalid

# First byte -> struct format of a number that follows it.
_NUMBERS: Final = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
# First byte -> what it starts, and struct format of the length.
_SIZED: Final = {
    0xC4: ("bin", ">B"), 0xC5: ("bin", ">H"), 0xC6: ("bin", ">I"),
    0xD9: ("str", ">B"), 0xDA: ("str", ">H"), 0xDB: ("str", ">I"),
    0xDC: ("array", ">H"), 0xDD: ("array", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I"),
}  # fmt: skip
_DEEPEST: Final = 20


def unpack(data: bytes) -> Any:
    """The one value in the data. Invalid when it is no MessagePack, is cut, or has extension types."""
    try:
        value, at = _value(data, 0, 0)
    except (struct.error, IndexError, UnicodeDecodeError, TypeError) as error:
        raise Invalid("body is not MessagePack") from error
    if at != len(data):
        raise Invalid("body has more than one MessagePack value")
    return value


def _value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > _DEEPEST:
        raise Invalid("body is nested too deeply")
    first = data[at]
    at += 1
    if first <= 0x7F:
        return first, at
    if first >= 0xE0:
        return first - 256, at
    if first in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[first], at
    if form := _NUMBERS.get(first):
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    if first <= 0xBF:
        kind, size = ("map", first & 0x0F) if first <= 0x8F else ("array", first & 0x0F)
        if first >= 0xA0:
            kind, size = "str", first & 0x1F
    elif first in _SIZED:
        kind, form = _SIZED[first]
        size = struct.unpack_from(form, data, at)[0]
        at += struct.calcsize(form)
    else:
        raise Invalid("body has a MessagePack extension type")
    if kind in ("bin", "str"):
        if at + size > len(data):
            raise IndexError("cut")
        part = data[at : at + size]
        return (part if kind == "bin" else part.decode()), at + size
    items: list[Any] = []
    for _ in range(size if kind == "array" else 2 * size):
        item, at = _value(data, at, depth + 1)
        items.append(item)
    return (items if kind == "array" else dict(zip(items[::2], items[1::2], strict=True))), at
