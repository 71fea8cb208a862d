"""The results of the GPU administration tools, and how Novita's lists become results."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field

from ...novita.core.by_name import the_one
from ...novita.core.errors import NotFoundError, TaskFailedError
from ...novita.core.money import show_price, show_usd
from ...novita.core.waiting import Pace, Phase, Unasked, wait_until_done
from ...novita.gpu import resources as novita
from ...novita.gpu.products import RAW, VOLUME_GB_DAY, list_cpu_products, list_regions
from ...novita.journal.facts import GpuFacts
from ...novita.journal.jobs import Paid
from ...novita.journal.joining import JoinRule
from ...novita.journal.journal import Job, JobState
from ..kit.context import Caller
from ..kit.mcp_tasks.followers import FOLLOWERS, Followed
from ..kit.purchase import Begun, Submitted
from ..kit.same_call import JOINERS, Joiner
from ..kit.toolset import CountedUsd, ToolResult
from .waiting import ADMIN_KIND, settle_volumes

T = TypeVar("T")

ROWS_SHOWN = 80
JOB_KIND = "gpu_job"


class AdminResult(ToolResult):
    """What was done, or the question that must be answered before anything is sent."""

    status: Literal["done", "working", "needs_confirmation", "dry_run"] = Field(description="working: a job goes on.")
    id: str | None = Field(default=None, description="Of what was made or changed.")
    what: str | None = Field(default=None, description="In words.")
    model: str | None = Field(default=None, description="The product or thing it is about.")
    estimated_cost_usd: str | None = Field(
        default=None, description="As it is noted: a month of what volume or disk adds, or the term; or unknown."
    )
    counted_usd: CountedUsd = None
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")
    requests: tuple[dict[str, Any], ...] | None = Field(default=None, description="The same, where several may be.")
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        match self.status:
            case "done":
                return "Done."
            case "working":
                return "Not finished yet; it goes on at Novita."
            case "needs_confirmation" | "dry_run":
                return "Nothing was sent yet."


class RegionLine(BaseModel):
    """One region."""

    id: str = Field(description="Its id.")
    name: str = Field(description="Its name.")
    gpus: tuple[str, ...] = Field(description="GPUs offered there.")
    volumes: bool = Field(description="Has network volumes.")
    networks: bool = Field(description="Has private networks.")


class CpuLine(BaseModel):
    """One machine without cards."""

    product_id: str = Field(description="For create_gpu_instance.")
    name: str = Field(description="Its name.")
    vcpus: int | None = Field(default=None, description="vCPUs.")
    ram_gb: int | None = Field(default=None, description="Memory.")
    usd_per_hour: str | None = Field(default=None, description="Estimated.")
    in_stock: bool = Field(description="Can be rented now.")


class VolumeLine(BaseModel):
    """One network volume."""

    id: str = Field(description="For volumes of create_gpu_instance.")
    name: str = Field(description="Its name.")
    size_gb: int | None = Field(default=None, description="Size.")
    region: str = Field(description="Where.")
    usd_per_month: str | None = Field(default=None, description="Estimated.")


class NetworkLine(BaseModel):
    """One private network."""

    id: str = Field(description="networkId of create_gpu_instance.")
    name: str = Field(description="Its name.")
    region: str = Field(description="Where.")
    state: str | None = Field(default=None, description="creating or ready.")
    segment: str | None = Field(default=None, description="Address range.")
    instances: dict[str, str] | None = Field(default=None, description="Address by instance id.")


class LoginLine(BaseModel):
    """One saved login. Passwords are never shown."""

    id: str = Field(description="imageAuthId of create_gpu_instance.")
    registry: str = Field(description="Its name.")
    username: str = Field(description="User.")


class PrewarmLine(BaseModel):
    """One cached image."""

    id: str = Field(description="Its id.")
    image: str = Field(description="Container image.")
    region: str = Field(description="Where.")
    state: str = Field(description="Pending, Running, Succeeded or Failed.")
    note: str | None = Field(default=None, description="Free text.")
    reason: str | None = Field(default=None, description="Why it failed.")


class ImageLine(BaseModel):
    """One saved image."""

    id: str = Field(description="Its id.")
    name: str | None = Field(default=None, description="Its name.")
    image: str | None = Field(default=None, description="Address.")


class JobLine(BaseModel):
    """One background job."""

    id: str = Field(description="Its id.")
    type: str = Field(description="saveImage, instanceMigrate or autoInstanceMigrate.")
    state: str = Field(description="pulling, running, success, fail or break.")
    instance_id: str | None = Field(default=None, description="Of which instance.")
    created: datetime | None = Field(default=None, description="UTC.")
    reason: str | None = Field(default=None, description="Why it failed.")


class Resources(ToolResult):
    """Resources of one kind."""

    regions: tuple[RegionLine, ...] | None = Field(default=None, description="Regions.")
    cpu_products: tuple[CpuLine, ...] | None = Field(default=None, description="Machines without cards.")
    volumes: tuple[VolumeLine, ...] | None = Field(default=None, description="Network volumes.")
    networks: tuple[NetworkLine, ...] | None = Field(default=None, description="Private networks.")
    registry_logins: tuple[LoginLine, ...] | None = Field(default=None, description="Registry logins.")
    prewarmed_images: tuple[PrewarmLine, ...] | None = Field(default=None, description="Cached images.")
    saved_images: tuple[ImageLine, ...] | None = Field(default=None, description="Saved images.")
    jobs: tuple[JobLine, ...] | None = Field(default=None, description="Background jobs.")
    quota: str | None = Field(default=None, description="How many images may be cached.")
    more: str | None = Field(default=None, description="How many are not shown.")

    def headline(self) -> str:
        shown = {name: len(getattr(self, name)) for name in _LISTS.values() if getattr(self, name) is not None}
        return " ".join(f"{count} {name.replace('_', ' ')}." for name, count in shown.items())


async def read_resources(caller: Caller, kind: str, id: str | None, wait_seconds: float | None) -> Resources:
    """The resources of one kind: all of them, or the one with this id or name. Raises what `choose_one` raises."""
    if id and wait_seconds:
        # If Novita cannot be asked for the job, reading the list below raises the error that says why.
        await wait_for_job(caller, id, wait_seconds, Unasked())
    rows = await _rows(caller, kind, job_id=id)
    if id is not None:
        chosen = _choose_row(kind, id, rows)
        rows = [_network(await novita.get_network(caller.novita, chosen.id)) if kind == "networks" else chosen.row]
    result = Resources()
    setattr(result, kind, tuple(rows[:ROWS_SHOWN]))
    if len(rows) > ROWS_SHOWN:
        result.more = f"{len(rows) - ROWS_SHOWN} more: ask for one by its id."
    if kind == "prewarmed_images":
        quota = await novita.prewarm_quota(caller.novita)
        result.quota = f"{quota.total} of {quota.limit} used, up to {quota.per_image_size} GB each"
    return result


async def _rows(caller: Caller, kind: str, *, job_id: str | None = None) -> list[BaseModel]:
    """All resources of one kind."""
    client = caller.novita
    rows: list[BaseModel] = []
    if kind == "regions":
        rows += [
            RegionLine(
                id=each.id,
                name=each.name,
                gpus=each.available_gpu_type,
                volumes=each.support_network_storage,
                networks=each.support_instance_network,
            )
            for each in await list_regions(client)
        ]
    elif kind == "cpu_products":
        rows += [
            CpuLine(
                product_id=each.id,
                name=each.name,
                vcpus=each.cpu_num,
                ram_gb=each.memory_size,
                usd_per_hour=show_usd(each.price * RAW) if each.price is not None else None,
                in_stock=each.available_deploy,
            )
            for each in await list_cpu_products(client)
        ]
    elif kind == "volumes":
        volumes = await novita.list_volumes(client)
        await settle_volumes(caller, volumes)
        rows += [_volume(each) for each in volumes]
    elif kind == "networks":
        rows += [_network(each) for each in await novita.list_networks(client)]
    elif kind == "registry_logins":
        rows += [
            LoginLine(id=each.id, registry=each.name, username=each.username)
            for each in await novita.list_logins(client)
        ]
    elif kind == "prewarmed_images":
        rows += [
            PrewarmLine(
                id=each.id,
                image=each.image_url or each.image_name,
                region=each.cluster_id,
                state=each.state,
                note=each.note or None,
                reason="; ".join(each.reason) or None,
            )
            for each in await novita.list_prewarms(client)
        ]
    elif kind == "saved_images":
        rows += [
            ImageLine(id=each.id, name=each.name or None, image=each.image or None)
            for each in await novita.list_saved_images(client)
        ]
    else:
        rows += [_job(each) for each in await novita.list_jobs(client, job_id=job_id)]
    return rows


@dataclass(frozen=True)
class ListedRow:
    """A row of a list with the id and the name by which it can be chosen. Jobs have no name."""

    row: BaseModel

    @property
    def id(self) -> str:
        return str(getattr(self.row, "id", None) or getattr(self.row, "product_id", ""))

    @property
    def name(self) -> str:
        names = (getattr(self.row, field, None) for field in ("name", "registry", "image"))
        return next((str(name) for name in names if name), "")

    def label(self) -> str:
        more = [str(getattr(self.row, field, None) or "") for field in ("username", "type", "region")]
        words = ", ".join(word for word in (self.name, *more) if word)
        return f"{self.id} ({words})" if words else self.id


def _choose_row(kind: str, wanted: str, rows: Sequence[BaseModel]) -> ListedRow:
    """The row with this id or name. Raises what `choose_one` raises."""
    things, what = [ListedRow(row) for row in rows], kind.replace("_", " ")
    found = the_one(wanted, things, what, ListedRow.label)
    if found is None:
        known = ", ".join(each.label() for each in things[:10]) or "none"
        raise NotFoundError(f"There is no {wanted!r} among the {what}", status=404, next_step=f"There: {known}.")
    return found


def _volume(volume: novita.Volume) -> VolumeLine:
    monthly = volume.storage_size * VOLUME_GB_DAY * 30 if volume.storage_size is not None else None
    return VolumeLine(
        id=volume.storage_id,
        name=volume.storage_name,
        size_gb=volume.storage_size,
        region=volume.cluster_id,
        usd_per_month=show_usd(monthly) if monthly is not None else None,
    )


def _network(network: novita.Network) -> NetworkLine:
    return NetworkLine(
        id=network.id,
        name=network.name,
        region=network.cluster_id,
        state=network.state.state or None,
        segment=network.segment or None,
        instances={each.id: each.ip for each in network.addresses} or None,
    )


def _job(job: novita.GpuJob) -> JobLine:
    return JobLine(
        id=job.id,
        type=job.type,
        state=job.state.state,
        instance_id=job.instance_id or None,
        created=job.created_at,
        reason=job.why or None,
    )


_LISTS = {
    "region": "regions",
    "cpu_product": "cpu_products",
    "volume": "volumes",
    "network": "networks",
    "registry_login": "registry_logins",
    "prewarmed_image": "prewarmed_images",
    "saved_image": "saved_images",
    "job": "jobs",
}


@dataclass(frozen=True)
class ChosenThing:
    """The id of a chosen thing, and its description in words."""

    id: str
    words: str


async def choose_one(caller: Caller, kind: str, wanted: str) -> ChosenThing:
    """The thing with this id or name.

    Raises:
        NotFoundError: There is no such thing. The text names those there are.
        InputError: Several things have that name.
    """
    chosen = _choose_row(_LISTS[kind], wanted, await _rows(caller, _LISTS[kind]))
    return ChosenThing(
        chosen.id, f"{kind.replace('_', ' ')} {chosen.name or getattr(chosen.row, 'type', '')!s} ({chosen.id})"
    )


# Paid acts


def paid_at_once(
    caller: Caller,
    title: str,
    *,
    send: Callable[[], Awaitable[T]],
    done: Callable[[Job, T], Awaitable[AdminResult]],
    facts: GpuFacts | None = None,
    learnt: Callable[[T], GpuFacts] | None = None,
) -> Submitted[AdminResult, T]:
    """A paid call that ends with Novita's answer. It is noted, counted under the limits on spending, never repeated.

    Args:
        learnt: Reads from the answer what its row should note. It is noted with the call's end, even if the caller has
            gone by then.
    """

    async def start(paid_for: Paid) -> tuple[Job, T]:
        async def paid(_: Job) -> T:
            return await send()

        async def note(job: Job, made: T) -> Job:
            facts_learnt = learnt(made) if learnt is not None else None
            return await caller.app.journal.finish(job.key, JobState.SUCCEEDED, facts=facts_learnt)

        progress = caller.progress_of(title)
        return await caller.app.jobs.submit(
            paid_for, kind=ADMIN_KIND, send=paid, note=note, facts=facts, on_progress=progress
        )

    async def follow(job: Job, made: T, _: float) -> AdminResult:
        return await done(job, made)

    return Submitted(start=start, working=done, follow=follow)


async def _join(caller: Caller, job: Job, _: float) -> AdminResult:
    """The answer to a repeated call: the result that the first call noted."""
    made = job.facts.resource or job.facts_as(GpuFacts).of
    return AdminResult(
        status="done", id=made, what=job.title, model=job.model or None, estimated_cost_usd=show_price(job.estimate)
    )


JOINERS[ADMIN_KIND] = Joiner(_join, AdminResult, JoinRule(lost=False))

# Background jobs


async def wait_for_job(caller: Caller, job_id: str, budget: float, unasked: Unasked) -> Phase | None:
    """Wait for a background job.

    Args:
        unasked: Notes why the last look at the job failed, if it did.

    Raises:
        TaskFailedError: The job failed or was stopped. The text says why.
    """
    client = caller.novita.for_looking()
    seen = await wait_until_done(
        lambda: novita.look_at_job(client, job_id),
        clock=caller.app.jobs.clock,
        pace=Pace(),
        budget=budget,
        on_progress=caller.progress_of(f"job {job_id}"),
        unasked=unasked,
    )
    if seen is not None and seen.phase in (Phase.FAILED, Phase.CANCELLED):
        raise TaskFailedError(f"GPU job {job_id} ended as {seen.value.state.state}: {seen.reason}")
    return seen.phase if seen else None


def background_job(
    caller: Caller, begin: Callable[[], Awaitable[str]], what: str, wait_seconds: float | None
) -> Begun[AdminResult]:
    """The start of a background job, which is then waited for or left to an MCP task."""

    unasked = Unasked()

    async def working(job_id: str) -> AdminResult:
        waits = f"{unasked.why} Call list_gpu_resources with kind=jobs, id={job_id} and wait_seconds to go on waiting."
        waits = waits.strip()
        return AdminResult(status="working", id=job_id, what=what, next_step=waits)

    async def follow(job_id: str, budget: float) -> AdminResult:
        phase = await wait_for_job(caller, job_id, budget, unasked) if budget > 0 else None
        if phase is Phase.SUCCEEDED:
            return AdminResult(status="done", id=job_id, what=what)
        return await working(job_id)

    return Begun(begin=begin, kind=JOB_KIND, working=working, follow=follow, wait_seconds=wait_seconds)


class JobFollower:
    """Background jobs at Novita. A cancelled MCP task leaves the job alone: delete_gpu_resource stops one."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        unasked = Unasked()
        phase = await wait_for_job(caller, job_id, 0, unasked)
        if phase is not Phase.SUCCEEDED:
            return Followed("working", note=unasked.why or f"job {job_id} is running")
        return Followed("completed", AdminResult(status="done", id=job_id).to_mcp())

    async def cancel(self, caller: Caller, job_id: str) -> None:
        return None


FOLLOWERS[JOB_KIND] = JobFollower()


# Metrics


class MetricSeries(BaseModel):
    """One metric, percent."""

    lowest: float = Field(description="Lowest.")
    mean: float = Field(description="Mean.")
    highest: float = Field(description="Highest.")
    last: float = Field(description="Newest.")


class MetricsResult(ToolResult):
    """The utilisation over the time asked for, in percent. A metric without data is absent."""

    instance_id: str = Field(description="Which instance.")
    points: int = Field(description="Measurements it is made from.")
    since: datetime | None = Field(default=None, description="First measurement (UTC).")
    until: datetime | None = Field(default=None, description="Last measurement (UTC).")
    cpu: MetricSeries | None = Field(default=None, description="CPU.")
    memory: MetricSeries | None = Field(default=None, description="Memory.")
    disk: MetricSeries | None = Field(default=None, description="Root disk.")
    gpu: MetricSeries | None = Field(default=None, description="GPU cores, mean of the cards.")
    gpu_memory: MetricSeries | None = Field(default=None, description="GPU memory, mean of the cards.")

    def headline(self) -> str:
        return "" if self.points else "No measurements yet: they lag by about a minute."


def read_metrics(instance_id: str, found: novita.InstanceMetrics) -> MetricsResult:
    """The metrics as a result. Each series is summed up in four numbers."""
    times = [point.timestamp for point in found.cpu_utilization if point.timestamp]
    return MetricsResult(
        instance_id=instance_id,
        points=len(times),
        since=min(times, default=None),
        until=max(times, default=None),
        cpu=_series(found.cpu_utilization),
        memory=_series(found.mem_utilization),
        disk=_series(found.root_disk_utilization),
        gpu=_series(found.gpu_utilization.avg),
        gpu_memory=_series(found.gpu_mem_utilization.avg),
    )


def _series(points: tuple[novita.Point, ...]) -> MetricSeries | None:
    values = [float(point.value) for point in points if point.value is not None]
    if not values:
        return None
    mean = sum(values) / len(values)
    return MetricSeries(
        lowest=round(min(values), 1), mean=round(mean, 1), highest=round(max(values), 1), last=round(values[-1], 1)
    )
