"""The type of a journal row, a paid job, and how rows are read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..core.money import MICRO
from ..core.this_machine import is_alive, this_host
from ..files.artifacts import Artifact
from .databases import Db, Rows
from .facts import F, Facts, read_facts, written
from .segments import RATE, Segment, cost_at, segments_of

_ABANDONED_AFTER = 300.0
"""Seconds after which a submit of an unreachable process counts as dead; no submit takes this long."""
_EVERYTHING = 2**62


class JobState(StrEnum):
    """The state of a paid job."""

    SUBMITTING = "submitting"
    UNCONFIRMED = "unconfirmed"  # sent, but nobody knows whether Novita took it
    WORKING = "working"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"  # Novita said no: nothing billed
    CANCELLED = "cancelled"


OPEN_STATES = (JobState.SUBMITTING, JobState.UNCONFIRMED, JobState.WORKING)
FINAL_STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.REFUSED, JobState.CANCELLED)


class Job(BaseModel):
    """One paid job as the journal knows it. Times are UTC; money is USD.

    Args:
        counted: Its cost at the time it was read, as far as it is known; this is what the caps count.
        taken: The stored amount, which is not from segments: its estimate, or its known cost.
        usd_per_day: Its current rate; None if it no longer costs anything.
        segments: The spans of time for which it was billed, oldest first, if they were read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    owner: str
    task_id: str | None
    kind: str
    tool: str
    model: str
    title: str
    state: JobState
    reason: str
    estimate: Decimal | None
    counted: Decimal = Decimal(0)
    taken: Decimal = Decimal(0)
    usd_per_day: Decimal | None = None
    created: datetime
    accepted: datetime | None
    finished: datetime | None
    facts: Facts
    artifacts: tuple[Artifact, ...] = ()
    segments: tuple[Segment, ...] = ()

    @property
    def begun(self) -> float:
        """When it was noted, in Unix seconds."""
        return self.created.timestamp()

    def facts_as(self, kind: type[F]) -> F:
        """Its facts if they are of that kind; otherwise empty facts."""
        return self.facts if isinstance(self.facts, kind) else kind()

    @property
    def going_on(self) -> Segment | None:
        """The open segment; None if there is none or segments were not read."""
        return next((segment for segment in reversed(self.segments) if segment.until is None), None)


@dataclass(frozen=True)
class Reader:
    """Reads rows for one process, at one moment.

    Args:
        run: The id of this server run. A submit of this run is still under way.
        now: Unix seconds.
    """

    run: str
    now: float

    def one(self, db: Db, where: str, values: Sequence[Any]) -> Job:
        return self.many(db, where, values, 1)[0]

    def many(self, db: Db, where: str, values: Sequence[Any], limit: int = _EVERYTHING, offset: int = 0) -> list[Job]:
        """Jobs, newest first."""
        return [self.job(db, row) for row in self.select(db, where, values, limit, offset).fetchall()]

    def select(self, db: Db, where: str, values: Sequence[Any], limit: int = _EVERYTHING, offset: int = 0) -> Rows:
        """Rows of jobs, newest first, each with its cost until now."""
        return db.execute(
            f"SELECT *, {cost_at(self.now)} AS cost_micro, {RATE} AS rate_micro FROM jobs WHERE {where}"  # noqa: S608  # all ours
            " ORDER BY created DESC, rowid DESC LIMIT ? OFFSET ?",
            (*values, limit, offset),
        )

    def metered(self, db: Db, where: str, values: Sequence[Any]) -> list[Job]:
        """Jobs with their segments, and without their files, oldest first."""
        rows = self.select(db, where, values).fetchall()
        return [self.job(db, row, metered=True) for row in reversed(rows)]

    def state(self, row: Any) -> tuple[JobState, str]:
        """The state a row reads as, and the reason."""
        state = JobState(row["state"])
        if state is JobState.SUBMITTING and not self._in_flight(row):
            reason = "The server stopped while this was being sent; Novita may have accepted and billed it."
            return JobState.UNCONFIRMED, reason
        return state, row["reason"]

    def job(self, db: Db, row: Any, *, metered: bool = False) -> Job:
        """A row as a job, with its segments if `metered`, otherwise with its files."""
        state, reason = self.state(row)
        return Job(
            key=row["key"],
            owner=row["owner"],
            task_id=row["task_id"],
            kind=row["kind"],
            tool=row["tool"],
            model=row["model"],
            title=row["title"],
            state=state,
            reason=reason,
            estimate=None if row["estimate_micro"] is None else Decimal(row["estimate_micro"]) / MICRO,
            counted=Decimal(row["cost_micro"]) / MICRO,
            taken=Decimal(row["counted_micro"]) / MICRO,
            usd_per_day=None if row["rate_micro"] is None else Decimal(row["rate_micro"]) / MICRO,
            created=utc(row["created"]),
            accepted=utc(row["accepted"]) if row["accepted"] is not None else None,
            finished=utc(row["finished"]) if row["finished"] is not None else None,
            facts=read_facts(row["kind"], row["facts"]),
            artifacts=() if metered else artifacts_of(db, row["owner"], row["task_id"]),
            segments=segments_of(db, row["key"]) if metered else (),
        )

    def is_orphan(self, db: Db, key: str) -> bool:
        """Whether the process that began a job has ended, as far as this machine can tell."""
        row: Any = db.execute("SELECT run, host, pid FROM jobs WHERE key = ?", (key,)).fetchone()
        if row is None or row["run"] == self.run or row["host"] != this_host():
            return False
        return not is_alive(row["pid"])

    def _in_flight(self, row: Any) -> bool:
        """Whether the process that began this submit may still be sending it."""
        if row["run"] == self.run:
            return True
        if self.now - row["created"] > _ABANDONED_AFTER:
            return False
        # A process on another machine cannot be checked, so only the row's age decides. Old rows name no machine.
        return row["host"] not in ("", this_host()) or is_alive(row["pid"])


def artifacts_of(db: Db, owner: str, task_id: str | None) -> tuple[Artifact, ...]:
    """The noted files of a task."""
    found = db.execute(
        "SELECT data FROM artifacts WHERE owner = ? AND task_id = ? ORDER BY idx", (owner, task_id)
    ).fetchall()
    return tuple(Artifact.model_validate(json.loads(data)) for (data,) in found)


def put_artifacts(db: Db, owner: str, task_id: str, artifacts: Sequence[Artifact]) -> None:
    """Replace the noted files of a task."""
    db.execute("DELETE FROM artifacts WHERE owner = ? AND task_id = ?", (owner, task_id))
    for artifact in artifacts:
        db.execute(
            "INSERT INTO artifacts (owner, task_id, idx, data) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (owner, task_id, idx) DO UPDATE SET data = excluded.data",
            # A path may hold bytes that are not UTF-8; JSON's escapes keep them unchanged.
            (owner, task_id, artifact.index, json.dumps(artifact.model_dump(mode="json", exclude_none=True))),
        )


def put_facts(db: Db, key: str, facts: Facts) -> None:
    """Add facts to a row; a fact set to None is removed."""
    row = db.execute("SELECT kind, facts FROM jobs WHERE key = ?", (key,)).fetchone()
    if row is None:
        return
    kind, text = row
    db.execute("UPDATE jobs SET facts = ? WHERE key = ?", (written(kind, read_facts(kind, text).with_(facts)), key))


def utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
