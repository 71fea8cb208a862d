"""Leases: a thing with a lease is ended when its time is over, even if whoever asked for it is gone.

Each family says how its things are ended: gpu/leases.py stops an instance, and serverless/leases.py sets the number
of workers that an endpoint keeps alive to 0. Both register in `ENDERS`.

Leases are in the journal, so that any server process that uses it, now or after a restart, and `novita-mcp doctor
--leases` can act on them. A process claims a due lease in one statement, so that two processes never both act. A lease
counts as done only once the thing was seen ended or gone; until then it is tried again.
"""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict

from ..core.backoff import Backoff
from ..core.client import NovitaClient
from ..core.clock import Clock, SystemClock
from ..core.errors import NovitaError
from .databases import Db
from .facts import Facts
from .journal import Journal

logger = logging.getLogger(__name__)

CLAIM = 60.0
"""Seconds that a process has for one try before another process may take over."""
_BACKOFF = Backoff(first=5.0, longest=300.0)
"""The pauses between failed tries."""
_UNSEEN_AFTER = 3_600.0
"""Seconds after which a thing that no list shows, and whose creation was never confirmed, counts as not created."""


class LeaseState(StrEnum):
    """The state of a lease."""

    PENDING = "pending"  # the create that it belongs to has no answer yet
    ACTIVE = "active"
    DONE = "done"
    DROPPED = "dropped"  # replaced, or its create was refused


SHORTEST_LEASE = 0.01
"""Hours. A shorter lease would stop a machine that is paid for before it has even started."""
LONGEST_LEASE = 8_760
"""Hours: one year."""
OPEN = (LeaseState.PENDING, LeaseState.ACTIVE)


class Lease(BaseModel):
    """One lease. Times are UTC.

    Args:
        kind: The kind of thing, a key of `ENDERS`.
        thing_id: The thing's id at Novita; None while its creation has no answer.
        job_key: The journal's row of its creation.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    owner: str
    kind: str
    thing_id: str | None
    job_key: str | None
    name: str
    created: datetime
    stop_at: datetime
    state: LeaseState
    attempts: int
    note: str


@dataclass(frozen=True)
class Enforced:
    """The outcome of one try. `done` is true once the thing was seen ended or gone."""

    lease: Lease
    done: bool
    note: str


class Ender(Protocol):
    """Ends things of one kind. Both methods ask Novita and may be repeated."""

    async def end(self, client: NovitaClient, thing_id: str, *, again: bool, journal: Journal) -> tuple[bool, str]:
        """End the thing, or see that it has ended. Returns whether it has ended, and what was done in words.

        Args:
            again: An earlier try has already asked Novita to end it.
            journal: Its rows about the thing are updated to what is seen.

        Raises:
            NovitaError: It will be tried again.
        """
        ...

    async def created_since(self, client: NovitaClient, name: str, since: datetime) -> str | None:
        """The id of the thing of this name that was created after `since`; None if there is none."""
        ...


ENDERS: dict[str, Ender] = {}
"""Kind of thing -> what ends it. Each family registers its own."""


class Leases:
    """The leases of a journal, and the loop that enforces them.

    Args:
        tick: Real seconds between two reads of the journal.
        enders: What ends things, by kind. It is asked in a thread once a lease is due, and may import families then.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock | None = None,
        tick: float = 15.0,
        enders: Callable[[], Mapping[str, Ender]] = lambda: ENDERS,
    ) -> None:
        self.journal = journal
        self.tick = tick
        self._enders = enders
        self._clock = clock or SystemClock()
        self._clients: dict[str, NovitaClient] = {}

    def remember(self, client: NovitaClient) -> None:
        """Keep a caller's client, in memory only, because stopping a thing needs the caller's key."""
        if client.api_key:
            self._clients[client.owner] = client

    async def grant(
        self,
        owner: str,
        *,
        kind: str,
        hours: float,
        name: str,
        thing_id: str | None = None,
        job_key: str | None = None,
    ) -> Lease:
        """Make a lease that ends the thing so many hours from now. It replaces any earlier lease of the thing.

        Args:
            kind: A key of `ENDERS`.
            job_key: The journal's row of the create or start; of a create until `attach` brings the id.
        """
        now = self._clock.wall()
        key = uuid.uuid4().hex
        state = LeaseState.ACTIVE if thing_id else LeaseState.PENDING

        def write(db: Db) -> Lease:
            db.lock(f"leases of {owner}")
            if thing_id:
                db.execute(
                    "UPDATE kept_leases SET state = 'dropped', note = 'replaced'"
                    " WHERE owner = ? AND kind = ? AND thing_id = ? AND state IN ('pending', 'active')",
                    (owner, kind, thing_id),
                )
            db.execute(
                "INSERT INTO kept_leases (key, owner, kind, thing_id, job_key, name, created, stop_at, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (key, owner, kind, thing_id, job_key, name, now, now + hours * 3_600, state),
            )
            return _many(db, "key = ?", (key,))[0]

        return await self.journal.transact(write)

    async def attach(self, job_key: str, thing_id: str) -> None:
        """Add the thing's id to a pending lease, because its creation was answered."""
        statement = "UPDATE kept_leases SET thing_id = ?, state = 'active' WHERE job_key = ? AND state = 'pending'"
        await self.journal.keep(lambda db: db.execute(statement, (thing_id, job_key)).close())

    async def drop(self, job_key: str, note: str) -> None:
        """Drop a lease, because Novita refused the create or start that it was made for."""
        statement = (
            "UPDATE kept_leases SET state = 'dropped', note = ? WHERE job_key = ? AND state IN ('pending', 'active')"
        )
        await self.journal.keep(lambda db: db.execute(statement, (note, job_key)).close())

    async def end(self, owner: str, *, kind: str, thing_id: str, note: str) -> None:
        """End a thing's lease, because it was stopped or deleted; a later start must not inherit the lease."""
        statement = (
            "UPDATE kept_leases SET state = 'dropped', note = ?"
            " WHERE owner = ? AND kind = ? AND thing_id = ? AND state IN ('pending', 'active')"
        )
        await self.journal.keep(lambda db: db.execute(statement, (note, owner, kind, thing_id)).close())

    async def open_of(self, owner: str, kind: str, thing_id: str) -> Lease | None:
        """The open lease of a thing, even one that is overdue; None if there is none."""
        where = "owner = ? AND kind = ? AND thing_id = ? AND state IN ('pending', 'active')"
        found = await self.journal.transact(lambda db: _many(db, where, (owner, kind, thing_id)))
        return found[-1] if found else None

    async def of(self, owner: str | None) -> list[Lease]:
        """Open leases of one owner, or (None) of all owners, soonest first."""
        where = "state IN ('pending', 'active') AND (CAST(? AS TEXT) IS NULL OR owner = ?)"
        return await self.journal.transact(lambda db: _many(db, where, (owner, owner)))

    async def newest(self, owner: str, kind: str) -> dict[str, Lease]:
        """Thing id -> its newest lease, open or not, for every thing of a kind that ever had one."""
        where = "owner = ? AND kind = ? AND thing_id IS NOT NULL"
        found = await self.journal.transact(lambda db: _many(db, where, (owner, kind), order="created"))
        return {lease.thing_id: lease for lease in found if lease.thing_id}

    async def enforce(self, clients: Mapping[str, NovitaClient] | None = None) -> list[Enforced]:
        """Act on every due lease whose owner's client is known, and return what each try did.

        Errors are noted and tried again later, never raised.
        """
        clients = self._clients if clients is None else clients
        outcomes: list[Enforced] = []
        due = await self._due(list(clients))
        enders: Mapping[str, Ender] = await anyio.to_thread.run_sync(self._enders) if due else {}
        for lease in due:
            if lease.kind not in enders:
                continue  # a kind of a newer version; a process of that version ends it
            if not await self._claim(lease):
                continue
            client = clients[lease.owner].for_looking()  # within the claim; what fails is tried again anyway
            try:
                outcome = await self._try(enders[lease.kind], client, lease)
            except NovitaError as error:
                outcome = Enforced(lease, False, f"failed, will be tried again: {error}")
                logger.warning("ending %s at the end of its lease: %s", lease.thing_id or lease.name, error)
            await self._note(outcome)
            outcomes.append(outcome)
        return outcomes

    async def _try(self, ender: Ender, client: NovitaClient, lease: Lease) -> Enforced:
        thing_id = lease.thing_id or await self._find(ender, client, lease)
        if thing_id is None:
            given_up = self._clock.wall() - lease.created.timestamp() > _UNSEEN_AFTER
            words = f"no such {lease.kind} was ever seen" if given_up else "not seen yet"
            return Enforced(lease, given_up, words)
        done, note = await ender.end(client, thing_id, again=lease.attempts > 0, journal=self.journal)
        return Enforced(lease, done, note)

    async def _find(self, ender: Ender, client: NovitaClient, lease: Lease) -> str | None:
        """Find what a create made whose answer was lost: the thing of that name that is not older than the lease."""
        thing_id = await ender.created_since(client, lease.name, lease.created)
        if thing_id is not None and lease.job_key:
            await self.attach(lease.job_key, thing_id)
            await self._answer(lease, lease.job_key, thing_id)
        return thing_id

    async def _answer(self, lease: Lease, job_key: str, thing_id: str) -> None:
        """Note the thing's id in the row of a create whose answer was lost, so that its time is counted."""
        job = await self.journal.find(lease.owner, job_key)
        if job is not None and job.task_id is None and await self.journal.find(lease.owner, thing_id) is None:
            await self.journal.accepted(job.key, thing_id, Facts(resource=thing_id))

    async def _due(self, owners: Sequence[str]) -> list[Lease]:
        if not owners:
            return []
        now = self._clock.wall()
        marks = ", ".join("?" * len(owners))
        where = f"state IN ('pending', 'active') AND stop_at <= ? AND claimed_until <= ? AND owner IN ({marks})"
        return await self.journal.transact(lambda db: _many(db, where, (now, now, *owners)))

    async def _claim(self, lease: Lease) -> bool:
        """Claim the lease for one try; False if another process has claimed it."""
        now = self._clock.wall()
        taken = await self._run(
            "UPDATE kept_leases SET claimed_until = ?, attempts = attempts + 1"
            " WHERE key = ? AND state IN ('pending', 'active') AND claimed_until <= ?",
            (now + CLAIM, lease.key, now),
        )
        return taken == 1

    async def _note(self, outcome: Enforced) -> None:
        """Note how a try ended, and when the next one is due."""
        failed = outcome.note.startswith("failed")
        pause = _BACKOFF.ceiling(outcome.lease.attempts if failed else 0)
        await self._run(
            "UPDATE kept_leases SET note = ?, claimed_until = ?, state = CASE WHEN ? THEN 'done' ELSE state END"
            " WHERE key = ?",
            (outcome.note[:300], self._clock.wall() + pause, outcome.done, outcome.lease.key),
        )

    async def watch(self) -> None:
        """Enforce leases while the process runs. It pauses in real time; `clock` only decides what is due."""
        while True:
            try:
                await self.enforce()
            except NovitaError as error:  # the journal could not be read; it may work again at the next try
                logger.warning("leases cannot be looked at: %s", error)
            await anyio.sleep(self.tick)

    async def _run(self, statement: str, values: Sequence[Any]) -> int:
        return await self.journal.transact(lambda db: db.execute(statement, values).rowcount)


async def enforce_leases(
    journal: Journal, client: NovitaClient, enders: Mapping[str, Ender], *, clock: Clock | None = None
) -> tuple[list[Enforced], list[Lease]]:
    """Act once on all due leases, for the command line. Returns what was done, and the leases still open."""
    leases = Leases(journal, clock=clock, enders=lambda: enders)
    done = await leases.enforce({client.owner: client})
    return done, await leases.of(client.owner)


def _many(db: Db, where: str, values: Sequence[Any], order: str = "stop_at") -> list[Lease]:
    rows = db.execute(f"SELECT * FROM kept_leases WHERE {where} ORDER BY {order}", tuple(values)).fetchall()  # noqa: S608  # `where` is ours
    return [
        Lease(
            key=row["key"],
            owner=row["owner"],
            kind=row["kind"],
            thing_id=row["thing_id"],
            job_key=row["job_key"],
            name=row["name"],
            created=datetime.fromtimestamp(row["created"], UTC),
            stop_at=datetime.fromtimestamp(row["stop_at"], UTC),
            state=LeaseState(row["state"]),
            attempts=row["attempts"],
            note=row["note"],
        )
        for row in rows
    ]
