"""Novita's own JavaScript client, unchanged but for settings, works against the simulator; the interpreter's address
it makes of a domain by itself, so that part is left to the Python client.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
from novita_mcp.simulator import serve
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes

from ...node_packages import needs_node, node_packages

pytestmark = [
    pytest.mark.node,
    pytest.mark.slow,
    needs_node,
]


@pytest.fixture
def program() -> Path:
    """The calls, with their packages."""
    return node_packages().parent / "sandbox.mjs"


def test_the_javascript_client_sees_files_commands_and_lives(
    program: Path, world: World, state: SimulatedSandboxes, tmp_path: Path
) -> None:
    with serve(world) as running:
        envs = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "NOVITA_API_KEY": DEFAULT_KEY,
            "NOVITA_API_URL": running.url,
            "NOVITA_SANDBOX_URL": running.url,
        }
        done = subprocess.run(["node", str(program)], env=envs, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = cast(dict[str, Any], json.loads(done.stdout))

    assert seen["read"] == seen["again"] == "a,b\n1,2\n"
    assert seen["listed"] == ["one.csv"]
    assert seen["command"] == [0, "hello\na,b\n1,2\n"]
    assert seen["failed"] == [3, "cat: No such file or directory\n"]
    assert seen["info"] == "javascript"
    assert seen["found"] is True
    assert state.sandboxes == {}
    assert state.count["create"] == 1
