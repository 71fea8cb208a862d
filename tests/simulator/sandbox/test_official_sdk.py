"""Novita's own Python client works with the simulator and its interpreter. Only its settings are changed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator import World, serve
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes
from novita_mcp.simulator.sandbox.tls import tls_front

pytest.importorskip("novita_sandbox")


@pytest.fixture
def seen(world: World, state: SimulatedSandboxes) -> dict[str, Any]:
    """What the client saw. It runs in a process of its own."""
    with serve(world) as running, tls_front(int(running.url.rpartition(":")[2])) as front:
        state.domain = front.domain
        envs = {
            "PATH": os.environ["PATH"],
            "NOVITA_API_KEY": "sk-simulated",
            "NOVITA_API_URL": running.url,
            "NOVITA_SANDBOX_URL": running.url,
            "SSL_CERT_FILE": str(front.authority),
        }
        program = Path(__file__).with_name("sdk_calls.py")
        done = subprocess.run([sys.executable, str(program)], env=envs, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def test_the_official_client_sees_files_commands_cells_and_lives_as_documented(
    seen: dict[str, Any], state: SimulatedSandboxes
) -> None:
    assert seen["written"] == "/home/user/data/one.csv"
    assert seen["read"] == "a,b\n1,2\n"
    assert seen["listed"] == ["one.csv"]
    assert seen["info"] == 8
    assert seen["made"] == [True, False]
    assert seen["renamed"] == "/home/user/data/two.csv"
    assert seen["exists"] == [False, True]
    assert seen["octets"] == [0, 1, 2]
    assert seen["events"] == ["create three.csv", "write three.csv"]
    assert seen["signed"] == ["a,b\n1,2\n", 401]

    assert seen["command"] == [0, "hello blue\n2\n"]
    assert seen["failed"] == [3, "cat: No such file or directory\n"]
    assert seen["running"] == [True]
    assert seen["killed"] is True
    assert seen["typed"] == "typed"

    assert seen["counts"] == [1, 2]
    assert seen["state"] == ["42", ["adding\n"]]
    assert seen["error"] == ["ZeroDivisionError", True]
    assert seen["plot"] == ["iVBORw0K", "line", "T", [[1, 1], [2, 4], [3, 9]]]
    assert seen["table"] == ["data", "html", "text"]
    assert seen["context"] == "['two.csv']"
    assert seen["contexts"] == 2
    assert seen["restarted"] == "NameError"

    assert seen["found"] is True
    assert seen["life"] is True
    assert seen["metrics"] is True
    assert seen["quota"] == 1
    assert seen["templates"] == ["base", "code-interpreter-v1"]
    assert seen["copy"] == "a,b\n1,2\n"
    assert seen["paused"] == "paused"
    assert seen["resumed"] == ["a,b\n1,2\n", "40"]
    assert seen["async"] == ["7", "async\n"]
    assert seen["deleted"] == [True, False, False]
    assert (seen["measured"], seen["extended"]) == (True, True)
    assert seen["over"] == [False, 3], "its time ended it, and every call into it fails"
    assert (seen["full"], seen["longest"]) == (True, True)
    assert state.sandboxes == {}
