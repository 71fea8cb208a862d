"""The results of the serverless tools, and how an endpoint becomes a result."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field

from ...novita.core.answers import may_come_of
from ...novita.core.errors import NovitaError
from ...novita.core.money import say_usd, show_usd
from ...novita.core.waiting import Phase
from ...novita.core.words import counted
from ...novita.journal.facts import Facts
from ...novita.journal.journal import Job
from ...novita.serverless.endpoints import WorkerOffer, list_offers
from ...novita.serverless.leases import ENDPOINT
from ...novita.serverless.plans import EndpointPlan
from ...novita.serverless.rows import is_lost
from ...novita.serverless.shapes import Endpoint, EndpointGoal, judge
from ..kit.context import Caller
from ..kit.saved_files import SavedFile
from ..kit.toolset import CountedUsd, ToolResult

PRICE_SOURCE = "Novita's serverless product list; estimated, per card and hour a worker runs"

Status = Literal["serving", "working", "failed", "deleted", "needs_confirmation", "dry_run"]


class OfferLine(BaseModel):
    """A product that workers can run on."""

    product_id: str = Field(description="For create_endpoint.")
    name: str = Field(description="GPU.")
    memory_gb: int | None = Field(default=None, description="Of one card.")
    usd_per_worker_hour: str | None = Field(default=None, description="Estimated, one card; unknown if absent.")
    free: int | None = Field(default=None, description="Cards free now.")
    regions: tuple[str, ...] = Field(default=(), description="Where.")


class EndpointLine(BaseModel):
    """One endpoint."""

    endpoint_id: str = Field(description="For the other tools.")
    name: str = Field(description="Its name.")
    type: str = Field(description="sync: an HTTP service. async: takes jobs.")
    state: str = Field(description="Novita's word.")
    url: str | None = Field(default=None, description="Where a sync endpoint is called.")
    image: str | None = Field(default=None, description="Container image.")
    product: str | None = Field(default=None, description="What its workers run on.")
    workers_running: int = Field(description="Workers that take requests now.")
    workers_starting: int = Field(default=0, description="Workers that do not yet.")
    min_workers: int | None = Field(default=None, description="Kept alive.")
    max_workers: int | None = Field(default=None, description="At most.")
    usd_per_worker_hour: str | None = Field(default=None, description="Estimated, while a worker runs.")
    usd_per_hour: str | None = Field(default=None, description="Estimated, as it stands.")
    idles_at: datetime | None = Field(default=None, description="Its lease: no worker is kept alive from then (UTC).")
    trouble: str | None = Field(default=None, description="Why it is in this state.")


class EndpointList(ToolResult):
    """Endpoints, or the products and ranges for new ones."""

    endpoints: tuple[EndpointLine, ...] | None = Field(default=None, description="Newest first.")
    others: tuple[str, ...] | None = Field(default=None, description="Further ones: id, name, state.")
    more: int | None = Field(default=None, description="How many are not shown.")
    total: int | None = Field(default=None, description="How many there are.")
    unconfirmed: tuple[str, ...] | None = Field(
        default=None, description="Creates whose answer was lost and that no endpoint here fits."
    )
    offers: tuple[OfferLine, ...] | None = Field(default=None, description="GPUs for workers, cheapest first.")
    limits: dict[str, str] | None = Field(default=None, description="Allowed settings.")
    price_source: str | None = Field(default=None, description="Where prices come from.")
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        if self.offers is not None:
            return f"{counted(len(self.offers), 'GPU')} for endpoints."
        return f"{counted(self.total or 0, 'endpoint')}."


class EndpointResult(ToolResult):
    """One endpoint, or the question that must be answered before anything happens to it."""

    status: Status = Field(description="serving: takes calls, perhaps after a worker started. working: on its way.")
    endpoint_id: str | None = Field(default=None, description="For the other tools.")
    endpoint: EndpointLine | None = Field(default=None, description="The endpoint.")
    changes: tuple[str, ...] | None = Field(default=None, description="What was changed: before -> after.")
    settings: dict[str, str] | None = Field(default=None, description="How it is set up.")
    env: tuple[str, ...] | None = Field(default=None, description="Names of its variables.")
    queue: dict[str, Any] | None = Field(default=None, description="Workers and jobs, as the gateway counts them.")
    model: str | None = Field(default=None, description="The product of its workers.")
    estimated_cost_usd: str | None = Field(
        default=None,
        description="An hour of the workers kept alive (one at least), or added; or unknown.",
    )
    counted_usd: CountedUsd = None
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        name = self.endpoint.name if self.endpoint else self.endpoint_id
        match self.status:
            case "serving":
                return f"Endpoint {name} serves."
            case "working":
                return f"Endpoint {name} is not ready yet."
            case "failed":
                return f"Endpoint {name} does not serve."
            case "deleted":
                return f"Endpoint {name} is deleted."
            case "needs_confirmation" | "dry_run":
                return "Nothing was sent yet."


class CallResult(ToolResult):
    """An endpoint's answer, or the state of its job."""

    status: Literal["succeeded", "working", "not_ready", "cancelled", "needs_confirmation", "dry_run"] = Field(
        description="working: the job goes on. not_ready: nothing was sent, the endpoint does not serve yet."
    )
    endpoint_id: str | None = Field(default=None, description="Which endpoint.")
    job_id: str | None = Field(default=None, description="Of an async endpoint: give it to call_endpoint.")
    http_status: int | None = Field(default=None, description="Of a sync endpoint.")
    content_type: str | None = Field(default=None, description="Of a sync endpoint's answer.")
    result: dict[str, Any] | None = Field(default=None, description="The answer, where it is a JSON object.")
    text: str | None = Field(default=None, description="Any other answer; of a long one the first part.")
    files: tuple[SavedFile, ...] | None = Field(default=None, description="A long or binary answer, whole.")
    model: str | None = Field(default=None, description="The product of its workers.")
    estimated_cost_usd: str | None = Field(
        default=None, description="Worker time of this call, before its end at most; or unknown."
    )
    counted_usd: CountedUsd = None
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        match self.status:
            case "succeeded":
                return "The endpoint answered."
            case "working":
                return f"Job {self.job_id} goes on."
            case "not_ready":
                return "Nothing was sent: the endpoint does not serve yet."
            case "cancelled":
                return f"Job {self.job_id} is cancelled."
            case "needs_confirmation" | "dry_run":
                return "Nothing was sent yet."


class Prices:
    """The prices of workers, and when leases end. Both are read once per call, when they are first needed."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._offers: list[WorkerOffer] | None = None
        self._leases: dict[str, datetime] | None = None

    async def idles_at(self, endpoint: Endpoint) -> datetime | None:
        """When the endpoint's lease ends, if it has one."""
        if self._leases is None:
            leases = await self._caller.app.leases.of(self._caller.owner)
            if leases:
                self._caller.app.leases.remember(self._caller.novita)
            mine = (lease for lease in leases if lease.kind == ENDPOINT)
            self._leases = {lease.thing_id: lease.stop_at for lease in mine if lease.thing_id}
        return self._leases.get(endpoint.id)

    async def offers(self) -> list[WorkerOffer]:
        if self._offers is None:
            try:
                self._offers = await list_offers(self._caller.novita)
            except NovitaError:
                self._offers = []  # the endpoint is worth showing without a price
        return self._offers

    async def of(self, endpoint: Endpoint) -> tuple[str, Decimal | None]:
        """The product that the workers run on, and a worker's price per hour. Of several products the dearest."""
        ids = [product.id for product in endpoint.products]
        mine = [offer for offer in await self.offers() if offer.id in ids]
        cards = endpoint.worker_config.gpu_num or 1
        prices = [offer.usd_per_hour for offer in mine if offer.usd_per_hour is not None]
        name = ", ".join(offer.name for offer in mine) or ", ".join(ids)
        return f"{name} x{cards}" if name else "", max(prices) * cards if prices else None


def usd(amount: Decimal | None, places: int = 4) -> str | None:
    """An amount as text. None stays None."""
    return show_usd(round(amount, places)) if amount is not None else None


def shown_cost(estimate: Decimal | None) -> str:
    """An estimate in the form that results use."""
    return usd(estimate, 6) or "unknown"


def cost_words(price: Decimal | None, least: int, most: int) -> str:
    """A price in words:
    `estimated $0.50 per worker-hour: $0.00 to $1.50 per hour for 0 to 3 workers ($36.00 per day at most)`.
    """
    workers = f"{least} to {counted(most, 'worker')}" if least != most else counted(most, "worker")
    if price is None:
        return f"at an unknown price, for {workers}"
    low, high = say_usd(price * least), say_usd(price * most)
    per_hour = f"{low} to {high} per hour" if least != most else f"{high} per hour"
    per_day = say_usd(price * most * 24)
    return f"estimated {say_usd(price)} per worker-hour: {per_hour} for {workers} ({per_day} per day at most)"


async def endpoint_line(endpoint: Endpoint, prices: Prices) -> EndpointLine:
    """An endpoint as a line of the list."""
    product, price = await prices.of(endpoint)
    config = endpoint.worker_config
    billed = sum(worker.state.state == "running" for worker in endpoint.workers)
    return EndpointLine(
        endpoint_id=endpoint.id,
        name=endpoint.name or endpoint.id,
        type=endpoint.type or "sync",
        state=endpoint.state.state or "unknown",
        url=endpoint.url or None,
        image=endpoint.image.image or None,
        product=product or None,
        workers_running=endpoint.running,
        workers_starting=len(endpoint.workers) - endpoint.running,
        min_workers=config.min_num,
        max_workers=config.max_num,
        usd_per_worker_hour=usd(price, 5),
        usd_per_hour=usd(price * billed, 5) if price is not None else None,
        idles_at=await prices.idles_at(endpoint),
        trouble=endpoint.why or None,
    )


def status_of(endpoint: Endpoint) -> Status:
    """The tool's word for an endpoint's state."""
    phase = judge(endpoint, EndpointGoal.SERVING).phase
    if phase is Phase.FAILED:
        return "failed"
    return "serving" if phase is Phase.SUCCEEDED else "working"


async def endpoint_result(
    caller: Caller,
    endpoint: Endpoint,
    *,
    status: Status | None = None,
    details: bool = False,
    changes: Sequence[str] = (),
    cost: str | None = None,
    next_step: str | None = None,
) -> EndpointResult:
    """An endpoint as a tool's result. The values of its variables are left out.

    Args:
        cost: The estimate for the call that made or changed the endpoint.
    """
    result = EndpointResult(
        status=status or status_of(endpoint),
        endpoint_id=endpoint.id,
        endpoint=await endpoint_line(endpoint, Prices(caller)),
        changes=tuple(changes) or None,
        estimated_cost_usd=cost,
        next_step=next_step,
    )
    if details:
        result.settings = settings_of(EndpointPlan.of(endpoint))
        result.env = tuple(variable.key for variable in endpoint.envs) or None
    return result


_SETTINGS = (
    "port",
    "health_path",
    "command",
    "idle_seconds",
    "concurrency",
    "scale_by",
    "scale_at",
    "gpus",
    "request_timeout",
    "cuda_version",
    "disk_gb",
    "region",
    "app_name",
    "registry_auth_id",
)


def settings_of(plan: EndpointPlan) -> dict[str, str]:
    """The settings that a line of the list does not show, under the names that update_endpoint uses."""
    made = {name: getattr(plan, name) for name in _SETTINGS}
    return {name: str(value) for name, value in made.items() if value not in (None, "")}


async def adopt_lost(caller: Caller, endpoints: Sequence[Endpoint], jobs: Sequence[Job]) -> list[Job]:
    """For creates whose answer was lost, find the endpoint by name and time. Returns the jobs without an endpoint."""
    taken = {job.task_id for job in jobs if job.task_id}
    lost: list[Job] = []
    for job in jobs:
        if not is_lost(job):
            continue
        for endpoint in endpoints:
            fresh = may_come_of(endpoint.created_at, job.created)
            if endpoint.id not in taken and endpoint.name == job.title and fresh:
                taken.add(endpoint.id)
                await caller.app.journal.accepted(job.key, endpoint.id, Facts(resource=endpoint.id))
                await caller.app.leases.attach(job.key, endpoint.id)
                break
        else:
            lost.append(job)
    return lost
