"""The sandbox tools. A sandbox is a machine that starts within a second and runs an agent's code."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from anyio import to_thread
from pydantic import Field

from ...novita.core.errors import InputError, NovitaError
from ...novita.core.money import say_usd, show_usd
from ...novita.core.redaction import part_without_secrets
from ...novita.core.words import counted
from ...novita.journal.journal import Job
from ...novita.sandbox import disk, interpreter
from ...novita.sandbox.env import LONGEST, check_env
from ...novita.sandbox.inside import Inside
from ...novita.sandbox.interpreter import Cell
from ...novita.sandbox.prices import prices
from ...novita.sandbox.processes import Run, list_processes, stop
from ...novita.sandbox.rows import cost_so_far, note_gone
from ...novita.sandbox.sandboxes import BOTH, SandboxGoneError
from ...novita.sandbox.shapes import Sandbox
from ..kit.arguments import SELDOM, Confirm, DryRun, SaveTo, WaitSeconds
from ..kit.context import Call, Caller
from ..kit.purchase import Direct, Purchase, carry_out, destruction
from ..kit.toolset import DESTROYS, READS, SPENDS, WRITES, Toolset
from . import making, moving
from .books import enter, find_sandbox, plane_of, settle, without_strangers
from .following import answer_so_far, outcome
from .homecoming import HomeComing, clean, name_shown
from .results import (
    FileResult,
    PortLine,
    ProcessLine,
    RunResult,
    SandboxDetail,
    SandboxEntryLine,
    SandboxList,
    SandboxResult,
    SandboxTemplateLine,
    line_of,
    sum_per_hour,
)
from .running import Ongoing, RunWish, begin, end, runs_of, wait

sandbox = Toolset("sandbox", "Cloud machines for running an agent's code.")

SandboxId = Annotated[str, Field(description="From create_sandbox.")]
Env = Annotated[dict[str, str] | None, Field(description="Variables that may be seen.")]
SecretEnv = Annotated[dict[str, str] | None, Field(description="Variables hidden from all answers.")]
Timeout = Annotated[float, Field(ge=1, le=10_800, description="Longest run.")]
SaveFiles = Annotated[list[str] | None, Field(description="Files to bring home: out/*.png.")]
MOST_LISTED = 30
MOST_ENTRIES = 200
TEXT = 8_000


@sandbox.tool("Create a sandbox", SPENDS)
async def create_sandbox(
    call: Call,
    template: Annotated[str, Field(description="See list_sandboxes.")] = making.CODE,
    timeout_minutes: Annotated[float, Field(ge=1, le=1_440, description="It ends then.")] = 10,
    idle_minutes: Annotated[float | None, Field(ge=1, le=1_440, description="Or so long unused.")] = None,
    on_timeout: Annotated[Literal["delete", "pause"], Field(description="How it ends.")] = "delete",
    internet: Annotated[bool, Field(description="It may reach the internet.")] = True,
    public_ports: Annotated[bool, Field(description="The internet may reach its ports.")] = False,
    env: Env = None,
    secret_env: SecretEnv = None,
    label: Annotated[str | None, Field(max_length=80, description="To find it by.")] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> SandboxResult:
    """Start a Linux machine in the cloud within a second, to run code, tests or commands and keep files. For one script
    run_code makes its own; with a GPU: create_gpu_instance. Billed by the second, about $0.08 an hour, until it ends.
    Returns its id.
    """
    wanted = making.WantedSandbox(
        template,
        timeout_minutes,
        idle_minutes,
        on_timeout == "pause",
        internet,
        public_ports,
        env or {},
        secret_env or {},
        (label or "").strip(),
    )

    async def plan() -> Purchase[SandboxResult]:
        planned = await making.plan(call, wanted)

        async def made(_: Job, there: Sandbox, __: float) -> SandboxResult:
            step = "Use it with run_code or run_command; delete_sandbox ends it."
            try:
                return await making.shown(call, there.id, planned.cost, step)
            except SandboxGoneError:
                raise
            except NovitaError as error:  # the sandbox was made, although looking at it failed
                cost = show_usd(planned.cost.usd) if planned.cost.usd is not None else None
                step = f"{step} It could not be looked at yet: {error.what}."
                return SandboxResult(
                    status="running", sandbox_id=there.id, model=template, estimated_cost_usd=cost, next_step=step
                )

        ports = " Anybody on the internet can reach its ports." if public_ports else ""
        ending = "paused" if wanted.pause else "deleted"
        latest = counted(timeout_minutes, "minute")
        effect = f"Start a sandbox of {template}; it is {ending} after {latest} at the latest.{ports}"
        asks = public_ports or timeout_minutes > making.LONG_LIFE
        return making.purchase(call, planned, SandboxResult, effect=effect, follow=made, always_asks=asks)

    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


@sandbox.tool("Run code", SPENDS)
async def run_code(
    call: Call,
    code: Annotated[str, Field(min_length=1, description="Source; its last value is shown.")],
    sandbox_id: Annotated[str | None, Field(description="Left out: one is made, then deleted.")] = None,
    language: Annotated[str | None, Field(description="python, javascript, typescript, r, java or bash.")] = None,
    files: Annotated[list[str] | None, Field(description="To put into its home: URL, path, task:<id>/<n>.")] = None,
    save_files: SaveFiles = None,
    secret_env: SecretEnv = None,
    restart: Annotated[bool, Field(description="Forget variables first.")] = False,
    timeout_seconds: Timeout = 60,
    wait_seconds: WaitSeconds = None,
    save_to: SaveTo = None,
    confirm: Annotated[Confirm, SELDOM] = False,
    dry_run: DryRun = False,
) -> RunResult:
    """Run Python or other code in a sandbox, away from this computer: analyse data, draw charts. Variables stay between
    calls. Costs the sandbox's time. Returns output, values, plots and tables; cancelling stops it.
    """
    env = check_env(None, secret_env, own_key=call.novita.api_key)
    wish = RunWish(limit=timeout_seconds, language=language or "", save_files=tuple(save_files or ()), save_to=save_to)

    loaded: list[tuple[str, bytes]] = []

    async def send(inside: Inside) -> None:
        for name, data in loaded:
            await moving.send(inside, name, data)
        if restart:
            await interpreter.restart(inside, language or "python")

    async def plan() -> Purchase[RunResult]:
        if save_to is not None:
            await to_thread.run_sync(call.app.jobs.store.check_place, save_to)
        for ref in (files or ())[len(loaded) :]:  # a file that cannot be read is refused before a sandbox is paid for
            loaded.append((moving.name_of(ref), await moving.load(call, ref)))
        if sandbox_id is not None:
            return _in_there(sandbox_id)
        minutes = timeout_seconds / 60 + 2  # two minutes more for starting and for saving its files
        planned = await making.plan(call, making.WantedSandbox(minutes=minutes, label="one run"))

        async def made(job: Job, there: Sandbox, patience: float) -> RunResult:
            after = partial(making.delete_after_run, call, there.id)
            try:
                inside = await Inside.enter(plane_of(call), there.id)
            except BaseException:
                await after()
                raise
            ongoing = Ongoing(inside, call.owner, Cell(code), env, job_key=job.key)
            begin(call, ongoing, wish, before=partial(send, inside), after=after)
            return await outcome(call, ongoing, patience)

        return making.purchase(
            call,
            planned,
            RunResult,
            effect=f"Start a sandbox, run the code in it for {timeout_seconds:g} s at most, and delete it.",
            follow=made,
            wait_seconds=wait_seconds,
            always_asks=minutes > making.LONG_LIFE,
        )

    def _in_there(known: str) -> Purchase[RunResult]:
        async def request() -> Mapping[str, Any]:
            return {"request": {"sandbox_id": known, "code": code[:2_000], "language": language or "python"}}

        async def there() -> RunResult:
            inside = await enter(call, known)
            ongoing = Ongoing(inside, call.owner, Cell(code), env)
            begin(call, ongoing, wish, before=partial(send, inside))
            return await outcome(call, ongoing, wait_seconds)

        effect = f"Run code in sandbox {known}, whose time is paid for already."
        return Purchase(answer=RunResult, effect=effect, model=known, sending=Direct(act=there), dry_run=request)

    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


@sandbox.tool("Run a command", WRITES)
async def run_command(
    call: Call,
    sandbox_id: SandboxId,
    command: Annotated[str, Field(min_length=1, description="For bash.")],
    cwd: Annotated[str | None, Field(description="Default: its home.")] = None,
    user: Annotated[Literal["user", "root"] | None, Field(description="Default user."), SELDOM] = None,
    env: Env = None,
    secret_env: SecretEnv = None,
    save_files: SaveFiles = None,
    timeout_seconds: Timeout = 300,
    wait_seconds: WaitSeconds = None,
    save_to: Annotated[SaveTo, SELDOM] = None,
) -> RunResult:
    """Run a shell command in a sandbox: clone, install, build, run tests or a server. Free beyond its time. Returns
    output and exit code. Cancelling kills it; wait_seconds=0 leaves it in the background.
    """
    given = check_env(env, secret_env, own_key=call.novita.api_key)
    if save_to is not None:
        await to_thread.run_sync(call.app.jobs.store.check_place, save_to)
    inside = await enter(call, sandbox_id)
    ongoing = Ongoing(inside, call.owner, Run(command), given, user=user, lives_on=wait_seconds == 0)
    wish = RunWish(limit=timeout_seconds, cwd=cwd or "", save_files=tuple(save_files or ()), save_to=save_to)
    begin(call, ongoing, wish)
    return await outcome(call, ongoing, wait_seconds)


@sandbox.tool("List sandboxes", READS)
async def list_sandboxes(
    call: Call,
    what: Annotated[
        Literal["sandboxes", "templates", "snapshots"], Field(description="templates: to start from.")
    ] = "sandboxes",
    label: Annotated[str | None, Field(description="Of this name.")] = None,
) -> SandboxList:
    """My sandboxes: which run or are paused, what each costs and when it ends; or what one can start from. Free."""
    plane = plane_of(call)
    if what == "snapshots":
        rows = [
            SandboxTemplateLine(template=each.id, name=next(iter(each.names), None)) for each in await plane.snapshots()
        ]
        step = f"A snapshot counts as storage: {prices().storage_words}." if rows else None
        return SandboxList(templates=tuple(rows[:MOST_LISTED]), total=len(rows), next_step=step)
    if what == "templates":
        table = prices()
        lines = [
            SandboxTemplateLine(
                template=each.name,
                machine=str(each.shape) if each.shape else None,
                usd_per_hour=show_usd(round(table.per_hour(each.shape), 5)) if each.shape else None,
            )
            for each in await plane.templates()
        ]
        return SandboxList(templates=tuple(lines[:MOST_LISTED]), total=len(lines))
    there = without_strangers(call, await plane.list_all(states=BOTH))
    await settle(call, there)
    quota = await plane.quota()
    limit, usage = quota.limit, quota.usage
    wanted = [each for each in there if label is None or each.metadata.get("label") == label]
    return SandboxList(
        sandboxes=tuple(line_of(call, each) for each in wanted[:MOST_LISTED]),
        total=len(wanted),
        usd_per_hour=sum_per_hour(wanted),
        quota=f"{usage.sandboxes or 0} of {counted(limit.sandboxes, 'sandbox')}, "
        f"each up to {counted(limit.hours or 0, 'hour')}"
        if limit.sandboxes
        else None,
    )


@sandbox.tool("Look at a sandbox", READS)
async def get_sandbox(
    call: Call,
    sandbox_id: SandboxId,
    run_id: Annotated[str | None, Field(description="A run still working; waits for it.")] = None,
    ports: Annotated[list[int] | None, Field(description="Whose public addresses.")] = None,
    wait_seconds: Annotated[WaitSeconds, SELDOM] = None,
) -> SandboxDetail:
    """One sandbox: its state, cost, load, commands and public addresses, or the rest of a run. Free."""
    if run_id is not None:
        ongoing = runs_of(call).find(call.owner, run_id)
        await wait(call, ongoing, call.app.settings.wait_seconds if wait_seconds is None else wait_seconds)
        run = await answer_so_far(call, ongoing)
        detail = SandboxDetail(sandbox=line_of(call, ongoing.inside.shape), run=run.as_part())
        detail.show(ongoing.pictures)
        return detail
    found = await find_sandbox(call, sandbox_id)
    detail = SandboxDetail(sandbox=line_of(call, found))
    if found.state == "paused":
        return detail
    plane = plane_of(call)
    if measured := await plane.metrics(sandbox_id):
        last = measured[-1]
        detail.cpu_percent = float(last.cpu_used_pct) if last.cpu_used_pct is not None else None
        detail.memory_mb = last.mem_used // 2**20 if last.mem_used else None
        detail.disk_mb = last.disk_used // 2**20 if last.disk_used else None
    inside = await Inside.enter(plane, sandbox_id, known=found)
    detail.processes = tuple(
        ProcessLine(pid=each.pid, command=clean(each.command)[:200], run_id=each.tag or None)
        for each in (await list_processes(inside))[:30]
    )
    if ports:
        detail.ports = tuple(
            PortLine(port=port, url=plane.hosts.port(sandbox_id, port, inside.domain))
            for port in ports
            if 0 < port < 65_536
        )
        detail.note = (
            "Only who has the sandbox's traffic token reaches these: it was made without public_ports."
            if found.network.restricted
            else "Anybody who has these addresses can look."
        )
    return detail


@sandbox.tool("Read a sandbox's files", READS)
async def read_sandbox_file(
    call: Call,
    sandbox_id: SandboxId,
    path: Annotated[str, Field(description="File or folder.")] = ".",
    offset: Annotated[int, Field(ge=0, le=2**40, description="First byte.")] = 0,
    bring: Annotated[bool, Field(description="Bring all of it here.")] = False,
    save_to: SaveTo = None,
) -> FileResult:
    """List a folder of a sandbox, read a file as text, or download it here. Free."""
    inside = await enter(call, sandbox_id)
    entry = await disk.stat(inside, path)
    if entry.folder:
        entries = await disk.list_folder(inside, path)
        lines = [
            SandboxEntryLine(
                path=name_shown(each.path),
                kind="folder" if each.folder else "file",
                bytes=None if each.folder else each.size,
            )
            for each in entries[:MOST_ENTRIES]
        ]
        left = len(entries) - len(lines)
        return FileResult(sandbox_id=sandbox_id, path=entry.path, entries=tuple(lines), more=left or None)
    result = FileResult(sandbox_id=sandbox_id, path=entry.path, bytes=entry.size)
    if bring or save_to is not None:
        home = HomeComing(call, inside, save_to)
        async with home:
            await home.put(await moving.bring(inside, path), entry.name)
        result.file = home.files[-1]
        result.next_step = " ".join([f"As input of another tool: {home.reference}.", *home.trouble])
        return result
    # Read some text before and after it too: the part asked for may begin within a secret, which must be recognized.
    start = max(0, offset - LONGEST)
    around = await disk.read_part(inside, path, start, TEXT + 2 * LONGEST) if entry.size > offset else b""
    before, part = around[: offset - start], around[offset - start :][:TEXT]
    if b"\0" in part:
        result.next_step = "It is no text: call again with bring=true."
        return result
    after = around[len(before) + len(part) :]
    result.text = part_without_secrets(*(each.decode("utf-8", "replace") for each in (before, part, after)))
    if offset + len(part) < entry.size:
        result.next_offset = offset + len(part)
    return result


@sandbox.tool("Write a file into a sandbox", WRITES)
async def write_sandbox_file(
    call: Call,
    sandbox_id: SandboxId,
    path: Annotated[str, Field(description="Overwritten if it is there.")],
    text: Annotated[str | None, Field(description="Its content.")] = None,
    file: Annotated[str | None, Field(description="Or what to send: URL, path, task:<id>/<n>.")] = None,
) -> FileResult:
    """Put text, or a file from this computer, the web or an earlier result, into a sandbox. Free; returns its path."""
    if (text is None) == (file is None):
        raise InputError("Give either text or file")
    data = text.encode("utf-8", "replace") if text is not None else await moving.load(call, file or "")
    inside = await enter(call, sandbox_id)
    written = await moving.send(inside, path, data)
    return FileResult(sandbox_id=sandbox_id, path=written.path, bytes=written.size)


@sandbox.tool("Change a sandbox", SPENDS)
async def change_sandbox(
    call: Call,
    sandbox_id: SandboxId,
    action: Annotated[
        Literal["pause", "resume", "set_time", "snapshot", "stop_run"],
        Field(description="set_time: it ends timeout_minutes from now."),
    ],
    timeout_minutes: Annotated[float, Field(ge=1, le=1_440, description="For resume and set_time.")] = 10,
    label: Annotated[str | None, Field(max_length=80, description="Name of the snapshot.")] = None,
    run_id: Annotated[str | None, Field(description="For stop_run: what to kill.")] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> SandboxResult:
    """Pause or resume a sandbox, give it more or less time, save a snapshot, or stop a background run. Running is
    billed by the second; paused it keeps its files. Returns its state.
    """
    return await carry_out(
        call,
        partial(_change, call, sandbox_id, action, timeout_minutes, (label or "").strip(), run_id or ""),
        confirm=confirm,
        dry_run=dry_run,
    )


async def _change(
    call: Caller, sandbox_id: str, action: str, minutes: float, label: str, run_id: str
) -> Purchase[SandboxResult]:
    plane, seconds = plane_of(call), round(minutes * 60)
    found = await find_sandbox(call, sandbox_id)
    storage = prices().storage_words

    async def request() -> Mapping[str, Any]:
        spends = {"seconds": seconds} if action in ("resume", "set_time") else {}
        return {"request": {"sandbox_id": sandbox_id, "action": action, **spends}}

    if action in ("resume", "set_time"):
        if action == "set_time" and found.state == "paused":
            raise InputError(f"Sandbox {sandbox_id} is paused", next_step="Use action=resume.")
        verb = f"Resume sandbox {sandbox_id} for" if action == "resume" else f"Let sandbox {sandbox_id} live for"
        return making.more_time(
            call,
            found,
            seconds,
            effect=f"{verb} {counted(minutes, 'minute')} from now.",
            always_asks=minutes > making.LONG_LIFE,
            act=partial(plane.connect if action == "resume" else plane.set_timeout, sandbox_id, seconds),
            dry_run=request,
        )

    async def pause() -> SandboxResult:
        await plane.pause(sandbox_id)
        await find_sandbox(call, sandbox_id)
        return await making.shown(call, sandbox_id, step="A pause is no backup: bring results home first.")

    async def snapshot() -> SandboxResult:
        saved = await plane.create_snapshot(sandbox_id, label)
        step = f"create_sandbox with template={saved.id} starts a copy. As a snapshot {storage}."
        return SandboxResult(status="saved", sandbox_id=sandbox_id, snapshot_id=saved.id, next_step=step)

    async def stop_run() -> SandboxResult:
        if (ongoing := runs_of(call).look_for(call.owner, run_id)) is not None:
            await end(ongoing)
        else:
            await _stop_unheard(call, found, run_id)
        return await making.shown(call, sandbox_id, step="The run is stopped.")

    acts = {
        "pause": (pause, f"Pause sandbox {sandbox_id}; {storage}."),
        "snapshot": (snapshot, f"Save the state of sandbox {sandbox_id}; {storage}."),
        "stop_run": (stop_run, f"Stop the run {run_id} in sandbox {sandbox_id}."),
    }
    act, effect = acts[action]
    return Purchase(answer=SandboxResult, effect=effect, model=sandbox_id, sending=Direct(act=act), dry_run=request)


async def _stop_unheard(call: Caller, found: Sandbox, run_id: str) -> None:
    """Stop a command that another process of this server started, which may have ended since. The command carries a
    mark by which it is found.

    Raises:
        InputError: No command that runs in the sandbox has the mark.
    """
    inside = await Inside.enter(plane_of(call), found.id, known=found)
    marked = [each for each in await list_processes(inside) if each.tag and each.tag == run_id]
    if not marked:
        runs_of(call).find(call.owner, run_id)
    for each in marked:
        await stop(inside, each.pid, user="root")


@sandbox.tool("Delete a sandbox", DESTROYS)
async def delete_sandbox(
    call: Call,
    sandbox_id: Annotated[str, Field(description="Sandbox or snapshot.")],
    confirm: Confirm = False,
) -> SandboxResult:
    """End a sandbox, or delete a snapshot, for good with all its files; asks first. It costs nothing from then on. Says
    whether it is gone.
    """

    async def plan() -> Purchase[SandboxResult]:
        plane = plane_of(call)
        try:
            found = await find_sandbox(call, sandbox_id)
        except SandboxGoneError:
            if not any(each.id == sandbox_id for each in await plane.snapshots()):
                raise
            found = None
        what = "sandbox" if found is not None else "snapshot"

        async def act() -> SandboxResult:
            done = await (plane.delete(sandbox_id) if found is not None else plane.delete_snapshot(sandbox_id))
            if found is not None:
                await note_gone(call.app.journal, call.owner, sandbox_id)
            cost = await cost_so_far(call.app.journal, call.owner, sandbox_id)
            step = f"It cost about {say_usd(cost)}." if cost else None
            deleted = (sandbox_id,) if done else ()
            return SandboxResult(status="deleted", sandbox_id=sandbox_id, deleted=deleted, next_step=step)

        effect = f"Delete {what} {sandbox_id} with all files in it."
        return destruction(SandboxResult, effect, model=sandbox_id, about=sandbox_id, act=act)

    return await carry_out(call, plan, confirm=confirm)
