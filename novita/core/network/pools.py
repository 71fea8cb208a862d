"""Connection pools: one that stays fast with many connections, and one for hosts that callers name.

At each request httpcore checks every connection of its pool, and asks the system about the idle ones. With 64 calls at
once that took a fifth of our time for a call (docs/performance.md). So the connections are spread over several small
pools, and a request goes to the least busy one.

Links that callers give, and their own endpoints' containers, are not Novita's: such a host may answer one byte a
second, or never. They have a pool of their own, of which each caller gets a share, so that a slow host never holds up
calls to Novita.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx

from . import limits
from .limits import Places

POOLS = 8


@dataclass(eq=False)
class _Pool:
    """One of the pools, the number of its requests under way, and since when it has been idle."""

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
        make: Makes a pool with its own limits on connections; `MOST` limits all pools together.
    """

    make: Callable[[httpx.Limits], httpx.AsyncHTTPTransport]
    _pools: list[_Pool] = field(default_factory=list[_Pool])
    _places: Places = field(default_factory=Places)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._places.take(request)
        pool = self._least_busy()
        pool.under_way += 1

        def ended() -> None:
            pool.under_way -= 1
            pool.since = anyio.current_time()
            self._places.leave()

        try:
            await self.close_rested()
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
            pool = _Pool(self.make(httpx.Limits(keepalive_expiry=limits.RESTS)))
            self._pools.append(pool)
        return pool

    async def close_rested(self) -> None:
        """Close idle connections of idle pools, because httpcore checks them only when their pool gets a request."""
        until = anyio.current_time() - limits.RESTS
        rested = [pool for pool in self._pools if not pool.under_way and pool.since < until]
        for pool in rested:
            self._pools.remove(pool)
        for pool in rested:
            await pool.transport.aclose()

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.transport.aclose()


SHARE = 16
"""How many connections to such hosts one caller may have at a time."""


@dataclass(frozen=True)
class Outside:
    """Connections to hosts that callers name.

    Args:
        http: A pool that nothing else uses.
        share: How many of its connections one caller may have at a time; further requests wait.
    """

    http: httpx.AsyncClient
    share: int = SHARE
    _turns: dict[str, tuple[anyio.Semaphore, int]] = field(default_factory=dict[str, tuple[anyio.Semaphore, int]])

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncGenerator[None]:
        """Hold one of the connections of `owner` within the block."""
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
    """Seconds that all links of one call may take together, counted from the first use of `left`."""

    seconds: float
    _until: float | None = None

    def left(self) -> float:
        """The seconds that are left."""
        now = anyio.current_time()
        if self._until is None:
            self._until = now + self.seconds
        return max(0.0, self._until - now)
