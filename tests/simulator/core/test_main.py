"""The simulator as a process of its own."""

import re
import signal
import subprocess
import sys

import httpx
import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_command_says_where_it_is_keeps_stdout_clean_and_ends_on_ctrl_c() -> None:
    command = [sys.executable, "-m", "novita_mcp.simulator", "--port", "0", "--balance", "5", "--task-seconds", "9"]
    command += ["--old-models"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        state = httpx.get(f"{found[0]}/_simulator").json()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")
    assert state["accounts"] == [{"key": "sk-simulated", "balance_usd": 5}]
    assert state["settings"]["task_seconds"] == 9
    assert state["settings"]["old_models"] is True
