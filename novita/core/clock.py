"""The clock that is handed to everything that waits, so that tests can move time instead of sleeping."""

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """Seconds. `now` only moves forward; `wall` is Unix time, for what is written down."""

    def now(self) -> float: ...

    def wall(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The real clock."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
