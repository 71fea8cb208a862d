"""Calls to deployed endpoints: the routes of the async gateway, and the HTTP service of a sync endpoint.

All addresses are on this server. The paths of the gateway (/v1/{endpoint_name}/run and so on) work under any Host. The
`url` of a sync endpoint is http://<this server>/_endpoints/<slug>, and a request whose Host begins with the slug
(http://<slug>.localhost:<port>/) reaches it as well.

Every endpoint has the same container. It sends back what it was sent: for a sync call JSON of method, path, query and
body, for an async job {"echo": input}. The query of a sync call, or an object `input`, can ask it for something else:
    _seconds  take so much of the world's time (by default half of task_seconds async, a twentieth of it sync)
    _bytes    answer with so many bytes of filler
    _status   sync: answer with this status   _raw       sync: answer with the body itself, in its media type
    _error    async: fail with this text      _progress  async: show {"progress": share} as output while it runs
"""

import asyncio
import json
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..core.answers import answer
from ..core.calls import Call, ExtraRoute, Handler, Json
from ..core.faults import Fault
from ..core.world import World
from ..gpu.market import refuse
from ..gpu.shared import missing_is_404
from .pool import CANCELLED, COMPLETED, FAILED, FINAL, IN_PROGRESS, PENDING, TIMED_OUT, PoolWork
from .state import ServerlessState, SimulatedEndpoint

MOST_BYTES = 4 * 1024 * 1024
ASYNC_SHARE, SYNC_SHARE = 0.5, 0.05
LOOK_EVERY = 0.02
"""Real seconds after which a sync call checks again whether a worker has taken it."""


def area(call: Call) -> ServerlessState:
    return call.world.area(ServerlessState)


# the async gateway


def _endpoint(call: Call) -> SimulatedEndpoint:
    """The endpoint with this {id}-{app_name}, id or name. The key must belong to the endpoint's own account."""
    name = call.path["endpoint_name"]
    named = [each for each in area(call).all.values() if name in each.names]
    mine = [each for each in named if each.owner is call.account]
    if named and not mine:
        raise refuse("FORBIDDEN", "the endpoint belongs to another team")
    found = next((each for each in mine if each.plan.type == "async"), None)
    if found is None:
        raise refuse("SERVERLESS_ENDPOINT_NOT_FOUND", f"no async endpoint {name}")
    return found


def _number(told: Any, name: str, otherwise: float) -> float:
    found = cast("Json", told).get(name, otherwise) if isinstance(told, dict) else otherwise
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else otherwise


def _told(input: Any, name: str) -> Any:
    return cast("Json", input).get(name) if isinstance(input, dict) else None


async def run_async_job(call: Call) -> Response:
    if len(call.raw) > MOST_BYTES:
        # The documentation does not say what Novita answers above the limit.
        raise Fault(413, "REQUEST", "request body is larger than 4 MiB")
    endpoint, input = _endpoint(call), call.body["input"]
    if endpoint.owner.micro_usd <= 0:
        raise refuse("BALANCE_NOT_ENOUGH")
    seconds = _number(input, "_seconds", ASYNC_SHARE * call.world.settings.task_seconds)
    error = str(_told(input, "_error") or "")
    if _number(input, "_bytes", 0) > MOST_BYTES - 100:
        error = "output is larger than 4 MiB"
    work = area(call).begin(endpoint, input, seconds, error)
    work.size = len(call.raw)
    endpoint.jobs[work.id] = work
    return answer({"id": work.id, "status": PENDING})


def _job(work: PoolWork, endpoint: SimulatedEndpoint, now: float) -> Json:
    shown: Json = {"id": work.id, "status": work.status}
    if work.status == COMPLETED:
        filler = int(_number(work.input, "_bytes", 0))
        shown["output"] = {"data": "x" * filler} if filler else {"echo": work.input}
    elif work.status == IN_PROGRESS and _told(work.input, "_progress"):
        shown["output"] = {"progress": round(work.progress(now), 2)}
    elif work.status == FAILED:
        shown["error"] = work.error
    elif work.status == TIMED_OUT:
        shown["error"] = f"timed out after {endpoint.plan.request_timeout} s"
    return shown


async def get_async_job_status(call: Call) -> Response:
    endpoint = _endpoint(call)
    area(call).settle(endpoint.id)
    return answer(_job(area(call).job(endpoint, call.path["job_id"]), endpoint, call.world.clock.now()))


async def cancel_async_job(call: Call) -> Response:
    endpoint = _endpoint(call)
    work = area(call).job(endpoint, call.path["job_id"])
    if work.status in FINAL and work.status != CANCELLED:
        raise refuse("CONFLICT", f"job is {work.status}")
    endpoint.pool.cancel(work)
    return answer({"id": work.id, "status": work.status})


async def get_async_endpoint_health(call: Call) -> Response:
    """Counters of workers and jobs. The documentation does not show the names of the fields, so these are invented."""
    endpoint = _endpoint(call)
    area(call).settle(endpoint.id)
    pool, statuses = endpoint.pool, [work.status for work in endpoint.jobs.values()]
    running = sum(worker.state == "running" for worker in pool.workers)
    return answer(
        {
            "workers": {
                "total": len(pool.workers),
                "idle": running - pool.busy,
                "busy": pool.busy,
                "initializing": len(pool.workers) - running,
            },
            "jobs": {
                "pending": len(pool.queue),
                "in_progress": pool.held,
                **{name.lower(): statuses.count(name) for name in (COMPLETED, FAILED, TIMED_OUT, CANCELLED)},
            },
        }
    )


async def purge_async_queue(call: Call) -> Response:
    return answer({"removed": _endpoint(call).pool.purge()})


async def get_async_endpoint_stats(call: Call) -> Response:
    endpoint = _endpoint(call)
    area(call).settle(endpoint.id)
    pool = endpoint.pool
    return answer(
        {
            "endpoint": call.path["endpoint_name"],
            "pending": len(pool.queue),
            "in_progress": pool.held,
            "busy_workers": pool.busy,
            "total_workers": len(pool.workers),
        }
    )


def cancel_by_get(_: World, request: Request) -> dict[str, str] | None:
    """The older guide cancels a job with GET."""
    parts = request.scope["path"].strip("/").split("/")
    if request.method == "GET" and len(parts) == 4 and parts[0] == "v1" and parts[2] == "cancel":
        return {"endpoint_name": parts[1], "job_id": parts[3]}
    return None


# a sync endpoint's own service


def sync_service(world: World, request: Request) -> dict[str, str] | None:
    path: str = request.scope["path"]
    if path.startswith("/_endpoints/"):
        slug, _, rest_of_path = path.removeprefix("/_endpoints/").partition("/")
        return {"slug": slug, "path": rest_of_path}
    slug = request.headers.get("host", "").partition(".")[0]
    if slug and world.area(ServerlessState).at(slug) is not None:
        return {"slug": slug, "path": path.lstrip("/")}
    return None


async def invoke_sync_endpoint(call: Call) -> Response:
    """Queue a request, wait in real time for a worker, and answer with what the container says."""
    state = area(call)
    endpoint = state.at(call.path["slug"])
    if endpoint is None or endpoint.plan.type != "sync":
        return PlainTextResponse("404 page not found", 404)
    seconds = SYNC_SHARE * call.world.settings.task_seconds
    told: Json = {**call.query}
    if told.get("_seconds", "").replace(".", "", 1).isdigit():
        seconds = float(told["_seconds"])
    work = state.begin(endpoint, None, seconds)
    while work.status not in FINAL:
        state.settle(endpoint.id)
        if endpoint.state == "failed":
            endpoint.pool.cancel(work)
            return PlainTextResponse("no healthy upstream", 503)
        if work.status not in FINAL:
            await asyncio.sleep(LOOK_EVERY)
            if await call.request.is_disconnected():
                endpoint.pool.cancel(work)
    if work.status == TIMED_OUT:
        return PlainTextResponse("upstream request timeout", 504)
    if work.status == CANCELLED:
        return PlainTextResponse("no healthy upstream", 503)
    return _container(call, endpoint, work)


def _container(call: Call, endpoint: SimulatedEndpoint, work: PoolWork) -> Response:
    path, told = f"/{call.path['path']}", call.query
    status = int(told["_status"]) if told.get("_status", "").isdigit() else 200
    media_type = call.request.headers.get("content-type", "application/octet-stream")
    if "_raw" in told:
        return Response(call.raw, status, media_type=media_type)
    if told.get("_bytes", "").isdigit():
        return Response(b"x" * int(told["_bytes"]), status, media_type="application/octet-stream")
    if path == endpoint.plan.health_path:
        return JSONResponse({"status": "ok"}, status)
    try:
        body = json.loads(call.raw) if call.raw else None
    except ValueError:
        body = call.raw.decode("utf-8", "replace")
    shown = {"method": call.request.method, "path": path, "query": told, "body": body, "worker": work.worker}
    return JSONResponse(shown, status)


ROUTES = [
    ExtraRoute("cancel_async_job", cancel_by_get),
    ExtraRoute("invoke_sync_endpoint", sync_service),
]

HANDLERS: dict[str, Handler] = {
    "run_async_job": missing_is_404(run_async_job),
    "get_async_job_status": missing_is_404(get_async_job_status),
    "cancel_async_job": missing_is_404(cancel_async_job),
    "get_async_endpoint_health": missing_is_404(get_async_endpoint_health),
    "purge_async_queue": missing_is_404(purge_async_queue),
    "get_async_endpoint_stats": missing_is_404(get_async_endpoint_stats),
    "invoke_sync_endpoint": invoke_sync_endpoint,
}
