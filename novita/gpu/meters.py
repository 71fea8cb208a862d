"""What machines and volumes cost as time goes on: their rows of the journal follow what is seen of them.

A row about a machine or volume names it in `facts["resource"]` and notes its price. Of several rows (a machine's
creation, each later start) the newest one counts, from when it was seen to cost; the others ended when it began.
Growing a disk or volume raises the rate of that row, and the growth's own row then counts nothing; where the thing has
no row here, because it was made elsewhere, the growth's row counts what it adds. Looking again changes nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from ..journal.databases import Db
from ..journal.journal import MICRO, JobState, Journal, micro
from ..journal.meters import set_rate_in
from .instances import BILLED_STATES, Instance, disk_usd_per_hour
from .products import VOLUME_GB_DAY
from .resources import Volume

START = "start_gpu_instance"
MACHINES = ("create_gpu_instance", START)
VOLUMES = ("save_gpu_volume",)
DISKS = ("edit_gpu_instance",)

WAITING = ("toCreate", "creating")
"""States of an instance before it costs."""
SHOWS_THE_STATE_BEFORE = 20.0
"""Seconds after a start in which an instance may still be shown as it was."""
GONE_AFTER = 120.0
"""Seconds after which a thing that no list shows is gone."""
_KEPT = 7 * 86_400.0
"""Seconds for which a stopped instance keeps its disk (x-billing of the facts)."""
_DAY = 86_400


@dataclass(frozen=True)
class Sight:
    """What was seen of a thing. Times are Unix seconds, money USD a day.

    Args:
        running: What it costs, or would cost while it runs; None: as its row notes.
        resting: What it goes on costing while it rests.
        since: When it began to run last, and `until` when it stopped last, as far as Novita says.
    """

    resource: str
    at: float
    state: Literal["waits", "runs", "rests", "gone"]
    running: Decimal | None = None
    resting: Decimal = Decimal(0)
    since: float | None = None
    until: float | None = None
    size_gb: int | None = None


@dataclass
class _MeterRow:
    """A row of the journal about the thing."""

    key: str
    tool: str
    state: JobState
    created: float
    counted: int
    rate: int | None
    rate_since: float | None
    facts: dict[str, Any]

    @property
    def grows(self) -> bool:
        return "to_gb" in self.facts

    @property
    def begun(self) -> bool:
        """Whether its time has counted."""
        return "metered_from" in self.facts

    @property
    def rests_since(self) -> float | None:
        return self.facts.get("rests_since")


def price_facts(
    usd_per_hour: Decimal | None, disk_gb: int, billing: str, term_usd: Decimal | None = None
) -> dict[str, Any]:
    """Facts of a machine's row about its price, root disk included.

    Args:
        term_usd: What was paid in advance.
    """
    made: dict[str, Any] = {"disk_gb": disk_gb, "billing": billing}
    if usd_per_hour is not None and billing != "monthly":  # then only the disk goes on costing
        made["usd_per_hour"] = f"{usd_per_hour:f}"
    if term_usd is not None:
        made["term_usd"] = f"{term_usd:f}"
    return made


def noted_usd_per_hour(facts: dict[str, Any], instance: Instance) -> Decimal | None:
    """What an instance costs while it runs, by the price its row notes and its disk of now. None: no such price."""
    disk = _disk(instance)
    if instance.billing_mode == "monthly":
        return disk
    noted = facts.get("usd_per_hour")
    if noted is None or facts.get("billing", "onDemand") != (instance.billing_mode or "onDemand"):
        return None
    before = disk_usd_per_hour(facts["disk_gb"]) if instance.kind != "cpu" and "disk_gb" in facts else disk
    return Decimal(noted) - before + disk


def _disk(instance: Instance) -> Decimal:
    """USD an hour of the root disk."""
    return disk_usd_per_hour(instance.rootfs_size or 0) if instance.kind != "cpu" else Decimal(0)


async def follow_instance(
    journal: Journal, owner: str, instance: Instance, *, usd_per_hour: Decimal | None = None
) -> None:
    """Bring an instance's rows up to what was just seen of it.

    Args:
        usd_per_hour: While it runs, for where its rows note no price.
    """
    if instance.gone:
        await follow_gone(journal, owner, instance.id, sure=True)
        return
    state = _state_of(instance)
    if state is None:
        return  # on its way: it tells when it has arrived

    def write(db: Db) -> None:
        rows = _rows(db, owner, instance.id)
        priced = [row for row in rows if row.tool in MACHINES]
        running = noted_usd_per_hour(priced[-1].facts, instance) if priced else None
        running = usd_per_hour if running is None else running
        sight = Sight(
            instance.id,
            journal.wall(),
            state,
            running=running * 24 if running is not None else None,
            resting=_disk(instance) * 24,
            since=_seconds(instance.since),
            until=_seconds(instance.until),
            size_gb=instance.rootfs_size,
        )
        _follow(db, rows, sight)

    await journal.transact(write)


def _state_of(instance: Instance) -> Literal["waits", "runs", "rests"] | None:
    if instance.status in WAITING:
        return "waits"
    if instance.status == "exited":
        return "rests"
    return "runs" if instance.status in BILLED_STATES else None


async def follow_volume(journal: Journal, owner: str, volume: Volume) -> None:
    """Bring a volume's rows up to what was just seen of it."""
    if volume.storage_size is None:
        return
    rate = volume.storage_size * VOLUME_GB_DAY
    sight = Sight(volume.storage_id, journal.wall(), "runs", running=rate, size_gb=volume.storage_size)
    await journal.transact(lambda db: _follow(db, _rows(db, owner, sight.resource), sight))


async def follow_gone(journal: Journal, owner: str, resource: str, *, sure: bool = False) -> None:
    """Bring the rows of a machine or volume to their end: it is gone.

    Args:
        sure: Otherwise it is only not to be seen, as what was just made may be.
    """
    sight = Sight(resource, journal.wall(), "gone")

    def write(db: Db) -> None:
        rows = _rows(db, owner, resource)
        if sure or all(sight.at - row.created > GONE_AFTER for row in rows):
            _follow(db, rows, sight)

    await journal.transact(write)


def _seconds(when: datetime | None) -> float | None:
    return when.timestamp() if when is not None else None


def _rows(db: Db, owner: str, resource: str) -> list[_MeterRow]:
    """Rows about a thing that may cost, oldest first. A growth names what it grows as `of`."""
    db.lock(f"meters of {owner} {resource}")
    tools = (*MACHINES, *VOLUMES, *DISKS)
    found = db.execute(
        "SELECT key, tool, state, created, counted_micro, rate_micro_day, rate_since, facts FROM jobs"  # noqa: S608  # all ours
        f" WHERE owner = ? AND tool IN ({', '.join('?' * len(tools))})"
        f" AND ({db.fact('facts', 'resource')} = ? OR {db.fact('facts', 'of')} = ?)"
        " AND state NOT IN ('submitting', 'refused') AND NOT (state = 'cancelled' AND counted_micro = 0)"
        " ORDER BY created",
        (owner, *tools, resource, resource),
    ).fetchall()
    return [
        _MeterRow(
            key=row["key"],
            tool=row["tool"],
            state=JobState(row["state"]),
            created=row["created"],
            counted=row["counted_micro"],
            rate=row["rate_micro_day"],
            rate_since=row["rate_since"],
            facts=json.loads(row["facts"]),
        )
        for row in found
    ]


def _follow(db: Db, rows: Sequence[_MeterRow], sight: Sight) -> None:
    mine = [row for row in rows if not row.grows]
    newest = mine[-1] if mine else None
    if newest is not None:
        _follow_newest(db, newest, sight, since=_grown_at(rows, sight))
    for row in rows:
        if row is newest or not row.rate:
            continue
        if newest is not None and newest.begun:
            _set(db, row, Decimal(0), newest.facts["metered_from"], running=False)
        elif sight.state == "gone":
            _set(db, row, Decimal(0), sight.at, running=False)
    for row in rows:
        if row.grows and not row.begun and "moved_to" not in row.facts and sight.state != "gone":
            _settle_growth(db, row, newest, sight)


def _grown_at(rows: Sequence[_MeterRow], sight: Sight) -> float:
    """When what it costs may have changed: as it was grown, where the answer to that was lost; else now."""
    fresh = [row for row in rows if row.grows and not row.begun and "moved_to" not in row.facts]
    grown = [row.created for row in fresh if (sight.size_gb or 0) >= row.facts["to_gb"]]
    return max(grown, default=sight.at)


def _follow_newest(db: Db, row: _MeterRow, sight: Sight, *, since: float) -> None:
    if "usd" in row.facts:
        return  # the bill had the last word
    if sight.state == "waits":
        if not row.begun:
            _note(db, row, {"waited_until": sight.at})
        return
    now, running = sight.at, sight.running
    if running is None and (noted := row.facts.get("usd_per_hour")) is not None:
        running = Decimal(noted) * 24
    if running is None and not row.begun:  # nobody tells its price: it keeps what stands for that
        _note(db, row, {"rests_since": None if sight.state == "runs" else row.rests_since or now})
        return
    if sight.state == "runs":
        if running is None:
            return
        if not row.begun:
            _begin(db, row, _began(row, sight), running)
        elif (rested := row.rests_since) is not None:
            back = sight.since if sight.since is not None and sight.since > rested else now
            _set(db, row, running, back, running=True, rests_since=None)
        elif (row.rate or 0) != micro(running):
            _set(db, row, running, since, running=True)
        return
    if not row.begun:
        assert running is not None
        if (end := _unseen_end(row, sight, running)) is None:
            return
        begin = min(_began(row, sight), end)
        _begin(db, row, begin, running)
        _set(db, row, sight.resting, end, running=False, rests_since=end)
    elif (rested := row.rests_since) is None:
        last = row.rate_since or row.facts["metered_from"]
        end = sight.until if sight.until is not None and last <= sight.until <= now else now
        _set(db, row, sight.resting, end, running=False, rests_since=end)
    elif (row.rate or 0) != micro(sight.resting):
        forgotten = sight.state == "gone" and sight.until is None and row.tool in MACHINES
        kept = max(rested + _KEPT, row.facts.get("kept_until", 0.0))
        _set(db, row, sight.resting, min(now, kept) if forgotten else since, running=False)
    elif row.rate and now > rested + _KEPT:  # its term is paid: it is kept for longer
        _note(db, row, {"kept_until": now})


def _began(row: _MeterRow, sight: Sight) -> float:
    """When a row's time begins: a created thing costs from pulling on, soon after; a started one once it runs."""
    if row.tool == START and sight.since is not None and sight.since >= row.created:
        return sight.since
    return row.facts.get("waited_until", row.created)


def _unseen_end(row: _MeterRow, sight: Sight, running: Decimal) -> float | None:
    """When something stopped that was never seen running; None: it may only not show yet.

    Where Novita does not tell, it ran at most until now, and counts no more than its estimate.
    """
    if sight.until is not None and row.created <= sight.until <= sight.at:
        return sight.until
    if row.tool == START and sight.state == "rests":
        if sight.at - row.created < SHOWS_THE_STATE_BEFORE:
            return None
        if sight.until is not None and sight.until < row.created:
            return row.created  # it never started
    taken = row.counted / MICRO
    return min(sight.at, row.created + float(taken / running * _DAY)) if running else sight.at


def _begin(db: Db, row: _MeterRow, at: float, usd_per_day: Decimal) -> None:
    """A row's time begins to count; what was paid in advance stays counted besides."""
    if (term := row.facts.get("term_usd")) is not None:
        db.execute("UPDATE jobs SET metered_micro = ? WHERE key = ?", (micro(Decimal(term)), row.key))
    _set(db, row, usd_per_day, at, running=True, metered_from=at, rests_since=None)


def _set(db: Db, row: _MeterRow, usd_per_day: Decimal, at: float, *, running: bool, **facts: Any) -> None:
    """Set a row's rate and note facts. What costs nothing now counts its time alone, unless none has counted yet."""
    if facts:
        _note(db, row, facts)
    holds = running and (usd_per_day > 0 or not row.rate)
    set_rate_in(db, row.key, usd_per_day, at=at, running=holds, over=False if running else None)
    row.rate, row.rate_since = micro(usd_per_day) or None, at if usd_per_day else None


def _note(db: Db, row: _MeterRow, facts: dict[str, Any]) -> None:
    # As they are now: `set_rate_in`, and others, note facts of their own.
    db.lock(f"job {row.key}")
    now: dict[str, Any] = json.loads(db.execute("SELECT facts FROM jobs WHERE key = ?", (row.key,)).fetchone()["facts"])
    row.facts = {name: value for name, value in {**now, **facts}.items() if value is not None}
    db.execute("UPDATE jobs SET facts = ? WHERE key = ?", (json.dumps(row.facts), row.key))


def _settle_growth(db: Db, row: _MeterRow, newest: _MeterRow | None, sight: Sight) -> None:
    """A growth whose effect was seen: what it took is taken by the row of what grew, or its own time counts."""
    if row.state is JobState.UNCONFIRMED:
        if sight.size_gb is None or sight.size_gb < row.facts["to_gb"]:
            if sight.at - row.created > GONE_AFTER:
                db.execute(
                    "UPDATE jobs SET state = 'cancelled', reason = ?, counted_micro = 0 WHERE key = ?",
                    ("It did not grow.", row.key),
                )
            return
        db.execute("UPDATE jobs SET state = 'succeeded', finished = ? WHERE key = ?", (sight.at, row.key))
    if newest is None or not newest.begun:
        _note(db, row, {"resource": row.facts["of"]})
        _begin(db, row, row.created, Decimal(row.facts["adds_usd_per_day"]))
        return
    _note(db, row, {"moved_to": newest.key})
    db.execute("UPDATE jobs SET counted_micro = 0 WHERE key = ?", (row.key,))
    if newest.rate and "usd" not in newest.facts:
        db.execute("UPDATE jobs SET counted_micro = counted_micro + ? WHERE key = ?", (row.counted, newest.key))


# What goes on costing


@dataclass(frozen=True)
class OpenMeter:
    """Something that costs as time goes on, by the journal. `usd` is what came up since `since`, USD."""

    resource: str
    tool: str
    name: str
    usd_per_hour: Decimal
    usd: Decimal
    since: datetime


async def open_meters(journal: Journal, owner: str) -> list[OpenMeter]:
    """Everything of an owner that goes on costing, dearest first."""

    def read(db: Db) -> list[OpenMeter]:
        now = journal.wall()
        rows = db.execute(
            "SELECT tool, title, task_id, key, created, facts, rate_micro_day, rate_since, metered_micro FROM jobs"
            " WHERE owner = ? AND rate_micro_day IS NOT NULL",
            (owner,),
        ).fetchall()
        found: list[OpenMeter] = []
        for row in rows:
            facts: dict[str, Any] = json.loads(row["facts"])
            paid = micro(Decimal(facts.get("term_usd", 0)))
            come_up = int(max(0.0, now - row["rate_since"]) * row["rate_micro_day"] / _DAY)
            found.append(
                OpenMeter(
                    resource=str(facts.get("resource") or row["task_id"] or row["key"][:12]),
                    tool=row["tool"],
                    name=row["title"],
                    usd_per_hour=Decimal(row["rate_micro_day"]) / MICRO / 24,
                    usd=Decimal(row["metered_micro"] - paid + come_up) / MICRO,
                    since=datetime.fromtimestamp(facts.get("metered_from", row["created"]), UTC),
                )
            )
        return sorted(found, key=lambda each: (-each.usd_per_hour, each.since))

    return await journal.transact(read)
