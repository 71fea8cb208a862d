"""Callers' connections: how many may be open, for how long without a complete request, and what counts as a request.

uvicorn waits for ever for a request's headers and body. A proxy in front may limit that, but we must not rely on one:
anybody who reaches the port could use up all file descriptors of the process with a thousand silent connections.

httptools parses quickly, but it accepts a head of any size and starts all requests that arrive together. It also lets
pass what a proxy may read in another way: a request that one sees and the other does not. So the parser is given one
head at a time, whole, checked and not larger than `MOST_HEAD`, and the next one only after the answer.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterable
from typing import Any, Literal

import httptools
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None

logger = logging.getLogger(__name__)

HEADERS_WITHIN = 10.0
"""Seconds from the start of a connection, or the first byte of a later request, to the end of the headers."""
BODY_WITHIN = 60.0
"""Seconds from the end of the headers to the end of the body."""
TAKEN_WITHIN = 60.0
"""Seconds within which a slow reader must take more of its answer."""
RESERVE = 448
"""File descriptors reserved for other uses: connections to Novita and its files, hosts of links, the journal, files."""
MOST = 8_192

MOST_HEAD = 65_536
"""The most bytes of a request's line and headers. While a request is being answered, no more is read once so many bytes
of the next have come."""

Phase = Literal["headers", "body"]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_HEAD = re.compile(
    _TOKEN + rb" /[\x21\x22\x24-\x7e]*+ HTTP/1\.[01]\r\n(?:" + _TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+\r\n"
)
"""A request's head by RFC 9112, without what is optional and ambiguous: lines that end without CR or go on in the next
line, control characters, targets that name a host. Possessive, so that it takes linear time whatever comes."""
_LONE_LF = re.compile(rb"(?<!\r)\n")
_UPGRADE = re.compile(rb"(?i)\r\nupgrade:[^\r\n]*")


def _last(status: str, text: str = "", *more: str) -> bytes:
    """An answer with which a connection ends."""
    kind = ["content-type: text/plain; charset=utf-8"] if text else []
    lines = [f"HTTP/1.1 {status}", *kind, f"content-length: {len(text)}", "connection: close", *more]
    return "\r\n".join([*lines, "", text]).encode("ascii")


_TOO_SLOW = _last("408 Request Timeout")
_FULL = _last("503 Service Unavailable", "", "retry-after: 5")
_INVALID = _last("400 Bad Request", "Invalid HTTP request received.")
_LONG_TARGET = _last("414 URI Too Long", "The request's target is too long.")
_LARGE_HEAD = _last("431 Request Header Fields Too Large", "The request's headers are too large.")


def connection_limit() -> int:
    """How many connections all callers together may hold open, by the process's limit on file descriptors."""
    if resource is None:
        return 512
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + RESERVE
    if 0 <= allowed < wanted and (most < 0 or allowed < most):
        allowed = min(most, wanted) if most >= 0 else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    if allowed < 0:
        return MOST
    return max(1, min(MOST, allowed - min(RESERVE, allowed // 2)))


class Guarded(HttpToolsProtocol):
    """uvicorn's protocol with a time limit on every wait for the client, and a limit on all that is kept for it."""

    limit = 512
    """The most open connections; the server sets it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.phase: Phase | None = None
        """What the client must do next. None while a call runs, and between two requests, where uvicorn has a limit."""
        self.since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._held = b""
        """What has come and may not be parsed yet: a part of a head, or requests that came before the last answer."""
        self._searched = 0
        """How much of it is known not to end a head."""
        self._opening = False
        """Whether the parser reads a head, and so may begin a request."""
        self._left = 0
        """Bytes of the body that have not come."""
        self._chunked = False
        """Whether a body comes in chunks and has not ended."""
        self._fed = self._got = self._idle = 0
        """Bytes of such a body: with what frames them, without it, and those fed since the last that were content."""
        self._deaf = False
        """Whether all that still comes is dropped, because the connection ends: now, or with the answer on its way."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for("headers")
        if len(self.connections) > self.limit and not self._make_room():
            self._end(_FULL)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._held = self._held + data if self._held else data
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for(None)
        self._cancel_stalled()
        self._deaf, self._held = True, b""
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.since = time.monotonic()
        if self._held:
            self._unset_keepalive_if_required()  # the next request has begun
        self._go_on()

    def _go_on(self) -> None:
        """Parse what has come, as far as it may be parsed now."""
        while self._held and not self._deaf and not self.transport.is_closing():
            if self._in_body:
                self._feed_body()
            elif not self.resting:
                if len(self._held) > MOST_HEAD:
                    self.flow.pause_reading()  # until the answer
                break
            elif not self._feed_head():
                break
        self._look()

    def _feed_head(self) -> bool:
        """Give the parser the next request's head. False if it is not whole."""
        held = self._held
        unsearched = max(0, self._searched - 3)
        end = held.find(b"\r\n\r\n", unsearched) + 4
        whole, self._searched = end > 3, len(held)
        if (end if whole else len(held)) > MOST_HEAD:
            self._refuse(_LARGE_HEAD if b"\r\n" in held[:MOST_HEAD] else _LONG_TARGET)
        elif not whole:
            if not held[:1].isupper() or _LONE_LF.search(held, unsearched):
                self._refuse(_INVALID)  # and not only when the time is over
        elif not _HEAD.fullmatch(head := held[:end]):
            self._refuse(_INVALID)
        else:
            self._held, self._searched = held[end:], 0
            self._wait_for(None)
            self._opening = True
            # A client may go on without the protocol that it offers. The parser would drop the body that follows.
            self._feed(_UPGRADE.sub(b"", head))
            self._opening = False
        return whole

    def _feed_body(self) -> None:
        data, self._held = self._held, b""
        if not self._chunked:
            if len(data) > self._left:
                data, self._held = data[: self._left], data[self._left :]
            left = self._left - len(data)
            self._feed(data)
            self._left = left
            return
        got = self._got
        self._fed += len(data)
        self._feed(data)
        self._idle = self._idle + len(data) if self._got == got else 0
        # A chunk of a single byte takes six; but extensions and trailers might go on for ever.
        if self._chunked and (self._idle > MOST_HEAD or self._fed - self._got > MOST_HEAD + 16 * self._got):
            self._refuse(_INVALID)

    def _feed(self, data: bytes) -> None:
        assert self.parser is not None  # it goes with the connection
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            if self._opening or self._in_body:
                self._refuse(_INVALID)
            else:
                # Something followed the last chunk, and the parser does not tell where that ended.
                self._end_after_answer()

    def on_message_begin(self) -> None:
        if not self._opening:
            raise ValueError("a request began unchecked")
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._opening:  # else it is a trailer, which must not become a header of a call that runs already
            super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        assert self.parser is not None
        version = self.parser.get_http_version()
        left, chunked = _framing(self.headers, version)
        if self.parser.should_upgrade():  # CONNECT
            raise ValueError("what follows would not be HTTP")
        if version == "1.0":
            self.expect_100_continue = False
            self.app = self._until_closed
        super().on_headers_complete()
        # Before 0.53 uvicorn overlooks "Close" and "close, te". The parser takes nothing more after these.
        self.cycle.keep_alive = version != "1.0" and self.parser.should_keep_alive()
        self._left, self._chunked = left, chunked
        self._fed = self._got = self._idle = 0

    def on_body(self, body: bytes) -> None:
        self._got += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._left, self._chunked = 0, False

    async def _until_closed(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer a client that knows no chunks. An answer without a length ends with the connection."""
        cycle = self.cycle

        async def send_plain(message: ASGISendEvent) -> None:
            cycle.chunked_encoding = False
            body = message.get("body", b"") if message["type"] == "http.response.body" else b""
            cycle.expected_content_length = len(body)
            await send(message)

        await self.config.loaded_app(scope, receive, send_plain)  # pyright: ignore[reportUnknownMemberType]

    def pause_writing(self) -> None:
        super().pause_writing()
        self._cancel_stalled()
        self._stalled = self.loop.call_later(TAKEN_WITHIN, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_stalled()

    def _cancel_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    @property
    def _in_body(self) -> bool:
        return self._chunked or self._left > 0

    def _look(self) -> None:
        """Start the time limit for what is missing now. Single bytes that drip in do not extend a running limit."""
        if self._in_body:
            self._wait_for("body")
        elif not self.resting:
            self._wait_for(None)  # the call runs
        elif self.cycle and not self._held:
            self._wait_for(None)  # no byte of the next request has come
            if self.timeout_keep_alive_task is None:  # the body went on after its answer, and ended
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
        else:
            self._wait_for("headers")

    def _wait_for(self, phase: Phase | None) -> None:
        if phase == self.phase:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.phase, self.since = phase, time.monotonic()
        if phase is not None:
            seconds = HEADERS_WITHIN if phase == "headers" else BODY_WITHIN
            self._timer = self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self.phase == "headers":
            self._end(_TOO_SLOW if self._held else b"")
        else:
            self._end(b"" if self.cycle.response_started else _TOO_SLOW)

    def _refuse(self, last: bytes) -> None:
        self.logger.warning("Invalid HTTP request received.")
        if self._in_body:
            if self.cycle.response_started:
                last = b""
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        # More may be on its way. A connection that is closed with unread bytes is reset, and the answer is lost.
        self._deaf, self._held = True, b""
        self.transport.write(last)
        self.transport.write_eof()
        self.loop.call_later(1, self.transport.abort)

    def _end_after_answer(self) -> None:
        """End the connection with the answer to the request that is whole. The client may repeat those after it."""
        self._deaf, self._held = True, b""
        if self.resting:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def _end(self, last: bytes) -> None:
        if last and not self.transport.is_closing():
            self.transport.write(last)
        self.transport.close()
        # Abort the connection even if the client does not read the rest of its answer.
        self.loop.call_later(1, self.transport.abort)

    def _make_room(self) -> bool:
        """Close the connection that has been waited for longest: one without complete headers, or else one within its
        body."""
        waiting = [each for each in _guarded(self.connections) if each is not self]
        idle = [each for each in waiting if each.phase == "headers" or (each.phase is None and each.resting)]
        late = [each for each in waiting if each.phase == "body"]
        for group in (idle, late):
            if group:
                oldest = min(group, key=lambda each: each.since)
                self.connections.discard(oldest)
                oldest.transport.abort()
                return True
        return False

    @property
    def resting(self) -> bool:
        """Whether no call runs: before the first request, or after an answer."""
        return not self.cycle or self.cycle.response_complete


def _framing(headers: Iterable[tuple[bytes, bytes]], version: str) -> tuple[int, bool]:
    """The length of a request's body, and whether it comes in chunks instead. The parser has checked the length.

    Raises:
        ValueError: A proxy in front may have read the request in another way.
    """
    hosts, length, chunked = 0, 0, False
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            chunked = True
            if version == "1.0" or value.lower() != b"chunked":
                raise ValueError("no encoding but chunks is known")
    if hosts > 1 or (hosts == 0 and version != "1.0"):
        raise ValueError("not one host")
    return length, chunked


def _guarded(connections: Iterable[object]) -> list[Guarded]:
    return [each for each in connections if isinstance(each, Guarded)]


class AcceptErrors:
    """Handles the event loop's uncaught errors. It logs only now and then that no connection can be accepted.

    asyncio tries again every second for each listener, and would log a traceback each time.
    """

    EVERY = 30.0

    def __init__(self) -> None:
        self._last = -self.EVERY
        self._untold = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or "accept" not in str(context.get("message", "")):
            loop.default_exception_handler(context)
            return
        self._untold += 1
        now = time.monotonic()
        if now - self._last < self.EVERY:
            return
        logger.error("no connection can be accepted (%s); %d times since this was last said", error, self._untold)
        self._last, self._untold = now, 0
