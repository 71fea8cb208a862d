"""The journal: every paid job, noted before it is sent, so that nothing paid for is ever lost.

One SQLite file per user, or one PostgreSQL for a team, shared by any number of server processes. A job's row is
written before its submit, gets its task id as soon as that is known, and its outcome at the end. A row that a dead
process left between the first two reads as `unconfirmed`: it may have been accepted. Secrets and request bodies are
never written.
"""

import itertools
import json
import os
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
from pydantic import BaseModel, ConfigDict

from ..core.clock import Clock, SystemClock
from ..core.costs import Caps, Cost
from ..core.errors import JournalError, SpendRefusedError
from ..files.artifacts import Artifact
from .carrying import carry_over
from .databases import Db, Rows, is_alive, open_store, this_host
from .joining import Given, SameCall
from .schema import MIGRATIONS, cost_at, cost_since

T = TypeVar("T")

MICRO = Decimal(1_000_000)
_ABANDONED_AFTER = 300.0
"""Seconds after which a submit of an unknown process is taken for dead; longer than any submit may take."""

_CARRY_EVERY = 5.0
"""Seconds between two looks for what a process of 0.1.0 wrote."""

_EVERYTHING = 2**62
_SAME_CALLS = 8
"""Rows of the same call that are looked at, newest first."""
_COSTS_SINCE = "owner = ? AND (created >= ? OR rate_micro_day IS NOT NULL)"


class JobState(StrEnum):
    """Where a paid job stands."""

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
        counted: What it costs as far as is known, until it was read; this is what the caps count.
        usd_per_day: What it goes on costing; None: nothing.
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
    usd_per_day: Decimal | None = None
    created: datetime
    accepted: datetime | None
    finished: datetime | None
    facts: dict[str, Any]
    artifacts: tuple[Artifact, ...] = ()


class Joined(Exception):  # a detour, not an error
    """Nothing was begun: the same call has begun this job already."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"joins {job.key[:12]}")
        self.job = job


class Journal:
    """Async door to the rows. Without a path or a URL they are kept in memory, for this process only.

    Args:
        path: A SQLite file of this user.
        url: A PostgreSQL database for any number of servers, in place of the file.
    """

    def __init__(self, path: Path | None, *, url: str | None = None, clock: Clock | None = None) -> None:
        self.path = path
        self.lasting = bool(path or url)
        self.run = uuid.uuid4().hex
        self._clock = clock or SystemClock()
        self._store = open_store(path, url, MIGRATIONS)
        self._carried = float("-inf")
        self.given = Given()

    @property
    def label(self) -> str:
        """What to call it: its file, or its database without the password."""
        return self._store.label

    async def begin(
        self,
        *,
        owner: str,
        kind: str,
        tool: str,
        model: str,
        title: str,
        cost: Cost,
        caps: Caps | None = None,
        facts: dict[str, Any] | None = None,
        same: SameCall | None = None,
    ) -> Job:
        """Note a job before it is sent. The row is on disk when this returns.

        Raises:
            SpendRefusedError: It would pass a cap. JournalError: the file cannot be written.
            Joined: The same call began a job before, which is joined; nothing was noted.
        """
        key = uuid.uuid4().hex
        caps = caps or Caps()
        counted, estimate = caps.counted(cost), cost.usd

        def write(db: Db) -> Job:
            db.lock(f"spending of {owner}")
            now = self._clock.wall()
            if same is not None and (earlier := self._earlier(db, owner, same, now)) is not None:
                raise Joined(earlier)
            self._refuse_over_cap(db, owner, cost, caps, now)
            db.execute(
                "INSERT INTO jobs (key, owner, kind, tool, model, title, state, estimate_micro, counted_micro,"
                " run, pid, host, created, facts, same) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    owner,
                    kind,
                    tool,
                    model,
                    title[:200],
                    JobState.SUBMITTING,
                    None if estimate is None else micro(estimate),
                    micro(counted),
                    self.run,
                    os.getpid(),
                    this_host(),
                    now,
                    json.dumps(facts or {}),
                    same.key if same is not None else None,
                ),
            )
            return self._one(db, "key = ?", (key,))

        try:
            return await self._do(write)
        except JournalError as error:
            error.billed = "no"  # what cannot be noted is not sent
            raise

    async def earlier(self, owner: str, same: SameCall) -> Job | None:
        """The job that this call would join now.

        Raises:
            JournalError: The journal cannot be read; nothing was sent.
        """
        if same.again:
            return None
        try:
            return await self._do(lambda db: self._earlier(db, owner, same, self._clock.wall()))
        except JournalError as error:
            error.billed = "no"
            raise

    def _earlier(self, db: Db, owner: str, same: SameCall, now: float) -> Job | None:
        if same.again:
            return None
        found = self._many(db, "owner = ? AND same = ? AND delivered IS NULL", (owner, same.key), _SAME_CALLS)
        return next((job for job in found if job.key not in self.given and same.fits(job, now)), None)

    async def row(self, key: str) -> Job | None:
        """The job with exactly this key."""

        def read(db: Db) -> Job | None:
            found = self._many(db, "key = ?", (key,), 1)
            return found[0] if found else None

        return await self._do(read)

    async def note_given(self) -> None:
        """Write down what was given; what cannot be written is kept for the next time.

        Raises:
            JournalError: The journal cannot be written.
        """
        self.given.written(await self._do(lambda db: self.given.write(db, self._clock.wall())))

    def _refuse_over_cap(self, db: Db, owner: str, cost: Cost, caps: Caps, now: float) -> None:
        counted = caps.counted(cost)
        said = "is estimated at" if cost.known else "has no known price, is counted as at most"
        if caps.per_call is not None and counted > caps.per_call:
            raise SpendRefusedError(
                f"This call {said} ${counted} and the cap per call is ${caps.per_call}",
                next_step="Ask for less, or have the user raise the cap.",
            )
        midnight = now - now % 86_400
        whole = cost_at(now)
        # What was started before today counts with what it costs today.
        today = f"CASE WHEN created >= {midnight:.0f} THEN {whole} ELSE {cost_since(midnight, now)} END"
        for cap, sum_of, where, values, name in (
            (caps.per_run, whole, "owner = ? AND run = ?", (owner, self.run), "this server run"),
            (caps.per_day, today, _COSTS_SINCE, (owner, midnight), "today"),
        ):
            if cap is None:
                continue
            row = db.execute(f"SELECT COALESCE(SUM({sum_of}), 0) FROM jobs WHERE {where}", values).fetchone()  # noqa: S608  # all ours
            spent = Decimal(row[0]) / MICRO
            if spent + counted > cap:
                raise SpendRefusedError(
                    f"The spending cap of ${cap} would be passed: ${spent:f} is estimated for {name} "
                    f"and this call adds ${counted:f}",
                    next_step="Ask the user to raise NOVITA_MCP_SPEND_LIMIT_USD, or wait until tomorrow.",
                )

    async def note(self, key: str, **facts: Any) -> None:
        """Add facts to a row whose state does not change."""

        def write(db: Db) -> None:
            db.lock(f"job {key}")
            row = db.execute("SELECT facts FROM jobs WHERE key = ?", (key,)).fetchone()
            merged = json.dumps({**json.loads(row[0]), **facts})
            db.execute("UPDATE jobs SET facts = ? WHERE key = ?", (merged, key))

        await self._do(write)

    async def adopt(self, owner: str, task_id: str, *, kind: str, tool: str) -> Job:
        """The row of a task that was started elsewhere; made now, at no cost, where there is none yet."""

        def write(db: Db) -> Job:
            now = self._clock.wall()
            db.execute(
                "INSERT INTO jobs (key, owner, task_id, kind, tool, model, title, state, estimate_micro, run, pid,"
                " created, accepted) VALUES (?, ?, ?, ?, ?, '', ?, ?, 0, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    uuid.uuid4().hex,
                    owner,
                    task_id,
                    kind,
                    tool,
                    task_id[:200],
                    JobState.WORKING,
                    self.run,
                    os.getpid(),
                    now,
                    now,
                ),
            )
            return self._one(db, "owner = ? AND task_id = ?", (owner, task_id))

        return await self._do(write)

    async def accepted(self, key: str, task_id: str, **facts: Any) -> Job:
        """Novita took it: from now on the task id is known."""
        return await self._change(key, JobState.WORKING, task_id=task_id, accepted=self._clock.wall(), facts=facts)

    async def finish(
        self,
        key: str,
        state: JobState,
        *,
        reason: str = "",
        task_id: str | None = None,
        artifacts: Sequence[Artifact] | None = None,
        counted: Decimal | None = None,
        **facts: Any,
    ) -> Job:
        """Note the outcome. `counted` corrects what the job counts as under the caps (0 for what was not billed)."""
        if counted is None and state is JobState.REFUSED:
            counted = Decimal(0)
        return await self._change(
            key,
            state,
            reason=reason,
            task_id=task_id,
            finished=self._clock.wall(),
            counted=counted,
            artifacts=artifacts,
            facts=facts,
        )

    async def put_artifacts(self, owner: str, task_id: str, artifacts: Sequence[Artifact]) -> None:
        """Replace what is known of a task's files."""

        def write(db: Db) -> None:
            db.lock(f"files of {owner} {task_id}")
            _put_artifacts(db, owner, task_id, artifacts)

        await self._do(write)

    async def find(self, owner: str, task_id: str) -> Job | None:
        """The job with this task id, or whose key begins so (a row that never learnt its task id)."""

        def read(db: Db) -> Job | None:
            where = "owner = ? AND (task_id = ? OR substr(key, 1, 12) = ?)"
            found = self._many(db, where, (owner, task_id, task_id[:12]), 1)
            return found[0] if found else None

        return await self._do(read)

    async def is_strangers(self, owner: str, task_id: str) -> bool:
        """Whether a task is somebody else's, and not this owner's too."""
        owners = "SELECT owner FROM jobs WHERE task_id = ?"
        found = await self._do(lambda db: [row[0] for row in db.execute(owners, (task_id,)).fetchall()])
        return bool(found) and owner not in found

    async def recent(
        self,
        owner: str,
        *,
        limit: int,
        offset: int = 0,
        states: Sequence[JobState] = (),
        kind: str | None = None,
    ) -> list[Job]:
        """Newest first. `states` filters by what a row reads as, unconfirmed ones included."""

        def read(db: Db) -> list[Job]:
            where, values = "owner = ?", [owner]
            if kind:
                where, values = where + " AND kind = ?", [*values, kind]
            if not states:
                return self._many(db, where, values, limit, offset)
            # A row that was being submitted may read as unconfirmed: which it does, only its process can tell.
            stored = {*states, *((JobState.SUBMITTING,) if JobState.UNCONFIRMED in states else ())}
            where, values = f"{where} AND state IN ({', '.join('?' * len(stored))})", [*values, *stored]
            if JobState.SUBMITTING not in stored:
                return self._many(db, where, values, limit, offset)
            with closing(self._select(db, where, values)) as every:
                rows = (row for row in every if self._state(row)[0] in states)
                found = list(itertools.islice(rows, offset, offset + limit))
            return [self._job(db, row) for row in found]

        return await self._do(read)

    async def durations(self, model: str, *, limit: int = 20) -> list[float]:
        """Seconds the last finished jobs of a model took, from accepted to done."""

        def read(db: Db) -> list[float]:
            rows = db.execute(
                "SELECT facts FROM jobs WHERE model = ? AND state = 'succeeded' AND finished IS NOT NULL"
                " ORDER BY finished DESC LIMIT ?",
                (model, limit),
            ).fetchall()
            known = [json.loads(row[0]).get("took") for row in rows]
            return [float(seconds) for seconds in known if seconds is not None]

        return await self._do(read)

    async def spent(self, owner: str, *, since: datetime | None = None) -> Decimal:
        """USD counted under the caps so far."""

        def read(db: Db) -> Decimal:
            cost = cost_at(self._clock.wall())
            row = db.execute(
                f"SELECT COALESCE(SUM({cost}), 0) FROM jobs WHERE owner = ? AND created >= ?",  # noqa: S608  # all ours
                (owner, since.timestamp() if since else 0),
            ).fetchone()
            return Decimal(row[0]) / MICRO

        return await self._do(read)

    def wall(self) -> float:
        """Unix seconds by the journal's clock."""
        return self._clock.wall()

    async def transact(self, work: Callable[[Db], T]) -> T:
        """Run `work` on the open database, for other tables of it. Begin with `db.lock` where it reads and writes.

        Raises:
            JournalError: The database cannot be used.
        """
        return await self._do(work)

    async def close(self) -> None:
        """Close the database. Safe to call twice."""
        await anyio.to_thread.run_sync(self._store.close)

    async def _change(
        self,
        key: str,
        state: JobState,
        *,
        facts: dict[str, Any],
        reason: str = "",
        task_id: str | None = None,
        accepted: float | None = None,
        finished: float | None = None,
        counted: Decimal | None = None,
        artifacts: Sequence[Artifact] | None = None,
    ) -> Job:
        def write(db: Db) -> Job:
            db.lock(f"job {key}")
            row = db.execute("SELECT owner, task_id, facts FROM jobs WHERE key = ?", (key,)).fetchone()
            merged = json.dumps({**json.loads(row[2]), **facts})
            db.execute(
                "UPDATE jobs SET state = ?, reason = ?, task_id = COALESCE(?, task_id),"
                " accepted = COALESCE(?, accepted), finished = ?, counted_micro = COALESCE(?, counted_micro),"
                " facts = ? WHERE key = ?",
                (
                    state,
                    reason,
                    task_id,
                    accepted,
                    finished,
                    None if counted is None else micro(counted),
                    merged,
                    key,
                ),
            )
            if artifacts is not None:
                _put_artifacts(db, row[0], task_id or row[1], artifacts)
            return self._one(db, "key = ?", (key,))

        return await self._do(write)

    async def _do(self, work: Callable[[Db], T]) -> T:
        # Not abandoned on cancel: a row half noted is worse than a millisecond's wait.
        return await anyio.to_thread.run_sync(self._store.run, partial(self._with_all, work))

    def _with_all(self, work: Callable[[Db], T], db: Db) -> T:
        """`work` on rows that are all where they belong, those of a process of 0.1.0 too."""
        if time.monotonic() - self._carried > _CARRY_EVERY:
            carry_over(db)
            self._carried = time.monotonic()
        return work(db)

    def _one(self, db: Db, where: str, values: Sequence[Any]) -> Job:
        return self._many(db, where, values, 1)[0]

    def _many(self, db: Db, where: str, values: Sequence[Any], limit: int, offset: int = 0) -> list[Job]:
        return [self._job(db, row) for row in self._select(db, where, values, limit, offset).fetchall()]

    def _select(self, db: Db, where: str, values: Sequence[Any], limit: int = _EVERYTHING, offset: int = 0) -> Rows:
        """Rows of jobs, newest first, each with what it costs until now."""
        cost = cost_at(self._clock.wall())
        return db.execute(
            f"SELECT *, {cost} AS cost_micro FROM jobs WHERE {where}"  # noqa: S608  # all ours
            " ORDER BY created DESC, rowid DESC LIMIT ? OFFSET ?",
            (*values, limit, offset),
        )

    def _state(self, row: Any) -> tuple[JobState, str]:
        """What a row reads as, and why."""
        state = JobState(row["state"])
        if state is JobState.SUBMITTING and not self._in_flight(row):
            reason = "The server stopped while this was being sent; Novita may have accepted and billed it."
            return JobState.UNCONFIRMED, reason
        return state, row["reason"]

    def _job(self, db: Db, row: Any) -> Job:
        state, reason = self._state(row)
        found = db.execute(
            "SELECT data FROM artifacts WHERE owner = ? AND task_id = ? ORDER BY idx", (row["owner"], row["task_id"])
        ).fetchall()
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
            usd_per_day=None if row["rate_micro_day"] is None else Decimal(row["rate_micro_day"]) / MICRO,
            created=_utc(row["created"]),
            accepted=_utc(row["accepted"]) if row["accepted"] is not None else None,
            finished=_utc(row["finished"]) if row["finished"] is not None else None,
            facts=json.loads(row["facts"]),
            artifacts=tuple(Artifact.model_validate(json.loads(data)) for (data,) in found),
        )

    def _in_flight(self, row: Any) -> bool:
        """Whether the process that began this submit may still be at it."""
        if row["run"] == self.run:
            return True
        if self._clock.wall() - row["created"] > _ABANDONED_AFTER:
            return False
        # What runs elsewhere cannot be looked at, so that its age alone decides. No host: written before they were.
        return row["host"] not in ("", this_host()) or is_alive(row["pid"])


def _put_artifacts(db: Db, owner: str, task_id: str, artifacts: Sequence[Artifact]) -> None:
    db.execute("DELETE FROM artifacts WHERE owner = ? AND task_id = ?", (owner, task_id))
    for artifact in artifacts:
        db.execute(
            "INSERT INTO artifacts (owner, task_id, idx, data) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (owner, task_id, idx) DO UPDATE SET data = excluded.data",
            # A path may hold bytes that are no text; escaped they come back as they were.
            (owner, task_id, artifact.index, json.dumps(artifact.model_dump(mode="json", exclude_none=True))),
        )


def micro(usd: Decimal) -> int:
    """Whole micro dollars, rounded up: a cap must not be passed by what was rounded away."""
    return int((usd * MICRO).to_integral_value(ROUND_CEILING))


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
