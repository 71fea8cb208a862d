"""Tools for serverless endpoints: deploying an image as a pool of workers, calling it, scaling it, deleting it."""

from typing import Annotated, Any

from pydantic import Field

from ...novita.core.errors import InputError, NovitaError
from ...novita.core.waiting import Phase, Unasked
from ...novita.core.words import counted
from ...novita.gpu.resources import volumes_that_stay
from ...novita.serverless.endpoints import delete_endpoint as send_delete
from ...novita.serverless.endpoints import get_limits, list_offers
from ...novita.serverless.gateway import queue_of
from ...novita.serverless.leases import ENDPOINT
from ...novita.serverless.shapes import EndpointGoal
from ..kit.arguments import SELDOM, Agreed, Confirm, DryRun, SaveTo, Wait
from ..kit.container_images import ContainerImage
from ..kit.context import Call
from ..kit.purchase import Purchase, carry_out, destruction
from ..kit.toolset import DESTROYS, READS, SPENDS, Toolset
from . import calling, creating, jobs
from .results import (
    PRICE_SOURCE,
    CallResult,
    EndpointList,
    EndpointResult,
    OfferLine,
    Prices,
    endpoint_line,
    endpoint_result,
    usd,
)
from .waiting import find_endpoint, note_all, own_endpoints, wait_until_serving, watch

serverless = Toolset("serverless", "Deploy and call serverless endpoints.")

SHOWN = 40
MOST_OTHERS = 100
DELETED_WITHIN = 20.0
"""How many seconds to wait until a deletion is seen to be done."""

EndpointId = Annotated[str, Field(description="Id or name of the endpoint.")]
Image = Annotated[ContainerImage | None, Field(description="Docker image.")]
Port = Annotated[int | None, Field(description="The image's HTTP port.")]
Env = Annotated[dict[str, str] | None, Field(description="Environment variables.")]
MostWorkers = Annotated[int | None, Field(description="Most workers at once; default 1.")]


@serverless.tool("List endpoints", READS)
async def list_endpoints(
    call: Call,
    offers: Annotated[bool, Field(description="true: GPUs to deploy on instead.")] = False,
) -> EndpointList:
    """What have I deployed? My serverless endpoints: which of my models, APIs and services are hosted or deployed,
    with state, URL, workers and cost. A new one: create_endpoint. With offers: the GPUs for a new one. Free.
    """
    if offers:
        rows = await list_offers(call.novita)
        return EndpointList(
            offers=tuple(
                OfferLine(
                    product_id=row.id,
                    name=row.name,
                    memory_gb=row.memory_gb,
                    usd_per_worker_hour=usd(row.usd_per_hour, 5),
                    free=row.free,
                    regions=row.regions,
                )
                for row in rows[:SHOWN]
            ),
            limits=(await get_limits(call.novita)).words(),
            price_source=PRICE_SOURCE,
        )
    everything = await own_endpoints(call)
    lost = await note_all(call, everything)
    prices, rest = Prices(call), everything[SHOWN:]
    return EndpointList(
        endpoints=tuple([await endpoint_line(each, prices) for each in everything[:SHOWN]]),
        others=tuple(f"{each.id}: {each.name}, {each.state.state}" for each in rest[:MOST_OTHERS]) or None,
        more=len(rest) - MOST_OTHERS if len(rest) > MOST_OTHERS else None,
        total=len(everything),
        unconfirmed=tuple(f"{job.title}: sent {job.created:%Y-%m-%d %H:%M:%S} UTC, {job.reason}" for job in lost)
        or None,
        next_step="get_endpoint shows one of the others by its id." if rest else None,
    )


@serverless.tool("Get an endpoint", READS)
async def get_endpoint(
    call: Call,
    endpoint_id: EndpointId,
    wait_seconds: Annotated[float | None, Field(ge=0, le=3_600, description="Wait so long until it serves.")] = None,
) -> EndpointResult:
    """One deployed serverless endpoint: is it healthy, what is its URL, how many workers are up, its settings and cost.
    Can wait until it serves. Free.
    """
    endpoint = await find_endpoint(call, endpoint_id)
    if wait_seconds:
        await wait_until_serving(
            call, endpoint, wait_seconds, job_id=endpoint_id if endpoint_id.startswith(endpoint.id) else None
        )
        endpoint = await find_endpoint(call, endpoint.id)
    if (row := await call.app.journal.find(call.owner, endpoint.id)) is not None:
        call.asks_after = row.key
    result = await endpoint_result(call, endpoint, details=True)
    if endpoint.is_async:
        try:
            result.queue = await queue_of(call.novita, endpoint)
        except NovitaError as error:
            result.next_step = f"Its queue is not shown: {error.what}"
    return result


@serverless.tool("Create an endpoint", SPENDS)
async def create_endpoint(
    call: Call,
    image: Image = None,
    template_id: Annotated[str | None, Field(description="Id of a template, instead of image.")] = None,
    takes_jobs: Annotated[bool, Field(description="It takes jobs from a queue, not HTTP.")] = False,
    port: Port = None,
    gpu: Annotated[str | None, Field(description="Name or product_id; default the cheapest.")] = None,
    name: Annotated[str | None, Field(description="What to call it.")] = None,
    env: Env = None,
    min_workers: Annotated[int | None, Field(description="Workers kept alive and billed; default 0.")] = None,
    max_workers: MostWorkers = None,
    options: Annotated[
        dict[str, Any] | None,
        Field(
            description="command, health_path, idle_seconds, concurrency (per worker), gpus (per worker), disk_gb, "
            "region; stop_after_hours: then min_workers 0."
        ),
    ] = None,
    wait_seconds: Annotated[Wait, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> EndpointResult:
    """Deploy a Docker image or container as a serverless HTTP API or job queue that scales up with traffic and to zero
    when idle: host my own model or service. For a machine to log into use create_gpu_instance. Running workers cost
    about $0.3 to $4 an hour; asks first. Returns its URL once it serves.
    """
    return await creating.create(
        call,
        template_id=template_id,
        gpu=gpu,
        options=options,
        wait_seconds=wait_seconds,
        confirm=confirm,
        dry_run=dry_run,
        image=image,
        kind="async" if takes_jobs else "sync",
        port=port,
        name=name,
        env=env,
        min_workers=min_workers,
        max_workers=max_workers,
    )


@serverless.tool("Update an endpoint", SPENDS)
async def update_endpoint(
    call: Call,
    endpoint_id: EndpointId,
    env: Annotated[dict[str, str] | None, Field(description="Variables to set; '' removes one.")] = None,
    min_workers: Annotated[int | None, Field(description="Workers kept alive; 0: billed in use only.")] = None,
    max_workers: Annotated[int | None, Field(description="Most workers at once.")] = None,
    options: Annotated[
        dict[str, Any] | None, Field(description="As in create_endpoint; also image, name, port.")
    ] = None,
    wait_seconds: Annotated[Wait, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> EndpointResult:
    """Change a deployed serverless endpoint or service: scale it up, or down to zero, allow more or fewer workers,
    roll out a new image version, set variables or idle time; the rest stays. Workers cost by the hour; shows the
    difference and asks first. Returns its new state.
    """
    return await creating.update(
        call,
        endpoint_id,
        options=options,
        wait_seconds=wait_seconds,
        confirm=confirm,
        dry_run=dry_run,
        env=env,
        min_workers=min_workers,
        max_workers=max_workers,
    )


@serverless.tool("Delete an endpoint", DESTROYS)
async def delete_endpoint(call: Call, endpoint_id: EndpointId, confirm: Agreed = False) -> EndpointResult:
    """Delete a deployed serverless endpoint: take down, tear down or remove the API or service for good; its workers
    and jobs end. Asks first. To pause it set workers to 0 with update_endpoint. It costs nothing from then on; says
    whether it is gone.
    """

    async def plan() -> Purchase[EndpointResult]:
        endpoint = await find_endpoint(call, endpoint_id)
        workers = counted(len(endpoint.workers), "worker") if endpoint.workers else "no workers"
        mounted = [each.id for each in endpoint.volume_mounts if each.type == "network" and each.id]
        stay = await volumes_that_stay(call.novita, mounted)

        async def delete() -> EndpointResult:
            await send_delete(call.novita, endpoint)
            await call.app.leases.end(call.owner, kind=ENDPOINT, thing_id=endpoint.id, note="it was deleted before")
            unasked = Unasked()
            seen = await watch(call, endpoint, EndpointGoal.GONE, DELETED_WITHIN, unasked)
            if seen is not None and seen.phase is Phase.SUCCEEDED:
                gone = endpoint.model_copy(update=_GONE)
                return await endpoint_result(call, gone, status="deleted", next_step=stay or None)
            step = " ".join(filter(None, (unasked.why, "Being deleted; look with list_endpoints.", stay)))
            return await endpoint_result(call, endpoint, status="working", next_step=step)

        return destruction(
            EndpointResult,
            f"Delete endpoint {endpoint.label()} ({workers})? What they do ends, and its address with it."
            + (f" {stay}" if stay else ""),
            model=next((each.id for each in endpoint.products if each.id), "endpoint"),
            about=f"delete {endpoint.id}",
            act=delete,
        )

    return await carry_out(call, plan, confirm=confirm)


_GONE: dict[str, Any] = {"workers": (), "url": ""}


@serverless.tool("Call an endpoint", SPENDS)
async def call_endpoint(
    call: Call,
    endpoint_id: Annotated[str | None, Field(description="Id or name of the endpoint.")] = None,
    body: Annotated[dict[str, Any] | None, Field(description="JSON body, or a job's input.")] = None,
    path: Annotated[str | None, Field(description="Method and path: GET /v1/models. Default POST with a body.")] = None,
    headers: Annotated[dict[str, str] | None, Field(description="HTTP headers."), SELDOM] = None,
    job_id: Annotated[str | None, Field(description="Fetch this job that was sent earlier.")] = None,
    cancel: Annotated[bool, Field(description="Stop that job.")] = False,
    save_to: Annotated[SaveTo, SELDOM] = None,
    wait_seconds: Annotated[float | None, Field(ge=0, le=3_600, description="Default 120, jobs 45 s."), SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> CallResult:
    """Send a request to my own deployed endpoint or model: call its API, POST JSON, run a job on it, fetch or cancel
    that job. For Novita's own models use chat or generate_image. Costs worker time, asks if dear; returns its answer,
    long ones as a file.
    """
    if job_id is not None:
        if any(given is not None for given in (body, path, headers)):
            raise InputError("job_id waits for a job that was sent; body, path and headers send a new one")
        if cancel:
            return await jobs.cancel(call, job_id, endpoint_id)
        return await jobs.resume(call, job_id, endpoint_id, wait_seconds)
    if cancel:
        raise InputError("Which job is to be cancelled?", next_step="Give job_id; list_tasks shows what was sent.")
    if endpoint_id is None:
        raise InputError("Which endpoint is to be called?", next_step="Give endpoint_id; see list_endpoints.")
    return await calling.call(
        call,
        endpoint_id,
        body=body,
        path=path,
        headers=headers,
        save_to=save_to,
        wait_seconds=wait_seconds,
        confirm=confirm,
        dry_run=dry_run,
    )
