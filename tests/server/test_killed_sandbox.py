"""kill -9 in the middle of a run: the next process finds the sandbox, and nothing runs on unnoticed."""

import sys
import time
from pathlib import Path

import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.sandbox.service import area
from novita_mcp.simulator.serving import Running

from .children import PATIENCE, child

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL of POSIX"),
    pytest.mark.slow,
]
SETTINGS = {"NOVITA_MCP_TOOLSETS": "default,sandbox"}


@pytest.mark.parametrize("journal", ["kept", "lost"])
def test_a_sandbox_whose_server_was_killed_is_found_again(
    journal: str, world: World, simulator: Running, tmp_path: Path
) -> None:
    state = area(world)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    kept = {"NOVITA_MCP_JOURNAL": str(first / "journal.sqlite3")} if journal == "kept" else {}
    with child(first, simulator.url, **SETTINGS) as killed:
        killed.initialize()
        killed.call("run_code", {"code": "import time\nprint('on')\ntime.sleep(1000)", "timeout_seconds": 2000})
        deadline = time.monotonic() + PATIENCE
        while not any(each.open_streams for each in state.sandboxes.values()):
            assert time.monotonic() < deadline, "the code never began"
            time.sleep(0.02)
        killed.process.kill()
        killed.process.wait()
    (id,) = state.sandboxes

    with child(second, simulator.url, **SETTINGS, **kept) as next_one:
        next_one.initialize()
        seen = next_one.answer(next_one.call("list_tasks", {}))["result"]["structuredContent"]
        gone = next_one.answer(next_one.call("delete_sandbox", {"sandbox_id": id, "confirm": True}))
        after = next_one.answer(next_one.call("list_tasks", {}))["result"]["structuredContent"]

    assert [(line["kind"], line["id"]) for line in seen["running"]] == [("sandbox", id)]
    assert "It ends by itself" in seen["running"][0]["note"]
    assert gone["result"]["structuredContent"]["deleted"] == [id]
    assert "running" not in after
    assert state.sandboxes == {}
