"""The journal: every paid job is noted before it is sent, so that nothing paid for is ever lost.

One SQLite file per user, or one PostgreSQL for a team, shared by any number of server processes. A job's row is
written before its submit, and gets its task id as soon as that is known and its outcome at the end. If a process dies
between the first two, the row reads as `unconfirmed`. Secrets and request bodies are never written.
"""

import itertools
import logging
import os
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread

from ..core.clock import Clock, SystemClock
from ..core.costs import Caps, Cost
from ..core.errors import JournalError
from ..core.money import MICRO, micro
from ..core.this_machine import this_host
from ..files.artifacts import Artifact
from .carrying import carry_over
from .changes import Change, Owed, put_back
from .clock_jumps import ClockJumps
from .databases import Db, Whose, open_store
from .facts import Facts, read_facts, written
from .joining import Given, SameCall
from .kept_answers import answer_of, forget_old, put_answer
from .meters import Meters
from .rows import FINAL_STATES as FINAL_STATES
from .rows import OPEN_STATES as OPEN_STATES
from .rows import Job, JobState, Reader, put_artifacts, put_facts
from .schema import MIGRATIONS
from .segments import cost_at
from .team.begun import mark_begun
from .totals import refuse_over_cap

T = TypeVar("T")
logger = logging.getLogger(__name__)

_CARRY_EVERY = 5.0
"""Seconds between two checks for rows that a process of version 0.1.0 wrote."""

_SAME_CALLS = 8
"""How many rows of the same call are considered for joining, newest first."""


class Joined(Exception):  # no "Error" in its name: callers catch it and return the earlier job
    """The same call has begun this job already, so nothing new was begun."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"joins {job.key[:12]}")
        self.job = job


class Journal:
    """Async access to the rows. Without a path or a URL they are kept in memory, for this process only.

    Args:
        path: A SQLite file of this user.
        url: A PostgreSQL database for any number of servers, in place of the file.
        whose: Whether the file is for jobs at Novita or at a simulator; one of the other sort is refused.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        url: str | None = None,
        clock: Clock | None = None,
        whose: Whose | None = None,
    ) -> None:
        self.path = path
        self.lasting = bool(path or url)
        self.shared = url is not None
        """Whether processes on other machines may use the same journal."""
        self.run = uuid.uuid4().hex
        self._clock = clock or SystemClock()
        self._store = open_store(path, url, MIGRATIONS, whose=whose)
        self._carried = float("-inf")
        self.given = Given()
        self._owed = Owed(self._store)
        self._paying = False
        self._news: list[str] = []
        self._jumps = ClockJumps(self._clock)
        self._store.reopened = self._reopened

    @property
    def label(self) -> str:
        """Its name in messages: the file, or the database URL without the password."""
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
        facts: Facts | None = None,
        same: SameCall | None = None,
    ) -> Job:
        """Note a job before it is sent. The row is on disk when this returns.

        Raises:
            SpendRefusedError: It would pass a cap. JournalError: The journal cannot be written.
            Joined: The same call began a job before; nothing was noted.
        """
        key = uuid.uuid4().hex
        caps = caps or Caps()
        counted, estimate = caps.counted(cost), cost.usd

        def write(db: Db) -> Job:
            db.lock(f"spending of {owner}")
            team = caps.team_of(owner)
            if team and caps.team_per_day is not None:
                db.lock(f"spending of {team}")
            now = self._clock.wall()
            if same is not None and (earlier := self._earlier(db, owner, same, now)) is not None:
                raise Joined(earlier)
            refuse_over_cap(db, owner, self.run, cost, caps, now)
            db.execute(
                "INSERT INTO jobs (key, owner, kind, tool, model, title, state, estimate_micro, counted_micro,"
                " run, pid, host, created, facts, same, team)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                    written(kind, facts or Facts()),
                    same.key if same is not None else None,
                    team,
                ),
            )
            return self._reader.one(db, "key = ?", (key,))

        try:
            job = await self._do(write)
        except JournalError as error:
            error.billed = "no"  # a job that cannot be noted is not sent
            raise
        self._owed.remember(job)
        mark_begun(job.key)
        return job

    async def earlier(self, owner: str, same: SameCall) -> Job | None:
        """The job that this call would join now; None: it would begin a new one.

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
        found = self._reader.many(db, "owner = ? AND same = ? AND delivered IS NULL", (owner, same.key), _SAME_CALLS)
        return next((job for job in found if job.key not in self.given and same.fits(job, now)), None)

    async def done_before(self, owner: str, same: SameCall, *, since: float) -> list[Job]:
        """Jobs of the same call that were done after `since` (Unix seconds), delivered to a caller or not."""
        wanted = "owner = ? AND same = ? AND created >= ? AND state = 'succeeded'"
        return await self._do(lambda db: self._reader.many(db, wanted, (owner, same.key, since), _SAME_CALLS))

    async def row(self, key: str) -> Job | None:
        """The job with exactly this key."""

        def read(db: Db) -> Job | None:
            found = self._reader.many(db, "key = ?", (key,), 1)
            return found[0] if found else None

        return await self._do(read)

    async def is_orphan(self, key: str) -> bool:
        """Whether the process that began a job has ended, as far as this machine can tell."""
        return await self._do(lambda db: self._reader.is_orphan(db, key))

    async def keep_answer(self, key: str, text: str) -> None:
        """Store the answer of a call, as JSON, for the same call made again."""
        await self.keep(lambda db: put_answer(db, key, text, self._clock.wall()))

    async def answer_of(self, key: str) -> str | None:
        """The stored answer of a call; None if it was not stored, or is deleted by now."""
        return await self._do(lambda db: answer_of(db, key))

    async def note_given(self) -> None:
        """Record which results were delivered to their callers; what cannot be written is kept for the next time.

        Raises:
            JournalError: The journal cannot be written.
        """
        self.given.written(await self._do(lambda db: self.given.write(db, self._clock.wall())))

    async def take_back(self, key: str) -> None:
        """Let the same call join a job again whose caller was told only that the result was unknown.

        Raises:
            JournalError: The journal cannot be written.
        """
        self.given.take_back(key)
        await self._do(lambda db: db.execute("UPDATE jobs SET delivered = NULL WHERE key = ?", (key,)))

    async def note(self, key: str, facts: Facts) -> None:
        """Add facts to a row without changing its state; a fact set to None is removed."""

        def write(db: Db) -> None:
            db.lock(f"job {key}")
            put_facts(db, key, facts)

        await self.keep(write)

    async def adopt(self, owner: str, task_id: str, *, kind: str, tool: str) -> Job:
        """The row of a task that was started outside this journal; it is made now, at no cost, if there is none."""

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
            return self._reader.one(db, "owner = ? AND task_id = ?", (owner, task_id))

        return await self._do(write)

    async def accepted(self, key: str, task_id: str, facts: Facts | None = None) -> Job:
        """Note that Novita accepted a job, under this task id."""
        now = self._clock.wall()
        self._jumps.begin(key)
        return await self._change(Change(key=key, state=JobState.WORKING, task_id=task_id, accepted=now, facts=facts))

    async def finish(
        self,
        key: str,
        state: JobState,
        *,
        reason: str = "",
        task_id: str | None = None,
        artifacts: Sequence[Artifact] | None = None,
        counted: Decimal | None = None,
        facts: Facts | None = None,
    ) -> Job:
        """Note the outcome. `counted` corrects what the job counts as under the caps (0 for what was not billed)."""
        if counted is None and state is JobState.REFUSED:
            counted = Decimal(0)
        if facts is not None and facts.took is not None and not self._jumps.steady(key, facts.took):
            facts = facts.model_copy(update={"took": None})
        return await self._change(
            Change(
                key=key,
                state=state,
                reason=reason,
                task_id=task_id,
                finished=self._clock.wall(),
                counted=counted,
                artifacts=artifacts,
                facts=facts,
            )
        )

    async def put_artifacts(self, owner: str, task_id: str, artifacts: Sequence[Artifact]) -> None:
        """Replace the noted files of a task."""

        def write(db: Db) -> None:
            db.lock(f"files of {owner} {task_id}")
            put_artifacts(db, owner, task_id, artifacts)

        await self.keep(write)

    async def find(self, owner: str, task_id: str) -> Job | None:
        """The job with this task id, or, for a row that never got one, the job whose key begins with it."""

        def read(db: Db) -> Job | None:
            found = self._reader.many(db, "owner = ? AND task_id = ?", (owner, task_id), 1)
            if not found and len(start := task_id[:12]) == 12:
                # The two comparisons let the database use the primary key's index; substr alone could not.
                begins_so = "key >= ? AND key <= ? AND substr(key, 1, 12) = ? AND owner = ?"
                found = self._reader.many(db, begins_so, (start, f"{start}z", start, owner), 1)
            return found[0] if found else None

        try:
            found = await self._do(read)
        except JournalError:
            if (owed := self._owed.find(owner, task_id)) is not None:
                return owed
            raise
        return self._owed.find(owner, task_id) or found

    async def recent(
        self,
        owner: str,
        *,
        limit: int,
        offset: int = 0,
        states: Sequence[JobState] = (),
        kind: str | None = None,
        begun: tuple[float, float] | None = None,
    ) -> list[Job]:
        """Jobs, newest first. `states` filters by the state a row reads as, which may be `unconfirmed`.

        Args:
            begun: The span of time in which the jobs were begun, its end excluded.
        """

        def read(db: Db) -> list[Job]:
            where: str = "owner = ?"
            values: list[Any] = [owner]
            if begun is not None:
                where, values = f"{where} AND created >= ? AND created < ?", [*values, *begun]
            if kind:
                where, values = where + " AND kind = ?", [*values, kind]
            if not states:
                return self._reader.many(db, where, values, limit, offset)
            # A row stored as submitting reads as unconfirmed if its process is dead, which SQL cannot tell.
            stored = {*states, *((JobState.SUBMITTING,) if JobState.UNCONFIRMED in states else ())}
            where, values = f"{where} AND state IN ({', '.join('?' * len(stored))})", [*values, *stored]
            if JobState.SUBMITTING not in stored:
                return self._reader.many(db, where, values, limit, offset)
            reader = self._reader
            with closing(reader.select(db, where, values)) as every:
                rows = (row for row in every if reader.state(row)[0] in states)
                found = list(itertools.islice(rows, offset, offset + limit))
            return [reader.job(db, row) for row in found]

        return [self._owed.knows(job.key) or job for job in await self._do(read)]

    async def durations(self, model: str, *, limit: int = 20) -> list[float]:
        """How many seconds the last finished jobs of a model took, from accepted to done."""

        def read(db: Db) -> list[float]:
            rows = db.execute(
                "SELECT kind, facts FROM jobs WHERE model = ? AND state = 'succeeded' AND finished IS NOT NULL"
                " ORDER BY finished DESC LIMIT ?",
                (model, limit),
            ).fetchall()
            known = [read_facts(kind, facts).took for kind, facts in rows]
            return [seconds for seconds in known if seconds is not None and seconds > 0]

        return await self._do(read)

    async def spent(self, owner: str, *, since: datetime | None = None) -> Decimal:
        """USD that count under the caps so far."""

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
        """Run `work` on the open database, for tables of other modules. Call `db.lock` first if it reads and writes.

        Raises:
            JournalError: The database cannot be used.
        """
        return await self._do(work)

    async def meter(self, work: Callable[[Meters], T]) -> T:
        """Run `work` on the rows about things that are billed by time, in one transaction.

        Raises:
            JournalError: The database cannot be used.
        """
        return await self._do(lambda db: work(Meters(db, self._reader)))

    def take_news(self) -> str:
        """What users should know has happened to the journal. Each text is returned once; empty if there is none."""
        news, self._news = self._news, []
        return " ".join(news)

    def _reopened(self, db: Db, told: str) -> None:
        """Write this process's open jobs again, after the file was replaced, removed or damaged."""
        logger.warning("%s", told)
        self._news.append(told)
        for job in self._owed.open_jobs:
            put_back(db, job, self.run)

    async def close(self) -> None:
        """Write the changes that are still owed, if possible, and close the database. Safe to call twice."""
        await self._pay()
        if self._owed:
            logger.error("%d changes could not be written to the journal (%s)", len(self._owed), self.label)
        await anyio.to_thread.run_sync(self._store.close)

    async def _change(self, change: Change) -> Job:
        """Write a change. If that fails now, keep it as owed, and return the job as if it had been written.

        Raises:
            JournalError: The change is owed, and another process began the job, so its row is not known here.
        """

        def write(db: Db) -> Job | None:
            change.write(db)
            return next(iter(self._reader.many(db, "key = ?", (change.key,), 1)), None)

        if self._owed.concerns(change.key):  # changes of a row are written in the order in which they came
            self._owed.add(change.write, change, JournalError("earlier changes are not written yet"))
            await self._pay()
            if (job := self._owed.knows(change.key)) is not None:
                return job
            return await self._do(lambda db: self._reader.one(db, "key = ?", (change.key,)))
        try:
            job = await self._do(write)
        except JournalError as error:
            self._owed.add(change.write, change, error)
            if (job := self._owed.knows(change.key)) is not None:
                return job
            raise
        if job is None:
            raise JournalError(f"The journal ({self.label}) has no row {change.key[:12]} any more")
        self._owed.remember(job)
        return job

    async def keep(self, work: Callable[[Db], object]) -> None:
        """Run `work`, which must not be lost, now or with the next transaction that succeeds."""
        try:
            await self._do(work)
        except JournalError as error:
            self._owed.add(work, None, error)

    async def _pay(self) -> None:
        """Write the changes that are owed, unless another task is doing so."""
        if not self._owed or self._paying:
            return
        self._paying = True
        try:
            await anyio.to_thread.run_sync(self._owed.pay)
        finally:
            self._paying = False

    async def _do(self, work: Callable[[Db], T]) -> T:
        await self._pay()
        # Not abandoned on cancel: the caller must know whether the row was written, and that takes a millisecond.
        return await anyio.to_thread.run_sync(self._store.run, partial(self._with_all, work))

    def _with_all(self, work: Callable[[Db], T], db: Db) -> T:
        """Run `work` after carrying over rows of a process of version 0.1.0 and deleting what is too old."""
        if time.monotonic() - self._carried > _CARRY_EVERY:
            carry_over(db)
            forget_old(db, self._clock.wall())
            self._carried = time.monotonic()
        return work(db)

    @property
    def _reader(self) -> Reader:
        return Reader(self.run, self._clock.wall())
