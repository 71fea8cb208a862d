"""Calling endpoints: one request to a sync endpoint's service, or a job of an async one, waited for."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from anyio import to_thread

from ..novita.endpoint_rows import note_seen
from ..novita.endpoint_shapes import Endpoint, Goal, judge
from ..novita.endpoints import list_endpoints, route
from ..novita.errors import InputError, NotFoundError, NovitaAPIError, NovitaError, TaskFailedError
from ..novita.gateway import (
    RESULT_KEPT_HOURS,
    GatewayJob,
    Reply,
    ServiceCall,
    call_service,
    cancel_job,
    get_job,
    job_request,
    look_at_job,
    run_job,
    service_call,
)
from ..novita.jobs import Tally, call_id
from ..novita.journal import Job, JobState
from ..novita.waiting import SETTLING, Look, Pace, Phase, alongside, wait_until_done
from .context import Caller
from .following import FOLLOWERS, Followed
from .serverless_results import CallResult, Prices, usd
from .serverless_showing import show_answer
from .serverless_watch import plain_id, refuse_failed, unknown, watch
from .text_results import shown_file

KIND = "gateway_job"
SYNC_SECONDS = 120.0
"""A worker may have to start first."""


async def own_endpoint(caller: Caller, endpoint_id: str) -> Endpoint:
    """An endpoint from the account's own list, by id or name: no other host is ever called.

    Raises:
        NotFoundError: It is not in the list. InputError: Several have that name.
    """
    mine = await list_endpoints(caller.novita)
    await note_seen(caller.app.journal, caller.owner, mine)
    wanted = plain_id(endpoint_id)
    found = [each for each in mine if each.id == wanted] or [each for each in mine if each.name == wanted]
    if not found:
        raise unknown(endpoint_id, mine)
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise InputError(f"{len(found)} endpoints are called {wanted[:80]!r}", next_step=f"Give an id: {ids}.")
    return found[0]


async def call(
    caller: Caller,
    endpoint_id: str,
    *,
    body: Mapping[str, Any] | None,
    path: str | None,
    headers: Mapping[str, str] | None,
    save_to: str | None,
    wait_seconds: float | None,
    dry_run: bool,
) -> CallResult:
    """Send a request or a job, once the endpoint serves.

    Args:
        path: Of a sync endpoint's service, with the method before it where that is not clear: `DELETE /v1/files/x`.

    Raises:
        NovitaError: It would go elsewhere, the endpoint failed, or its answer is an error.
    """
    if save_to is not None:
        await to_thread.run_sync(caller.app.jobs.store.check_place, save_to)
    endpoint = await own_endpoint(caller, endpoint_id)
    if endpoint.is_async:
        if path or headers:
            raise InputError(
                f"Endpoint {endpoint.label()} is async: it takes jobs, not HTTP requests",
                next_step="Give the job's input as body, and leave path and headers out.",
            )
        request = job_request(dict(body) if body is not None else {})
        if dry_run:
            where = f"{route('run_async_job').host}/v1/{endpoint.gateway_names()[0]}/run"
            sent = {"method": "POST", "url": where, "body": request}
            return await _rehearsed(caller, endpoint, sent, _longest(endpoint))
        budget = caller.app.settings.wait_seconds if wait_seconds is None else wait_seconds
        started = caller.app.jobs.clock.now()
        if caller.handoff is None and (late := await _not_ready(caller, endpoint, budget)) is not None:
            return late
        job = await _send_job(caller, endpoint, request, save_to)
        assert job.task_id is not None
        await caller.progress(f"job {job.task_id} accepted by endpoint {endpoint.label()}")
        if caller.handoff is not None:
            caller.handoff.job = (KIND, job.task_id)
            return _working(job)
        left = max(0.0, budget - (caller.app.jobs.clock.now() - started))
        return await bring_job(caller, job, left)
    verb, _, rest = (path or "").strip().partition(" ")
    if not (rest and verb.isalpha()):
        verb, rest = "", path or ""
    ask = service_call(caller.novita, endpoint, path=rest.strip(), method=verb or None, headers=headers, body=body)
    budget = max(1.0, SYNC_SECONDS if wait_seconds is None else wait_seconds)
    if dry_run:
        sent = {"method": ask.method, "url": ask.origin + ask.path, "body": dict(body) if body is not None else None}
        return await _rehearsed(caller, endpoint, sent, budget)
    started = caller.app.jobs.clock.now()
    if (late := await _not_ready(caller, endpoint, budget)) is not None:
        return late
    left = max(1.0, budget - (caller.app.jobs.clock.now() - started))
    return await _call_service(caller, endpoint, ask, save_to, left)


async def _rehearsed(caller: Caller, endpoint: Endpoint, request: dict[str, Any], seconds: float) -> CallResult:
    _, price = await Prices(caller).of(endpoint)
    return CallResult(
        status="dry_run",
        endpoint_id=endpoint.id,
        request={name: value for name, value in request.items() if value is not None},
        estimated_cost_usd=usd(_worker_time(price, seconds), 6) or "unknown",
        next_step=f"The estimate is a worker for {seconds:g} s, the most it may take. Call again without dry_run.",
    )


def _longest(endpoint: Endpoint) -> float:
    """Seconds that a job may take."""
    return endpoint.worker_config.request_timeout or SYNC_SECONDS


async def _not_ready(caller: Caller, endpoint: Endpoint, budget: float) -> CallResult | None:
    """Wait for the deployment; what to answer where it does not serve in time."""
    if judge(endpoint).phase is Phase.SUCCEEDED or not endpoint.state.state:
        return None
    seen = await watch(caller, endpoint, Goal.SERVING, budget)
    if seen is not None:
        refuse_failed(seen)
        if seen.phase is Phase.SUCCEEDED:
            return None
    note = seen.note if seen is not None else "it could not be asked"
    step = f"{note}. Call get_endpoint with wait_seconds until it serves, then call it again."
    return CallResult(status="not_ready", endpoint_id=endpoint.id, next_step=step)


# Sync


async def _call_service(
    caller: Caller, endpoint: Endpoint, ask: ServiceCall, save_to: str | None, within: float
) -> CallResult:
    product, price = await Prices(caller).of(endpoint)
    what = f"endpoint {endpoint.label()}: {ask.method} {ask.path.rpartition('/')[2][:60] or '/'}"
    started = caller.app.jobs.clock.now()

    async def sign() -> None:
        await caller.progress(f"{what}, {caller.app.jobs.clock.now() - started:.0f} s")

    async def send() -> Reply:
        return await call_service(caller.novita, ask, within=within)

    async def work(job: Job, tally: Tally) -> CallResult:
        await caller.progress(what)
        reply = await alongside(send, sign)
        tally.usd = _worker_time(price, reply.seconds)
        refuse_error(endpoint, ask, reply)
        result = CallResult(
            status="succeeded",
            endpoint_id=endpoint.id,
            http_status=reply.status,
            content_type=reply.content_type or None,
            estimated_cost_usd=usd(tally.usd, 6) or "unknown",
        )
        value, text = reply.json(), reply.text()
        tally.artifacts = await show_answer(caller, job, call_id(job), result, value, text, reply, save_to)
        return result

    _, result = await caller.app.jobs.call(
        owner=caller.owner,
        tool="call_endpoint",
        model=product,
        title=f"{endpoint.name or endpoint.id}: {ask.method} {ask.path}"[:200],
        # What it may cost at most: a worker for as long as the answer may take.
        estimate=_worker_time(price, within),
        work=work,
        facts={"resource": endpoint.id},
    )
    return result


def _worker_time(price: Decimal | None, seconds: float) -> Decimal | None:
    return round(price * Decimal(str(round(seconds, 3))) / 3600, 6) if price is not None else None


def refuse_error(endpoint: Endpoint, ask: ServiceCall, reply: Reply) -> None:
    """Raise for a reply that is a redirect or an error of the service."""
    if reply.status < 300:
        return
    said = " ".join((reply.text() or "").split())[:1_000]
    what = f"Endpoint {endpoint.label()} answered {ask.method} {ask.path[:120]} with HTTP {reply.status}"
    if reply.status < 400:
        raise TaskFailedError(
            f"{what}, a redirect to {reply.location[:200] or 'nowhere'}",
            billed="maybe",
            next_step="Redirects are not followed. If it leads within the endpoint, call that path.",
        )
    step = "The service said so, not Novita: correct path or body."
    if reply.status in (401, 403):
        step = "The service wants a key of its own: give it in headers. The Novita key is not sent to endpoints."
    elif reply.status in (502, 503, 504):
        step = "No worker took it, or none in time: see get_endpoint for state and workers before you send it again."
    elif reply.status >= 500:
        step = "The service failed; it was not sent again."
    raise TaskFailedError(f'{what}: "{said}"' if said else what, billed="maybe", next_step=step)


# Async


async def _send_job(caller: Caller, endpoint: Endpoint, request: dict[str, Any], save_to: str | None) -> Job:
    """Queue it, once. Noted with what a worker costs for as long as a request may take."""
    app = caller.app
    product, price = await Prices(caller).of(endpoint)

    async def send(_: Job) -> tuple[str, str]:
        return await run_job(caller.novita, endpoint, request)

    async def note(job: Job, answer: tuple[str, str]) -> Job:
        name, job_id = answer
        return await app.journal.accepted(job.key, job_id, gateway_name=name)

    try:
        job, _ = await app.jobs.submit(
            owner=caller.owner,
            kind=KIND,
            tool="call_endpoint",
            model=product,
            title=endpoint.name or endpoint.id,
            estimate=_worker_time(price, _longest(endpoint)),
            send=send,
            note=note,
            facts={
                "endpoint_id": endpoint.id,
                "resource": endpoint.id,
                "save_to": save_to,
                **({"usd_per_worker_hour": str(price)} if price is not None else {}),
            },
            on_progress=caller.progress_of(f"endpoint {endpoint.label()}: job sent"),
        )
    except NovitaError as error:
        if error.billed == "maybe":
            error.next_step = (
                "The job may be queued; it was not sent again, and without its id its result cannot be had. "
                f"get_endpoint ({endpoint.id}) shows the queue."
            )
        raise
    return job


async def resume(caller: Caller, job_id: str, endpoint_id: str | None, wait_seconds: float | None) -> CallResult:
    """Wait on for a job sent earlier.

    Raises:
        NovitaError: Nobody knows it, or it failed.
    """
    job = await known_job(caller, job_id, endpoint_id)
    if caller.handoff is not None and job.state is JobState.WORKING and job.task_id:
        caller.handoff.job = (KIND, job.task_id)
        return _working(job)
    return await bring_job(caller, job, caller.app.settings.wait_seconds if wait_seconds is None else wait_seconds)


async def known_job(caller: Caller, job_id: str, endpoint_id: str | None) -> Job:
    """The journal's row of a job; made now where the job was sent from elsewhere.

    Raises:
        InputError: It is no job of an endpoint, or not known here and no endpoint was given.
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
    for name in endpoint.gateway_names():
        try:
            await get_job(caller.novita, name, job_id)
        except NotFoundError:
            continue
        job = await journal.adopt(caller.owner, job_id, kind=KIND, tool="call_endpoint")
        await journal.note(job.key, endpoint_id=endpoint.id, resource=endpoint.id, gateway_name=name)
        return job.model_copy(update={"facts": {"endpoint_id": endpoint.id, "gateway_name": name}})
    raise NotFoundError(
        f"Endpoint {endpoint.label()} knows no job {job_id[:80]!r}",
        status=404,
        next_step=f"Results are kept {RESULT_KEPT_HOURS} hours. list_tasks shows jobs sent from here.",
    )


async def bring_job(caller: Caller, job: Job, budget: float) -> CallResult:
    """Wait up to `budget` seconds for a job and show its result.

    Raises:
        TaskFailedError: It failed. NotFoundError: its result is no longer kept.
    """
    assert job.task_id is not None
    name, job_id = str(job.facts.get("gateway_name")), job.task_id
    looking, clock = caller.novita.for_looking(), caller.app.jobs.clock
    begun = (job.accepted or job.created).timestamp()
    working_at = begun

    async def look() -> Look[GatewayJob]:
        nonlocal working_at
        seen = await look_at_job(looking, name, job_id)
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
        )
    except NotFoundError as error:
        return _from_journal(caller, job, error)
    if seen is None or seen.phase is Phase.WORKING:
        return _working(job, seen.note if seen else "")
    async with caller.app.jobs.one_at_a_time(f"{caller.owner}/{job_id}"):
        job = await caller.app.journal.find(caller.owner, job_id) or job
        now = clock.wall()
        watched = now - working_at <= max(2.0, 0.15 * (now - begun))
        return await _ended(caller, job, seen, round((working_at + now) / 2 - begun, 2) if watched else None)


async def _ended(caller: Caller, job: Job, seen: Look[GatewayJob], took: float | None = None) -> CallResult:
    """Note how a job ended, and show its result.

    Args:
        took: Its length in seconds, where somebody was there to see it.
    """
    journal, first = caller.app.journal, job.state is JobState.WORKING
    if seen.phase is Phase.FAILED:
        if first:
            await journal.finish(job.key, JobState.FAILED, reason=seen.reason)
        raise TaskFailedError(
            f"Job {job.task_id} failed: {seen.reason}",
            billed="maybe",
            next_step="The worker's time is billed. Mend the input or the endpoint's handler.",
        )
    result = _result(job)
    if seen.phase is Phase.CANCELLED:
        if first:
            await journal.finish(job.key, JobState.CANCELLED, reason="Cancelled at Novita.")
        result.status = "cancelled"
        return result
    save_to = job.facts.get("save_to") if first else None
    output = seen.value.output
    text = output if isinstance(output, str) else None
    kept = None if first else list(job.artifacts)
    made = await show_answer(caller, job, job.task_id or "", result, output, text, None, save_to, kept=kept)
    if first:
        price = job.facts.get("usd_per_worker_hour")
        now = caller.app.jobs.clock.wall()
        seconds = took if took is not None else max(0.0, now - (job.accepted or job.created).timestamp())
        spent = _worker_time(Decimal(price) if price else None, seconds)
        # One that was fetched long after its end took less than that.
        counted = min(spent, job.estimate) if spent is not None and job.estimate is not None else None
        facts: dict[str, Any] = {"took": took} if took is not None else {}
        await journal.finish(job.key, JobState.SUCCEEDED, artifacts=made, counted=counted, **facts)
        result.estimated_cost_usd = usd(counted, 6) or result.estimated_cost_usd
    return result


def _result(job: Job) -> CallResult:
    return CallResult(
        status="succeeded",
        endpoint_id=job.facts.get("endpoint_id"),
        job_id=job.task_id,
        estimated_cost_usd=_cost(job),
    )


def _cost(job: Job) -> str:
    return usd(job.estimate, 6) or "unknown"


def _working(job: Job, note: str = "") -> CallResult:
    result = _result(job)
    result.status = "working"
    how = f"Call call_endpoint with job_id={job.task_id}"
    step = f"{how} to wait on, or with cancel=true to stop it; do not send it again."
    result.next_step = f"{note}. {step}" if note else step
    return result


def _from_journal(caller: Caller, job: Job, error: NotFoundError) -> CallResult:
    """What is left of a job that the gateway no longer knows."""
    if job.state is not JobState.SUCCEEDED or not job.artifacts:
        error.next_step = f"Results are kept {RESULT_KEPT_HOURS} hours after the end; this one was never fetched."
        raise error
    result = _result(job)
    first = job.artifacts[0]
    result.text = first.note
    result.files = tuple(shown_file(caller, "the answer", each) for each in job.artifacts if each.path) or None
    result.next_step = "Novita keeps it no longer; this is what was kept here."
    return result


async def cancel(caller: Caller, job_id: str, endpoint_id: str | None) -> CallResult:
    """Stop a job at Novita; one that has ended shows its result instead."""
    job = await known_job(caller, job_id, endpoint_id)
    assert job.task_id is not None
    name = str(job.facts.get("gateway_name"))
    try:
        await cancel_job(caller.novita, name, job.task_id)
    except NovitaAPIError as error:
        if error.status >= 500 or error.status == 429 or isinstance(error, NotFoundError):
            raise
        # It may have ended meanwhile: then it is shown, not the refusal.
        seen = await look_at_job(caller.novita, name, job.task_id)
        if seen.phase is Phase.WORKING:
            raise
        return await _ended(caller, job, seen)
    if job.state is JobState.WORKING:
        await caller.app.journal.finish(job.key, JobState.CANCELLED, reason="Cancelled at the user's wish.")
    result = _result(job)
    result.status = "cancelled"
    return result


class GatewayFollower:
    """Jobs of async endpoints. Cancelling the task cancels the job: call_endpoint says so."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        job = await known_job(caller, job_id, None)
        try:
            seen = await look_at_job(caller.novita.for_looking(), str(job.facts.get("gateway_name")), job_id)
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
