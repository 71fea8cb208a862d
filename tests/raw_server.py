"""A host on 127.0.0.1 that answers whatever bytes a test wants, as slowly as it wants."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawHost:
    """What was asked of it."""

    url: str
    requests: list[bytes] = field(default_factory=list[bytes])
    open: int = 0
    """Connections that are open now."""
    most: int = 0
    """Connections that were open at a time."""


@asynccontextmanager
async def raw_host(serve: Serve) -> AsyncGenerator[RawHost]:
    """Listen until the block ends; each connection has one request read, then `serve` writes."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host.open += 1
        host.most = max(host.most, host.open)
        try:
            host.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await serve(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side has seen enough
        finally:
            host.open -= 1
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    host = RawHost(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield host
    finally:
        server.close()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> Serve:
    """A whole answer at once."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return serve


def drip(*headers: str, seconds: float = 0.05, until: anyio.Event | None = None, end: str = "\r\n\r\n") -> Serve:
    """An answer that never ends, a byte at a time; it is cut off when `until` is set.

    Args:
        end: What ends its head; without it, the last header drips.
    """
    head = ["HTTP/1.1 200 OK", "Content-Length: 100000000", *headers]

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(head).encode() + end.encode())
        while until is None or not until.is_set():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(seconds)

    return serve
