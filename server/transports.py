"""stdio: how messages come in, and how the process goes out.

stdout belongs to the protocol; logs go to stderr. The process is gone within a second of EOF, SIGTERM or SIGINT.
"""

import gc
import os
import signal
import sys
import threading

import anyio

from .app import NovitaServer

_GRACE = 0.8
"""Seconds for an orderly end; after them the process ends as it stands. The journal is whole at any instant."""


def exit_soon(code: int) -> None:
    """End the process with `code` even if a thread or a reader will not let go."""
    timer = threading.Timer(_GRACE, os._exit, (code,))
    timer.daemon = True
    timer.start()


def run_stdio(server: NovitaServer) -> int:
    """Serve one host over stdin and stdout until it hangs up; the exit code."""
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
                # The thread that reads stdin would hold the process until the host hangs up.
                sys.stderr.flush()
                os._exit(code)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            if sys.platform != "win32":  # no signal receiver there; Ctrl-C raises KeyboardInterrupt
                group.start_soon(until_signal, group.cancel_scope)
            await server.run_stdio_async()
            exit_soon(0)
            group.cancel_scope.cancel()

    # What start-up made lives as long as the process: the collector need not look at it again.
    gc.freeze()
    gc.enable()
    try:
        anyio.run(main)
    except KeyboardInterrupt:
        code = 130
    return code
