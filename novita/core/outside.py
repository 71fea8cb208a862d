"""Hosts that callers name: links they hand in, and containers of their own endpoints.

Whoever is there may answer a byte a second, or never. So these have a pool of connections of their own, of which each
caller has a share, and nobody waits for Novita because somebody waits for them.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx

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
