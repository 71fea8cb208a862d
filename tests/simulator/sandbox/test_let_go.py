"""A machine that has ended leaves nothing open in the simulator, even if its processes end a little later."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest
from novita_mcp.simulator.sandbox.real.machine import RealMachine

from ...walls import why_no_walls

WALLS_MISSING = why_no_walls()
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")

AGENT = """
import struct, subprocess, sys
left = [sys.executable, "-c", f"open({sys.argv[1]!r}).read()"]
subprocess.Popen(left, stdin=subprocess.DEVNULL, start_new_session=True)
head = b'{"ev": "ready"}'
sys.stdout.buffer.write(struct.pack(">II", len(head), 0) + head)
sys.stdout.buffer.flush()
sys.stdin.buffer.read()
"""
"""Reports that it is ready, and leaves a process that holds its output open until somebody opens a named pipe."""


async def test_output_that_is_held_open_by_what_outlives_the_agent_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    machine = RealMachine("local", {}, 64)
    monkeypatch.setattr(machine, "_command", lambda: [sys.executable, "-c", AGENT, str(pipe)])
    child = await machine._started()  # pyright: ignore[reportPrivateUsage]
    reading = machine._reading  # pyright: ignore[reportPrivateUsage]
    assert reading is not None
    try:
        await asyncio.sleep(0)  # Lets it begin to read.
        reading.cancel()  # The end of the simulator does the same.
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        assert child.returncode == 0
        transport = child._transport  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportUnknownVariableType]
        assert transport.is_closing(), "it would warn when it is collected"  # pyright: ignore[reportUnknownMemberType]
    finally:
        await asyncio.to_thread(lambda: pipe.open("w").close())


@pytest.mark.skipif(bool(WALLS_MISSING), reason=WALLS_MISSING)
async def test_a_machine_whose_agent_died_starts_again_in_a_folder_of_its_own() -> None:
    machine = RealMachine("isolated", {}, 512)
    try:
        first = await machine._started()  # pyright: ignore[reportPrivateUsage]
        reading, folder = machine._reading, machine._folder  # pyright: ignore[reportPrivateUsage]
        assert reading is not None
        os.killpg(first.pid, signal.SIGKILL)
        await reading
        assert not folder.exists()
        await machine.stat("/home/user")
        assert machine._folder != folder  # pyright: ignore[reportPrivateUsage]
    finally:
        await machine.ended()
