"""Calls of Novita's own client, unchanged: run as a program with its settings in the environment.

Not a test module: test_official_sdk.py runs it, since the client reads its settings at import.
Prints one JSON object of what it saw.
"""

# The client has nearly no types.
# pyright: basic, reportAttributeAccessIssue=false, reportOptionalSubscript=false

import asyncio
import json
import os
import sys

import httpx
from novita_sandbox.code_interpreter import AsyncSandbox, Sandbox
from novita_sandbox.core import (
    CommandExitException,
    RateLimitException,
    SandboxException,
    SandboxQuery,
    SandboxState,
    Template,
)


def list_templates() -> list[list[str]]:
    return [template.names for template in Template.list()]


async def from_asyncio(sandbox_id: str) -> list[str | None]:
    sandbox = await AsyncSandbox.connect(sandbox_id)
    cell = await sandbox.run_code("3 + 4")
    command = await sandbox.commands.run("echo async")
    return [cell.text, command.stdout]


def main() -> dict[str, object]:
    seen: dict[str, object] = {}
    sandbox = Sandbox.create(timeout=120, metadata={"who": "sdk"}, envs={"COLOUR": "blue"})
    seen["id"] = sandbox.sandbox_id
    seen["written"] = sandbox.files.write("data/one.csv", "a,b\n1,2\n").path
    seen["read"] = sandbox.files.read("data/one.csv")
    seen["listed"] = [entry.name for entry in sandbox.files.list("data")]
    seen["info"] = sandbox.files.get_info("data/one.csv").size
    seen["made"] = [sandbox.files.make_dir("new"), sandbox.files.make_dir("new")]
    seen["renamed"] = sandbox.files.rename("data/one.csv", "data/two.csv").path
    seen["exists"] = [sandbox.files.exists("data/one.csv"), sandbox.files.exists("data/two.csv")]
    sandbox.files.write_files([{"path": "m1.txt", "data": b"1"}, {"path": "m2.txt", "data": "2"}])
    sandbox.files.write("octets.bin", b"\0\1\2", use_octet_stream=True, gzip=True)
    seen["octets"] = list(sandbox.files.read("octets.bin", format="bytes"))
    link = sandbox.download_url("data/two.csv", use_signature_expiration=60)
    seen["signed"] = [httpx.get(link).text, httpx.get(link.replace("two", "one")).status_code]
    watch = sandbox.files.watch_dir("data")
    sandbox.files.write("data/three.csv", "x")
    seen["events"] = sorted(f"{event.type.value} {event.name}" for event in watch.get_new_events())
    watch.stop()
    sandbox.files.remove("data/three.csv")

    result = sandbox.commands.run("echo hello $COLOUR; echo oops >/dev/null; cat data/two.csv | wc -l")
    seen["command"] = [result.exit_code, result.stdout]
    try:
        sandbox.commands.run("cat missing; exit 3")
    except CommandExitException as error:
        seen["failed"] = [error.exit_code, error.stderr]
    handle = sandbox.commands.run("sleep 60", background=True)
    seen["running"] = [process.pid == handle.pid for process in sandbox.commands.list()]
    seen["killed"] = handle.kill()
    reader = sandbox.commands.run("cat", background=True, stdin=True)
    sandbox.commands.send_stdin(reader.pid, "typed")
    for out, _, _ in reader:
        seen["typed"] = out
        break
    reader.kill()

    first = sandbox.run_code("total = 40")
    second = sandbox.run_code("print('adding')\ntotal + 2")
    seen["counts"] = [first.execution_count, second.execution_count]
    seen["state"] = [second.text, second.logs.stdout]
    failed = sandbox.run_code("x = 1\n1 / 0")
    assert failed.error is not None
    seen["error"] = [failed.error.name, "----> 2" in failed.error.traceback]
    plotted = sandbox.run_code(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], [1, 4, 9], label='squares')\nplt.title('T')\nplt.show()"
    )
    chart = plotted.results[0].chart
    assert chart is not None
    seen["plot"] = [plotted.results[0].png[:8], chart.type.value, chart.title, chart.elements[0].points]
    table = sandbox.run_code("import pandas as pd\npd.read_csv('data/two.csv')").results[0]
    seen["table"] = sorted(table.formats())
    context = sandbox.create_code_context(cwd="/home/user/data")
    seen["context"] = sandbox.run_code("import os\nos.listdir('.')", context=context).text
    seen["contexts"] = len(sandbox.list_code_contexts())
    sandbox.run_code("held = 1", context=context)
    sandbox.restart_code_context(context)
    restarted = sandbox.run_code("held", context=context).error
    assert restarted is not None
    seen["restarted"] = restarted.name
    sandbox.remove_code_context(context)

    found = Sandbox.list(query=SandboxQuery(metadata={"who": "sdk"}, state=[SandboxState.RUNNING])).next_items()
    seen["found"] = [each.sandbox_id for each in found] == [sandbox.sandbox_id]
    sandbox.set_timeout(600)
    info = sandbox.get_info()
    seen["life"] = round((info.end_at - info.started_at).total_seconds()) >= 599
    seen["metrics"] = sandbox.get_metrics() == []
    seen["quota"] = Sandbox.get_quota().usage.concurrent_instances
    known = {name for names in list_templates() for name in names}
    seen["templates"] = sorted(known & {"base", "code-interpreter-v1"})
    snapshot = sandbox.create_snapshot()
    copy = Sandbox.create(snapshot.snapshot_id)
    seen["copy"] = copy.files.read("data/two.csv")
    copy.kill()

    sandbox.pause()
    seen["paused"] = str(sandbox.get_info().state.value)
    again = Sandbox.connect(sandbox.sandbox_id, timeout=300)
    seen["resumed"] = [again.files.read("data/two.csv"), again.run_code("total").text]
    seen["async"] = asyncio.run(from_asyncio(sandbox.sandbox_id))
    seen["deleted"] = [again.kill(), again.kill(), again.is_running()]
    seen |= limits()
    return seen


def limits() -> dict[str, object]:
    """Which sandboxes end by themselves, and what an account may not have."""
    seen: dict[str, object] = {}
    short = Sandbox.create(timeout=60)
    _knob("clock", {"advance": 30})
    seen["measured"] = len(short.get_metrics()) > 0
    short.set_timeout(90)
    _knob("clock", {"advance": 80})
    seen["extended"] = short.is_running()
    _knob("clock", {"advance": 20})
    over: list[str] = []
    for call in (lambda: short.run_code("1"), lambda: short.commands.run("echo"), lambda: short.set_timeout(60)):
        try:
            call()
        except Exception as error:  # The client may raise anything.
            over.append(type(error).__name__)
    seen["over"] = [short.is_running(), len(over)]
    _knob("sandbox", {"quota": {"concurrentInstances": 1}})
    only = Sandbox.create(timeout=60)
    try:
        Sandbox.create(timeout=60)
    except RateLimitException as error:
        seen["full"] = "concurrent" in str(error)
    only.kill()
    try:
        Sandbox.create(timeout=5 * 3600)
    except SandboxException as error:
        seen["longest"] = "Timeout cannot be greater than" in str(error)
    return seen


def _knob(name: str, settings: dict[str, object]) -> None:
    """Set knobs of the simulator."""
    httpx.post(f"{os.environ['NOVITA_API_URL']}/_simulator/{name}", json=settings).raise_for_status()


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
