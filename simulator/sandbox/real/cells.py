"""Sends cells to a kernel that really runs. kernel.py is its program in the machine."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncGenerator, Mapping

from ..disk import DiskError
from ..machine import End, Line, Process

PATIENCE = 10.0
"""Seconds in which an interrupted cell must end by itself."""
AGAIN = 0.3
"""Seconds between two interrupts of the same cell."""


class RealKernel:
    """A kernel.py that runs in the machine."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._listener = process.first
        self._idle = asyncio.Event()

    async def run(self, code: str, envs: Mapping[str, str]) -> AsyncGenerator[Line]:
        self._idle.clear()
        sent = json.dumps({"code": code, "envs": dict(envs)}).encode() + b"\n"
        await self._process.driver.send(sent)
        rest: list[bytes] = []
        try:
            while True:
                event = await self._listener.get(3600)
                if isinstance(event, End):
                    how = event.note or event.shown()["status"]
                    message = f"The kernel died ({how}); its state is lost"
                    yield {"type": "error", "name": "ExecutionAborted", "value": message, "traceback": ""}
                    return
                if event is None or event[0] != "stdout":
                    continue
                first, *lines = event[1].split(b"\n")
                rest.append(first)
                for line in lines:
                    found = json.loads(b"".join(rest))
                    rest = [line]
                    if found["type"] == "done":
                        return
                    yield found
        finally:
            self._idle.set()

    @property
    def dead(self) -> bool:
        return self._process.end is not None

    async def interrupt(self) -> None:
        """Interrupt the cell as a notebook does. If it does not end, it is killed with its kernel."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while not self._idle.is_set():
            # Repeated, because the kernel ignores an interrupt until it has begun with the cell.
            late = loop.time() > deadline
            await self._process.driver.signal(signal.SIGKILL if late else signal.SIGINT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), AGAIN)

    def stop(self) -> None:
        self._killing = asyncio.ensure_future(self._kill())

    async def _kill(self) -> None:
        with contextlib.suppress(DiskError):  # The whole machine may have been stopped already.
            await self._process.driver.signal(signal.SIGKILL)
