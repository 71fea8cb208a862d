"""Task tools: bring home what was started, in this conversation or any other."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from ..novita.journal import Job, JobState
from ..novita.ledger import BY_TIME
from ..novita.money import show_usd
from .arguments import WaitSeconds
from .context import Call
from .media_results import MediaResult, answer
from .toolset import READS, ToolResult, Toolset

tasks = Toolset("tasks", "Wait for what was started and fetch its files.")


@tasks.tool("Get a task", READS)
async def get_task(
    call: Call,
    task_id: Annotated[str, Field(min_length=4, description="From the tool that started it.")],
    wait_seconds: WaitSeconds = None,
) -> MediaResult:
    """Wait for an earlier media task, even of before a restart, and fetch its files. Free. Repeat while working."""
    budget = call.app.settings.wait_seconds if wait_seconds is None else wait_seconds
    delivery = await call.app.media.bring(
        call.novita, task_id, budget=budget, on_progress=call.progress_of(f"task {task_id}")
    )
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
    usd_per_hour: str | None = Field(default=None, description="Of a machine, for as long as it runs.")
    files: tuple[str, ...] = Field(default=(), description="Saved files.")
    reason: str | None = Field(default=None, description="Why it failed or is unclear.")


class TaskList(ToolResult):
    """Jobs, newest first."""

    tasks: tuple[TaskLine, ...] = Field(description="Newest first.")
    more: bool = Field(description="Whether older ones exist; ask with a larger offset.")

    def headline(self) -> str:
        if not self.tasks:
            return "No tasks on this machine yet."
        machines = " Machines cost until stopped: list_gpu_instances and list_endpoints say which run now."
        return f"{len(self.tasks)} tasks." + (machines if any(task.tool in BY_TIME for task in self.tasks) else "")


@tasks.tool("List tasks", READS)
async def list_tasks(
    call: Call,
    state: Annotated[JobState | None, Field(description="unconfirmed: may have been billed.")] = None,
    limit: Annotated[int, Field(ge=1, le=50, description="How many.")] = 10,
    offset: Annotated[int, Field(ge=0, description="Skip.")] = 0,
) -> TaskList:
    """What was started here: ids, states, files. Free. Look here before paying again."""
    found = await call.app.journal.recent(call.owner, limit=limit + 1, offset=offset, states=(state,) if state else ())
    remote = call.app.settings.http
    return TaskList(tasks=tuple(_line(job, remote=remote) for job in found[:limit]), more=len(found) > limit)


_MAY_RUN = (JobState.SUBMITTING, JobState.UNCONFIRMED, JobState.WORKING, JobState.SUCCEEDED)


def _line(job: Job, *, remote: bool) -> TaskLine:
    hourly: str | None = job.facts.get("usd_per_hour")
    return TaskLine(
        task_id=job.task_id or job.key[:12],
        state=job.state,
        tool=job.tool,
        model=job.model or None,
        title=job.title[:80],
        created=job.created,
        estimated_cost_usd=f"{job.estimate.normalize():f}" if job.estimate is not None else None,
        usd_per_hour=show_usd(Decimal(hourly)) if hourly and job.state in _MAY_RUN else None,
        files=tuple(
            f"novita://artifacts/{artifact.task_id}/{artifact.index}" if remote else artifact.path
            for artifact in job.artifacts
            if artifact.path
        ),
        reason=job.reason[:200] or None,
    )
