"""Volumes and root disks: what they cost, and how they grow.

They are paid by the day, and a day of a disk costs next to nothing. So the estimate is that of a month: it is what the
limits on spending count at first. From then on the row in the journal counts the real cost, day by day.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from ...novita.core.by_name import the_one
from ...novita.core.costs import Cost
from ...novita.core.errors import InputError, NotFoundError
from ...novita.core.money import say_usd
from ...novita.gpu.instances import Instance, disk_usd_per_hour, read_ports
from ...novita.gpu.meters import follow_instance, follow_volume
from ...novita.gpu.products import VOLUME_GB_DAY, find_regions
from ...novita.gpu.resources import Volume, create_volume, list_volumes, update_volume, volume_creation, volume_update
from ...novita.gpu.routes import act
from ...novita.journal.facts import GpuFacts
from ...novita.journal.jobs import Paid
from ...novita.journal.journal import Job
from ..kit.context import Caller
from ..kit.created_things import machine_cost
from ..kit.purchase import Direct, Purchase, Sending
from .admin_results import AdminResult, paid_at_once
from .results import as_noted, shown_request
from .waiting import find_instance, settle_volumes

DAYS_A_MONTH = 30


async def new_volume(caller: Caller, name: str, size_gb: int, region: str) -> Purchase[AdminResult]:
    """The plan of a new network volume.

    Raises:
        InputError: The region has no network volumes.
    """
    place = (await find_regions(caller.novita, region))[0]
    if not place.support_network_storage:
        raise InputError(f"{place.id} has no network volumes", next_step="See list_gpu_resources with kind=regions.")
    monthly = size_gb * VOLUME_GB_DAY * DAYS_A_MONTH
    body = volume_creation(name=name, region_id=place.id, size_gb=size_gb)

    async def done(job: Job, made: str) -> AdminResult:
        if not made:
            named = (each.storage_id for each in await list_volumes(caller.novita) if each.storage_name == name)
            made = next(named, "")
        if made:
            await caller.app.journal.note(job.key, GpuFacts(resource=made))
            await follow_volume(caller.app.journal, caller.owner, Volume(storage_id=made, storage_size=size_gb))
        cost = as_noted(monthly)
        return AdminResult(status="done", id=made or None, what=f"volume {name}", estimated_cost_usd=cost)

    return _volume_purchase(
        f"Create a network volume {name!r} of {size_gb} GB in {place.id}.",
        cost=machine_cost(monthly, f"Estimated {say_usd(monthly)} a month."),
        title=(title := f"volume {name}"),
        sending=paid_at_once(
            caller,
            title,
            send=lambda: create_volume(caller.novita, body),
            done=done,
            facts=GpuFacts(volume=(name, place.id)),
            learnt=lambda made: GpuFacts(resource=made) if made else GpuFacts(),
        ),
        request=("create_network_storage", body),
        about=f"volume {name} {size_gb}",
    )


async def grown_volume(
    caller: Caller, wanted: str, name: str | None, size_gb: int | None, region: str | None
) -> Purchase[AdminResult]:
    """The plan of a volume's growth or new name.

    Raises:
        InputError: The volume would shrink or move, which Novita cannot do.
        NotFoundError: There is no such volume.
    """
    if region is not None:
        raise InputError("A volume cannot change its region", next_step="Create another one there.")
    volumes = await list_volumes(caller.novita)
    await settle_volumes(caller, volumes)
    old = the_one(wanted, volumes, "network volumes", Volume.label)
    if old is None:
        there = ", ".join(each.label() for each in volumes) or "none"
        raise NotFoundError(f"There is no network volume {wanted!r}", status=404, next_step=f"There: {there}.")
    id = old.id
    before = old.storage_size or 0
    if size_gb is not None and size_gb < before:
        raise InputError(f"Volume {old.storage_name!r} has {before} GB and cannot shrink")
    size = size_gb or before
    adds = (size - before) * VOLUME_GB_DAY
    changes = f"{old.storage_name!r} -> {name or old.storage_name!r}, {before} GB -> {size} GB"
    body = volume_update(id, name=name or old.storage_name, size_gb=size)

    async def done(_: Job, __: Any) -> AdminResult:
        await follow_volume(caller.app.journal, caller.owner, Volume(storage_id=id, storage_size=size))
        cost = as_noted(adds * DAYS_A_MONTH)
        return AdminResult(status="done", id=id, what=changes, estimated_cost_usd=cost)

    return _volume_purchase(
        f"Change volume {id}: {changes}.",
        cost=_more_a_month(adds),
        title=(title := f"volume {old.storage_name}"),
        sending=paid_at_once(
            caller,
            title,
            send=lambda: update_volume(caller.novita, body),
            done=done,
            facts=growth_facts(id, size, adds),
        ),
        request=("update_network_storage", body),
        about=f"volume {id} {size}",
    )


def _volume_purchase(
    effect: str,
    *,
    cost: Cost,
    title: str,
    sending: Sending[AdminResult],
    request: tuple[str, dict[str, Any]],
    about: str,
) -> Purchase[AdminResult]:
    """The creation or growth of a volume, which costs money from then on.

    Args:
        request: The operation and the body.
    """

    async def shown() -> dict[str, Any]:
        return {"request": shown_request(*request)}

    return Purchase(
        answer=AdminResult,
        effect=effect,
        model="volume",
        title=title,
        cost=cost,
        sending=sending,
        dry_run=shown,
        about=about,
        always_asks=True,
    )


def _more_a_month(usd_per_day: Decimal) -> Cost:
    """The cost that a growth adds in a month."""
    monthly = usd_per_day * DAYS_A_MONTH
    return machine_cost(monthly, f"Estimated {say_usd(monthly)} a month more." if monthly else "")


def growth_facts(thing: str, to_gb: int, adds_usd_per_day: Decimal) -> GpuFacts:
    """Facts of a row about a growth. They name no `resource`, since the row of the thing that grew counts the cost."""
    return GpuFacts(of=thing, to_gb=to_gb, adds_usd_per_day=adds_usd_per_day)


@dataclass(frozen=True)
class _Step:
    """One request of an edit."""

    words: str
    operation: str
    body: dict[str, Any]
    path: dict[str, str] = field(default_factory=dict[str, str])


async def edited_instance(
    caller: Caller,
    instance_id: str,
    *,
    ports: Sequence[str] | None,
    add_disk_gb: int | None,
    web_terminal: bool | None,
    auto_migrate: bool | None,
) -> Purchase[AdminResult]:
    """The plan of an edit. Each change is sent once; the disk, which costs money, comes last.

    Raises:
        InputError: There is nothing to change, or a port is impossible.
    """
    instance = await find_instance(caller, instance_id)
    free = _free_steps(instance, ports, web_terminal, auto_migrate)
    before = instance.rootfs_size or 0
    after = before + (add_disk_gb or 0)
    adds = (disk_usd_per_hour(after) - disk_usd_per_hour(before)) * 24
    grow = {"instanceId": instance.id, "expandRootDisk": add_disk_gb}
    disk = [_Step(f"{add_disk_gb} GB more disk", "edit_gpu_instance", grow)] if add_disk_gb else []
    steps = [*free, *disk]
    if not steps:
        raise InputError("Nothing to change was given")
    changes, title = "; ".join(step.words for step in steps), f"disk of {instance.name}"

    async def make(some: Sequence[_Step]) -> None:
        for step in some:
            await act(caller.novita, step.operation, step.body, **step.path)

    async def edit() -> AdminResult:
        await make(free)
        return AdminResult(status="done", id=instance.id, what=changes, estimated_cost_usd=as_noted(Decimal(0)))

    async def grown(_: Job, __: None) -> AdminResult:
        larger = instance.model_copy(update={"rootfs_size": after})
        await follow_instance(caller.app.journal, caller.owner, larger)
        cost = as_noted(adds * DAYS_A_MONTH)
        return AdminResult(status="done", id=instance.id, what=changes, estimated_cost_usd=cost)

    async def requests() -> dict[str, Any]:
        return {"requests": tuple(shown_request(step.operation, step.body, **step.path) for step in steps)}

    growing = paid_at_once(
        caller, title, send=lambda: make(disk), done=grown, facts=growth_facts(instance.id, after, adds)
    )

    async def start(paid_for: Paid) -> tuple[Job, None]:
        await make(free)
        return await growing.start(paid_for)

    return Purchase(
        answer=AdminResult,
        effect=f"Change instance {instance.label()}: {changes}.",
        model=instance.product_id,
        title=title,
        cost=_more_a_month(adds),
        sending=replace(growing, start=start) if disk else Direct(act=edit),
        dry_run=requests,
        about=f"edit {instance.id}",
        always_asks=True,
    )


def _free_steps(
    instance: Instance, ports: Sequence[str] | None, web_terminal: bool | None, auto_migrate: bool | None
) -> list[_Step]:
    """The requests of an edit that cost nothing.

    Raises:
        InputError: A port is impossible.
    """
    v2 = {"instance_id": instance.id}
    steps: list[_Step] = []
    if ports is not None:
        old = ", ".join(f"{port.port}/{port.type}" for port in instance.port_mappings) or "none"
        rows = [{"port": port, "protocol": kind} for port, kind in read_ports(ports)]
        words = f"ports {old} -> {', '.join(ports) or 'none'}"
        steps.append(_Step(words, "gpus_v2_update_ports", {"ports": rows}, v2))
    if web_terminal is not None:
        words = f"browser terminal {'on' if web_terminal else 'off'}"
        steps.append(_Step(words, "gpus_v2_set_web_terminal", {"enable": web_terminal}, v2))
    if auto_migrate is not None:
        body = {"instanceId": instance.id, "autoMigrateOpen": auto_migrate}
        words = f"automatic migration {'on' if auto_migrate else 'off'}"
        steps.append(_Step(words, "set_gpu_instance_auto_migrate", body))
    return steps
