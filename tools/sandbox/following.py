"""The answer about a run, for its own call, a later call, a repeated call or an MCP task."""

from functools import partial

from ...novita.core.errors import InputError
from ...novita.core.money import say_usd, show_usd
from ...novita.core.redaction import without_secrets
from ...novita.core.waiting import HEARTBEAT
from ...novita.journal.journal import Job
from ...novita.sandbox.processes import list_processes
from ...novita.sandbox.rows import KIND
from ..kit.context import Caller
from ..kit.mcp_tasks.followers import FOLLOWERS, Followed
from ..kit.purchase import followed
from ..kit.same_call import answer_from
from .books import enter
from .results import RunResult
from .running import LOOKS, Ongoing, answer, end, runs_of, wait

QUICK = 1.0
"""A run that ends within so many seconds is answered at once, even if the caller asked for an MCP task."""


async def outcome(caller: Caller, ongoing: Ongoing, wait_seconds: float | None) -> RunResult:
    """Wait for a run, or leave it to an MCP task if the caller accepts one. Returns the answer so far.

    With `wait_seconds=0` no MCP task is made: a command in the background, such as a server, may never end.

    Raises:
        NovitaError: The run could not be started, or its files could not be saved.
    """
    budget = caller.app.settings.wait_seconds if wait_seconds is None else wait_seconds
    if caller.handoff is not None:
        await wait(caller, ongoing, min(QUICK, budget))
    id = None
    if budget and not ongoing.done.is_set():
        # Name the run by its row if it has one, so that the row notes that its end was delivered.
        id = ongoing.inside.id if ongoing.job_key else f"{ongoing.inside.id}/{ongoing.id}"

    async def follow(left: float) -> RunResult:
        if caller.handoff is None:
            await wait(caller, ongoing, left)
        return await answer_so_far(caller, ongoing)

    return await followed(
        caller, KIND, id, working=partial(answer_so_far, caller, ongoing), follow=follow, wait_seconds=budget
    )


async def answer_so_far(caller: Caller, ongoing: Ongoing) -> RunResult:
    """The answer about a run so far, with the cost if a sandbox was made for this run alone."""
    return await _with_its_cost(caller, answer(ongoing), ongoing.job_key)


async def _with_its_cost(caller: Caller, result: RunResult, job_key: str) -> RunResult:
    if not job_key or (row := await caller.app.journal.row(job_key)) is None:
        return result
    result.estimated_cost_usd = show_usd(row.estimate) if row.estimate is not None else None
    if result.status != "working":
        cost = f" It cost about {say_usd(row.counted)}."
        result.next_step = f"The sandbox was made for this run and is deleted; its files are saved.{cost}"
        result.ends_at = None
    return result


async def elsewhere(caller: Caller, job: Job) -> RunResult | None:
    """The answer about a run in a sandbox made by another process of this server; None if no result can come of it."""
    journal = caller.app.journal
    # The row is read before the answer, because the other process keeps the answer first and then ends the row.
    row = await journal.row(job.key) or job
    if (kept := await journal.answer_of(job.key)) is not None:
        return await _with_its_cost(caller, answer_from(kept, RunResult), job.key)
    if row.facts.ended is not None or await journal.is_orphan(job.key):
        return None
    step = "Another process of this server waits for it: call again with the same code to get its result."
    return RunResult(status="working", sandbox_id=str(job.facts.resource or ""), next_step=step)


async def until_over(caller: Caller, job: Job, budget: float) -> RunResult | None:
    """What `elsewhere` returns, after waiting up to `budget` seconds for the run's end."""
    clock = caller.app.jobs.clock
    started = told = clock.now()
    while (found := await elsewhere(caller, job)) is not None and found.status == "working":
        if (left := started + budget - clock.now()) <= 0:
            return found
        await clock.sleep(min(LOOKS, left))
        if clock.now() - told >= HEARTBEAT:
            told = clock.now()
            await caller.progress(f"code in {found.sandbox_id}: running")
    return found


class RunFollower:
    """Follows runs for MCP tasks. The job's id is the sandbox's if it was made for the run, else `<sandbox>/<run>`."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        ongoing = await _find(caller, job_id)
        if ongoing is None:
            return await self._of_another_process(caller, job_id)
        if not ongoing.done.is_set():
            line = ongoing.what.stdout.last_line or ongoing.what.stderr.last_line
            return Followed("working", note=without_secrets(line)[-150:] or "running")
        if ongoing.trouble is not None:
            raise ongoing.trouble
        result = await answer_so_far(caller, ongoing)
        if result.status == "stopped":
            return Followed("cancelled", note="It was stopped")
        return Followed("completed", result.to_mcp())

    async def cancel(self, caller: Caller, job_id: str) -> None:
        ongoing = await _find(caller, job_id)
        if ongoing is not None:
            await end(ongoing)

    async def _of_another_process(self, caller: Caller, job_id: str) -> Followed:
        """A run of another copy of this server. That copy may still wait for it; a command can be seen running."""
        sandbox_id, _, run_id = job_id.partition("/")
        row = None if run_id else await caller.app.journal.find(caller.owner, sandbox_id)
        if row is not None and (found := await elsewhere(caller, row)) is not None:
            if found.status == "working":
                return Followed("working", note="it runs; another process of this server waits for it")
            return Followed("completed", found.to_mcp())
        inside = await enter(caller, sandbox_id)
        if any(each.tag == run_id for each in await list_processes(inside)):
            return Followed("working", note="it runs; another process of this server waits for it")
        raise InputError(
            "The process of this server that ran it has ended, and its result is lost",
            next_step=f"Look at sandbox {sandbox_id} with get_sandbox: its files are still there while it lives.",
        )


async def _find(caller: Caller, job_id: str) -> Ongoing | None:
    runs = runs_of(caller)
    _, _, run_id = job_id.partition("/")
    if run_id:
        return runs.look_for(caller.owner, run_id)
    row: Job | None = await caller.app.journal.find(caller.owner, job_id)
    return runs.of_job(row.key) if row is not None else None


FOLLOWERS[KIND] = RunFollower()
