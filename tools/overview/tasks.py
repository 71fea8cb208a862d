"""Task tools: bring home what was started, in this conversation or any other."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from ...novita.core.money import show_usd
from ...novita.journal.journal import Job, JobState
from ..kit.arguments import WaitSeconds
from ..kit.context import Call
from ..kit.toolset import READS, ToolResult, Toolset
from ..media.parts import media_jobs
from ..media.results import MediaResult, answer
from .running_costs import MOST_SHOWN, RunningLine, what_runs

tasks = Toolset("tasks", "Wait for what was started and fetch its files.")


@tasks.tool("Get a task", READS)
async def get_task(
    call: Call,
    task_id: Annotated[str, Field(min_length=4, description="Id that the starting tool gave.")],
    wait_seconds: WaitSeconds = None,
) -> MediaResult:
    """Is it ready yet? Progress and result of a picture, video or sound job that was started earlier: waits for it,
    fetches and saves its files, also after a restart. Free; returns the files, or how far it is. Repeat while
    working.
    """
    budget = call.app.settings.wait_seconds if wait_seconds is None else wait_seconds
    delivery = await call.app.part(media_jobs).bring(
        call.novita, task_id, budget=budget, on_progress=call.progress_of(f"task {task_id}")
    )
    call.asks_after = delivery.job.key
    return await answer(call, delivery)


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
    """Jobs, newest first, and what costs now."""

    tasks: tuple[TaskLine, ...] = Field(description="Newest first.")
    more: bool = Field(description="Whether older ones exist; ask with a larger offset.")
    running: tuple[RunningLine, ...] | None = Field(
        default=None, description="Everything started here that costs now, on whatever page, dearest first."
    )
    running_total: int | None = Field(default=None, description="How many those are, also where not all are shown.")
    running_usd_per_hour: str | None = Field(default=None, description="What all of them cost, estimated.")
    running_note: str | None = Field(default=None, description="Why that may not be how it is.")

    def headline(self) -> str:
        said = f"{len(self.tasks)} tasks." if self.tasks else "No tasks found."
        if self.running:
            said += f" Running and costing now: {self.running_total}, about ${self.running_usd_per_hour} per hour."
        return said


@tasks.tool("List tasks", READS)
async def list_tasks(
    call: Call,
    state: Annotated[JobState | None, Field(description="Only these; unconfirmed: may have been billed.")] = None,
    limit: Annotated[int, Field(ge=1, le=50, description="How many.")] = 10,
    offset: Annotated[int, Field(ge=0, description="Skip this many.")] = 0,
) -> TaskList:
    """History of what was made or started here: recent jobs, still running, finished or failed, with ids, saved files
    and prompts, and what goes on costing now. For a lost id, or before paying again. Not for batches (list_batches)
    or bills (get_bill). Free.
    """
    now = await what_runs(call)
    found = await call.app.journal.recent(call.owner, limit=limit + 1, offset=offset, states=(state,) if state else ())
    remote = call.app.settings.http
    return TaskList(
        tasks=tuple(_line(job, remote=remote) for job in found[:limit]),
        more=len(found) > limit,
        running=now.lines[:MOST_SHOWN] or None,
        running_total=len(now.lines) or None,
        running_usd_per_hour=now.usd_per_hour if now.lines else None,
        running_note=now.trouble or None,
    )


_MOST_FILES = 4
"""Files of one job that a list of many names."""


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
