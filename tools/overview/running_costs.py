"""What costs money now: the machines, volumes, endpoints and sandboxes in this journal. Each is looked at before it is
shown.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field

from ...novita.core.errors import JournalError, NovitaConnectionError, NovitaError
from ...novita.core.money import show_usd
from ...novita.gpu.instances import BILLED_STATES, Instance, list_instances
from ...novita.gpu.meters import DISKS, MACHINES, VOLUMES, OpenMeter, open_meters
from ...novita.gpu.resources import list_volumes
from ...novita.journal.facts import GpuFacts
from ...novita.journal.journal import OPEN_STATES, Job, JobState, Journal
from ...novita.journal.leases import Leases
from ...novita.journal.rows import utc
from ...novita.sandbox.prices import prices
from ...novita.sandbox.rows import TOOLS as SANDBOXES
from ...novita.sandbox.rows import KnownSandbox, known_sandboxes
from ..gpu.results import KnownInstances, adopt_lost
from ..gpu.waiting import ADMIN_KIND, KIND, settle_jobs, settle_volumes
from ..kit.context import Caller
from ..sandbox.books import settle_sandboxes
from ..serverless.waiting import settle_endpoints

MOST_SHOWN = 10
_DOUBT_LASTS = 86_400.0
"""For so many seconds after a create whose answer was lost, each call looks for what it may have made."""


class RunningLine(BaseModel):
    """One thing that costs money now."""

    kind: str = Field(description="instance, volume, disk, endpoint or sandbox.")
    id: str = Field(description="Its id.")
    name: str = Field(description="Its name.")
    usd_per_hour: str | None = Field(default=None, description="Estimated, as it stands; absent: nobody tells.")
    cost_so_far_usd: str | None = Field(default=None, description="Estimated, since then.")
    since: datetime | None = Field(default=None, description="UTC.")
    ends_at: datetime | None = Field(default=None, description="Its lease: ended then (UTC).")
    note: str | None = Field(default=None, description="What it may cost besides, or when it ends by itself.")


@dataclass(frozen=True)
class RunningCosts:
    """Everything that costs money now, the most expensive first. `trouble` says why Novita could not be asked."""

    lines: tuple[RunningLine, ...]
    usd_per_hour: str
    trouble: str = ""

    def as_data(self) -> dict[str, Any]:
        """The costs as plain data. Empty if nothing costs money."""
        data: dict[str, Any] = {}
        if self.lines:
            data["running"] = [line.model_dump(mode="json", exclude_none=True) for line in self.lines]
            data["running_usd_per_hour"] = self.usd_per_hour
        if self.trouble:
            data["running_note"] = self.trouble
        return data


async def what_runs(caller: Caller) -> RunningCosts:
    """Look at everything that may cost money by the journal, and return what does.
    Novita is asked only for kinds of things that the journal has.
    """
    journal, owner = caller.app.journal, caller.owner
    before = await open_meters(journal, owner)
    # These two ask Novita only if the journal has any endpoints or sandboxes.
    looks: list[Callable[[Caller], Awaitable[None]]] = [settle_endpoints, settle_sandboxes]
    billed: list[Instance] = []

    async def look_at_instances(caller: Caller) -> None:
        instances = await caller.without_strangers(await list_instances(caller.novita.for_looking()))
        noted = await KnownInstances.open(caller)
        await adopt_lost(noted, instances, await journal.recent(owner, limit=50, kind=KIND))
        await settle_jobs(noted, instances, all_of_them=True)
        billed.extend(each for each in instances if each.id in noted.rows and each.status in BILLED_STATES)

    if await _machines(caller, before):
        looks.append(look_at_instances)
    if await _volumes(caller, before):
        looks.append(_look_at_volumes)
    trouble = ""
    for look in looks:
        try:
            await look(caller)
        except JournalError:
            raise
        except NovitaError as error:
            trouble = f"Novita could not be asked ({error.what}): this is what the journal knows."
            if isinstance(error, NovitaConnectionError):
                break  # Novita does not answer; the other looks would wait just as long
    known = await known_costs(journal, owner)
    metered = {line.id for line in known.lines}
    # A subscription is paid in advance and costs nothing more.
    unpriced = [
        RunningLine(kind="instance", id=instance.id, name=instance.name, since=instance.since)
        for instance in billed
        if instance.id not in metered and instance.billing_mode != "monthly"
    ]
    return RunningCosts((*known.lines, *unpriced), known.usd_per_hour, trouble)


async def known_costs(journal: Journal, owner: str | None) -> RunningCosts:
    """What costs money now by the journal alone, without asking Novita. An `owner` of None means all owners."""
    meters = await open_meters(journal, owner)
    sandboxes = {each.id: each for each in await known_sandboxes(journal, owner)}
    leases = {lease.thing_id: lease.stop_at for lease in await Leases(journal).of(owner)} if meters else {}
    lines = [_line(meter, sandboxes.get(meter.resource), leases, journal.wall()) for meter in meters]
    lines += [_paused(each) for each in sandboxes.values() if each.paused_since is not None]
    total = sum((meter.usd_per_hour for meter in meters), Decimal(0))
    return RunningCosts(tuple(lines), show_usd(round(total, 5)))


async def _machines(caller: Caller, meters: list[OpenMeter]) -> bool:
    if any(meter.tool in (*MACHINES, *DISKS) for meter in meters) or await _open_rows(caller, KIND):
        return True
    newest = await caller.app.journal.recent(caller.owner, limit=50, kind=KIND, states=(JobState.SUCCEEDED,))
    return any(job.estimate is None and not _is_seen(job.facts_as(GpuFacts)) for job in newest)


def _is_seen(facts: GpuFacts) -> bool:
    return facts.metered_from is not None or facts.rests_since is not None


async def _volumes(caller: Caller, meters: list[OpenMeter]) -> bool:
    return any(meter.tool in VOLUMES for meter in meters) or any(
        job.tool in VOLUMES for job in await _open_rows(caller, ADMIN_KIND)
    )


async def _open_rows(caller: Caller, kind: str) -> list[Job]:
    rows = await caller.app.journal.recent(caller.owner, limit=10, kind=kind, states=OPEN_STATES)
    now = caller.app.jobs.clock.wall()
    return [job for job in rows if job.task_id is not None or now - job.created.timestamp() < _DOUBT_LASTS]


async def _look_at_volumes(caller: Caller) -> None:
    await settle_volumes(caller, await list_volumes(caller.novita.for_looking()))


_KINDS = {"save_gpu_volume": "volume", "edit_gpu_instance": "disk", **dict.fromkeys(SANDBOXES, "sandbox")}


def _line(
    meter: OpenMeter, sandbox: KnownSandbox | None, leases: Mapping[str | None, datetime], now: float
) -> RunningLine:
    kind = "instance" if meter.tool in MACHINES else _KINDS.get(meter.tool, "endpoint")
    ends, note = leases.get(meter.resource), None
    if sandbox is not None and sandbox.ends_at is not None:
        ends = utc(sandbox.ends_at)
        until = f"{ends:%Y-%m-%d %H:%M} UTC"
        over = sandbox.ends_at <= now
        note = (
            f"Its time was over at {until}; it was not looked at since." if over else f"It ends by itself at {until}."
        )
    return RunningLine(
        kind=kind,
        id=meter.resource,
        name=meter.name[:80],
        usd_per_hour=show_usd(round(meter.usd_per_hour, 5)),
        cost_so_far_usd=show_usd(round(meter.usd, 4)),
        since=meter.since,
        ends_at=ends,
        note=note,
    )


def _paused(sandbox: KnownSandbox) -> RunningLine:
    """The line of a paused sandbox. Its past cost is known, but Novita names no price for the time it is paused."""
    return RunningLine(
        kind="sandbox",
        id=sandbox.id,
        name=sandbox.name[:80],
        cost_so_far_usd=show_usd(round(sandbox.usd, 4)),
        since=sandbox.paused_since,
        note=f"It is paused: {prices().storage_words}.",
    )
