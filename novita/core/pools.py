"""Connections that stay cheap when there are many, and those to hosts that callers name.

At each request httpcore looks at every connection of its pool, and asks the system about those that rest: with 64 calls
at once that was a fifth of what a call costs us (docs/performance.md). So the connections are held in several small
pools, and a request goes to the one with the least to do.

Links that callers hand in, and containers of their own endpoints, are somebody else's: whoever is there may answer a
byte a second, or never. So those have a pool of their own, of which each caller has a share, and nobody waits for
Novita because somebody waits for them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx

MOST = 128
"""Requests under way together."""
POOLS = 8
RESTS = 4.0
"""Seconds that a connection without work is kept; servers close theirs soon after."""


@dataclass(eq=False)
class _Pool:
    """One of the pools, how many requests it has under way, and since when it has none."""

    transport: httpx.AsyncHTTPTransport
    under_way: int = 0
    since: float = 0.0


class _UntilClosed(httpx.AsyncByteStream):
    """The body of an answer; `ended` is called once, when it is closed."""

    def __init__(self, body: httpx.AsyncByteStream, ended: Callable[[], None]) -> None:
        self._body, self._ended, self._closed = body, ended, False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()

    async def aclose(self) -> None:
        try:
            await self._body.aclose()
        finally:
            if not self._closed:
                self._closed = True
                self._ended()


@dataclass(eq=False)
class SmallPools(httpx.AsyncBaseTransport):
    """A transport over up to `POOLS` pools, made as they are needed.

    Args:
        make: A pool that keeps connections as its limits say; `MOST` holds for all together.
    """

    make: Callable[[httpx.Limits], httpx.AsyncHTTPTransport]
    _pools: list[_Pool] = field(default_factory=list[_Pool])
    _turns: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(MOST, fast_acquire=True))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with anyio.move_on_after(request.extensions.get("timeout", {}).get("pool")) as waiting:
            await self._turns.acquire()
        if waiting.cancelled_caught:
            raise httpx.PoolTimeout("all connections are in use", request=request)
        pool = self._least_busy()
        pool.under_way += 1

        def ended() -> None:
            pool.under_way -= 1
            pool.since = anyio.current_time()
            self._turns.release()

        try:
            await self._close_rested()
            response = await pool.transport.handle_async_request(request)
        except BaseException:
            ended()
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _UntilClosed(response.stream, ended)
        return response

    def _least_busy(self) -> _Pool:
        pool = min(self._pools, key=lambda each: each.under_way, default=None)
        if pool is None or (pool.under_way and len(self._pools) < POOLS):
            pool = _Pool(self.make(httpx.Limits(keepalive_expiry=RESTS)))
            self._pools.append(pool)
        return pool

    async def _close_rested(self) -> None:
        """Close what a busy minute left behind: httpcore looks at old connections only when their pool has work."""
        until = anyio.current_time() - RESTS
        rested = [pool for pool in self._pools if not pool.under_way and pool.since < until]
        for pool in rested:
            self._pools.remove(pool)
        for pool in rested:
            await pool.transport.aclose()

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.transport.aclose()


SHARE = 16
"""Connections to such hosts one caller has at a time."""


@dataclass(frozen=True)
class Outside:
    """The way to hosts that callers name.

    Args:
        http: A pool that nothing else uses.
        share: How many of its connections one caller may have at a time; who wants more waits.
    """

    http: httpx.AsyncClient
    share: int = SHARE
    _turns: dict[str, tuple[anyio.Semaphore, int]] = field(default_factory=dict[str, tuple[anyio.Semaphore, int]])

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncGenerator[None]:
        """One of the connections of `owner`, as long as the block lasts."""
        turns, users = self._turns.get(owner, (anyio.Semaphore(self.share), 0))
        self._turns[owner] = (turns, users + 1)
        try:
            async with turns:
                yield
        finally:
            turns, users = self._turns.pop(owner)
            if users > 1:
                self._turns[owner] = (turns, users - 1)


@dataclass
class Patience:
    """Seconds that all links of one call may take together; they run from the first look."""

    seconds: float
    _until: float | None = None

    def left(self) -> float:
        """What is left of them."""
        now = anyio.current_time()
        if self._until is None:
            self._until = now + self.seconds
        return max(0.0, self._until - now)
