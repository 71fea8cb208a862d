"""Serves the simulator on a real socket: in a thread for tests and demos, or in the foreground."""

import asyncio
import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import create_app
from .core.disturb import connections
from .core.world import World

# uvicorn logs every cut connection as an error, but here tests order the cuts. app.py logs the simulator's failures.
_silent = logging.Logger("novita_mcp.simulator.http", logging.CRITICAL + 1)


class _Tracked(H11Protocol):
    """HTTP/1.1 whose connections core/disturb.py can drop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _silent

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets this only for sockets with an explicit protocol. Without it every answer waits 40 ms for an ACK.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[self.server, self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        connections.pop((self.server, self.client), None)
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """uvicorn without its tick of 0.1 s. At the end it does not wait for clients that hang."""

    _stopping: asyncio.Event
    _loop: asyncio.AbstractEventLoop

    async def main_loop(self) -> None:
        self._stopping, self._loop = asyncio.Event(), asyncio.get_running_loop()
        if not await self.on_tick(0):
            await self._stopping.wait()

    def stop(self) -> None:
        """End the server. Any thread may call this."""
        self.should_exit = True
        with contextlib.suppress(AttributeError, RuntimeError):  # The loop has not begun yet, or has ended already.
            self._loop.call_soon_threadsafe(self._stopping.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        running = list(self.server_state.tasks)
        for task in running:
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*running, return_exceptions=True)


@dataclass(frozen=True)
class Running:
    """A simulator that is up."""

    url: str
    """Without a trailing slash."""
    world: World


def _server(world: World) -> _Server:
    config = uvicorn.Config(
        create_app(world),
        http=_Tracked,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
    )
    return _Server(config)


@contextlib.contextmanager
def serve(world: World | None = None, port: int = 0, host: str = "127.0.0.1") -> Generator[Running]:
    """Run in a thread until the block ends. With port 0 the system chooses a free one."""
    world = world or World()
    # The socket listens before the server starts. Early requests wait in its queue, so nobody has to poll.
    with socket.create_server((host, port)) as listener:
        server = _server(world)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
        thread.start()
        try:
            yield Running(f"http://{host}:{listener.getsockname()[1]}", world)
        finally:
            server.stop()
            thread.join()


def run(
    world: World | None = None,
    port: int = 0,
    host: str = "127.0.0.1",
    *,
    beside: Callable[[World, int], contextlib.AbstractContextManager[object]] | None = None,
) -> None:
    """Run in the foreground until a signal comes. It prints the address on stderr, and lets KeyboardInterrupt pass.

    `beside` makes a context from the world and the port. It is entered once the server listens, and left at the end.
    """
    world = world or World()
    with socket.create_server((host, port)) as listener, contextlib.ExitStack() as stack:
        if beside is not None:
            stack.enter_context(beside(world, listener.getsockname()[1]))
        key = next(iter(world.accounts))
        print(f"Novita simulator on http://{host}:{listener.getsockname()[1]} (key {key})", file=sys.stderr, flush=True)  # noqa: T201
        asyncio.run(_server(world).serve(sockets=[listener]))
