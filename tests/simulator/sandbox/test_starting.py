"""The simulator as a program: nothing runs code unless it is asked to, and the warning is seen."""

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest


@contextmanager
def simulator(*flags: str) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "novita_mcp.simulator", "--port", "0", *flags]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.terminate()
        child.communicate(timeout=20)


def refused(*flags: str) -> str:
    command = [sys.executable, "-m", "novita_mcp.simulator", "--port", "0", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    return done.stderr


def test_the_official_clients_settings_are_printed_and_work() -> None:
    pytest.importorskip("novita_sandbox")
    with simulator("--print-env") as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(4)]
        settings = dict(re.findall(r"export (\w+)=(\S+)", "".join(lines)))
        script = (
            "from novita_sandbox.code_interpreter import Sandbox\n"
            "sandbox = Sandbox.create(timeout=60)\n"
            "print(sandbox.run_code('6 * 7').text, sandbox.kill())\n"
        )
        envs = {"PATH": os.environ["PATH"], **settings}
        done = subprocess.run([sys.executable, "-c", script], env=envs, capture_output=True, text=True, timeout=60)

    assert done.stdout == "42 True\n", done.stderr


def test_running_code_is_for_this_machine_alone() -> None:
    assert "--host" in refused("--run-code", "isolated", "--host", "0.0.0.0")


def test_local_says_that_it_can_read_the_users_files_or_is_refused_to_root() -> None:
    if os.geteuid() == 0:
        assert "root" in refused("--run-code")
        return
    with simulator("--run-code", "local") as child:
        assert child.stderr is not None
        assert "read, change and send your files" in "".join(child.stderr.readline() for _ in range(3))
