"""Server-sent events, read as they come: the one reader for streams of words and of sound.

Written by hand: a library (httpx-sse) refuses what is not an event stream, and paid answers come that way too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .json_text import load_piece
from .wellformed import text_of

_LONGEST_LINE = 4 * 2**20
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
"""Not a CR at the very end of what has come, because its LF may be on the way. U+2028 and its like end no line: JSON
may hold them."""


@dataclass(frozen=True)
class ServerEvent:
    """One event; `name` where it has one, and "body" where what came is no stream of events."""

    name: str
    data: str

    @property
    def is_end(self) -> bool:
        """Whether it only says that the stream is over."""
        return _is_end(self.data)


class LineTooLongError(Exception):
    """A line is longer than that of any answer."""


class EventReader:
    """Makes events of the pieces of a stream, wherever these are cut.

    The lines of data of one event are joined; comments are left out, also in the middle of an event. An event whose
    lines are each whole and together are not is as many events. What belongs to no event is one of the name "body", or
    without a name after a true event: a whole answer in place of a stream, or an error.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._stray: list[str] = []
        self._began = self._streamed = False

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """The events that are complete now.

        Raises:
            LineTooLongError: A line does not end.
        """
        *lines, self._rest = _LINE_END.split(self._rest + piece)
        if len(self._rest) > _LONGEST_LINE:
            raise LineTooLongError
        for line in lines:
            yield from self._add(line)

    def finish(self) -> Iterator[ServerEvent]:
        """What is left when the stream is over."""
        for line in (self._rest, b""):
            yield from self._add(line.rstrip(b"\r"))
        for data in _apart(self._stray):
            yield ServerEvent("" if self._streamed else "body", data)

    def _add(self, line: bytes) -> Iterator[ServerEvent]:
        """Take a line; the events it completes."""
        text = _decoded(line)
        if not self._began:
            text, self._began = text.removeprefix("\ufeff"), True
        if not text.strip():
            name, data = self._name, self._data
            self._name, self._data = "", []
            yield from (ServerEvent(name, each) for each in _apart(data))
            return
        field, _, value = text.partition(":")
        if field == "data":
            self._streamed = True
            self._data.append(value.removeprefix(" "))
        elif field == "event":
            self._streamed, self._name = True, value.strip().casefold()
        elif field in ("", "id", "retry"):
            pass  # a comment keeps the connection open
        elif self._data:  # a server that breaks its JSON into lines and marks only the first
            self._data.append(text)
        else:
            self._stray.append(text)


def events_of(body: bytes) -> Iterator[ServerEvent]:
    """The events of an answer that has come completely."""
    reader = EventReader()
    yield from reader.feed(body)
    yield from reader.finish()


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8", "surrogatepass")  # half an emoji: the next event may bring the other
    except UnicodeDecodeError:
        return text_of(line)


def _apart(lines: list[str]) -> list[str]:
    """The data of one event; of several where each line is whole and all together are not."""
    together = "\n".join(lines)
    if len(lines) < 2 or _is_json(together):
        return [together] if lines else []
    return lines if all(_is_end(line) or _is_json(line) for line in lines) else [together]


def _is_end(data: str) -> bool:
    return data.strip().strip('"').casefold() == "[done]"


def _is_json(text: str) -> bool:
    try:
        load_piece(text)
    except ValueError:
        return False
    return True
