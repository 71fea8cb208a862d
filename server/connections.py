"""Limits on callers' connections: how many may be open, and for how long without a complete request.

uvicorn waits for ever for a request's headers and body. A proxy in front may limit that, but we must not rely on one:
anybody who reaches the port could use up all file descriptors of the process with a thousand silent connections.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

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

Phase = Literal["headers", "body"]

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\nretry-after: 5\r\n\r\n"


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


class Guarded(H11Protocol):
    """uvicorn's protocol with a time limit on every wait for the client."""

    limit = 512
    """The most open connections; the server sets it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.phase: Phase | None = None
        """What the client must do next. None while a call runs, and between two requests, where uvicorn has a limit."""
        self.since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for("headers")
        if len(self.connections) > self.limit and not self._make_room():
            self._end(_FULL)

    def data_received(self, data: bytes) -> None:
        if self.phase is None and self._between_requests():
            self._wait_for("headers")
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for(None)
        self._cancel_stalled()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

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

    def _between_requests(self) -> bool:
        return self.conn.their_state is h11.IDLE

    def _look(self) -> None:
        """Start the time limit for what is missing now. Single bytes that drip in do not extend a running limit."""
        if self.conn.their_state is h11.SEND_BODY:
            self._wait_for("body")
        elif not self._between_requests():
            self._wait_for(None)  # the call runs
        elif self._served and not self.conn.trailing_data[0]:
            self._wait_for(None)  # no byte of the next request has come
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
            self._end(_TOO_SLOW if self.conn.trailing_data[0] else b"")
        else:
            self._end(b"" if self.cycle.response_started else _TOO_SLOW)

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
        """Whether the connection is idle between two requests."""
        return not self._served or self.cycle.response_complete

    @property
    def _served(self) -> bool:
        """Whether a request has come on this connection already."""
        return bool(self.scope)


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
