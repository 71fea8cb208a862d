"""Our client and the simulated service: lives, commands, cells and files, with everything that breaks on the way."""

import hashlib
import io
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest
from novita_mcp.novita.core.errors import (
    ArtifactError,
    InputError,
    NotFoundError,
    NovitaAPIError,
    NovitaConnectionError,
)
from novita_mcp.novita.sandbox import disk, interpreter, processes
from novita_mcp.novita.sandbox.inside import Inside
from novita_mcp.novita.sandbox.interpreter import Cell, run_cell
from novita_mcp.novita.sandbox.output import Output
from novita_mcp.novita.sandbox.prices import SandboxSize, prices
from novita_mcp.novita.sandbox.processes import Run, list_processes, run_command
from novita_mcp.novita.sandbox.sandboxes import Sandboxes, SandboxGoneError, Wish
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes

Open = Callable[..., AbstractAsyncContextManager[Inside]]
Plane = Callable[..., AbstractAsyncContextManager[Sandboxes]]
WISH = Wish("code-interpreter-v1", 600, metadata={"novita-mcp": "mark-1"})


async def command(inside: Inside, text: str, limit: float = 30) -> Run:
    run = Run(text)
    await run_command(inside, run, limit=limit)
    return run


async def cell(inside: Inside, code: str, limit: float = 30) -> Cell:
    made = Cell(code)
    await run_cell(inside, made, limit=limit)
    return made


# Lives


async def test_a_sandbox_is_made_with_its_time_and_its_marks(sandboxes: Plane, state: SimulatedSandboxes) -> None:
    async with sandboxes() as plane:
        made = await plane.create(Wish("base", 900, idle=30, metadata={"owner": "me"}))
        found = await plane.get(made.id)

    held = state.sandboxes[made.id]
    assert held.order.timeout == 900
    assert held.order.metadata == {"owner": "me", "idle_timeout": "60", "simulator_execution": "scripted"}
    assert held.order.secure
    assert not held.public
    assert found.token.get_secret_value() == held.token
    assert (found.state, found.cpu, found.memory_mb, found.disk_mb) == ("running", 2, 512, 20480)
    assert found.ends_at is not None
    assert found.started_at is not None
    assert (found.ends_at - found.started_at).total_seconds() == 900


async def test_key_and_token_never_change_places(opened: Open, world: World) -> None:
    async with opened() as inside:
        await command(inside, "echo hi")
        await cell(inside, "1")
        await disk.list_folder(inside, ".")

    for request in list(world.requests):
        plane = request.path.startswith(("/sandboxes", "/v2/"))
        assert ("x-api-key" in request.headers) == plane, request.path
        assert ("x-access-token" in request.headers) != plane, request.path
        assert "authorization" not in request.headers


async def test_a_create_whose_answer_was_lost_is_not_repeated_and_is_found_by_its_mark(
    sandboxes: Plane, world: World, state: SimulatedSandboxes
) -> None:
    world.trouble({"reset": "after"}, method="POST", path="/sandboxes")
    async with sandboxes() as plane:
        with pytest.raises(NovitaConnectionError) as caught:
            await plane.create(WISH)
        found = await plane.list_all(metadata={"novita-mcp": "mark-1"})
        others = await plane.list_all(metadata={"novita-mcp": "mark-2"})

    assert caught.value.billed == "maybe"
    assert state.count["create"] == 1
    assert [each.id for each in found] == list(state.sandboxes)
    assert others == []


async def test_more_than_the_quota_is_told_with_the_wait_asked_for(sandboxes: Plane, state: SimulatedSandboxes) -> None:
    state.quota["concurrentInstances"] = 0
    async with sandboxes() as plane:
        with pytest.raises(NovitaAPIError) as caught:
            await plane.create(WISH)
        quota = await plane.quota()

    assert (caught.value.status, caught.value.retry_after, caught.value.billed) == (429, 30, "no")
    assert "concurrent" in str(caught.value)
    assert (quota.limit.sandboxes, quota.usage.sandboxes, quota.limit.hours) == (0, 0, 3)


async def test_pausing_resuming_and_ending_may_be_asked_twice(sandboxes: Plane, state: SimulatedSandboxes) -> None:
    async with sandboxes() as plane:
        made = await plane.create(WISH)
        for _ in range(2):
            await plane.pause(made.id)
        with pytest.raises(SandboxGoneError, match="is paused"):
            await Inside.enter(plane, made.id)
        for _ in range(2):
            assert (await plane.connect(made.id, 60)).token.get_secret_value()
        await plane.set_timeout(made.id, 1200)
        ends = state.sandboxes[made.id].ends
        assert [await plane.delete(made.id), await plane.delete(made.id)] == [True, False]

    assert ends == pytest.approx(state.world.clock.now() + 1200, abs=5)


async def test_an_ended_sandbox_says_why_and_when(sandboxes: Plane, world: World) -> None:
    async with sandboxes() as plane:
        over, deleted = await plane.create(WISH), await plane.create(WISH)
        await plane.delete(deleted.id)
        world.advance(601)
        for id, words in ((over.id, "its time was over"), (deleted.id, "it was deleted"), ("inone", "There is no")):
            with pytest.raises(SandboxGoneError, match=words):
                await plane.get(id)


async def test_calls_into_one_that_ended_meanwhile_say_so(opened: Open, world: World) -> None:
    async with opened() as inside:
        world.advance(601)
        for call in (command(inside, "echo"), cell(inside, "1"), disk.list_folder(inside, ".")):
            with pytest.raises(SandboxGoneError, match="its time was over"):
                await call


async def test_lists_come_whole_over_several_pages(sandboxes: Plane, state: SimulatedSandboxes) -> None:
    state.quota["concurrentInstances"] = 300
    state.quota["concurrentVcpu"] = 600
    async with sandboxes() as plane:
        for _ in range(120):
            await plane.create(WISH)
        assert len(await plane.list_all()) == 120


async def test_templates_and_snapshots_are_found(opened: Open) -> None:
    async with opened() as inside:
        plane = inside.sandboxes
        names = [template.name for template in await plane.templates()]
        await disk.upload(inside, "kept.txt", 4, lambda: disk.pieces_of(b"kept"))
        snapshot = await plane.create_snapshot(inside.id, "mine")
        listed = await plane.snapshots()
        found = await plane.template(snapshot.id)
        copy = await Inside.enter(plane, (await plane.create(Wish(snapshot.id, 60))).id)

        assert {"base", "code-interpreter-v1"} <= set(names)
        assert [each.id for each in listed] == [snapshot.id]
        assert found is not None
        assert found.shape == SandboxSize(2, 1024)
        assert await disk.read_part(copy, "kept.txt", 0, 10) == b"kept"
        assert await plane.template("nobody") is None
        assert await plane.delete_snapshot(snapshot.id)


def test_prices_are_data_with_their_day() -> None:
    """2 cores and 1 GiB: 2 x 0.0000098 + 0.0000032 a second, as the pricing page has it."""
    found = prices()

    assert str(found.per_hour(SandboxSize(2, 1024))) == "0.0820800"
    assert found.cost(SandboxSize(1, 512), 3600) == found.per_hour(SandboxSize(1, 512))
    assert found.checked.isoformat() == "2026-11-29"
    assert "pricing page" in found.source
    assert "60 GB" in found.storage_words


# Commands


async def test_a_command_gives_its_output_and_its_code(opened: Open) -> None:
    async with opened(env={"COLOUR": "blue"}) as inside:
        good = await command(inside, "echo $COLOUR; cat none; exit 3")
        assert (good.ending, good.exit_code) == ("exited", 3)
        assert good.stdout.whole() == "blue\n"
        assert "No such file" in good.stderr.whole()
        assert (await command(inside, "true")).exit_code == 0
        with pytest.raises(NovitaAPIError, match="nowhere"):
            await run_command(inside, Run("echo"), cwd="/nowhere", limit=5)


@pytest.mark.parametrize("fault", ["cut", "no_end", "garbage"])
async def test_a_command_whose_stream_breaks_is_broken_and_says_so(
    opened: Open, state: SimulatedSandboxes, fault: str
) -> None:
    async with opened() as inside:
        state.add_fault(fault)
        run = await command(inside, "echo hi; sleep 1")

    assert (run.ending, run.exit_code) == ("broken", None)
    assert run.trouble


async def test_a_command_over_its_time_is_stopped(opened: Open) -> None:
    async with opened() as inside:
        run = await command(inside, "echo on; sleep 100", limit=0.5)

        assert run.ending == "time_limit"
        assert run.stdout.whole() == "on\n"
        assert await list_processes(inside) == []


async def test_a_cancelled_command_is_killed(opened: Open) -> None:
    async with opened() as inside:
        run = Run("sleep 100")
        with anyio.CancelScope() as scope:

            async def stop() -> None:
                scope.cancel()

            await run_command(inside, run, limit=60, on_output=stop)

        assert run.ending == "killed"
        assert await list_processes(inside) == []


async def test_a_command_given_up_before_it_was_heard_to_start_is_killed_all_the_same(
    opened: Open, world: World, state: SimulatedSandboxes
) -> None:
    """The daemon runs what was sent although nobody listens any more: nobody would see it, and it would run on."""
    async with opened() as inside:
        world.trouble({"held": True}, method="POST", path="/process.Process/Start", times=1)
        run, scope = Run("sleep 1000"), anyio.CancelScope()

        async def give_up() -> None:
            with anyio.fail_after(60):
                while not any(each.path == "/process.Process/Start" for each in list(world.requests)):
                    await anyio.sleep(0.005)
            scope.cancel()
            world.troubles.clear()  # nobody listens any more when it starts

        async with anyio.create_task_group() as group:
            group.start_soon(give_up)
            with scope:
                await run_command(inside, run, limit=60)

        assert run.pid is None
        assert state.count["Process/Start"] == 2, "it did start, and was stopped"
        assert await list_processes(inside) == []


async def test_endless_output_is_bounded_and_ends_with_the_time(opened: Open, state: SimulatedSandboxes) -> None:
    async with opened() as inside:
        state.add_fault("endless")
        run = Run("yes", stdout=Output(largest_file=2**20))
        await run_command(inside, run, limit=2)

        assert run.ending == "time_limit"
        assert run.stdout.size > 2**20
        assert len(run.stdout.whole()) == 2**20
        run.close()


async def test_running_processes_are_listed_without_their_variables(opened: Open) -> None:
    async with opened() as inside, anyio.create_task_group() as group:
        started = anyio.Event()

        async def told() -> None:
            started.set()

        async def background() -> None:
            await run_command(
                inside, Run("sleep 100"), env={"S": "hidden-value"}, limit=60, tag="job-1", on_output=told
            )

        group.start_soon(background)
        await started.wait()
        (listed,) = await list_processes(inside)
        assert (listed.command, listed.tag) == ("sleep 100", "job-1")
        assert "hidden-value" not in repr(listed)
        assert await processes.stop(inside, listed.pid)
        assert not await processes.stop(inside, listed.pid)


# Cells


async def test_cells_share_their_state_and_show_what_they_have(opened: Open) -> None:
    async with opened() as inside:
        await cell(inside, "total = 40")
        shown = await cell(inside, "print('adding')\ntotal + 2")
        failed = await cell(inside, "a = 1\na / 0")
        plot = await cell(inside, "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")

    assert (shown.ending, shown.number, shown.stdout.whole()) == ("done", 2, "adding\n")
    assert [(result.main, result.kinds["text"]) for result in shown.results] == [(True, "42")]
    assert failed.error is not None
    assert failed.error.of_the_code
    assert (failed.ending, failed.error.name) == ("done", "ZeroDivisionError")
    assert "----> 2 a / 0" in failed.error.traceback
    assert plot.results[0].kinds["png"].startswith("iVBORw0K")
    assert plot.results[0].kinds["chart"]["type"] == "line"


@pytest.mark.parametrize("fault", ["no_end", "cut", "garbage"])
async def test_a_cell_without_its_end_mark_is_broken_and_says_so(
    opened: Open, state: SimulatedSandboxes, fault: str
) -> None:
    async with opened() as inside:
        state.add_fault(fault)
        made = await cell(inside, "print('hi')\n1")

    assert made.ending == "broken"
    assert made.trouble


async def test_a_cell_over_its_time_is_interrupted_and_its_kernel_goes_on(opened: Open) -> None:
    async with opened() as inside:
        await cell(inside, "x = 41")
        slow = await cell(inside, "import time\nprint('on')\ntime.sleep(100)", limit=0.5)
        after = await cell(inside, "x + 1")

    assert (slow.ending, slow.stdout.whole()) == ("time_limit", "on\n")
    assert after.results[0].kinds["text"] == "42"


async def test_restarting_a_kernel_forgets(opened: Open) -> None:
    async with opened() as inside:
        await cell(inside, "x = 1")
        assert await interpreter.restart(inside, "python") == 1
        after = await cell(inside, "x")

    assert after.error is not None
    assert after.error.name == "NameError"


async def test_a_kernel_that_is_not_there_is_an_error_and_no_empty_answer(opened: Open) -> None:
    async with opened() as inside:
        with pytest.raises(NovitaAPIError, match="cobol"):
            await run_cell(inside, Cell("x"), language="cobol", limit=5)
    async with opened(template="base") as inside:
        with pytest.raises(NovitaAPIError, match="not open"):
            await cell(inside, "1")


# Files


async def test_files_go_in_and_come_home_whole(opened: Open, world: World) -> None:
    data = os.urandom(3_000_000)
    async with opened() as inside:
        written = await disk.upload(inside, "deep/er/data.bin", len(data), lambda: disk.pieces_of(data))
        world.trouble({"cut": 1_000_000}, method="GET", path="/files", times=2)
        sink = io.BytesIO()
        size = await disk.download(inside, "deep/er/data.bin", sink, most=2**23)
        part = await disk.read_part(inside, "deep/er/data.bin", 10, 5)
        with pytest.raises(ArtifactError, match="limit"):
            await disk.download(inside, "deep/er/data.bin", io.BytesIO(), most=1000)

    assert (written.path, written.size, size) == ("/home/user/deep/er/data.bin", len(data), len(data))
    assert hashlib.sha256(sink.getvalue()).digest() == hashlib.sha256(data).digest()
    assert part == data[10:15]


async def test_an_upload_that_broke_is_sent_again_and_nothing_is_doubled(opened: Open, world: World) -> None:
    async with opened() as inside:
        world.trouble({"reset": "before"}, method="POST", path="/files")
        await disk.upload(inside, "a.txt", 5, lambda: disk.pieces_of(b"hello"))

        assert await disk.read_part(inside, "a.txt", 0, 100) == b"hello"


async def test_an_older_daemon_gets_a_form(opened: Open, world: World) -> None:
    async with opened() as inside:
        old = Inside(inside.sandboxes, inside.id, inside.domain, "0.4.0", inside.shape, inside._client)  # pyright: ignore[reportPrivateUsage]
        await disk.upload(old, "form.txt", 3, lambda: disk.pieces_of(b"abc"))

        assert await disk.read_part(inside, "form.txt", 0, 10) == b"abc"
        sent = [request for request in world.requests if (request.method, request.path) == ("POST", "/files")]
        assert sent[-1].headers["content-type"].startswith("multipart/form-data")


async def test_files_are_found_by_pattern_inside_the_sandbox(opened: Open) -> None:
    async with opened() as inside:
        for name in ("out/b.png", "out/a.png", "out/notes.txt", "out/deep/c.png"):
            await disk.upload(inside, name, 1, lambda: disk.pieces_of(b"x"))

        assert [entry.name for entry in await disk.find(inside, "out/*.png", most=5)] == ["a.png", "b.png"]
        assert [entry.name for entry in await disk.find(inside, "out/notes.txt", most=5)] == ["notes.txt"]
        with pytest.raises(InputError, match="No file"):
            await disk.find(inside, "out/*.csv", most=5)
        with pytest.raises(InputError, match="at most 1"):
            await disk.find(inside, "out/*.png", most=1)
        with pytest.raises(NotFoundError):
            await disk.stat(inside, "none")
