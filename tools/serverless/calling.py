"""Calling endpoints: one request to a sync endpoint's service, or a job of an async one, waited for."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from anyio import to_thread

from ...novita.core.errors import InputError, TaskFailedError
from ...novita.core.waiting import Phase, alongside
from ...novita.journal.jobs import Paid, Tally, call_id
from ...novita.journal.journal import Job
from ...novita.serverless.endpoints import route
from ...novita.serverless.gateway import ServiceCall, ServiceReply, call_service, job_request, service_call
from ...novita.serverless.rows import counts_workers
from ...novita.serverless.shapes import Endpoint, EndpointGoal, judge
from ..kit.context import Caller
from ..kit.purchase import agree
from .jobs import KIND, PricedWorker, bring_job, longest_job, send_job, worker_of, working
from .results import CallResult, shown_cost
from .showing import show_answer
from .waiting import own_endpoint, refuse_failed, watch

SYNC_SECONDS = 120.0
"""A worker may have to start first."""


async def call(
    caller: Caller,
    endpoint_id: str,
    *,
    body: Mapping[str, Any] | None,
    path: str | None,
    headers: Mapping[str, str] | None,
    save_to: str | None,
    wait_seconds: float | None,
    confirm: bool,
    dry_run: bool,
) -> CallResult:
    """Ask if it may become dear, and send a request or a job, once the endpoint serves.

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
        request = job_request(caller.novita, dict(body) if body is not None else {})
        worker = await worker_of(caller, endpoint)
        if dry_run:
            where = f"{route('run_async_job').host}/v1/{endpoint.gateway_names()[0]}/run"
            sent = {"method": "POST", "url": where, "body": request}
            return _rehearsed(worker, sent, longest_job(endpoint))
        await _ask_if_dear(caller, worker, longest_job(endpoint), confirm=confirm)
        budget = caller.app.settings.wait_seconds if wait_seconds is None else wait_seconds
        started = caller.app.jobs.clock.now()
        if caller.handoff is None and (late := await _not_ready(caller, worker, budget)) is not None:
            return late
        job = await send_job(caller, worker, request, save_to)
        assert job.task_id is not None
        await caller.progress(f"job {job.task_id} accepted by endpoint {endpoint.label()}")
        if caller.handoff is not None:
            caller.handoff.job = (KIND, job.task_id)
            return working(job)
        left = max(0.0, budget - (caller.app.jobs.clock.now() - started))
        return await bring_job(caller, job, left)
    verb, _, rest = (path or "").strip().partition(" ")
    if not (rest and verb.isalpha()):
        verb, rest = "", path or ""
    ask = service_call(caller.novita, endpoint, path=rest.strip(), method=verb or None, headers=headers, body=body)
    budget = max(1.0, SYNC_SECONDS if wait_seconds is None else wait_seconds)
    worker = await worker_of(caller, endpoint)
    if dry_run:
        sent = {"method": ask.method, "url": ask.origin + ask.path, "body": dict(body) if body is not None else None}
        return _rehearsed(worker, sent, budget)
    await _ask_if_dear(caller, worker, budget, confirm=confirm)
    started = caller.app.jobs.clock.now()
    if (late := await _not_ready(caller, worker, budget)) is not None:
        return late
    left = max(1.0, budget - (caller.app.jobs.clock.now() - started))
    return await _call_service(caller, worker, ask, save_to, left)


async def _ask_if_dear(caller: Caller, worker: PricedWorker, seconds: float, *, confirm: bool) -> None:
    effect = f"Call endpoint {worker.endpoint.label()}."
    about, cost = f"call {worker.endpoint.id}", worker.cost(seconds)
    await agree(caller, effect, model=worker.product, cost=cost, confirm=confirm, about=about, always_asks=False)


def _rehearsed(worker: PricedWorker, request: dict[str, Any], seconds: float) -> CallResult:
    return CallResult(
        status="dry_run",
        endpoint_id=worker.endpoint.id,
        request={name: value for name, value in request.items() if value is not None},
        estimated_cost_usd=shown_cost(worker.most(seconds)),
        next_step=f"The estimate is a worker for {seconds:g} s, the most it may take. Call again without dry_run.",
    )


async def _not_ready(caller: Caller, worker: PricedWorker, budget: float) -> CallResult | None:
    """Wait for the deployment; what to answer where it does not serve in time."""
    endpoint = worker.endpoint
    if judge(endpoint).phase is Phase.SUCCEEDED or not endpoint.state.state:
        return None
    seen = await watch(caller, endpoint, EndpointGoal.SERVING, budget)
    if seen is not None:
        refuse_failed(seen)
        if seen.phase is Phase.SUCCEEDED:
            return None
    note = seen.note if seen is not None else "it could not be asked"
    step = f"{note}. Call get_endpoint with wait_seconds until it serves, then call it again."
    cost = shown_cost(worker.most(longest_job(endpoint) if endpoint.is_async else max(1.0, budget)))
    return CallResult(status="not_ready", endpoint_id=endpoint.id, estimated_cost_usd=cost, next_step=step)


async def _call_service(
    caller: Caller, worker: PricedWorker, ask: ServiceCall, save_to: str | None, within: float
) -> CallResult:
    endpoint = worker.endpoint
    kept = await counts_workers(caller.app.journal, caller.owner, endpoint)
    what = f"endpoint {endpoint.label()}: {ask.method} {ask.path.rpartition('/')[2][:60] or '/'}"
    started = caller.app.jobs.clock.now()

    async def sign() -> None:
        await caller.progress(f"{what}, {caller.app.jobs.clock.now() - started:.0f} s")

    async def send() -> ServiceReply:
        return await call_service(caller.novita, ask, within=within)

    async def work(job: Job, tally: Tally) -> CallResult:
        await caller.progress(what)
        reply = await alongside(send, sign)
        spent = worker.most(reply.seconds)
        tally.usd, tally.sure = Decimal(0) if kept and spent is not None else spent, False
        refuse_error(endpoint, ask, reply)
        result = CallResult(
            status="succeeded",
            endpoint_id=endpoint.id,
            http_status=reply.status,
            content_type=reply.content_type or None,
            estimated_cost_usd=shown_cost(spent),
        )
        value, text = reply.json(), reply.text()
        tally.artifacts = await show_answer(caller, job, call_id(job), result, value, text, reply, save_to)
        return result

    _, result = await caller.app.jobs.call(
        Paid(
            owner=caller.owner,
            tool="call_endpoint",
            model=worker.product,
            title=f"{endpoint.name or endpoint.id}: {ask.method} {ask.path}"[:200],
            # What it may cost at most: a worker for as long as the answer may take.
            cost=worker.cost(within),
        ),
        work=work,
        facts={"resource": endpoint.id},
    )
    return result


def refuse_error(endpoint: Endpoint, ask: ServiceCall, reply: ServiceReply) -> None:
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
