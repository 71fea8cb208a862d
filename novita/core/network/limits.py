"""What a request may take beyond httpx's timeouts: seconds until it is sent, and a place among all requests."""

from dataclasses import dataclass, field

import anyio
import httpx

MOST = 128
"""How many requests may be under way at once."""

RESTS = 4.0
"""Seconds for which an idle connection is kept; servers close theirs soon after."""

SENT_WITHIN = "novita_sent_within"
"""The request extension that says within how many seconds the whole request must be sent."""


class SentTooSlowlyError(httpx.WriteTimeout):
    """The request was not sent in time. The server has only a part of it, so it had no effect."""


@dataclass(eq=False)
class Places:
    """Lets `MOST` requests be under way at once; further ones wait."""

    _free: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(MOST, fast_acquire=True))

    async def take(self, request: httpx.Request) -> None:
        """Wait for a place.

        Raises:
            httpx.PoolTimeout: None became free in time.
        """
        try:
            self._free.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.move_on_after(request.extensions.get("timeout", {}).get("pool")) as waiting:
                await self._free.acquire()
            if waiting.cancelled_caught:
                raise httpx.PoolTimeout("all connections are in use", request=request) from None

    def leave(self) -> None:
        """Give the place to the next one."""
        self._free.release()
