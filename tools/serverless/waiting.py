"""Looks at endpoints, once or until they serve, for all serverless tools and for MCP tasks.

Every look updates the journal's rows to what it showed.
"""

import logging
from collections.abc import Sequence

from ...novita.core.by_name import the_one
from ...novita.core.errors import JournalError, NotFoundError, NovitaError, TaskFailedError
from ...novita.core.waiting import SETTLING, Look, Pace, Phase, Unasked, wait_until_done
from ...novita.journal.joining import JoinRule
from ...novita.journal.journal import Job, JobState
from ...novita.serverless.endpoints import get_endpoint, list_endpoints, look_at
from ...novita.serverless.leases import ENDPOINT
from ...novita.serverless.rows import KIND, note_gone, note_seen, open_endpoints
from ...novita.serverless.shapes import Endpoint, EndpointGoal, judge
from ..kit.context import Caller
from ..kit.created_things import lease_by_now
from ..kit.mcp_tasks.followers import FOLLOWERS, Followed
from ..kit.same_call import JOINERS, Joiner
from .results import EndpointResult, adopt_lost, endpoint_result, shown_cost

logger = logging.getLogger(__name__)

LEASE_END = "its workers are let go"
"""What happens at the end of a lease, in words."""
NOT_YET = "Call get_endpoint with wait_seconds to go on waiting; do not create it again."


def plain_id(endpoint_id: str) -> str:
    """The id of the endpoint within the id of a job. Each update is a job of its own: `<endpoint>#<update>`."""
    return endpoint_id.strip().partition("#")[0]


async def own_endpoints(caller: Caller) -> list[Endpoint]:
    """The account's endpoints, without those of other people who signed in."""
    return await caller.without_strangers(await list_endpoints(caller.novita))


async def find_endpoint(caller: Caller, endpoint_id: str) -> Endpoint:
    """The endpoint with this id, or the only one with this name.

    Raises:
        NotFoundError: There is no such endpoint. The text names those there are.
        InputError: Several endpoints have that name.
    """
    wanted = plain_id(endpoint_id)
    try:
        endpoint = await get_endpoint(caller.novita, wanted)
        if not await caller.without_strangers([endpoint]):
            raise NotFoundError(f"There is no endpoint {endpoint_id[:80]!r}", status=404)
    except NotFoundError as error:
        known = await own_endpoints(caller)
        others = [each for each in known if each.id != wanted]
        if (meant := the_one(wanted, others, "endpoints", Endpoint.label)) is not None:
            return await find_endpoint(caller, meant.id)
        await note_all(caller, known)
        raise unknown(endpoint_id, known, error) from error
    await note_seen(caller.app.journal, caller.owner, [endpoint])
    return endpoint


async def own_endpoint(caller: Caller, endpoint_id: str) -> Endpoint:
    """The endpoint with this id or name from the account's own list, so that no other host is ever called.

    Raises:
        NotFoundError: The list has no such endpoint.
        InputError: Several endpoints have that name.
    """
    mine = await own_endpoints(caller)
    await note_seen(caller.app.journal, caller.owner, mine)
    found = the_one(plain_id(endpoint_id), mine, "endpoints", Endpoint.label)
    if found is None:
        raise unknown(endpoint_id, mine)
    return found


async def settle_endpoints(caller: Caller) -> None:
    """Look at all endpoints once, if the journal has any that is deploying or costs money, and update its rows.

    Raises:
        NovitaError: The endpoints cannot be listed, or the journal cannot be used.
    """
    journal, owner = caller.app.journal, caller.owner
    lost = await journal.recent(owner, limit=1, states=(JobState.UNCONFIRMED,), kind=KIND)
    if lost or await open_endpoints(journal, owner):
        await note_all(caller, await own_endpoints(caller))


async def note_all(caller: Caller, endpoints: Sequence[Endpoint]) -> list[Job]:
    """Note the states of the account's endpoints, and which are gone.

    Returns the creates whose answer was lost and that match no endpoint.

    Args:
        endpoints: All endpoints that the list shows.
    """
    journal, owner = caller.app.journal, caller.owner
    lost = await adopt_lost(caller, endpoints, await journal.recent(owner, limit=200, kind=KIND))
    await note_seen(journal, owner, endpoints)
    there = {endpoint.id for endpoint in endpoints}
    for id, begun in (await open_endpoints(journal, owner, standing=True)).items():
        if id in there or journal.wall() - begun <= SETTLING:
            continue
        try:  # the list may lack an endpoint that only v1 or v2 knows
            await note_seen(journal, owner, [await get_endpoint(caller.novita, id)])
        except NotFoundError:
            await note_gone(journal, owner, id)
        except JournalError:
            raise
        except NovitaError as error:  # its row stays as it is, since nothing new is known
            logger.warning("endpoint %s is not in the list and could not be asked for: %s", id, error)
    return lost


def unknown(endpoint_id: str, known: list[Endpoint], error: NotFoundError | None = None) -> NotFoundError:
    """The error for an unknown endpoint. Its text names the endpoints there are."""
    names = ", ".join(each.label() for each in known[:10]) or "none"
    return NotFoundError(
        f"There is no endpoint {endpoint_id[:80]!r}",
        status=error.status if error else 404,
        reason=error.reason if error else None,
        next_step=f"Endpoints of this account: {names}.",
    )


async def watch(
    caller: Caller,
    endpoint: Endpoint,
    goal: EndpointGoal,
    budget: float,
    unasked: Unasked,
    *,
    since: float | None = None,
    job: Job | None = None,
) -> Look[Endpoint] | None:
    """Look at the endpoint until it reaches `goal` or the budget of seconds is used up.

    Args:
        unasked: Notes why the last look failed, if it did.
        since: The wall time of the call that made or changed the endpoint, since lists show that only after a while.
            None if the endpoint must be visible at once.
    """
    clock = caller.app.jobs.clock
    client = caller.novita.for_looking()

    async def look() -> Look[Endpoint]:
        seen = await look_at(client, endpoint, goal)
        if goal is EndpointGoal.GONE and seen.phase is Phase.SUCCEEDED:
            await note_gone(caller.app.journal, caller.owner, endpoint.id)
        else:
            await note_seen(caller.app.journal, caller.owner, [seen.value])
        return seen

    history = await caller.app.journal.durations(job.model) if job and goal is EndpointGoal.SERVING else ()
    return await wait_until_done(
        look,
        clock=clock,
        pace=Pace(history),
        budget=budget,
        age=max(0.0, clock.wall() - since) if since is not None else None,
        on_progress=caller.progress_of(f"endpoint {endpoint.name or endpoint.id} ({endpoint.id})"),
        unasked=unasked,
    )


async def wait_until_serving(
    caller: Caller,
    endpoint: Endpoint,
    wait_seconds: float | None,
    *,
    job_id: str | None = None,
    changes: tuple[str, ...] = (),
) -> EndpointResult:
    """Wait until the endpoint serves or the time is over. Returns the endpoint as it is then.

    Args:
        job_id: The journal's row for the call that leads there; without it the row of the endpoint's creation.

    Raises:
        TaskFailedError: The endpoint cannot serve. The text says why.
    """
    app = caller.app
    budget = app.settings.wait_seconds if wait_seconds is None else wait_seconds
    job = await app.journal.find(caller.owner, job_id or endpoint.id)
    since = (job.accepted or job.created).timestamp() if job else None
    unasked = Unasked()
    seen = await watch(caller, endpoint, EndpointGoal.SERVING, budget, unasked, since=since, job=job)
    cost = shown_cost(job.estimate) if job else None
    if seen is None or (unasked.error is not None and seen.phase is Phase.WORKING):
        endpoint, step = seen.value if seen is not None else endpoint, f"{unasked.why} {NOT_YET}".strip()
        return await endpoint_result(caller, endpoint, status="working", changes=changes, cost=cost, next_step=step)
    refuse_failed(seen)
    return await endpoint_result(caller, seen.value, changes=changes, cost=cost, next_step=next_step(seen))


def next_step(seen: Look[Endpoint]) -> str:
    """The next step for the caller, in words."""
    endpoint = seen.value
    if seen.phase is Phase.WORKING:
        return f"{seen.note}. {NOT_YET}"
    cold = "" if endpoint.running else " No worker runs: the first call starts one, which may take minutes."
    how = "body is the job's input" if endpoint.is_async else "path is one of its service's"
    return f"Call it with call_endpoint; {how}.{cold} Running workers cost; delete_endpoint ends it."


def refuse_failed(seen: Look[Endpoint]) -> None:
    """Raise TaskFailedError if the endpoint will not serve."""
    if seen.phase is Phase.FAILED:
        raise TaskFailedError(
            f"Endpoint {seen.value.label()} does not serve: {seen.reason}",
            billed="maybe",
            next_step="Mend the image, its registry login, the port or the health path with update_endpoint, or remove "
            "it with delete_endpoint.",
        )


class EndpointFollower:
    """Follows endpoints that are deploying, for MCP tasks. Cancelling the task does not delete the endpoint."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        job = await caller.app.journal.find(caller.owner, job_id)
        try:
            endpoint = await get_endpoint(caller.novita, plain_id(job_id))
        except NotFoundError:
            begun = (job.accepted or job.created).timestamp() if job else 0.0
            if caller.app.jobs.clock.wall() - begun > SETTLING:
                raise
            return Followed("working", note="not visible yet")
        await note_seen(caller.app.journal, caller.owner, [endpoint])
        seen = judge(endpoint)
        if seen.phase is Phase.WORKING:
            return Followed("working", note=f"endpoint {endpoint.label()}: {seen.note}")
        refuse_failed(seen)
        cost = shown_cost(job.estimate) if job else None
        result = await endpoint_result(caller, endpoint, cost=cost, next_step=next_step(seen))
        return Followed("completed", (await _with_its_lease(caller, result)).to_mcp())

    async def cancel(self, caller: Caller, job_id: str) -> None:
        return None


FOLLOWERS[KIND] = EndpointFollower()


async def _join(caller: Caller, job: Job, budget: float) -> EndpointResult | None:
    """The answer to a repeated create or change: the endpoint of the first call. None if it was deleted since."""
    endpoint_id = plain_id(job.task_id or "")
    try:
        endpoint = await get_endpoint(caller.novita, endpoint_id)
    except NotFoundError:
        if caller.app.jobs.clock.wall() - (job.accepted or job.created).timestamp() > SETTLING:
            return None
        return EndpointResult(status="working", endpoint_id=endpoint_id, next_step=NOT_YET)
    return await _with_its_lease(caller, await wait_until_serving(caller, endpoint, budget, job_id=job.task_id))


async def _with_its_lease(caller: Caller, result: EndpointResult) -> EndpointResult:
    if result.endpoint_id:
        lease = await lease_by_now(caller, ENDPOINT, result.endpoint_id, end=LEASE_END)
        result.next_step = f"{result.next_step or ''} {lease}".strip() or None
    return result


JOINERS[KIND] = Joiner(_join, EndpointResult, JoinRule(lost=False))
