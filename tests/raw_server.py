"""A host on 127.0.0.1 that answers whatever bytes a test wants, as slowly as it wants."""

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]
Meet = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawHost:
    """What was asked of it."""

    url: str
    requests: list[bytes] = field(default_factory=list[bytes])
    open: int = 0
    """Connections that are open now."""
    most: int = 0
    """Connections that were open at a time."""
    met: int = 0
    """Connections in all."""


@asynccontextmanager
async def raw_host(serve: Serve) -> AsyncGenerator[RawHost]:
    """Listen until the block ends; each connection has one request read, then `serve` writes."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host.requests.append(await reader.readuntil(b"\r\n\r\n"))
        await serve(writer)

    async with talking_host(meet) as host:
        yield host


@asynccontextmanager
async def talking_host(meet: Meet, tls: ssl.SSLContext | None = None) -> AsyncGenerator[RawHost]:
    """Listen until the block ends; `meet` has each connection, which is closed when it returns."""

    meetings = set[asyncio.Task[Any]]()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host.open += 1
        host.most = max(host.most, host.open)
        host.met += 1
        if task := asyncio.current_task():
            meetings.add(task)
        try:
            await meet(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the other side has seen enough
        except asyncio.CancelledError:
            pass  # the test has
        finally:
            host.open -= 1
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    host = RawHost(f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}")
    try:
        yield host
    finally:
        server.close()
        for meeting in meetings:
            meeting.cancel()
        await asyncio.gather(*meetings, return_exceptions=True)


async def whole_request(reader: asyncio.StreamReader) -> bytes:
    """The next request on a connection, with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    if length := re.search(rb"(?im)^content-length: *(\d+)", head):
        return head + await reader.readexactly(int(length[1]))
    if re.search(rb"(?im)^transfer-encoding: *chunked", head):
        return head + await reader.readuntil(b"0\r\n\r\n")
    return head


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
