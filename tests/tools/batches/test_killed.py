"""A server that is killed in the middle of a batch, and started again: nothing twice, nothing lost."""

import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running
from novita_mcp.simulator.text.state import LlmState

from ...server.children import PATIENCE, Child, child

UPLOAD, CREATE = "upload_file", "create_batch"
QUIET: dict[str, Any] = {"enable_thinking": False, "max_tokens": 400}
ROWS = 2_000
HOUR = 3600.0


class Machine:
    """Server processes come and go; journal and folder stay."""

    def __init__(self, novita: str, home: Path) -> None:
        self._novita, self._home, self._count = novita, home, 0

    @contextmanager
    def server(self) -> Generator[Child]:
        self._count += 1
        own = self._home / str(self._count)
        own.mkdir()
        places = {
            "NOVITA_MCP_JOURNAL": str(self._home / "journal.sqlite3"),
            "NOVITA_MCP_OUTPUT_DIR": str(self._home / "out"),
            "NOVITA_MCP_CONFIRM_ABOVE_USD": "1000",
        }
        with child(own, self._novita, **places) as process:
            process.initialize()
            yield process


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.005)


def told(message: dict[str, Any]) -> dict[str, Any]:
    assert not message["result"].get("isError"), message
    return message["result"]["structuredContent"]


MOMENTS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "before the upload": [({"hang": True}, UPLOAD)],
    "the upload's answer lost": [({"cut": 10}, UPLOAD), ({"hang": True}, "list_files")],
    "before the start": [({"hang": True}, CREATE)],
    "the start's answer lost": [({"cut": 10}, CREATE), ({"hang": True}, "list_batches")],
    "running": [],
    "fetching": [({"hang": True}, "retrieve_file_content")],
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL of POSIX")
@pytest.mark.parametrize("moment", MOMENTS)
def test_two_thousand_rows_survive_a_killed_server(
    moment: str, world: World, simulator: Running, tmp_path: Path
) -> None:
    """Issue 4: nothing uploaded twice, nothing lost."""
    llm = world.area(LlmState)
    machine = Machine(simulator.url, tmp_path)
    rows = [{"custom_id": f"n{number}", "prompt": f"What is number {number}?"} for number in range(ROWS)]
    asked = {"rows": rows, "options": QUIET}
    llm.world.area(BatchState).knobs.seconds = HOUR if moment == "running" else 0.0
    llm.knobs.answer_tokens = 6  # an answer that is cut by its max_tokens is none
    for effect, operation in MOMENTS[moment]:
        world.trouble(effect, operation=operation)
    last = MOMENTS[moment][-1][1] if MOMENTS[moment] else "retrieve_batch"

    with machine.server() as first:
        request = first.call("create_batch", asked)
        batch_id = ""
        if moment in ("running", "fetching"):
            batch_id = told(first.answer(request))["batch_id"]
            first.call("get_batch", {"batch_id": batch_id})
        until(lambda: world.count(last) >= 1)
        first.process.kill()
        first.process.wait()

    world.advance(2 * HOUR)
    with machine.server() as second:
        if not batch_id:
            batch_id = told(second.answer(second.call("create_batch", asked)))["batch_id"]
        done = told(second.answer(second.call("get_batch", {"batch_id": batch_id})))

    assert (done["status"], done["completed"], done["failed"]) == ("succeeded", ROWS, 0)
    results = [json.loads(line) for line in Path(done["files"][0]["path"]).read_text().splitlines()]
    assert [row["custom_id"] for row in results] == [f"n{number}" for number in range(ROWS)]
    assert all(row["text"] for row in results)
    assert len([file for file in llm.world.area(BatchState).files.values() if file.purpose == "batch"]) == 1
    assert list(llm.world.area(BatchState).batches) == [batch_id]
    assert len(world.charges) == 1
