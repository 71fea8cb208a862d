"""Jobs of async endpoints: each is sent once, waited for or cancelled, and costs the time of a worker."""

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from ...novita.core.costs import Cost, assumed
from ...novita.core.errors import InputError, NotFoundError, NovitaAPIError, TaskFailedError
from ...novita.core.money import say_usd
from ...novita.core.waiting import SETTLING, Look, Pace, Phase, Unasked, wait_until_done, was_watched
from ...novita.journal.facts import GatewayFacts
from ...novita.journal.jobs import Paid
from ...novita.journal.joining import JoinRule
from ...novita.journal.journal import Job, JobState
from ...novita.serverless.gateway import RESULT_KEPT_HOURS, GatewayJob, cancel_job, get_job, look_at_job, run_job
from ...novita.serverless.rows import counts_workers
from ...novita.serverless.shapes import Endpoint
from ..kit.context import Caller
from ..kit.mcp_tasks.followers import FOLLOWERS, Followed
from ..kit.purchase import Submitted, followed
from ..kit.same_call import JOINERS, Joiner
from ..kit.saved_files import shown_file
from .results import CallResult, Prices, shown_cost
from .showing import kept_of, show_answer
from .waiting import own_endpoint

KIND = "gateway_job"
LONGEST_JOB = 120.0
"""Seconds that a job is assumed to need at most, if its endpoint sets no limit."""


@dataclass(frozen=True)
class PricedWorker:
    """The product on which an endpoint's calls run, and its price an hour."""

    endpoint: Endpoint
    product: str
    price: Decimal | None

    def most(self, seconds: float) -> Decimal | None:
        """The price of a worker for so many seconds. None if it is unknown."""
        return worker_time(self.price, seconds)

    def cost(self, seconds: float) -> Cost:
        """The most that a call of so many seconds may cost. If the price is unknown, the user is asked first."""
        most = self.most(seconds)
        if most is not None:
            words = f"It costs a worker for {seconds:g} s at most, about {say_usd(most)}."
            return Cost(most, words=words, shown=shown_cost(most))
        return assumed("hour_of_a_card", Decimal(str(round(seconds, 3))) / 3600, asks=True)


async def worker_of(caller: Caller, endpoint: Endpoint) -> PricedWorker:
    product, price = await Prices(caller).of(endpoint)
    return PricedWorker(endpoint, product, price)


def worker_time(price: Decimal | None, seconds: float) -> Decimal | None:
    return round(price * Decimal(str(round(seconds, 3))) / 3600, 6) if price is not None else None


def longest_job(endpoint: Endpoint) -> float:
    """How many seconds a job of this endpoint may take."""
    return endpoint.worker_config.request_timeout or LONGEST_JOB


def sent_job(
    caller: Caller, worker: PricedWorker, request: dict[str, Any], save_to: str | None, wait_seconds: float
) -> Submitted[CallResult, tuple[str, str]]:
    """How a job is queued once and then waited for."""
    app, endpoint = caller.app, worker.endpoint

    async def send(_: Job) -> tuple[str, str]:
        return await run_job(caller.novita, endpoint, request)

    async def note(job: Job, answer: tuple[str, str]) -> Job:
        name, job_id = answer
        return await app.journal.accepted(job.key, job_id, GatewayFacts(gateway_name=name))

    async def start(paid_for: Paid) -> tuple[Job, tuple[str, str]]:
        kept = await counts_workers(app.journal, caller.owner, endpoint)
        job, answer = await app.jobs.submit(
            paid_for,
            kind=KIND,
            send=send,
            note=note,
            facts=GatewayFacts(
                endpoint_id=endpoint.id,
                resource=endpoint.id,
                save_to=save_to,
                usd_per_worker_hour=worker.price,
                counted_by_endpoint=kept or None,
            ),
            on_progress=caller.progress_of(f"endpoint {endpoint.label()}: job sent"),
        )
        await caller.progress(f"job {job.task_id} accepted by endpoint {endpoint.label()}")
        return job, answer

    async def goes_on(job: Job, _: tuple[str, str]) -> CallResult:
        return working(job)

    async def follow(job: Job, _: tuple[str, str], budget: float) -> CallResult:
        return await bring_job(caller, job, budget)

    return Submitted(
        start=start,
        working=goes_on,
        follow=follow,
        wait_seconds=wait_seconds,
        lost=(
            "The job may be queued; it was not sent again, and without its id its result cannot be fetched. "
            f"get_endpoint ({endpoint.id}) shows the queue."
        ),
    )


async def resume(caller: Caller, job_id: str, endpoint_id: str | None, wait_seconds: float | None) -> CallResult:
    """Go on waiting for a job that was sent earlier.

    Raises:
        NovitaError: The job is unknown, or it failed.
    """
    job = await known_job(caller, job_id, endpoint_id)
    caller.asks_after = job.key

    async def goes_on() -> CallResult:
        return working(job)

    return await followed(
        caller,
        KIND,
        job.task_id if job.state is JobState.WORKING else None,
        working=goes_on,
        follow=partial(bring_job, caller, job),
        wait_seconds=wait_seconds,
    )


async def known_job(caller: Caller, job_id: str, endpoint_id: str | None) -> Job:
    """The journal's row of a job. It is made now if another program sent the job.

    Raises:
        InputError: The id is not that of an endpoint's job, or it is unknown here and no endpoint was given.
    """
    journal = caller.app.journal
    job = await journal.find(caller.owner, job_id)
    if job is not None:
        if job.kind != KIND:
            tool = "get_task" if job.kind == "media" else f"get_{job.kind}"
            raise InputError(f"{job_id[:80]} is no job of an endpoint", next_step=f"Use {tool} for it.")
        if job.task_id is None:
            raise TaskFailedError(f"This job was never confirmed: {job.reason}", billed="maybe")
        return job
    if endpoint_id is None:
        raise InputError(
            f"Job {job_id[:80]!r} was not sent through this server", next_step="Give its endpoint_id as well."
        )
    endpoint = await own_endpoint(caller, endpoint_id)
    others = await caller.strangers([job_id])
    for name in () if others else endpoint.gateway_names():
        try:
            await get_job(caller.novita, name, job_id)
        except NotFoundError:
            continue
        job = await journal.adopt(caller.owner, job_id, kind=KIND, tool="call_endpoint")
        facts = GatewayFacts(endpoint_id=endpoint.id, resource=endpoint.id, gateway_name=name)
        await journal.note(job.key, facts)
        return job.model_copy(update={"facts": facts})
    raise NotFoundError(
        f"Endpoint {endpoint.label()} knows no job {job_id[:80]!r}",
        status=404,
        next_step=f"Results are kept {RESULT_KEPT_HOURS} hours. list_tasks shows jobs sent from here.",
    )


async def bring_job(caller: Caller, job: Job, budget: float) -> CallResult:
    """Wait up to `budget` seconds for a job and show its result.

    Raises:
        TaskFailedError: The job failed.
        NotFoundError: Its result is no longer kept.
    """
    assert job.task_id is not None
    name, job_id = str(job.facts_as(GatewayFacts).gateway_name), job.task_id
    client, clock = caller.novita.for_looking(), caller.app.jobs.clock
    begun = (job.accepted or job.created).timestamp()
    working_at = begun
    unasked = Unasked()

    async def look() -> Look[GatewayJob]:
        nonlocal working_at
        seen = await look_at_job(client, name, job_id)
        if seen.phase is Phase.WORKING:
            working_at = clock.wall()
        return seen

    try:
        seen = await wait_until_done(
            look,
            clock=clock,
            pace=Pace(await caller.app.journal.durations(job.model) if job.model else ()),
            budget=budget,
            age=max(0.0, clock.wall() - begun),
            on_progress=caller.progress_of(f"job {job_id}"),
            unasked=unasked,
        )
    except NotFoundError as error:
        return _from_journal(caller, job, error)
    if seen is None or seen.phase is Phase.WORKING:
        return working(job, unasked.why.rstrip(".") or (seen.note if seen else ""))
    async with caller.app.jobs.one_at_a_time(f"{caller.owner}/{job_id}"):
        job = await caller.app.journal.find(caller.owner, job_id) or job
        now = clock.wall()
        watched = was_watched(begun, working_at, now)
        return await _ended(caller, job, seen, round((working_at + now) / 2 - begun, 2) if watched else None)


async def _ended(caller: Caller, job: Job, seen: Look[GatewayJob], took: float | None = None) -> CallResult:
    """Note how a job ended, and show its result.

    Args:
        took: How many seconds the job took; None if nobody saw its end.
    """
    first = job.state is JobState.WORKING
    if seen.phase is Phase.FAILED:
        if first:
            await _finish(caller, job, JobState.FAILED, took, reason=seen.reason)
        raise TaskFailedError(
            f"Job {job.task_id} failed: {seen.reason}",
            billed="maybe",
            next_step="The worker's time is billed. Mend the input or the endpoint's handler.",
        )
    result = _result(job)
    if seen.phase is Phase.CANCELLED:
        if first:
            job = await _finish(caller, job, JobState.CANCELLED, took, reason="Cancelled at Novita.")
        return _cancelled(job)
    save_to = job.facts_as(GatewayFacts).save_to if first else None
    output = seen.value.output
    text = output if isinstance(output, str) else None
    kept = None if first else list(job.artifacts)
    made = await show_answer(caller, job, job.task_id or "", result, output, text, None, save_to, kept=kept)
    if first:
        result.estimated_cost_usd = _cost(await _finish(caller, job, JobState.SUCCEEDED, took, artifacts=made))
    return result


async def _finish(caller: Caller, job: Job, state: JobState, took: float | None, **more: Any) -> Job:
    """Note how a job ended. It costs a worker for the time it took, but for no longer than a job may take."""
    noted = job.facts_as(GatewayFacts)
    passed = max(0.0, caller.app.jobs.clock.wall() - (job.accepted or job.created).timestamp())
    spent = worker_time(noted.usd_per_worker_hour, passed if took is None else took)
    facts = GatewayFacts(took=took) if took is not None else GatewayFacts()
    if spent is not None and job.estimate is not None:
        spent = min(spent, job.estimate)
        facts = facts.with_(GatewayFacts(worker_usd=spent))
        more["counted"] = Decimal(0) if noted.counted_by_endpoint else spent
    return await caller.app.journal.finish(job.key, state, **more, facts=facts)


def _result(job: Job) -> CallResult:
    return CallResult(
        status="succeeded",
        endpoint_id=job.facts_as(GatewayFacts).endpoint_id,
        job_id=job.task_id,
        estimated_cost_usd=_cost(job),
    )


def _cost(job: Job) -> str:
    """The job's cost: of the worker time it took if it has ended, else of the most it may take. Unknown if another
    program sent it.
    """
    facts = job.facts_as(GatewayFacts)
    if facts.usd_per_worker_hour is None:
        return "unknown"
    return shown_cost(job.estimate if facts.worker_usd is None else facts.worker_usd)


def _cancelled(job: Job) -> CallResult:
    result = _result(job)
    result.status = "cancelled"
    return result


def working(job: Job, note: str = "") -> CallResult:
    result = _result(job)
    result.status = "working"
    how = f"Call call_endpoint with job_id={job.task_id}"
    step = f"{how} to go on waiting, or with cancel=true to stop it; do not send it again."
    result.next_step = f"{note}. {step}" if note else step
    return result


def _from_journal(caller: Caller, job: Job, error: NotFoundError) -> CallResult:
    """What the journal has kept of a job that the gateway no longer knows."""
    if job.state is not JobState.SUCCEEDED or not job.artifacts:
        error.next_step = f"Results are kept {RESULT_KEPT_HOURS} hours after the end; this one was never fetched."
        raise error
    result = _result(job)
    first = job.artifacts[0]
    result.text = first.note
    result.files = tuple(shown_file(caller, "the answer", each) for each in kept_of(caller, job.artifacts)) or None
    result.next_step = "Novita no longer keeps it; this is what was saved here."
    return result


async def cancel(caller: Caller, job_id: str, endpoint_id: str | None) -> CallResult:
    """Stop a job at Novita. If it has ended already, its result is returned instead."""
    job = await known_job(caller, job_id, endpoint_id)
    assert job.task_id is not None
    name = str(job.facts_as(GatewayFacts).gateway_name)
    try:
        await cancel_job(caller.novita, name, job.task_id)
    except NovitaAPIError as error:
        if error.status >= 500 or error.status == 429 or isinstance(error, NotFoundError):
            raise
        # The job may have ended meanwhile. Then its result is shown, not Novita's refusal to cancel it.
        seen = await look_at_job(caller.novita, name, job.task_id)
        if seen.phase is Phase.WORKING:
            raise
        return await _ended(caller, job, seen)
    if job.state is JobState.WORKING:
        job = await _finish(caller, job, JobState.CANCELLED, None, reason="Cancelled at the user's wish.")
    return _cancelled(job)


class GatewayFollower:
    """Follows jobs of async endpoints for MCP tasks. Cancelling the task cancels the job, as call_endpoint says."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        job = await known_job(caller, job_id, None)
        try:
            seen = await look_at_job(caller.novita.for_looking(), str(job.facts_as(GatewayFacts).gateway_name), job_id)
        except NotFoundError as error:
            if caller.app.jobs.clock.wall() - (job.accepted or job.created).timestamp() <= SETTLING:
                return Followed("working", note="not visible yet")
            return Followed("completed", _from_journal(caller, job, error).to_mcp())
        if seen.phase is Phase.WORKING:
            return Followed("working", note=f"job {job_id}: {seen.note}")
        async with caller.app.jobs.one_at_a_time(f"{caller.owner}/{job_id}"):
            job = await caller.app.journal.find(caller.owner, job_id) or job
            result = await _ended(caller, job, seen)
        return Followed("cancelled" if result.status == "cancelled" else "completed", result.to_mcp())

    async def cancel(self, caller: Caller, job_id: str) -> None:
        await cancel(caller, job_id, None)


FOLLOWERS[KIND] = GatewayFollower()


async def _join(caller: Caller, job: Job, budget: float) -> CallResult:
    """The answer to a repeated call: the job that the first call has sent."""
    if job.task_id is None:
        raise TaskFailedError(f"This job was never confirmed: {job.reason}", billed="maybe")
    return await bring_job(caller, job, budget)


JOINERS[KIND] = Joiner(_join, CallResult, JoinRule(runs_for=86_400.0))
