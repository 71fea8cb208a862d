"""Waiting for endpoints: the one way all serverless tools do it, and how MCP tasks follow them."""

from ..novita.endpoint_shapes import Endpoint, Goal, judge
from ..novita.endpoints import get_endpoint, list_endpoints, look_at
from ..novita.errors import NotFoundError, TaskFailedError
from ..novita.journal import Job, JobState
from ..novita.waiting import SETTLING, Look, Pace, Phase, wait_until_done
from .context import Caller
from .following import FOLLOWERS, Followed
from .serverless_results import EndpointResult, endpoint_result

KIND = "endpoint"

NOT_YET = "Call get_endpoint with wait_seconds to wait on; do not create it again."


def plain_id(endpoint_id: str) -> str:
    """The id of the endpoint in the id of a job: each update is a job of its own, `<endpoint>#<update>`."""
    return endpoint_id.strip().partition("#")[0]


async def find_endpoint(caller: Caller, endpoint_id: str) -> Endpoint:
    """An endpoint of the account, by id.

    Raises:
        NotFoundError: There is none; names those there are.
    """
    try:
        return await get_endpoint(caller.novita, plain_id(endpoint_id))
    except NotFoundError as error:
        raise unknown(endpoint_id, await list_endpoints(caller.novita), error) from error


def unknown(endpoint_id: str, known: list[Endpoint], error: NotFoundError | None = None) -> NotFoundError:
    """There is no such endpoint: those there are."""
    names = ", ".join(each.label() for each in known[:10]) or "none"
    return NotFoundError(
        f"There is no endpoint {endpoint_id[:80]!r}",
        status=error.status if error else 404,
        reason=error.reason if error else None,
        next_step=f"Endpoints of this account: {names}.",
    )


async def watch(
    caller: Caller, endpoint: Endpoint, goal: Goal, budget: float, *, since: float | None = None, job: Job | None = None
) -> Look[Endpoint] | None:
    """Look until the endpoint is where it should be, or the budget is over.

    Args:
        since: Wall time of the call that leads there; None where it must be visible at once.
    """
    clock = caller.app.jobs.clock
    looking = caller.novita.for_looking()

    async def look() -> Look[Endpoint]:
        return await look_at(looking, endpoint, goal)

    history = await caller.app.journal.durations(job.model) if job and goal is Goal.SERVING else ()
    return await wait_until_done(
        look,
        clock=clock,
        pace=Pace(history),
        budget=budget,
        age=max(0.0, clock.wall() - since) if since is not None else None,
        on_progress=caller.progress_of(f"endpoint {endpoint.name or endpoint.id} ({endpoint.id})"),
    )


async def wait_until_serving(
    caller: Caller,
    endpoint: Endpoint,
    wait_seconds: float | None,
    *,
    job_id: str | None = None,
    changes: tuple[str, ...] = (),
) -> EndpointResult:
    """Wait until it serves, and answer with what there is.

    Args:
        job_id: The journal's row for what leads there; the endpoint's creation if not given.

    Raises:
        TaskFailedError: It cannot serve; says why.
    """
    app = caller.app
    budget = app.settings.wait_seconds if wait_seconds is None else wait_seconds
    job = await app.journal.find(caller.owner, job_id or endpoint.id)
    since = (job.accepted or job.created).timestamp() if job else None
    seen = await watch(caller, endpoint, Goal.SERVING, budget, since=since, job=job)
    if seen is None:
        return await endpoint_result(caller, endpoint, status="working", changes=changes, next_step=NOT_YET)
    await note_end(caller, job, seen)
    refuse_failed(seen)
    return await endpoint_result(caller, seen.value, changes=changes, next_step=next_step(seen))


def next_step(seen: Look[Endpoint]) -> str:
    """What to do now."""
    endpoint = seen.value
    if seen.phase is Phase.WORKING:
        return f"{seen.note}. {NOT_YET}"
    cold = "" if endpoint.running else " No worker runs: the first call starts one, which may take minutes."
    how = "body is the job's input" if endpoint.is_async else "path is one of its service's"
    return f"Call it with call_endpoint; {how}.{cold} Running workers cost; delete_endpoint ends it."


def refuse_failed(seen: Look[Endpoint]) -> None:
    """Raise for an endpoint that will not serve."""
    if seen.phase is Phase.FAILED:
        raise TaskFailedError(
            f"Endpoint {seen.value.label()} does not serve: {seen.reason}",
            billed="maybe",
            next_step="Mend the image, its registry login, the port or the health path with update_endpoint, or remove "
            "it with delete_endpoint.",
        )


async def note_end(caller: Caller, job: Job | None, seen: Look[Endpoint]) -> None:
    """Note in the journal how a deployment ended, once."""
    if job is None or job.state is not JobState.WORKING or not job.task_id:
        return
    if seen.phase is Phase.SUCCEEDED:
        took = caller.app.jobs.clock.wall() - (job.accepted or job.created).timestamp()
        await caller.app.journal.finish(job.key, JobState.SUCCEEDED, took=round(took, 2))
    elif seen.phase is Phase.FAILED:
        await caller.app.journal.finish(job.key, JobState.FAILED, reason=seen.reason)


class EndpointFollower:
    """Endpoints that deploy. Nothing is cancelled: deleting one is a tool's work."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        job = await caller.app.journal.find(caller.owner, job_id)
        try:
            endpoint = await get_endpoint(caller.novita, plain_id(job_id))
        except NotFoundError:
            begun = (job.accepted or job.created).timestamp() if job else 0.0
            if caller.app.jobs.clock.wall() - begun > SETTLING:
                raise
            return Followed("working", note="not visible yet")
        seen = judge(endpoint)
        if seen.phase is Phase.WORKING:
            return Followed("working", note=f"endpoint {endpoint.label()}: {seen.note}")
        await note_end(caller, job, seen)
        refuse_failed(seen)
        result = await endpoint_result(caller, endpoint, next_step=next_step(seen))
        return Followed("completed", result.to_mcp())

    async def cancel(self, caller: Caller, job_id: str) -> None:
        return None


FOLLOWERS[KIND] = EndpointFollower()
