"""Serverless endpoints: which generation serves which call, and the calls that read, deploy, change and delete.

The choice of generation: v1 wherever it knows the endpoint, because its answers are documented in full; v2 for async
endpoints, which only v2 can make, and for the type of an endpoint, which only v2 tells. The gateway of async endpoints
is on a host of its own.
"""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import quote

from ..core.answers import (
    Amount,
    One,
    Shape,
    Text,
    Whole,
    Words,
    an_object,
    read_shape,
)
from ..core.client import NovitaClient
from ..core.errors import InputError, NotFoundError, NovitaAPIError, NovitaConnectionError, NovitaError
from ..core.money import say_usd
from ..core.waiting import Look, Phase
from ..gpu.instances import secret_words
from ..gpu.pages import linked_rows, numbered_rows
from ..gpu.products import memory_in, named
from ..gpu.routes import V1, V2, GpuRoute, act, act_for_id, ask
from .plans import EndpointPlan
from .shapes import Endpoint, EndpointGoal, EndpointLimits, judge

logger = logging.getLogger(__name__)

GATEWAY = "https://async-public.serverless.novita.ai"
"""The host named by the SDK and the newer guide. The guide of February 2026 named https://async.novita.ai."""

ASYNC_GPUS = ("RTX 4090 24GB", "H100 SXM 80GB")
"""The cards that async endpoints can use, by x-async-gpu-models of the facts."""

_SAME_AS = "does the same as {}, whose answer is documented in full"

OPERATIONS: Mapping[str, GpuRoute | str] = {
    "get_serverless_endpoint_limits": GpuRoute(
        "GET",
        f"{V1}/endpoint/limit",
        "reading the limits of endpoints",
        ("list_endpoints", "create_endpoint", "update_endpoint"),
    ),
    "create_serverless_endpoint": GpuRoute(
        "POST", f"{V1}/endpoint/create", "deploying the endpoint", ("create_endpoint",)
    ),
    "list_serverless_endpoints": GpuRoute(
        "GET", f"{V1}/endpoints", "listing endpoints", ("list_endpoints", "create_endpoint", "call_endpoint")
    ),
    "get_serverless_endpoint": GpuRoute(
        "GET", f"{V1}/endpoint", "reading the endpoint", ("get_endpoint", "update_endpoint", "delete_endpoint")
    ),
    "update_serverless_endpoint": GpuRoute(
        "POST", f"{V1}/endpoint/update", "changing the endpoint", ("update_endpoint",)
    ),
    "delete_serverless_endpoint": GpuRoute(
        "POST", f"{V1}/endpoint/delete", "deleting the endpoint", ("delete_endpoint",)
    ),
    "drain_serverless_worker": "known from one client only; min_workers and max_workers of update_endpoint scale",
    "gpus_v2_create_endpoint": GpuRoute(
        "POST", f"{V2}/endpoints", "deploying the async endpoint", ("create_endpoint",)
    ),
    "gpus_v2_list_endpoints": GpuRoute(
        "GET", f"{V2}/endpoints", "listing endpoints", ("list_endpoints", "create_endpoint", "call_endpoint")
    ),
    "gpus_v2_get_endpoint": GpuRoute(
        "GET", V2 + "/endpoints/{endpoint_id}", "reading the endpoint", ("get_endpoint", "update_endpoint")
    ),
    "gpus_v2_update_endpoint": GpuRoute(
        "PUT", V2 + "/endpoints/{endpoint_id}", "changing the async endpoint", ("update_endpoint",)
    ),
    "gpus_v2_delete_endpoint": GpuRoute(
        "DELETE", V2 + "/endpoints/{endpoint_id}", "deleting the async endpoint", ("delete_endpoint",)
    ),
    "run_async_job": GpuRoute(
        "POST", "/v1/{endpoint_name}/run", "sending the job to the endpoint", ("call_endpoint",), GATEWAY
    ),
    "get_async_job_status": GpuRoute(
        "GET", "/v1/{endpoint_name}/status/{job_id}", "looking at the job", ("call_endpoint",), GATEWAY
    ),
    "cancel_async_job": GpuRoute(
        "POST", "/v1/{endpoint_name}/cancel/{job_id}", "cancelling the job", ("call_endpoint",), GATEWAY
    ),
    "get_async_endpoint_health": GpuRoute(
        "GET", "/v1/{endpoint_name}/health", "reading the endpoint's queue", ("get_endpoint",), GATEWAY
    ),
    "purge_async_queue": "drops everybody's waiting jobs at once and is known from the SDK only; call_endpoint "
    "cancels one job",
    "get_async_endpoint_stats": "of the older gateway; get_async_endpoint_health tells the same",
    "invoke_sync_endpoint": GpuRoute(
        "POST", "/{path}", "calling the endpoint", ("call_endpoint",), "the url of the endpoint's own record"
    ),
}
"""Every operation of serverless.yaml: its route and tools, or why it is left out."""


def route(operation: str) -> GpuRoute:
    """The route of an operation that is called."""
    found = OPERATIONS[operation]
    assert isinstance(found, GpuRoute), operation
    return found


# Products that workers run on


class _Price(Shape):
    final_price: Amount = None


class _Pricing(Shape):
    precision: Whole = None
    postpaid: One[_Price] = _Price()


class _WorkerGpu(Shape):
    memory_gb: Whole = None
    available: Whole = None
    max: Whole = None


class _WorkerSpec(Shape):
    gpu: One[_WorkerGpu] = _WorkerGpu()


class _Product(Shape):
    id: Text
    name: Text = ""
    region_ids: Words = ()
    resource_spec: One[_WorkerSpec] = _WorkerSpec()
    pricing: One[_Pricing] = _Pricing()
    other_names: ClassVar[Mapping[str, str]] = {"resource_specs": "resource_spec"}


@dataclass(frozen=True)
class WorkerOffer:
    """A serverless product. Its price is for one card while a worker runs; `free` workers more could start."""

    id: str
    name: str
    memory_gb: int | None
    regions: tuple[str, ...]
    free: int | None
    usd_per_hour: Decimal | None

    @property
    def in_stock(self) -> bool:
        return self.free is None or self.free > 0

    def words(self) -> str:
        """The offer in words: `RTX 4090 24GB at $0.50 per worker-hour (product_id ...)`."""
        price = f"{say_usd(self.usd_per_hour)} per worker-hour" if self.usd_per_hour else "no price"
        return f"{self.name} at {price} (product_id {self.id}{'' if self.in_stock else ', out of stock'})"


async def list_offers(client: NovitaClient) -> list[WorkerOffer]:
    """All serverless products, cheapest first."""
    found: dict[str, WorkerOffer] = {}
    for row in await linked_rows(client, "gpus_v2_list_products", _Product, type="gpu", category="serverless"):
        price, precision = row.pricing.postpaid.final_price, row.pricing.precision
        usd = price / Decimal(10) ** precision if price and precision is not None else None
        memory = row.resource_spec.gpu.memory_gb or memory_in(row.name)
        found[row.id] = WorkerOffer(row.id, row.name, memory, row.region_ids, row.resource_spec.gpu.available, usd)
    return sorted(found.values(), key=lambda each: (each.usd_per_hour or Decimal("Infinity"), each.id))


def choose_offer(
    offers: list[WorkerOffer], *, kind: str, gpu: str | None, region: str | None, gpus: int
) -> WorkerOffer:
    """The cheapest offer that fits and is in stock. `gpu` is a product id or words of a product's name.

    Raises:
        InputError: No offer fits. The text shows the offers there are.
    """
    suited = [each for each in offers if kind == "sync" or each.name in ASYNC_GPUS]
    here = [each for each in suited if not region or not each.regions or region in each.regions]
    there = f"There are: {'; '.join(each.words() for each in here[:6]) or 'none'}."
    fitting = [each for each in here if each.id == gpu] or [each for each in here if not gpu or _called(each, gpu)]
    if not fitting:
        where = f" in {region}" if region else ""
        known = gpu is not None and any(each.id == gpu or _called(each, gpu) for each in offers)
        why = f": async endpoints run on {' and '.join(ASYNC_GPUS)} only" if known and kind == "async" else ""
        raise InputError(f"No serverless product fits {gpu or 'any GPU'!r}{where}{why}", next_step=there)
    with_room = [each for each in fitting if each.free is None or each.free >= gpus]
    if not with_room:
        raise InputError(f"No worker with {gpus} x {gpu or 'GPU'} is in stock now", next_step=there)
    return with_room[0]


def _called(offer: WorkerOffer, gpu: str) -> bool:
    return named(gpu, f"{offer.name} {offer.id}")


async def get_limits(client: NovitaClient) -> EndpointLimits:
    """The ranges of settings that the account may use."""
    doing = "reading the limits of endpoints"
    return read_shape(EndpointLimits, await ask(client, route("get_serverless_endpoint_limits")), doing)


# Reading


async def list_endpoints(client: NovitaClient) -> list[Endpoint]:
    """All endpoints of the account: v1's records with the type, which only v2 tells, and those that only v2 shows."""
    found = await _list_v1(client)
    try:
        newer = await _list_v2(client)
    except NovitaError as error:
        # v1's list is good without v2's: types are then unknown, but what runs and costs is seen.
        logger.warning("v2's list of endpoints is missing: %s", error)
        newer = {}
    made = [_joined(endpoint, newer.get(endpoint.id)) for endpoint in found.values()]
    return made + [_alone(endpoint) for endpoint in newer.values() if endpoint.id not in found]


async def _list_v1(client: NovitaClient) -> dict[str, Endpoint]:
    rows = await numbered_rows(client, route("list_serverless_endpoints"), Endpoint, "endpoints", "data")
    return {row.id: row for row in rows}


async def _list_v2(client: NovitaClient) -> dict[str, Endpoint]:
    return {row.id: row for row in await linked_rows(client, route("gpus_v2_list_endpoints"), Endpoint)}


def _joined(older: Endpoint, newer: Endpoint | None) -> Endpoint:
    """v1's record with the fields that only v2 knows. v1's own documentation knows only sync endpoints."""
    if newer is None:
        return older.model_copy(update={"type": older.type or "sync"})
    return older.model_copy(
        update={
            "type": newer.type or older.type or "sync",
            "app_name": older.app_name or newer.app_name,
            "entrypoint": newer.entrypoint or older.entrypoint,
            "url": older.url or newer.url,
        }
    )


def _alone(endpoint: Endpoint) -> Endpoint:
    return endpoint.model_copy(update={"by_v2": True})


async def get_endpoint(client: NovitaClient, endpoint_id: str, *, known: Endpoint | None = None) -> Endpoint:
    """One endpoint.

    Args:
        known: An earlier record of the endpoint. Its type and whether only v2 knows it never change, so they are taken
            from there.

    Raises:
        NotFoundError: The endpoint is gone, or never existed.
    """
    if known is not None and known.by_v2:
        return _alone(await _get_v2(client, endpoint_id))
    try:
        answer = await ask(client, route("get_serverless_endpoint"), params={"id": endpoint_id})
    except NotFoundError as error:
        if known is not None and not known.is_async:
            raise
        try:
            return _alone(await _get_v2(client, endpoint_id))
        except NovitaAPIError as newer_error:
            if newer_error.transient:  # the endpoint may exist although v1 does not know it
                raise
            raise error from None
    older = read_shape(Endpoint, an_object(answer).get("endpoint", answer), "reading the endpoint")
    if known is not None:
        return _joined(older, known)
    newer: Endpoint | None = None
    with contextlib.suppress(NovitaError):  # only the type is read from v2, so an error there does not matter
        newer = await _get_v2(client, endpoint_id)
    return _joined(older, newer)


async def _get_v2(client: NovitaClient, endpoint_id: str) -> Endpoint:
    answer = await ask(client, route("gpus_v2_get_endpoint"), endpoint_id=quote(endpoint_id, safe=""))
    return read_shape(Endpoint, answer, "reading the endpoint")


# Doing


def creation(plan: EndpointPlan) -> tuple[GpuRoute, dict[str, Any]]:
    """The route and the body that deploy a plan."""
    if plan.kind == "async":
        return route("gpus_v2_create_endpoint"), plan.body_v2()
    return route("create_serverless_endpoint"), {"endpoint": plan.body_v1()}


async def create_endpoint(client: NovitaClient, plan: EndpointPlan) -> str:
    """Deploy an endpoint once, and return its id.

    Raises:
        NovitaConnectionError: No answer came, or an answer without an id. The endpoint may exist.
    """
    where, body = creation(plan)
    if found := await act_for_id(client, where, body, "id", "endpointId", secrets=secret_words(plan.env)):
        return found
    raise NovitaConnectionError("Novita's answer while deploying the endpoint has no id in it", billed="maybe")


def change(endpoint: Endpoint, plan: EndpointPlan) -> tuple[GpuRoute, dict[str, Any]]:
    """The route and the body that change an endpoint to a plan made from it.

    The body holds every setting, since v1 empties those that are left out. v1's page lists neither products, root disk
    nor app name; a client that is in use sends the present ones, and so do we. v2's body has no type and no app name,
    since these cannot be changed.
    """
    if plan.kind == "async" or endpoint.by_v2:
        body = {name: value for name, value in plan.body_v2().items() if name not in ("type", "app_name")}
        return route("gpus_v2_update_endpoint"), body
    return route("update_serverless_endpoint"), {"id": endpoint.id, **plan.body_v1()}


async def update_endpoint(client: NovitaClient, endpoint: Endpoint, plan: EndpointPlan) -> None:
    """Change an endpoint to a plan that was made from it. The request is sent only once."""
    where, body = change(endpoint, plan)
    await act(client, where, body, secrets=secret_words(plan.env), endpoint_id=quote(endpoint.id, safe=""))


async def delete_endpoint(client: NovitaClient, endpoint: Endpoint) -> None:
    """Delete an endpoint with its workers. The request is repeated until Novita answers; "not found" means success."""
    try:
        if endpoint.by_v2 or endpoint.is_async:
            await ask(client, route("gpus_v2_delete_endpoint"), endpoint_id=quote(endpoint.id, safe=""))
        else:
            # By the documentation the field `name` holds the id.
            await ask(client, route("delete_serverless_endpoint"), body={"name": endpoint.id})
    except NotFoundError:
        return


# Waiting


async def look_at(client: NovitaClient, endpoint: Endpoint, goal: EndpointGoal) -> Look[Endpoint]:
    """One look at an endpoint. While waiting for a deletion, "not found" means that it is done."""
    try:
        seen = await get_endpoint(client, endpoint.id, known=endpoint)
    except NotFoundError:
        if goal is EndpointGoal.GONE:
            return Look(Phase.SUCCEEDED, endpoint, note="deleted")
        raise
    return judge(seen, goal)
