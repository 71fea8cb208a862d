"""Updates the journal's rows about machines and volumes to what each look at Novita shows.

A row about a machine or volume names it in `facts.resource` and notes its price. If a thing has several rows (a
machine's creation and each later start), the newest one counts its time, from when the thing was seen to cost money;
the older rows end where that begins. Growing a disk or volume raises the rate of the newest row, and the growth's own
row then counts nothing. If the thing was made outside this journal and has no row, the growth's row counts what the
growth adds. Repeating a look changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from ..core.money import micro
from ..journal.facts import GpuFacts
from ..journal.journal import Job, JobState, Journal
from ..journal.meters import Meters, OpenMeter
from ..journal.segments import DAY
from .instances import BILLED_STATES, Instance, disk_usd_per_hour
from .products import VOLUME_GB_DAY
from .resources import Volume

START = "start_gpu_instance"
MACHINES = ("create_gpu_instance", START)
VOLUMES = ("save_gpu_volume",)
DISKS = ("edit_gpu_instance",)
_TOOLS = (*MACHINES, *VOLUMES, *DISKS)

WAITING = ("toCreate", "creating")
"""States in which an instance is not billed yet."""
SHOWS_THE_STATE_BEFORE = 20.0
"""Seconds after a start in which Novita may still show an instance's earlier state."""
GONE_AFTER = 120.0
"""A thing that no list shows counts as gone only if it was created more than so many seconds ago."""
_KEPT = 7 * 86_400.0
"""Seconds for which a stopped instance keeps its disk (x-billing of the facts)."""


@dataclass(frozen=True)
class Sight:
    """What a look at Novita showed of a machine or volume. Times are Unix seconds, money is USD a day.

    Args:
        running: Its rate while it runs; None takes the rate that its row notes.
        resting: Its rate while it is stopped.
        since: When it last began to run, if Novita says so.
        until: When it last stopped, if Novita says so.
    """

    resource: str
    at: float
    state: Literal["waits", "runs", "rests", "gone"]
    running: Decimal | None = None
    resting: Decimal = Decimal(0)
    since: float | None = None
    until: float | None = None
    size_gb: int | None = None


def _grows(row: Job) -> bool:
    return _facts(row).to_gb is not None


def _begun(row: Job) -> bool:
    """Whether any time of this row has been metered."""
    return _facts(row).metered_from is not None


def _facts(row: Job) -> GpuFacts:
    return row.facts_as(GpuFacts)


def price_facts(usd_per_hour: Decimal | None, disk_gb: int, billing: str, term_usd: Decimal | None = None) -> GpuFacts:
    """The facts that note a machine's price, root disk included, in its row.

    Args:
        term_usd: What was paid in advance, in USD.
    """
    made = GpuFacts(disk_gb=disk_gb, billing=billing)
    if usd_per_hour is not None and billing != "monthly":  # of a subscription only the disk costs by the hour
        made = made.with_(GpuFacts(usd_per_hour=usd_per_hour))
    return made if term_usd is None else made.with_(GpuFacts(term_usd=term_usd))


def noted_usd_per_hour(facts: GpuFacts, instance: Instance) -> Decimal | None:
    """USD an hour of a running instance, by its row's price and its present disk. None if the row has no price."""
    disk = _disk(instance)
    if instance.billing_mode == "monthly":
        return disk
    noted = facts.usd_per_hour
    if noted is None or (facts.billing or "onDemand") != (instance.billing_mode or "onDemand"):
        return None
    before = disk_usd_per_hour(facts.disk_gb) if instance.kind != "cpu" and facts.disk_gb is not None else disk
    return noted - before + disk


def _disk(instance: Instance) -> Decimal:
    """USD an hour for the root disk."""
    return disk_usd_per_hour(instance.rootfs_size or 0) if instance.kind != "cpu" else Decimal(0)


async def follow_instance(
    journal: Journal, owner: str, instance: Instance, *, usd_per_hour: Decimal | None = None
) -> None:
    """Update an instance's rows to what was just seen of it.

    Args:
        usd_per_hour: Its price while it runs, used if its rows note none.
    """
    if instance.gone:
        await follow_gone(journal, owner, instance.id, sure=True)
        return
    state = _state_of(instance)
    if state is None:
        return  # it is on its way; the look that finds it running or stopped updates its rows

    def write(meters: Meters) -> None:
        rows = meters.about(owner, instance.id, _TOOLS)
        priced = [row for row in rows if row.tool in MACHINES]
        running = noted_usd_per_hour(_facts(priced[-1]), instance) if priced else None
        running = usd_per_hour if running is None else running
        sight = Sight(
            instance.id,
            meters.now,
            state,
            running=running * 24 if running is not None else None,
            resting=_disk(instance) * 24,
            since=_seconds(instance.since),
            until=_seconds(instance.until),
            size_gb=instance.rootfs_size,
        )
        _follow(meters, rows, sight)

    await journal.meter(write)


def _state_of(instance: Instance) -> Literal["waits", "runs", "rests"] | None:
    if instance.status in WAITING:
        return "waits"
    if instance.status == "exited":
        return "rests"
    return "runs" if instance.status in BILLED_STATES else None


async def follow_volume(journal: Journal, owner: str, volume: Volume) -> None:
    """Update a volume's rows to what was just seen of it."""
    if volume.storage_size is None:
        return
    rate = volume.storage_size * VOLUME_GB_DAY
    sight = Sight(volume.storage_id, journal.wall(), "runs", running=rate, size_gb=volume.storage_size)
    await journal.meter(lambda meters: _follow(meters, meters.about(owner, sight.resource, _TOOLS), sight))


async def follow_gone(journal: Journal, owner: str, resource: str, *, sure: bool = False) -> None:
    """End the rows of a machine or volume, because it is gone.

    Args:
        sure: Whether it is known to be gone. If not, it is merely missing from a list, as a new thing may be.
    """
    sight = Sight(resource, journal.wall(), "gone")

    def write(meters: Meters) -> None:
        rows = meters.about(owner, resource, _TOOLS)
        if sure or all(sight.at - row.begun > GONE_AFTER for row in rows):
            _follow(meters, rows, sight)

    await journal.meter(write)


def _seconds(when: datetime | None) -> float | None:
    return when.timestamp() if when is not None else None


def _follow(meters: Meters, rows: Sequence[Job], sight: Sight) -> None:
    mine = [row for row in rows if not _grows(row)]
    newest = mine[-1] if mine else None
    older = [row for row in rows if newest is None or row.key != newest.key]
    if newest is not None:
        newest = _follow_newest(meters, newest, sight, since=_grown_at(rows, sight))
    for row in older:
        if not row.usd_per_day:
            continue
        if newest is not None and (begun := _facts(newest).metered_from) is not None:
            _set(meters, row, Decimal(0), begun, running=False)
        elif sight.state == "gone":
            _set(meters, row, Decimal(0), sight.at, running=False)
    for row in older:
        if _is_fresh_growth(row) and sight.state != "gone":
            _settle_growth(meters, row, newest, sight)


def _is_fresh_growth(row: Job) -> bool:
    """Whether this row grows something and no look has shown the larger size yet."""
    return _grows(row) and not _begun(row) and _facts(row).moved_to is None


def _grown_at(rows: Sequence[Job], sight: Sight) -> float:
    """When the rate may have changed: at the growth, if Novita's answer to it was lost; otherwise now."""
    fresh = [row for row in rows if _is_fresh_growth(row)]
    grown = [row.begun for row in fresh if (sight.size_gb or 0) >= (_facts(row).to_gb or 0)]
    return max(grown, default=sight.at)


def _follow_newest(meters: Meters, row: Job, sight: Sight, *, since: float) -> Job:
    if row.facts.usd is not None:
        return row  # Novita's bill has settled this row already
    if sight.state == "waits":
        return row if _begun(row) else meters.note(row, GpuFacts(waited_until=sight.at))
    now, running = sight.at, sight.running
    if running is None and (noted := _facts(row).usd_per_hour) is not None:
        running = noted * 24
    if running is None and not _begun(row):  # its price is unknown: the row keeps the estimate used for that
        rests = None if sight.state == "runs" else _facts(row).rests_since or now
        return meters.note(row, GpuFacts(rests_since=rests))
    if sight.state == "runs":
        if running is None:
            return row
        if not _begun(row):
            return _begin(meters, row, _began(row, sight), running)
        if (rested := _facts(row).rests_since) is not None:
            back = sight.since if sight.since is not None and sight.since > rested else now
            return _set(meters, row, running, back, running=True, facts=GpuFacts(rests_since=None))
        return _set(meters, row, running, since, running=True) if _costs_other(row, running) else row
    if not _begun(row):
        assert running is not None
        if (end := _unseen_end(row, sight, running)) is None:
            return row
        row = _begin(meters, row, min(_began(row, sight), end), running)
        return _set(meters, row, sight.resting, end, running=False, facts=GpuFacts(rests_since=end))
    if (rested := _facts(row).rests_since) is None:
        last = row.going_on.since if row.going_on else _facts(row).metered_from or row.begun
        end = sight.until if sight.until is not None and last <= sight.until <= now else now
        return _set(meters, row, sight.resting, end, running=False, facts=GpuFacts(rests_since=end))
    if _costs_other(row, sight.resting):
        forgotten = sight.state == "gone" and sight.until is None and row.tool in MACHINES
        kept = max(rested + _KEPT, _facts(row).kept_until or 0.0)
        return _set(meters, row, sight.resting, min(now, kept) if forgotten else since, running=False)
    if row.usd_per_day and now > rested + _KEPT:  # it is still there, so a paid term keeps it for longer
        return meters.note(row, GpuFacts(kept_until=now))
    return row


def _costs_other(row: Job, usd_per_day: Decimal) -> bool:
    return micro(row.usd_per_day or Decimal(0)) != micro(usd_per_day)


def _began(row: Job, sight: Sight) -> float:
    """When a row's time begins, in Unix seconds.

    A created thing is billed from the pulling of its image, soon after its creation. A started thing is billed once it
    runs.
    """
    if row.tool == START and sight.since is not None and sight.since >= row.begun:
        return sight.since
    return row.begun if (waited := _facts(row).waited_until) is None else waited


def _unseen_end(row: Job, sight: Sight, running: Decimal) -> float | None:
    """When something stopped that was never seen running. None if it may not have come up yet.

    If Novita does not tell, it ran at most until now, and counts no more than its estimate.
    """
    if sight.until is not None and row.begun <= sight.until <= sight.at:
        return sight.until
    if row.tool == START and sight.state == "rests":
        if sight.at - row.begun < SHOWS_THE_STATE_BEFORE:
            return None
        if sight.until is not None and sight.until < row.begun:
            return row.begun  # it never started
    return min(sight.at, row.begun + float(row.taken / running * DAY)) if running else sight.at


def _begin(meters: Meters, row: Job, at: float, usd_per_day: Decimal) -> Job:
    """Begin to meter a row's time. A payment in advance is counted as well."""
    facts = GpuFacts(metered_from=at, rests_since=None)
    return _set(meters, row, usd_per_day, at, running=True, paid=_facts(row).term_usd, facts=facts)


def _set(
    meters: Meters,
    row: Job,
    usd_per_day: Decimal,
    at: float,
    *,
    running: bool,
    paid: Decimal | None = None,
    facts: GpuFacts | None = None,
) -> Job:
    """Set a row's rate, and note facts.

    A thing that costs nothing now counts only its metered time; if none was metered yet, its estimate stays.
    """
    if facts is not None:
        row = meters.note(row, facts)
    holds = running and (usd_per_day > 0 or not row.usd_per_day)
    return meters.set_rate(row, usd_per_day, at=at, running=holds, over=False if running else None, paid=paid)


def _settle_growth(meters: Meters, row: Job, newest: Job | None, sight: Sight) -> None:
    """Settle a growth whose effect was seen: the row of the thing that grew counts it, or, if that thing has no row,
    the growth's own row is metered."""
    if row.state is JobState.UNCONFIRMED:
        if sight.size_gb is None or sight.size_gb < (_facts(row).to_gb or 0):
            if sight.at - row.begun > GONE_AFTER:
                meters.end(row, JobState.CANCELLED, reason="It did not grow.", free=True)
            return
        row = meters.end(row, JobState.SUCCEEDED)
    if newest is None or not _begun(newest):
        row = meters.note(row, GpuFacts(resource=_facts(row).of))
        _begin(meters, row, row.begun, _facts(row).adds_usd_per_day or Decimal(0))
        return
    meters.note(row, GpuFacts(moved_to=newest.key))
    meters.take(row, Decimal(0))
    if newest.usd_per_day and newest.facts.usd is None:
        meters.take_more(newest, row.taken)


async def open_meters(journal: Journal, owner: str | None) -> list[OpenMeter]:
    """Everything that still costs money, the most expensive first. An `owner` of None means all owners."""
    return await journal.meter(lambda meters: meters.open(owner))
