"""Runs: what is told while they go on, how they are stopped, handed over as MCP tasks, and never paid twice."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes as State
from novita_mcp.tools.sandbox import following

from ...conftest import Connect, fields_of, text_of
from ...server.test_mcp_tasks import TaskAnswer, TaskHandle, Tasks
from ...server.test_mcp_tasks import ask as ask_task
from ..kit.test_same_call import all_ask, servers
from .asking import LONG, Json, ask, made, refused, until

# What is told meanwhile


async def test_the_output_of_a_command_is_its_progress(connect: Connect) -> None:
    told: list[str] = []
    scope = anyio.CancelScope()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")
        if message is not None and message.endswith(": building"):
            scope.cancel()

    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        command = {"sandbox_id": id, "command": "echo building; sleep 1000"}
        with scope, anyio.fail_after(LONG):
            await client.call_tool("run_command", command, progress_callback=hear)

    assert f"command in {id}: running" in told
    assert told[-1] == f"command in {id}: building"


async def test_another_kernel_has_variables_of_its_own_and_one_that_is_not_there_is_named(connect: Connect) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        await ask(client, "run_code", sandbox_id=id, language="bash", code="x=shell")
        await ask(client, "run_code", sandbox_id=id, code="x = 'python'")
        shell = await ask(client, "run_code", sandbox_id=id, language="bash", code="echo $x")
        python = await ask(client, "run_code", sandbox_id=id, code="x")
        unknown = await refused(client, "run_code", sandbox_id=id, language="cobol", code="DISPLAY 1")
        forgotten = await ask(client, "run_code", sandbox_id=id, code="x", restart=True)

    assert (shell["output"], python["result"]) == ("shell\n", "python")
    assert "cobol" in unknown
    assert "NameError" in forgotten["error"]


# Stopping


async def running(client: Client, sandbox_id: str) -> list[Json]:
    return (await ask(client, "get_sandbox", sandbox_id=sandbox_id)).get("processes") or []


async def nothing_runs(client: Client, sandbox_id: str) -> None:
    """A process that was killed is listed until the daemon has seen its end."""

    async def over() -> bool:
        return not await running(client, sandbox_id)

    await until(over, "it is killed")


async def test_a_cancelled_command_is_killed_in_the_sandbox(connect: Connect, state: State) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        async with anyio.create_task_group() as group:
            scope = anyio.CancelScope()

            async def call() -> None:
                with scope:
                    await client.call_tool("run_command", {"sandbox_id": id, "command": "sleep 1000"})

            group.start_soon(call)

            async def runs() -> bool:
                return bool(await running(client, id))

            await until(runs, "the command runs")
            scope.cancel()

        await nothing_runs(client, id)

    assert list(state.sandboxes) == [id]


@pytest.mark.parametrize("what", ["run_command", "run_code"])
async def test_stop_run_ends_it_in_the_sandbox_which_goes_on(connect: Connect, what: str) -> None:
    told = {"command": "echo on; sleep 1000"} if what == "run_command" else {"code": "import time\ntime.sleep(1000)"}
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        started = await ask(client, what, sandbox_id=id, wait_seconds=0, timeout_seconds=2000, **told)

        async def heard() -> bool:
            return what == "run_code" or bool(await running(client, id))

        await until(heard, "it runs")
        stopped = await ask(client, "change_sandbox", sandbox_id=id, action="stop_run", run_id=started["run_id"])
        await nothing_runs(client, id)
        seen = await ask(client, "get_sandbox", sandbox_id=id, run_id=started["run_id"])
        after = await ask(client, "run_code", sandbox_id=id, code="6 * 7")
        unknown = await refused(client, "change_sandbox", sandbox_id=id, action="stop_run", run_id="run-made-up")

    assert started["status"] == "working"
    assert (stopped["status"], seen["run"]["status"]) == ("running", "stopped")
    assert after["result"] == "42"
    assert "knows no run" in unknown


async def test_what_an_ended_server_left_in_the_background_is_found_and_stopped_by_the_next(connect: Connect) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        left = await ask(client, "run_command", sandbox_id=id, command="sleep 1000", wait_seconds=0)

        async def runs() -> bool:
            return bool(await running(client, id))

        await until(runs, "it runs")
    async with connect(toolsets="sandbox") as client:
        (seen,) = await running(client, id)
        lost = await refused(client, "get_sandbox", sandbox_id=id, run_id=left["run_id"])
        await ask(client, "change_sandbox", sandbox_id=id, action="stop_run", run_id=left["run_id"])
        await nothing_runs(client, id)

    assert (seen["command"], seen["run_id"]) == ("sleep 1000", left["run_id"])
    assert "without run_id shows what still runs" in lost


# The same call twice


@pytest.mark.parametrize("tool", ["create_sandbox", "run_code"])
async def test_calls_for_the_same_made_at_once_pay_for_one_sandbox(connect: Connect, state: State, tool: str) -> None:
    state.start_seconds = 0.5  # so that the first is not given to its caller before the last has asked
    wish: Json = {"label": "mine"} if tool == "create_sandbox" else {"code": "20 + 1"}
    answers: list[Json] = []
    async with connect(toolsets="sandbox") as client, anyio.create_task_group() as group:
        for _ in range(3):

            async def one() -> None:
                answers.append(await ask(client, tool, **wish))

            group.start_soon(one)

    assert len({answer["sandbox_id"] for answer in answers}) == 1
    assert sum("This is the job you started" in answer["next_step"] for answer in answers) == 2
    assert state.count["create"] == 1


async def test_servers_that_are_asked_for_the_same_run_at_once_make_one_sandbox(connect: Connect, state: State) -> None:
    """Each stands for a process on the same journal. Who joins is told all of it."""
    async with servers(connect) as clients:
        code = "import time; time.sleep(1); print('twenty'); 20 + 1"
        answers = await all_ask(clients, "run_code", code=code)

    assert sum("This is the job you started" in answer["next_step"] for answer in answers) == 2
    told = [(answer["sandbox_id"], answer["status"], answer["result"], answer["output"]) for answer in answers]
    assert told[0] == told[1] == told[2] and told[0][1:] == ("succeeded", "21", "twenty\n")
    assert all("its files are saved" in answer["next_step"] for answer in answers)
    assert state.count["create"] == 1


async def test_a_creation_that_its_caller_gave_up_is_joined_by_the_same_call(connect: Connect, state: State) -> None:
    state.start_seconds = 1.0
    scope = anyio.CancelScope()
    async with connect(toolsets="sandbox") as client:
        async with anyio.create_task_group() as group:

            async def give_up() -> None:
                with scope:
                    await client.call_tool("create_sandbox", {"label": "mine"})

            async def sent() -> bool:
                return state.count.get("create") == 1

            group.start_soon(give_up)
            await until(sent, "it is sent")
            scope.cancel()
        joined = await ask(client, "create_sandbox", label="mine")
        another = await ask(client, "create_sandbox", label="other")

    assert "nothing was paid twice" in joined["next_step"]
    assert {joined["sandbox_id"], another["sandbox_id"]} == set(state.sandboxes)
    assert state.count["create"] == 2


async def test_a_create_whose_answer_was_lost_is_joined_and_not_made_again(
    connect: Connect, state: State, world: World
) -> None:
    world.trouble({"reset": "after"}, method="POST", path="/sandboxes")
    async with connect(toolsets="sandbox") as client:
        lost = await refused(client, "create_sandbox", label="mine")
        again = await ask(client, "create_sandbox", label="mine")
        anew = await ask(client, "create_sandbox", label="mine", again=True)

    assert "may have been billed" in lost
    assert "nothing was paid twice" in again["next_step"]
    assert again["sandbox_id"] != anew["sandbox_id"]
    assert state.count["create"] == 2


# MCP tasks


@pytest.fixture
def with_tasks(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client that takes MCP tasks, and a server that hands every run over, however quick it is."""
    monkeypatch.setattr(following, "QUICK", 0.0)
    return lambda: Client(create_app(replace(settings, toolsets="sandbox")), extensions=[Tasks()])


async def begin(client: Client, tool: str, **arguments: Any) -> TaskHandle:
    await client.list_tools()
    answer = await client.session.call_tool(tool, arguments, allow_claimed=True)
    assert isinstance(answer, TaskHandle), answer
    return answer


async def over(client: Client, handle: TaskHandle) -> TaskAnswer:
    found: list[TaskAnswer] = []

    async def ended() -> bool:
        found[:] = [await ask_task(client, "tasks/get", handle.task_id)]
        return found[0].status != "working"

    await until(ended, "the task ends")
    return found[0]


async def test_a_run_is_handed_over_as_a_task_and_its_end_is_the_tools_answer(with_tasks: Any, state: State) -> None:
    async with with_tasks() as client:
        quick = await client.call_tool("create_sandbox", {})
        id = fields_of(quick)["sandbox_id"]
        handle = await begin(client, "run_command", sandbox_id=id, command="echo on; sleep 0.5; echo over; exit 3")
        command = await over(client, handle)
        alone = await over(client, await begin(client, "run_code", code="import time\ntime.sleep(0.5)\n6 * 7"))

    assert command.status == "completed" and command.result is not None
    told: Json = fields_of(command.result)
    assert (told["status"], told["exit_code"], told["output"]) == ("failed", 3, "on\nover\n")
    assert alone.result is not None
    told = fields_of(alone.result)
    assert told["result"] == "42"
    assert "is deleted; its files are saved. It cost about $" in told["next_step"]
    assert Decimal(told["estimated_cost_usd"]) > 0
    assert list(state.sandboxes) == [id]


async def test_cancelling_its_task_kills_the_run_in_the_sandbox(with_tasks: Any, state: State) -> None:
    async with with_tasks() as client:
        id = fields_of(await client.call_tool("create_sandbox", {}))["sandbox_id"]
        handle = await begin(client, "run_command", sandbox_id=id, command="echo on; sleep 1000")

        async def told() -> bool:
            return (await ask_task(client, "tasks/get", handle.task_id)).status_message == "on"

        await until(told, "its output is the task's message")
        await ask_task(client, "tasks/cancel", handle.task_id)
        await nothing_runs(client, id)
        after = await over(client, handle)
        alone = await begin(client, "run_code", code="import time\ntime.sleep(1000)", timeout_seconds=2000)
        await ask_task(client, "tasks/cancel", alone.task_id)
        other = await over(client, alone)

    assert (after.status, other.status) == ("cancelled", "cancelled")
    assert list(state.sandboxes) == [id], "the one made for the run is deleted with it"


async def test_what_is_over_at_once_and_what_is_left_in_the_background_are_no_tasks(
    with_tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "QUICK", LONG)
    async with with_tasks() as client:
        id = fields_of(await client.call_tool("create_sandbox", {}))["sandbox_id"]
        done = await client.call_tool("run_command", {"sandbox_id": id, "command": "echo hi"})
        left = await client.call_tool("run_command", {"sandbox_id": id, "command": "sleep 1000", "wait_seconds": 0})

    assert "hi\n" in text_of(done)
    assert fields_of(left)["status"] == "working"


async def test_a_run_of_a_process_that_has_ended_says_so_and_names_the_sandbox(with_tasks: Any, state: State) -> None:
    async with with_tasks() as client:
        id = fields_of(await client.call_tool("create_sandbox", {}))["sandbox_id"]
        handle = await begin(client, "run_command", sandbox_id=id, command="sleep 1000")
    async with with_tasks() as client:
        seen = await ask_task(client, "tasks/get", handle.task_id)
        with pytest.raises(MCPError, match="Unknown task"):
            await ask_task(client, "tasks/get", handle.task_id[:-4] + "AAAA")

    assert seen.result is not None and seen.result.is_error
    assert id in text_of(seen.result)
    assert list(state.sandboxes) == [id]
