"""Streams from inside a sandbox, cut into what they are made of: Connect's frames, and lines of JSON.

Both readers take pieces of any size, work in time that grows with what comes and not with its square, and refuse a
frame or a line that is larger than any honest one.
"""

import json
from collections.abc import Iterator

from ..core.json_text import Json, is_object, load_json

HEADER = 5
COMPRESSED, LAST = 1, 2
LARGEST_FRAME = 16 * 2**20
LARGEST_LINE = 96 * 2**20
"""So large, because a picture in a result comes in one line."""


class BrokenStreamError(Exception):
    """What came breaks the protocol; the text says how."""


def frame(message: Json) -> bytes:
    """A message in the form in which the request of a stream holds it."""
    payload = json.dumps(message).encode()
    return b"\0" + len(payload).to_bytes(4, "big") + payload


class FrameReader:
    """Connect's frames. `ended` once the last one came; `trailer` is what it said."""

    def __init__(self) -> None:
        self._held = bytearray()
        self.ended = False
        self.trailer: Json = {}

    def feed(self, piece: bytes) -> Iterator[Json]:
        """The messages that are complete now.

        Raises:
            BrokenStreamError: It is not a frame, or the stream continues after its end.
        """
        self._held += piece
        start = 0
        try:
            while len(self._held) - start >= HEADER:
                flags, size = self._held[start], int.from_bytes(self._held[start + 1 : start + HEADER], "big")
                if flags & ~(COMPRESSED | LAST) or flags & COMPRESSED or size > LARGEST_FRAME or self.ended:
                    raise BrokenStreamError("a frame that is none")
                if len(self._held) - start < HEADER + size:
                    return
                payload = bytes(self._held[start + HEADER : start + HEADER + size])
                start += HEADER + size
                message = _an_object(payload)
                if flags & LAST:
                    self.ended, self.trailer = True, message
                else:
                    yield message
        finally:
            del self._held[:start]


class LineReader:
    """Lines of JSON. A line that is not JSON is an error, because half a line means that the stream is broken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[Json]:
        """The lines that are complete now, without empty ones.

        Raises:
            BrokenStreamError: One is no JSON object, or too long.
        """
        first, *rest = piece.split(b"\n")
        self._add(first)
        for part in rest:
            line = b"".join(self._parts)
            self._parts, self._size = [], 0
            self._add(part)
            if line.strip():
                yield _an_object(line)

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > LARGEST_LINE:
            raise BrokenStreamError("a line without an end")
        if part:
            self._parts.append(part)


def _an_object(data: bytes) -> Json:
    try:
        found = load_json(data)
    except ValueError:
        raise BrokenStreamError("a message that is no JSON") from None
    if not is_object(found):
        raise BrokenStreamError("a message that is no object")
    return found
