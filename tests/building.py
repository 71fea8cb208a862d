"""The parts of a server on a clock whose waits cost nothing, so that faults and long budgets are quick to test."""

import time

import anyio.abc
import anyio.lowlevel
from novita_mcp.server.building import build_app
from novita_mcp.server.settings import Settings
from novita_mcp.tools.kit.context import App


class QuickClock:
    """Real time, but sleep() moves it instead of waiting."""

    def __init__(self) -> None:
        self.naps: list[float] = []

    def now(self) -> float:
        return time.monotonic() + sum(self.naps)

    def wall(self) -> float:
        return time.time() + sum(self.naps)

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        await anyio.lowlevel.checkpoint()


def quick(settings: Settings, background: anyio.abc.TaskGroup) -> App:
    """As `build_app`, on a quick clock: for `connect(build=quick)`."""
    return build_app(settings, background, clock=QuickClock())
