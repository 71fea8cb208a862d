"""Calls endpoints: sends a request to the service of a sync endpoint, or a job to an async one, and waits for it."""

from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any

from anyio import to_thread

from ...novita.core.errors import InputError, TaskFailedError
from ...novita.core.waiting import Phase, Unasked, alongside
from ...novita.journal.facts import CallFacts
from ...novita.journal.jobs import Tally, call_id
from ...novita.journal.journal import Job
from ...novita.serverless.endpoints import route
from ...novita.serverless.gateway import ServiceCall, ServiceReply, call_service, job_request, service_call
from ...novita.serverless.rows import counts_workers
from ...novita.serverless.shapes import Endpoint, EndpointGoal, judge
from ..kit.context import Caller
from ..kit.dry_run import shown_body
from ..kit.purchase import Awaited, OnceReady, Purchase, carry_out
from .jobs import PricedWorker, longest_job, sent_job, worker_of
from .results import CallResult, shown_cost
from .showing import show_answer
from .waiting import own_endpoint, refuse_failed, watch

SYNC_SECONDS = 120.0
"""Seconds to wait for an answer from a sync endpoint. It is long because a worker may have to start first."""


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
    """Ask the user if the call may be expensive, then send a request or a job as soon as the endpoint serves.

    Args:
        path: The path of a sync endpoint's service, with a method before it if needed: `DELETE /v1/files/x`.

    Raises:
        NovitaError: The request would leave the endpoint's host, the endpoint failed, or its answer is an error.
    """

    async def plan() -> Purchase[CallResult]:
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
            return _job(caller, await worker_of(caller, endpoint), request, save_to, wait_seconds)
        verb, _, rest = (path or "").strip().partition(" ")
        if not (rest and verb.isalpha()):
            verb, rest = "", path or ""
        ask = service_call(caller.novita, endpoint, path=rest.strip(), method=verb or None, headers=headers, body=body)
        budget = max(1.0, SYNC_SECONDS if wait_seconds is None else wait_seconds)
        return _request(caller, await worker_of(caller, endpoint), ask, body, save_to, budget)

    return await carry_out(caller, plan, confirm=confirm, dry_run=dry_run)


def _job(
    caller: Caller, worker: PricedWorker, request: dict[str, Any], save_to: str | None, wait_seconds: float | None
) -> Purchase[CallResult]:
    """Plan a job of an async endpoint. Its estimate is a worker for the longest time that a job may take."""
    endpoint = worker.endpoint
    where = f"{route('run_async_job').host}/v1/{endpoint.gateway_names()[0]}/run"
    longest = longest_job(endpoint)
    return _call_of(
        worker,
        longest,
        title=endpoint.name or endpoint.id,
        sent={"method": "POST", "url": where, "body": shown_body(request)},
        sending=OnceReady(
            ready=partial(_not_ready, caller, worker, longest),
            sending=lambda left: sent_job(caller, worker, request, save_to, left),
            wait_seconds=wait_seconds,
            queues=True,
        ),
    )


def _request(
    caller: Caller,
    worker: PricedWorker,
    ask: ServiceCall,
    body: Mapping[str, Any] | None,
    save_to: str | None,
    budget: float,
) -> Purchase[CallResult]:
    """Plan a request to a sync endpoint's service. Its estimate is a worker for the longest time an answer may take."""
    sent: dict[str, Any] = {"method": ask.method, "url": ask.origin + ask.path}
    return _call_of(
        worker,
        budget,
        title=f"{worker.endpoint.name or worker.endpoint.id}: {ask.method} {ask.path}"[:200],
        sent=sent if body is None else {**sent, "body": shown_body(body)},
        sending=OnceReady(
            ready=partial(_not_ready, caller, worker, budget),
            sending=lambda left: _asked(caller, worker, ask, save_to, max(1.0, left)),
            wait_seconds=budget,
        ),
    )


def _call_of(
    worker: PricedWorker, seconds: float, *, title: str, sent: dict[str, Any], sending: OnceReady[CallResult]
) -> Purchase[CallResult]:
    endpoint = worker.endpoint

    async def request() -> dict[str, Any]:
        return {"endpoint_id": endpoint.id, "request": sent}

    return Purchase(
        answer=CallResult,
        effect=f"Call endpoint {endpoint.label()}.",
        model=worker.product or endpoint.id,
        title=title,
        cost=worker.cost(seconds),
        sending=sending,
        dry_run=request,
        about=f"call {endpoint.id}",
    )


async def _not_ready(caller: Caller, worker: PricedWorker, seconds: float, budget: float) -> CallResult | None:
    """Wait up to `budget` seconds until the endpoint serves. None if it does; otherwise the result to return instead.

    Args:
        seconds: How long the call itself may take once it is sent.
    """
    endpoint = worker.endpoint
    if judge(endpoint).phase is Phase.SUCCEEDED or not endpoint.state.state:
        return None
    unasked = Unasked()
    seen = await watch(caller, endpoint, EndpointGoal.SERVING, budget, unasked)
    if seen is not None:
        refuse_failed(seen)
        if seen.phase is Phase.SUCCEEDED:
            return None
    note = unasked.why or (f"{seen.note}." if seen is not None else "It could not be asked.")
    step = f"{note} Call get_endpoint with wait_seconds until it serves, then call it again."
    cost = shown_cost(worker.most(seconds))
    return CallResult(status="not_ready", endpoint_id=endpoint.id, estimated_cost_usd=cost, next_step=step)


def _asked(
    caller: Caller, worker: PricedWorker, ask: ServiceCall, save_to: str | None, within: float
) -> Awaited[CallResult]:
    endpoint = worker.endpoint
    what = f"endpoint {endpoint.label()}: {ask.method} {ask.path.rpartition('/')[2][:60] or '/'}"
    started = caller.app.jobs.clock.now()

    async def sign() -> None:
        await caller.progress(f"{what}, {caller.app.jobs.clock.now() - started:.0f} s")

    async def send() -> ServiceReply:
        return await call_service(caller.novita, ask, within=within)

    async def work(job: Job, tally: Tally) -> CallResult:
        kept = await counts_workers(caller.app.journal, caller.owner, endpoint)
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

    return Awaited(work=work, facts=CallFacts(resource=endpoint.id))


def refuse_error(endpoint: Endpoint, ask: ServiceCall, reply: ServiceReply) -> None:
    """Raise an error if the service replied with a redirect or an error."""
    if reply.status < 300:
        return
    text = " ".join((reply.text() or "").split())[:1_000]
    what = f"Endpoint {endpoint.label()} answered {ask.method} {ask.path[:120]} with HTTP {reply.status}"
    if reply.status < 400:
        raise TaskFailedError(
            f"{what}, a redirect to {reply.location[:200] or 'nowhere'}",
            billed="maybe",
            next_step="Redirects are not followed. If it leads within the endpoint, call that path.",
        )
    step = "This error comes from the service, not from Novita: correct path or body."
    if reply.status in (401, 403):
        step = "The service wants a key of its own: give it in headers. The Novita key is not sent to endpoints."
    elif reply.status in (502, 503, 504):
        step = "No worker took the request in time: see get_endpoint for state and workers before you send it again."
    elif reply.status >= 500:
        step = "The service failed; it was not sent again."
    raise TaskFailedError(f'{what}: "{text}"' if text else what, billed="maybe", next_step=step)
