"""Task tools: they find jobs that were started in this conversation or another one, and save their results."""

from datetime import datetime
from typing import Annotated, Literal

import anyio
from pydantic import BaseModel, Field

from ...novita.core.errors import InputError, NovitaError
from ...novita.core.money import say_usd, show_usd
from ...novita.core.periods import read_period, utc_day
from ...novita.core.words import counted
from ...novita.journal.journal import FINAL_STATES, Job, JobState
from ..kit.arguments import SELDOM, Offset, WaitSeconds
from ..kit.context import Call
from ..kit.toolset import READS, ToolResult, Toolset
from ..media.parts import media_jobs
from ..media.results import MediaResult, answer, whole_answer
from .running_costs import MOST_SHOWN, RunningLine, what_runs

tasks = Toolset("tasks", "Wait for what was started and fetch its files.")


_AT_ONCE = 8
"""How many tasks one call looks at in parallel."""
_MOST_TASKS = 40


class EachTask(BaseModel):
    """One of several tasks."""

    task_id: str = Field(description="As it was asked for.")
    status: Literal["succeeded", "incomplete", "working", "unconfirmed", "failed"] = Field(
        description="As in status; failed: see reason."
    )
    files: tuple[str, ...] = Field(default=(), description="Its files: path, resource or link.")
    text: str | None = Field(default=None, description="Text that was made, its beginning.")
    reason: str | None = Field(default=None, description="Why it failed.")


class TaskResult(MediaResult):
    """One task in full, or several with a line each."""

    tasks: tuple[EachTask, ...] | None = Field(default=None, description="With task_ids: each, in that order.")

    def headline(self) -> str:
        if self.tasks is None:
            return super().headline()
        states = [each.status for each in self.tasks]
        summary = (
            f"{states.count('succeeded')} of {counted(len(states), 'task')} {'is' if len(states) == 1 else 'are'} done"
        )
        others = ("working", "failed", "incomplete", "unconfirmed")
        return ", ".join([summary, *(f"{states.count(state)} {state}" for state in others if state in states)]) + "."


@tasks.tool("Get a task", READS)
async def get_task(
    call: Call,
    task_id: Annotated[str | None, Field(min_length=4, description="Id that the tool which started it gave.")] = None,
    task_ids: Annotated[
        list[str] | None, Field(max_length=_MOST_TASKS, description="Several ids; waits for all.")
    ] = None,
    wait_seconds: WaitSeconds = None,
) -> TaskResult:
    """Is it ready yet? Check on a picture, video or sound job that was started earlier: did it finish, how far is
    it; waits for it, fetches and saves its files, also after a restart. While it says working the job goes on and
    is paid: call again, start nothing anew. Free; returns the files or how far it is.
    """
    budget = call.app.settings.wait_seconds if wait_seconds is None else wait_seconds
    ids = list(dict.fromkeys(each.strip() for each in task_ids or () if each.strip()))
    if (task_id is None) == (not ids):
        raise InputError("Give either task_id or task_ids", next_step="list_tasks shows the ids of what was started.")
    if task_id is None:
        return await _several(call, ids, budget)
    delivery = await call.app.part(media_jobs).bring(
        call.novita, task_id, budget=budget, on_progress=call.progress_of(f"task {task_id}")
    )
    call.asks_after = delivery.job.key
    found = await answer(call, delivery)
    result = TaskResult(**found.model_dump())
    result.take_over(found)
    return result


async def _several(call: Call, ids: list[str], budget: float) -> TaskResult:
    """Wait for all tasks in parallel, until the last is done or the wait is over. A failed task stops no other one."""
    lines: dict[str, EachTask] = {}
    turns = anyio.Semaphore(_AT_ONCE)
    clock = call.app.jobs.clock
    until = clock.now() + budget

    async def look(id: str) -> None:
        async with turns:
            lines[id] = await _one_of_them(call, id, max(0.0, until - clock.now()))
        await call.progress(f"{len(lines)} of {len(ids)} looked at", 100 * len(lines) / len(ids))

    async with anyio.create_task_group() as group:
        for id in ids:
            group.start_soon(look, id)
    in_order = tuple(lines[id] for id in ids)
    working = [each.task_id for each in in_order if each.status == "working"]
    failed = any(each.status not in ("succeeded", "working") for each in in_order)
    return TaskResult(
        status="working" if working else "incomplete" if failed else "succeeded",
        tasks=in_order,
        next_step="Call get_task again with the task_ids that are working; do not ask for them again."
        if working
        else "Show the user the files.",
    )


async def _one_of_them(call: Call, id: str, budget: float) -> EachTask:
    try:
        delivery = await call.app.part(media_jobs).bring(
            call.novita, id, budget=budget, on_progress=call.progress_of(f"task {id}")
        )
        found = await whole_answer(call, delivery)
    except NovitaError as error:
        row = await call.app.journal.find(call.owner, id)
        if row is not None and row.state in FINAL_STATES:
            call.told_of.append(row.key)
        return EachTask(task_id=id, status="failed", reason=str(error)[:300])
    if delivery.job.state in FINAL_STATES:
        call.told_of.append(delivery.job.key)
    where = [each.path or each.url or f"novita://artifacts/{each.task_id}/{each.index}" for each in found.artifacts]
    if call.app.settings.http:
        where = [f"novita://artifacts/{each.task_id}/{each.index}" for each in found.artifacts]
    more = len(where) - _MOST_FILES
    files = (*where[:_MOST_FILES], f"... {more} more: get_task") if more > 0 else tuple(where)
    status = found.status if found.status in ("succeeded", "incomplete", "unconfirmed") else "working"
    return EachTask(task_id=id, status=status, files=files, text=(found.text or "")[:300] or None)


class TaskLine(BaseModel):
    """One job in a list."""

    task_id: str = Field(description="For get_task.")
    state: JobState = Field(description="unconfirmed: may or may not have been accepted and billed.")
    tool: str = Field(description="Which tool started it.")
    model: str | None = Field(default=None, description="Model or product.")
    title: str = Field(description="Prompt or name, shortened.")
    created: datetime = Field(description="UTC.")
    estimated_cost_usd: str | None = Field(default=None, description="Estimate when it was sent.")
    usd_per_hour: str | None = Field(default=None, description="What it goes on costing now.")
    files: tuple[str, ...] = Field(default=(), description="Saved files.")
    reason: str | None = Field(default=None, description="Why it failed or is unclear.")


class TaskList(ToolResult):
    """Jobs, the newest first, and what costs money now."""

    tasks: tuple[TaskLine, ...] = Field(description="Newest first.")
    more: bool = Field(description="Whether older ones exist; ask with a larger offset.")
    running: tuple[RunningLine, ...] | None = Field(
        default=None, description="Everything started here that costs now, on whatever page, dearest first."
    )
    running_total: int | None = Field(default=None, description="How many those are, also where not all are shown.")
    running_usd_per_hour: str | None = Field(default=None, description="What all of them cost, estimated.")
    running_note: str | None = Field(default=None, description="Why that may not be how it is.")

    def headline(self) -> str:
        summary = f"{counted(len(self.tasks), 'task')}." if self.tasks else "No tasks found."
        if self.running:
            rate = say_usd(self.running_usd_per_hour or "0")
            summary += f" Running and costing now: {self.running_total}, about {rate} per hour."
        return summary


@tasks.tool("List tasks", READS)
async def list_tasks(
    call: Call,
    state: Annotated[JobState | None, Field(description="Only those; unconfirmed: perhaps billed.")] = None,
    went_wrong: Annotated[bool, Field(description="Only what failed or is unclear."), SELDOM] = False,
    period: Annotated[str | None, Field(description="When: yesterday, last 7 days, 2026-10-03.")] = None,
    limit: Annotated[int, Field(ge=1, le=50, description="How many, at most 50.")] = 10,
    offset: Offset = 0,
) -> TaskList:
    """History of what I made, generated or started here today or earlier: recent jobs, which still run, finished or
    failed, with ids, prompts and saved files, and what goes on costing now. Look here for a lost id, or before
    paying twice. Not for bulk jobs (list_batches), machines (list_gpu_instances) or bills (get_bill). Free.
    """
    days = None if period is None else read_period(period, utc_day(call.app.journal.wall()))
    if went_wrong and state is not None and state not in WENT_WRONG:
        raise InputError(f"What is {state.value} did not go wrong", next_step="Leave out state or went_wrong.")
    now = await what_runs(call)
    found = await call.app.journal.recent(
        call.owner,
        limit=limit + 1,
        offset=offset,
        states=(state,) if state else WENT_WRONG if went_wrong else (),
        begun=None if days is None else (days.start, days.end),
    )
    remote = call.app.settings.http
    return TaskList(
        tasks=tuple(_line(job, remote=remote) for job in found[:limit]),
        more=len(found) > limit,
        running=now.lines[:MOST_SHOWN] or None,
        running_total=len(now.lines) or None,
        running_usd_per_hour=now.usd_per_hour if now.lines else None,
        running_note=now.trouble or None,
    )


WENT_WRONG = (JobState.FAILED, JobState.REFUSED, JobState.UNCONFIRMED)
"""States of jobs that ended without the wanted result, and of jobs whose end is unknown."""

_MOST_FILES = 4
"""The most files of one job that a list of jobs names."""


def _files(job: Job, *, remote: bool) -> tuple[str, ...]:
    saved = [artifact for artifact in job.artifacts if artifact.path]
    named = [
        f"novita://artifacts/{artifact.task_id}/{artifact.index}" if remote else artifact.path or ""
        for artifact in saved[:_MOST_FILES]
    ]
    more = len(saved) - len(named)
    return (*named, f"... {more} more: get_task") if more else tuple(named)


def _line(job: Job, *, remote: bool) -> TaskLine:
    return TaskLine(
        task_id=job.task_id or job.key[:12],
        state=job.state,
        tool=job.tool,
        model=job.model or None,
        title=job.title[:80],
        created=job.created,
        estimated_cost_usd=f"{job.estimate.normalize():f}" if job.estimate is not None else None,
        usd_per_hour=show_usd(round(job.usd_per_day / 24, 5)) if job.usd_per_day is not None else None,
        files=_files(job, remote=remote),
        reason=job.reason[:200] or None,
    )
