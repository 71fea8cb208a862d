"""Changes of rows that must not be lost: a change that cannot be written now is kept in memory until it can.

A paid job's answer comes only once. If the database is locked or the disk is full at that moment, the change is
"owed": it is written with the next transaction that succeeds, and until then the row reads as if it were written.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..core.errors import JournalError
from ..core.money import micro
from ..core.this_machine import this_host
from ..files.artifacts import Artifact
from .databases import Db, Store
from .facts import Facts, written
from .rows import FINAL_STATES, Job, JobState, put_artifacts, put_facts, utc

logger = logging.getLogger(__name__)

Work = Callable[[Db], object]


@dataclass(frozen=True, kw_only=True)
class Change:
    """New values of a job's row. Times are Unix seconds. None leaves a value as it is, except for `finished`."""

    key: str
    state: JobState
    reason: str = ""
    task_id: str | None = None
    accepted: float | None = None
    finished: float | None = None
    counted: Decimal | None = None
    artifacts: Sequence[Artifact] | None = None
    facts: Facts | None = None

    def write(self, db: Db) -> None:
        """Update the row. If the row no longer exists, do nothing."""
        db.lock(f"job {self.key}")
        row = db.execute("SELECT owner, task_id FROM jobs WHERE key = ?", (self.key,)).fetchone()
        if row is None:
            return
        owner, known = row
        if self.task_id is not None and self.task_id != known:
            _take_id(db, owner, self.key, self.task_id)
        if self.facts is not None:
            put_facts(db, self.key, self.facts)
        db.execute(
            "UPDATE jobs SET state = ?, reason = ?, task_id = COALESCE(?, task_id),"
            " accepted = COALESCE(?, accepted), finished = ?, counted_micro = COALESCE(?, counted_micro)"
            " WHERE key = ?",
            (
                self.state,
                self.reason,
                self.task_id,
                self.accepted,
                self.finished,
                None if self.counted is None else micro(self.counted),
                self.key,
            ),
        )
        if self.artifacts is not None:
            put_artifacts(db, owner, self.task_id or known, self.artifacts)

    def applied(self, job: Job) -> Job:
        """The job with this change."""
        changed: dict[str, object] = {"state": self.state, "reason": self.reason}
        if self.task_id is not None:
            changed["task_id"] = self.task_id
        if self.accepted is not None:
            changed["accepted"] = utc(self.accepted)
        changed["finished"] = utc(self.finished) if self.finished is not None else None
        if self.counted is not None:
            changed |= {"counted": self.counted, "taken": self.counted}
        if self.artifacts is not None:
            changed["artifacts"] = tuple(self.artifacts)
        if self.facts is not None:
            changed["facts"] = job.facts.with_(self.facts)
        return job.model_copy(update=changed)


def _take_id(db: Db, owner: str, key: str, task_id: str) -> None:
    """Take this task id away from any other row of the owner.

    A row that was only made to look the task up, at no cost, was about this same job. Of two paid rows the newer one
    keeps the task id; the older one can still be found by its key.
    """
    other = db.execute(
        "SELECT key, model, estimate_micro, counted_micro, title FROM jobs"
        " WHERE owner = ? AND task_id = ? AND key <> ?",
        (owner, task_id, key),
    ).fetchone()
    if other is None:
        return
    looked_up = not other["model"] and other["estimate_micro"] == 0 and not other["counted_micro"]
    if looked_up and task_id.startswith(other["title"]):
        db.execute("DELETE FROM jobs WHERE key = ?", (other["key"],))
        return
    logger.warning("Novita gave the id %s to two jobs", task_id)
    apart = f"{task_id}#{other['key'][:12]}"
    db.execute("UPDATE jobs SET task_id = ? WHERE key = ?", (apart, other["key"]))
    db.execute("UPDATE artifacts SET task_id = ? WHERE owner = ? AND task_id = ?", (apart, owner, task_id))


def put_back(db: Db, job: Job, run: str) -> None:
    """Write the row of one of this process's jobs again if it no longer exists."""
    db.execute(
        "INSERT INTO jobs (key, owner, task_id, kind, tool, model, title, state, reason, estimate_micro, counted_micro,"
        " run, pid, host, created, accepted, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (
            job.key,
            job.owner,
            job.task_id,
            job.kind,
            job.tool,
            job.model,
            job.title,
            job.state,
            job.reason,
            None if job.estimate is None else micro(job.estimate),
            micro(job.taken),
            run,
            os.getpid(),
            this_host(),
            job.begun,
            job.accepted.timestamp() if job.accepted is not None else None,
            written(job.kind, job.facts),
        ),
    )


class Owed:
    """The changes that are still to be written, in order, and this process's open jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._works: list[tuple[Work, Change | None]] = []
        self._open: dict[str, Job] = {}

    def __bool__(self) -> bool:
        return bool(self._works)

    def __len__(self) -> int:
        return len(self._works)

    def remember(self, job: Job) -> None:
        """Keep a copy of an open job of this process, for when its row cannot be read."""
        if job.state in FINAL_STATES and not self.concerns(job.key):
            self._open.pop(job.key, None)
        elif job.key in self._open or job.state is JobState.SUBMITTING:
            self._open[job.key] = job

    @property
    def open_jobs(self) -> list[Job]:
        """Jobs that this process began and that have not ended."""
        return list(self._open.values())

    def concerns(self, key: str) -> bool:
        """Whether a change of this job is still to be written."""
        return any(change is not None and change.key == key for _, change in self._works)

    def add(self, work: Work, change: Change | None, why: JournalError) -> None:
        """Keep a change that could not be written."""
        logger.warning("kept in memory until the journal can be written: %s", why)
        self._works.append((work, change))
        if change is not None and (job := self._open.get(change.key)) is not None:
            self._open[change.key] = change.applied(job)

    def knows(self, key: str) -> Job | None:
        """The job with its unwritten changes; None if it has none."""
        return self._open.get(key) if self.concerns(key) else None

    def find(self, owner: str, task_id: str) -> Job | None:
        """As `knows`, by the task id or the beginning of the key."""
        for key, job in self._open.items():
            if job.owner == owner and (job.task_id == task_id or key[:12] == task_id[:12]) and self.concerns(key):
                return job
        return None

    def pay(self) -> bool:
        """Write all owed changes in one transaction, and return whether none is left. One thread at a time."""
        works = list(self._works)

        def write(db: Db) -> None:
            db.lock("owed")
            for work, _ in works:
                work(db)

        try:
            self._store.run(write)
        except JournalError as error:
            logger.debug("still not written: %s", error)
            return False
        del self._works[: len(works)]
        for _, change in works:
            if change is not None and change.state in FINAL_STATES and not self.concerns(change.key):
                self._open.pop(change.key, None)
        return not self._works
