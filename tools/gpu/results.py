"""The results of the GPU tools, and how an instance becomes a result."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field

from ...novita.core.answers import may_come_of
from ...novita.core.errors import NovitaError
from ...novita.core.money import MICRO, micro, say_usd, show_price, show_usd
from ...novita.core.redaction import credentials_in
from ...novita.core.words import counted
from ...novita.gpu.instances import BILLED_STATES, Instance, InstanceGoal, disk_usd_per_hour
from ...novita.gpu.leases import INSTANCE
from ...novita.gpu.meters import MACHINES, noted_usd_per_hour
from ...novita.gpu.products import Billing, MachineOffer, MachineWish, find_offers
from ...novita.gpu.routes import ROUTES
from ...novita.journal.facts import GpuFacts
from ...novita.journal.journal import Job, JobState
from ...novita.journal.leases import OPEN, Lease
from ..kit import dry_run
from ..kit.context import Caller
from ..kit.toolset import CountedUsd, ToolResult

Status = Literal["running", "working", "stopped", "deleted", "scheduled", "needs_confirmation", "dry_run"]


class ProductLine(BaseModel):
    """One offer."""

    product_id: str = Field(description="For create_gpu_instance.")
    name: str = Field(description="GPU.")
    memory_gb: int | None = Field(default=None, description="Of one card; unknown if absent.")
    usd_per_hour: str = Field(description="Estimated, for all cards asked for.")
    spot_usd_per_hour: str | None = Field(default=None, description="The same as spot: cheaper, may be taken back.")
    on_demand_usd_per_hour: str | None = Field(default=None, description="The same on demand, where spot is listed.")
    term_usd: str | None = Field(default=None, description="Subscription: price of the whole term, paid in advance.")
    stock: str = Field(description="none, low, normal, high.")
    regions: tuple[str, ...] = Field(default=(), description="Where; none listed means everywhere.")
    vcpus: int | None = Field(default=None, description="Per card.")
    ram_gb: int | None = Field(default=None, description="Per card.")
    max_disk_gb: int | None = Field(default=None, description="Largest root disk.")
    billing_modes: tuple[str, ...] = Field(default=(), description="Modes on offer.")


class ProductList(ToolResult):
    """Offers, cheapest first."""

    products: tuple[ProductLine, ...] = Field(description="Cheapest first.")
    price_source: str = Field(description="Where prices come from.")
    more: int | None = Field(default=None, description="How many more there are.")
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        if not self.products:
            return "Nothing fits."
        first = self.products[0]
        price = say_usd(first.usd_per_hour)
        return f"{counted(len(self.products), 'offer')}; the cheapest is {first.name} at {price} per hour."


def product_line(offer: MachineOffer) -> ProductLine:
    """An offer as a line of the list."""
    product = offer.product
    term = offer.term_usd
    return ProductLine(
        product_id=product.id,
        name=product.name,
        memory_gb=offer.memory_gb,
        usd_per_hour=show_usd(round(offer.usd_per_hour or Decimal(0), 5)),
        spot_usd_per_hour=_beside(offer, "spot"),
        on_demand_usd_per_hour=_beside(offer, "onDemand"),
        term_usd=show_usd(term) if term is not None else None,
        stock=(product.inventory_state or "in stock") if offer.in_stock else "none",
        regions=(offer.region.id,) if offer.region else product.regions,
        vcpus=product.cpu_per_gpu,
        ram_gb=product.memory_per_gpu,
        max_disk_gb=product.max_root_fs,
        billing_modes=product.billing_methods,
    )


def _beside(offer: MachineOffer, billing: Billing) -> str | None:
    """The hourly price of the same machine under another billing. None if it is billed so, or not offered so."""
    usd = None if offer.billing == billing else replace(offer, billing=billing).usd_per_hour
    return None if usd is None else show_usd(round(usd, 5))


class Access(BaseModel):
    """How to reach an instance. It holds passwords."""

    ssh_command: str | None = Field(default=None, description="To log in.")
    ssh_password: str | None = Field(default=None, description="Secret.")
    ports: dict[str, str] = Field(default_factory=dict, description="Public address by port.")
    jupyter_url: str | None = Field(default=None, description="Notebooks.")
    terminal_url: str | None = Field(default=None, description="Terminal in the browser.")
    terminal_user: str | None = Field(default=None, description="Its user.")
    terminal_password: str | None = Field(default=None, description="Secret.")
    instance_log_url: str | None = Field(default=None, description="Log of the container.")
    system_log_url: str | None = Field(default=None, description="Log of the host.")


class InstanceLine(BaseModel):
    """One instance."""

    instance_id: str = Field(description="For the other tools.")
    name: str = Field(description="Its name.")
    state: str = Field(description="Novita's word: running, pulling, exited...")
    product: str = Field(description="Machine and number of cards.")
    region: str | None = Field(default=None, description="Where it is.")
    image: str | None = Field(default=None, description="Container image.")
    billing: str | None = Field(default=None, description="onDemand, spot or monthly.")
    usd_per_hour: str | None = Field(
        default=None, description="Estimated cost per hour as it stands; unknown if absent."
    )
    since: datetime | None = Field(default=None, description="Running since (UTC).")
    cost_so_far_usd: str | None = Field(default=None, description="Estimated, since then.")
    stops_at: datetime | None = Field(default=None, description="Its lease: stopped then (UTC).")
    lease: str | None = Field(default=None, description="How the lease stands or ended.")
    trouble: str | None = Field(default=None, description="Why it is in this state.")


class InstanceList(ToolResult):
    """Instances."""

    instances: tuple[InstanceLine, ...] = Field(description="Newest first.")
    total: int = Field(description="How many there are.")
    usd_per_hour: str = Field(description="Estimated, all together, as they stand.")
    unpriced: int | None = Field(default=None, description="How many that run have no known price: not in the sum.")
    unconfirmed: tuple[str, ...] = Field(
        default=(), description="Creates whose answer was lost and that no instance here fits."
    )
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        besides = f", not counting {self.unpriced} whose price is unknown" if self.unpriced else ""
        return f"{counted(self.total, 'instance')}, about {say_usd(self.usd_per_hour)} per hour in all{besides}."


class InstanceResult(ToolResult):
    """One instance, or the question that must be answered before anything happens to it."""

    status: Status = Field(description="working: on its way. scheduled: will be stopped by its lease.")
    instance_id: str | None = Field(default=None, description="For the other tools.")
    instance: InstanceLine | None = Field(default=None, description="The instance.")
    access: Access | None = Field(default=None, description="How to reach it; holds passwords.")
    ports: tuple[str, ...] | None = Field(default=None, description="Open ports.")
    env: tuple[str, ...] | None = Field(default=None, description="Names of its variables.")
    volumes: tuple[str, ...] | None = Field(default=None, description="Mounted volumes: id at path.")
    disk_gb: int | None = Field(default=None, description="Root disk.")
    command: str | None = Field(default=None, description="Start command.")
    model: str | None = Field(default=None, description="The product it is about.")
    estimated_cost_usd: str | None = Field(
        default=None, description="Of a creation or start, as it is noted: its first hour, or its term; or unknown."
    )
    counted_usd: CountedUsd = None
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")
    next_step: str | None = Field(default=None, description="What to do now.")

    def reveals(self) -> Iterable[str]:
        return () if self.access is None else credentials_in(self.access.model_dump())

    def headline(self) -> str:
        name = self.instance.name if self.instance else self.instance_id
        match self.status:
            case "running":
                return f"Instance {name} is running."
            case "working":
                state = self.instance.state if self.instance else "under way"
                return f"Instance {name} is not ready yet: {state}."
            case "stopped":
                return f"Instance {name} is stopped."
            case "deleted":
                return f"Instance {name} is deleted."
            case "scheduled":
                return f"Instance {name} will be stopped by its lease."
            case "needs_confirmation" | "dry_run":
                return "Nothing was sent yet."


@dataclass
class KnownInstances:
    """What the instances of one caller cost and when their leases stop them; read once per call.

    Args:
        jobs: The journal's rows by task id.
        rows: The newest row of each instance, by the instance's id.
    """

    caller: Caller
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    rows: dict[str, Job] = field(default_factory=dict[str, Job])
    leases: dict[str, Lease] = field(default_factory=dict[str, Lease])
    _prices: dict[tuple[str, str], Decimal] = field(default_factory=dict[tuple[str, str], Decimal])
    _read: set[str] = field(default_factory=set[str])

    @classmethod
    async def open(cls, caller: Caller) -> "KnownInstances":
        jobs = await caller.app.journal.recent(caller.owner, limit=1_000, kind="gpu_instance")
        leases = await caller.app.leases.newest(caller.owner, INSTANCE)
        if any(lease.state in OPEN for lease in leases.values()):
            caller.app.leases.remember(caller.novita)
        rows: dict[str, Job] = {}
        for job in jobs:
            if job.tool in MACHINES and job.state is not JobState.REFUSED and (thing := job.facts.resource):
                rows.setdefault(thing, job)
        return cls(caller, {job.task_id: job for job in jobs if job.task_id}, rows, leases)

    async def usd_per_hour(self, instance: Instance) -> Decimal | None:
        """The price while the instance runs: as noted at its creation or start, else by today's product list.
        None if it is unknown.
        """
        row = self.rows.get(instance.id)
        if (noted := noted_usd_per_hour(row.facts_as(GpuFacts) if row else GpuFacts(), instance)) is not None:
            return noted
        mode: Billing = "spot" if instance.billing_mode == "spot" else "onDemand"
        if mode not in self._read:
            self._read.add(mode)
            try:
                offers = await find_offers(self.caller.novita, MachineWish(billing=mode), in_stock=False)
            except NovitaError:
                offers = []  # the list of instances is worth showing without prices
            for offer in offers:
                if offer.usd_per_hour is not None:
                    self._prices[offer.product.id, mode] = offer.usd_per_hour
        price = self._prices.get((instance.product_id, mode))
        if price is None:
            return None
        return price * (instance.gpu_num or 1) + disk_usd_per_hour(instance.rootfs_size or 0)

    async def line(self, instance: Instance) -> InstanceLine:
        """The instance as a line of the list, with its price and its lease."""
        now = self.caller.app.jobs.clock.wall()
        full = await self.usd_per_hour(instance)
        billed = instance.status in BILLED_STATES
        rate = full if billed else disk_usd_per_hour(instance.rootfs_size or 0)
        since = instance.since if billed else None
        cost = None
        if since is not None and full is not None:
            cost = full * Decimal(max(0.0, now - since.timestamp())) / 3600
        lease = self.leases.get(instance.id)
        cards = f" x{instance.gpu_num}" if instance.gpu_num else ""
        return InstanceLine(
            instance_id=instance.id,
            name=instance.name,
            state=instance.status,
            product=f"{instance.product_name or instance.product_id}{cards}",
            region=instance.cluster_id or None,
            image=instance.image_url or None,
            billing=instance.billing_mode or None,
            usd_per_hour=show_usd(round(rate, 5)) if rate is not None else None,
            since=since,
            cost_so_far_usd=show_usd(round(cost, 4)) if cost is not None else None,
            stops_at=lease.stop_at if lease and lease.state in OPEN else None,
            lease=(lease.note or None) if lease else None,
            trouble=instance.why or None,
        )


async def adopt_lost(noted: KnownInstances, instances: Sequence[Instance], jobs: Sequence[Job]) -> list[Job]:
    """For creates whose answer was lost, find the instance by name and time. Returns the jobs without an instance."""
    caller = noted.caller
    taken = set(noted.jobs)
    lost: list[Job] = []
    for job in jobs:
        if job.state is not JobState.UNCONFIRMED or job.task_id is not None or job.tool != "create_gpu_instance":
            continue
        for instance in instances:
            fresh = may_come_of(instance.created_at, job.created)
            if instance.id not in taken and instance.name == job.title and fresh:
                taken.add(instance.id)
                found = await caller.app.journal.accepted(job.key, instance.id, GpuFacts(resource=instance.id))
                noted.jobs[instance.id] = noted.rows[instance.id] = found
                await caller.app.leases.attach(job.key, instance.id)
                break
        else:
            lost.append(job)
    return lost


def status_of(instance: Instance, goal: InstanceGoal | None = None) -> Status:
    """The tool's word for an instance's state."""
    if instance.status == "exited":
        return "stopped" if goal is not InstanceGoal.GONE else "working"
    if instance.status == "removed" or (instance.gone and goal is InstanceGoal.GONE):
        return "deleted"
    if instance.running and goal in (None, InstanceGoal.RUNNING):
        return "running"
    return "working"


def access_of(instance: Instance) -> Access:
    """How to reach the instance, as Novita shows it now."""
    ssh, terminal = instance.connect_component_ssh, instance.connect_component_web_terminal
    jupyter, logs = instance.connect_component_jupyter, instance.connect_component_log
    return Access(
        ssh_command=ssh.ssh_command or None,
        ssh_password=ssh.password.get_secret_value() or None if ssh.ssh_command else None,
        ports={f"{port.port}/{port.type}": port.endpoint for port in instance.port_mappings if port.endpoint},
        jupyter_url=jupyter.address or None,
        terminal_url=terminal.address or None,
        terminal_user=terminal.username or None if terminal.address else None,
        terminal_password=terminal.password.get_secret_value() or None if terminal.address else None,
        instance_log_url=logs.instance_log_address or None,
        system_log_url=logs.system_log_address or None,
    )


async def instance_result(
    caller: Caller,
    instance: Instance,
    *,
    status: Status | None = None,
    access: bool = False,
    next_step: str | None = None,
    details: bool = False,
    noted: KnownInstances | None = None,
) -> InstanceResult:
    """An instance as a tool's result. It holds passwords only with `access`."""
    noted = noted or await KnownInstances.open(caller)
    result = InstanceResult(
        status=status or status_of(instance),
        instance_id=instance.id,
        instance=await noted.line(instance),
        access=access_of(instance) if access else None,
        next_step=next_step,
    )
    if details:
        result.ports = tuple(f"{port.port}/{port.type}" for port in instance.port_mappings)
        result.env = tuple(variable.key for variable in instance.envs)
        result.volumes = tuple(f"{mount.id or mount.type} at {mount.mount_path}" for mount in instance.volume_mounts)
        result.disk_gb = instance.rootfs_size
        result.command = instance.command or None
    return result


def per_hour_and_day(usd: Decimal | None) -> str:
    """A price in words: `about $0.35 per hour ($8.40 per day)`."""
    if usd is None:
        return "at an unknown price"
    return f"about {say_usd(usd)} per hour ({say_usd(usd * 24)} per day)"


def as_noted(usd: Decimal | None) -> str:
    """An estimate in the journal's form, or "unknown"."""
    return show_price(Decimal(micro(usd)) / MICRO if usd is not None else None)


def shown_request(operation: str, body: dict[str, Any], **path: str) -> dict[str, Any]:
    """The request that a dry run shows: method, path and body."""
    route = ROUTES[operation]
    return dry_run.shown_request(route.method, route.path.format(**path), body)


def known_names(instances: Mapping[str, str]) -> str:
    """Names with their ids in words, for error texts."""
    return ", ".join(f"{name} ({id})" for id, name in list(instances.items())[:10]) or "none"
