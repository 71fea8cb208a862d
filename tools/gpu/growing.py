"""Volumes and root disks: what they cost by the month, and how they grow. Paid by the day, so a month is the estimate.

What was asked for is noted with its month, so that a limit on spending sees a figure that means something; from then
on it counts what comes up, day by day.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...novita.core.errors import InputError
from ...novita.core.money import show_usd
from ...novita.gpu.instances import Instance, disk_usd_per_hour, read_ports
from ...novita.gpu.meters import follow_instance, follow_volume
from ...novita.gpu.products import VOLUME_GB_DAY, find_regions
from ...novita.gpu.resources import Volume, create_volume, list_volumes, update_volume, volume_creation, volume_update
from ...novita.gpu.routes import act
from ..kit.context import Caller
from ..kit.dry_run import rehearsed
from ..kit.purchase import agree
from .admin_results import AdminResult, choose_one, spend_once
from .results import as_noted, machine_cost, shown_request
from .waiting import settle_volumes

DAYS_A_MONTH = 30


async def make_volume(
    caller: Caller, name: str, size_gb: int, region: str, *, confirm: bool, dry_run: bool
) -> AdminResult:
    """Ask, then create a network volume once.

    Raises:
        InputError: The region has none.
    """
    place = (await find_regions(caller.novita, region))[0]
    if not place.support_network_storage:
        raise InputError(f"{place.id} has no network volumes", next_step="See list_gpu_resources with kind=regions.")
    monthly = size_gb * VOLUME_GB_DAY * DAYS_A_MONTH
    cost = as_noted(monthly)
    question = f"Create a network volume {name!r} of {size_gb} GB in {place.id}: about ${show_usd(monthly)} a month?"
    body = volume_creation(name=name, region_id=place.id, size_gb=size_gb)
    if dry_run:
        return _rehearsal(question, cost, shown_request("create_network_storage", body))
    counts = machine_cost(monthly, " ")
    await agree(caller, question, model="volume", cost=counts, confirm=confirm, about=f"volume {name} {size_gb}")
    job, made = await spend_once(
        caller,
        "save_gpu_volume",
        title=f"volume {name}",
        cost=counts,
        facts={"volume": [name, place.id]},
        send=lambda: create_volume(caller.novita, body),
    )
    if not made:
        made = next((each.storage_id for each in await list_volumes(caller.novita) if each.storage_name == name), "")
    if made:
        await caller.app.journal.note(job.key, resource=made)
        await follow_volume(caller.app.journal, caller.owner, Volume(storage_id=made, storage_size=size_gb))
    return AdminResult(status="done", id=made or None, what=f"volume {name}", estimated_cost_usd=cost)


async def change_volume(
    caller: Caller, id: str, name: str | None, size_gb: int | None, region: str | None, *, confirm: bool, dry_run: bool
) -> AdminResult:
    """Ask, then rename or grow a volume once.

    Raises:
        InputError: It cannot shrink or move. NotFoundError: There is none.
    """
    if region is not None:
        raise InputError("A volume cannot change its region", next_step="Create another one there.")
    volumes = await list_volumes(caller.novita)
    await settle_volumes(caller, volumes)
    old = next((each for each in volumes if each.storage_id == id), None)
    if old is None:
        await choose_one(caller, "volume", id)  # raises, with those there are
        raise InputError(f"There is no volume {id!r}")
    before = old.storage_size or 0
    if size_gb is not None and size_gb < before:
        raise InputError(f"Volume {old.storage_name!r} has {before} GB and cannot shrink")
    size = size_gb or before
    adds = (size - before) * VOLUME_GB_DAY
    cost = as_noted(adds * DAYS_A_MONTH)
    changes = f"{old.storage_name!r} -> {name or old.storage_name!r}, {before} GB -> {size} GB"
    question = f"Change volume {id}: {changes}, about ${show_usd(adds * DAYS_A_MONTH)} a month more?"
    body = volume_update(id, name=name or old.storage_name, size_gb=size)
    if dry_run:
        return _rehearsal(question, cost, shown_request("update_network_storage", body))
    counts = machine_cost(adds * DAYS_A_MONTH, " ")
    await agree(caller, question, model="volume", cost=counts, confirm=confirm, about=f"volume {id} {size}")
    await spend_once(
        caller,
        "save_gpu_volume",
        title=f"volume {old.storage_name}",
        cost=counts,
        facts=growth_facts(id, size, adds),
        send=lambda: update_volume(caller.novita, body),
    )
    await follow_volume(caller.app.journal, caller.owner, Volume(storage_id=id, storage_size=size))
    return AdminResult(status="done", id=id, what=changes, estimated_cost_usd=cost)


def growth_facts(thing: str, to_gb: int, adds_usd_per_day: Decimal) -> dict[str, Any]:
    """Facts of a row that grows something: the row of what grew counts it, so it is not named as a resource here."""
    return {"of": thing, "to_gb": to_gb, "adds_usd_per_day": f"{adds_usd_per_day:f}"}


def _rehearsal(question: str, cost: str, request: dict[str, Any]) -> AdminResult:
    return AdminResult(status="dry_run", request=request, estimated_cost_usd=cost, next_step=rehearsed(question))


@dataclass(frozen=True)
class _Step:
    """One call of an edit."""

    words: str
    operation: str
    body: dict[str, Any]
    path: dict[str, str] = field(default_factory=dict[str, str])


async def edit_instance(
    caller: Caller,
    instance: Instance,
    *,
    ports: Sequence[str] | None,
    add_disk_gb: int | None,
    web_terminal: bool | None,
    auto_migrate: bool | None,
    confirm: bool,
    dry_run: bool,
) -> AdminResult:
    """Ask once, then make each change once; the disk, which costs, last.

    Raises:
        InputError: Nothing to change, or a port that cannot be.
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
    before = instance.rootfs_size or 0
    after = before + (add_disk_gb or 0)
    adds = (disk_usd_per_hour(after) - disk_usd_per_hour(before)) * 24
    cost = as_noted(adds * DAYS_A_MONTH)
    if add_disk_gb:
        grow = {"instanceId": instance.id, "expandRootDisk": add_disk_gb}
        words = f"{add_disk_gb} GB more disk, about ${show_usd(round(adds * DAYS_A_MONTH, 2))} a month more"
        steps.append(_Step(words, "edit_gpu_instance", grow))
    if not steps:
        raise InputError("Nothing to change was given")
    said = "; ".join(step.words for step in steps)
    question = f"Change instance {instance.label()}: {said}?"
    if dry_run:
        shown = tuple(shown_request(step.operation, step.body, **step.path) for step in steps)
        return AdminResult(status="dry_run", requests=shown, estimated_cost_usd=cost, next_step=rehearsed(question))
    counts, about = machine_cost(adds * DAYS_A_MONTH, " "), f"edit {instance.id}"
    await agree(caller, question, model=instance.product_id, cost=counts, confirm=confirm, about=about)
    for step in steps[:-1] if add_disk_gb else steps:
        await act(caller.novita, step.operation, step.body, **step.path)
    if add_disk_gb:
        disk = steps[-1]
        await spend_once(
            caller,
            "edit_gpu_instance",
            title=f"disk of {instance.name}",
            cost=counts,
            facts=growth_facts(instance.id, after, adds),
            send=lambda: act(caller.novita, disk.operation, disk.body),
        )
        grown = instance.model_copy(update={"rootfs_size": after})
        await follow_instance(caller.app.journal, caller.owner, grown)
    return AdminResult(status="done", id=instance.id, what=said, estimated_cost_usd=cost)
