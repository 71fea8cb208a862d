"""One request into a running sandbox: whether it is allowed, and whether the sandbox still runs meanwhile."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Any, cast

from starlette.requests import Request

from .connect import Cut
from .machine import Machine
from .state import SimulatedSandbox, SimulatedSandboxes

LOOK = 0.25
"""A quiet stream checks after so many seconds whether its sandbox still runs."""


@dataclass
class Door:
    """A request and the sandbox it is for."""

    state: SimulatedSandboxes
    sandbox: SimulatedSandbox
    request: Request
    raw: bytes

    @property
    def machine(self) -> Machine:
        return self.state.machine(self.sandbox)

    @property
    def path(self) -> str:
        return self.request.scope["path"]

    @property
    def allowed(self) -> bool:
        """Whether the access token is right, or the sandbox needs none."""
        return self.sandbox.token is None or self.request.headers.get("x-access-token") == self.sandbox.token

    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object; None for anything else."""
        try:
            found: Any = json.loads(self.raw or b"{}")
        except ValueError:
            return None
        return cast("dict[str, Any]", found) if isinstance(found, dict) else None

    def check_alive(self) -> None:
        """Raises Cut if the sandbox has ended or was paused, as that breaks all connections into it."""
        self.state.settle()
        if self.sandbox.gone or self.sandbox.state != "running":
            raise Cut

    @contextlib.contextmanager
    def open_stream(self) -> Generator[str]:
        """While a stream is open, its sandbox is not idle. Yields the fault that was ordered for the stream, or ""."""
        self.sandbox.open_streams += 1
        try:
            yield self.state.faults.popleft() if self.state.faults else ""
        finally:
            self.sandbox.open_streams -= 1
            self.state.used(self.sandbox)

    async def watched(self, source: AsyncGenerator[Any]) -> AsyncGenerator[Any]:
        """Yields what the source yields. Raises Cut if the sandbox ends meanwhile."""
        coming = asyncio.ensure_future(anext(source, _END))
        try:
            while True:
                done, _ = await asyncio.wait({coming}, timeout=LOOK)
                self.check_alive()
                if not done:
                    continue
                if (found := coming.result()) is _END:
                    return
                yield found
                coming = asyncio.ensure_future(anext(source, _END))
        finally:
            coming.cancel()
            await asyncio.wait({coming})
            await source.aclose()


_END = object()
