"""The stdio transport: reads and writes messages, and ends the process.

stdout carries only the protocol; logs go to stderr. The process ends within a second of EOF, SIGTERM or SIGINT.
"""

import gc
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import BinaryIO

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from .app import NovitaServer
from .wire.messages import read_message, written

logger = logging.getLogger(__name__)

_GRACE = 0.8
"""Seconds for an orderly end. After them the process exits at once, which is safe: the journal is always consistent."""


def exit_soon(code: int) -> None:
    """End the process with `code` after `_GRACE` seconds, even if a thread or a blocked read would keep it alive."""
    timer = threading.Timer(_GRACE, os._exit, (code,))
    timer.daemon = True
    timer.start()


def run_stdio(server: NovitaServer) -> int:
    """Serve one host over stdin and stdout until it closes them. Returns the exit code."""
    code = 0

    async def until_signal(scope: anyio.CancelScope) -> None:
        nonlocal code
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                code = 128 + number
                exit_soon(code)
                scope.cancel()
                with anyio.CancelScope(shield=True):
                    await server.closed.wait()
                # The thread that reads stdin would keep the process alive until the host closes it.
                sys.stderr.flush()
                os._exit(code)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            if sys.platform != "win32":  # no signal receiver there; Ctrl-C raises KeyboardInterrupt
                group.start_soon(until_signal, group.cancel_scope)
            async with host_lines() as (read, write):
                await server.converse(read, write)
            exit_soon(0)
            group.cancel_scope.cancel()

    # Objects from start-up live as long as the process, so the garbage collector need not look at them again.
    gc.freeze()
    gc.enable()
    try:
        anyio.run(main)
    except KeyboardInterrupt:
        code = 130
    return code


@asynccontextmanager
async def host_lines() -> AsyncGenerator[
    tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
]:
    """A stream of the host's messages, and one for ours to the host. Both end when the host closes its side."""
    read_send, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, write_receive = anyio.create_memory_object_stream[SessionMessage](0)
    one_at_a_time = anyio.Lock()

    with _kept_pipes() as (stdin, stdout):

        def put(line: bytes) -> None:
            stdout.write(line + b"\n")
            stdout.flush()

        async def say(line: bytes | None) -> None:
            if line is None:
                return
            async with one_at_a_time:
                try:
                    await anyio.to_thread.run_sync(put, line)
                except (OSError, ValueError) as error:  # ValueError: we have closed the pipe ourselves
                    logger.debug("the host reads no more: %s", error)
                    group.cancel_scope.cancel()

        async def hear() -> None:
            async with read_send:
                while line := await anyio.to_thread.run_sync(stdin.readline, abandon_on_cancel=True):
                    found = read_message(line)
                    if isinstance(found, bytes):
                        await say(found)
                    elif found is not None:
                        try:
                            await read_send.send(SessionMessage(found))
                        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                            return

        async def speak() -> None:
            async with write_receive:
                async for message in write_receive:
                    await say(written(message.message))

        async with anyio.create_task_group() as group:
            group.start_soon(hear)
            group.start_soon(speak)
            yield read, write


@contextmanager
def _kept_pipes() -> Generator[tuple[BinaryIO, BinaryIO]]:
    """Private copies of stdin and stdout. For all other code stdout leads to stderr and stdin is empty, so no library
    can print into the protocol or read from it."""
    try:
        ours = (sys.stdin.fileno(), sys.stdout.fileno())
    except io.UnsupportedOperation:
        yield sys.stdin.buffer, sys.stdout.buffer
        return
    sys.stdout.flush()
    kept = tuple(os.dup(number) for number in ours)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, ours[0])
    os.dup2(sys.stderr.fileno(), ours[1])
    os.close(nothing)
    try:
        # closefd=False, because a thread may still be blocked in a read of the descriptor.
        yield os.fdopen(kept[0], "rb", closefd=False), os.fdopen(kept[1], "wb", closefd=False)
    finally:
        for number, copy in zip(ours, kept, strict=True):
            os.dup2(copy, number)
