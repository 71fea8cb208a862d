"""Leases: an instance with a lease is stopped when its time is over, whoever is still there to see it.

Of an endpoint with a lease no worker is kept alive any more; it goes by `endpoint:<id>` here.

Kept in the journal, so that any server process on it, now or after a restart, and `novita-mcp doctor --leases` can
do it. A due lease is claimed in one step, so that two processes do not both act; it counts as done only when the
instance was seen stopped or gone, and is tried again until then.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import anyio
from pydantic import BaseModel, ConfigDict

from ..core.answers import may_come_of
from ..core.client import NovitaClient
from ..core.clock import Clock, SystemClock
from ..core.errors import NotFoundError, NovitaError
from ..gpu.instances import get_instance, list_instances, stop_instance
from ..gpu.meters import follow_gone, follow_instance
from ..serverless.leases import PREFIX, created_since, let_idle
from .databases import Db
from .journal import Journal

logger = logging.getLogger(__name__)

CLAIM = 60.0
"""Seconds a process has for one try, before another may take over."""
LONGEST_PAUSE = 300.0
_UNSEEN_AFTER = 3_600.0
"""Seconds after which an instance whose creation was never confirmed, and which no list shows, does not exist."""


class LeaseState(StrEnum):
    """Where a lease stands."""

    PENDING = "pending"  # the create that it belongs to has no answer yet
    ACTIVE = "active"
    DONE = "done"
    DROPPED = "dropped"  # replaced, or its create was refused


OPEN = (LeaseState.PENDING, LeaseState.ACTIVE)


class Lease(BaseModel):
    """One lease. Times are UTC."""

    model_config = ConfigDict(frozen=True)

    key: str
    owner: str
    instance_id: str | None
    job_key: str | None
    name: str
    created: datetime
    stop_at: datetime
    state: LeaseState
    attempts: int
    note: str


@dataclass(frozen=True)
class Enforced:
    """What one try did: `done` once the instance was seen stopped or gone."""

    lease: Lease
    done: bool
    note: str


class Leases:
    """The leases of a journal, and the watch that keeps them.

    Args:
        tick: Real seconds between two glances at the journal.
    """

    def __init__(self, journal: Journal, *, clock: Clock | None = None, tick: float = 15.0) -> None:
        self.journal = journal
        self.tick = tick
        self._clock = clock or SystemClock()
        self._clients: dict[str, NovitaClient] = {}

    def remember(self, client: NovitaClient) -> None:
        """Keep a caller's client, in memory only: without a key nothing can be stopped."""
        if client.api_key:
            self._clients[client.owner] = client

    async def grant(
        self, owner: str, *, hours: float, name: str, instance_id: str | None = None, job_key: str | None = None
    ) -> Lease:
        """Stop the instance in so many hours from now, in place of any earlier lease of it.

        Args:
            job_key: Where the instance is being created: its row in the journal, until `attach` brings the id.
        """
        now = self._clock.wall()
        key = uuid.uuid4().hex
        state = LeaseState.ACTIVE if instance_id else LeaseState.PENDING

        def write(db: Db) -> Lease:
            db.lock(f"leases of {owner}")
            if instance_id:
                db.execute(
                    "UPDATE leases SET state = 'dropped', note = 'replaced'"
                    " WHERE owner = ? AND instance_id = ? AND state IN ('pending', 'active')",
                    (owner, instance_id),
                )
            db.execute(
                "INSERT INTO leases (key, owner, instance_id, job_key, name, created, stop_at, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (key, owner, instance_id, job_key, name, now, now + hours * 3_600, state),
            )
            return _many(db, "key = ?", (key,))[0]

        return await self.journal.transact(write)

    async def attach(self, job_key: str, instance_id: str) -> None:
        """The create of a pending lease was answered."""
        await self._run(
            "UPDATE leases SET instance_id = ?, state = 'active' WHERE job_key = ? AND state = 'pending'",
            (instance_id, job_key),
        )

    async def drop(self, job_key: str, note: str) -> None:
        """The create of a pending lease was refused."""
        await self._run(
            "UPDATE leases SET state = 'dropped', note = ? WHERE job_key = ? AND state = 'pending'", (note, job_key)
        )

    async def of(self, owner: str) -> list[Lease]:
        """Open leases of one owner, soonest first."""
        return await self.journal.transact(
            lambda db: _many(db, "owner = ? AND state IN ('pending', 'active')", (owner,))
        )

    async def newest(self, owner: str) -> dict[str, Lease]:
        """The newest lease of every instance that had one, whatever became of it."""
        where = "owner = ? AND instance_id IS NOT NULL"
        found = await self.journal.transact(lambda db: _many(db, where, (owner,), order="created"))
        return {lease.instance_id: lease for lease in found if lease.instance_id}

    async def enforce(self, clients: Mapping[str, NovitaClient] | None = None) -> list[Enforced]:
        """Act on every due lease whose owner's client is at hand; what each try did.

        Faults are noted and tried again later, never raised.
        """
        clients = self._clients if clients is None else clients
        outcomes: list[Enforced] = []
        for lease in await self._due(list(clients)):
            if not await self._claim(lease):
                continue
            client = clients[lease.owner].for_looking()  # within the claim; what fails is tried again anyway
            try:
                outcome = await self._try(client, lease)
            except NovitaError as error:
                outcome = Enforced(lease, False, f"failed, will be tried again: {error}")
                logger.warning("stopping %s at the end of its lease: %s", lease.instance_id or lease.name, error)
            await self._note(outcome)
            outcomes.append(outcome)
        return outcomes

    async def _try(self, client: NovitaClient, lease: Lease) -> Enforced:
        instance_id = lease.instance_id or await self._find(client, lease)
        if instance_id is None:
            given_up = self._clock.wall() - lease.created.timestamp() > _UNSEEN_AFTER
            return Enforced(lease, given_up, "no such instance was ever seen" if given_up else "not seen yet")
        if instance_id.startswith(PREFIX):
            endpoint_id, again = instance_id.removeprefix(PREFIX), lease.attempts > 0
            done, note = await let_idle(client, endpoint_id, again=again, journal=self.journal)
            return Enforced(lease, done, note)
        try:
            instance = await get_instance(client, instance_id)
        except NotFoundError:
            await follow_gone(self.journal, lease.owner, instance_id)
            return Enforced(lease, True, "the instance is gone")
        settled = instance.gone or instance.status == "exited"
        asks = not settled and instance.status not in ("toStop", "stopping")
        if asks:
            await stop_instance(client, instance_id)
        await follow_instance(self.journal, lease.owner, instance)
        if settled:
            return Enforced(lease, True, "stopped at the end of its lease" if lease.attempts else "was stopped already")
        return Enforced(lease, False, "asked to stop" if asks else "stopping")

    async def _find(self, client: NovitaClient, lease: Lease) -> str | None:
        """The instance of a create whose answer was lost: of that name, and not older than the lease."""
        if lease.name.startswith(PREFIX):
            endpoint = await created_since(client, lease.name.removeprefix(PREFIX), lease.created)
            if endpoint is not None and lease.job_key:
                await self.attach(lease.job_key, PREFIX + endpoint.id)
            return PREFIX + endpoint.id if endpoint is not None else None
        for instance in await list_instances(client, name=lease.name):
            fresh = may_come_of(instance.created_at, lease.created)
            if instance.name == lease.name and fresh:
                if lease.job_key:
                    await self.attach(lease.job_key, instance.id)
                    await self._answer(lease, lease.job_key, instance.id)
                return instance.id
        return None

    async def _answer(self, lease: Lease, job_key: str, instance_id: str) -> None:
        """The row of a create whose answer was lost learns its instance, so that its time counts."""
        job = await self.journal.find(lease.owner, job_key)
        if job is not None and job.task_id is None and await self.journal.find(lease.owner, instance_id) is None:
            await self.journal.accepted(job.key, instance_id, resource=instance_id)

    async def _due(self, owners: Sequence[str]) -> list[Lease]:
        if not owners:
            return []
        now = self._clock.wall()
        marks = ", ".join("?" * len(owners))
        where = f"state IN ('pending', 'active') AND stop_at <= ? AND claimed_until <= ? AND owner IN ({marks})"
        return await self.journal.transact(lambda db: _many(db, where, (now, now, *owners)))

    async def _claim(self, lease: Lease) -> bool:
        """Take the lease for one try; False where another process was quicker."""
        now = self._clock.wall()
        taken = await self._run(
            "UPDATE leases SET claimed_until = ?, attempts = attempts + 1"
            " WHERE key = ? AND state IN ('pending', 'active') AND claimed_until <= ?",
            (now + CLAIM, lease.key, now),
        )
        return taken == 1

    async def _note(self, outcome: Enforced) -> None:
        """Write down how a try ended, and when the next may be."""
        failed = outcome.note.startswith("failed")
        pause = min(LONGEST_PAUSE, 5.0 * 2 ** min(outcome.lease.attempts, 8)) if failed else 5.0
        await self._run(
            "UPDATE leases SET note = ?, claimed_until = ?, state = CASE WHEN ? THEN 'done' ELSE state END"
            " WHERE key = ?",
            (outcome.note[:300], self._clock.wall() + pause, outcome.done, outcome.lease.key),
        )

    async def watch(self) -> None:
        """Enforce for as long as the process lives. Real time between glances: `clock` only says what is due."""
        while True:
            try:
                await self.enforce()
            except NovitaError as error:  # the journal itself; it may be back at the next glance
                logger.warning("leases cannot be looked at: %s", error)
            await anyio.sleep(self.tick)

    async def _run(self, statement: str, values: Sequence[Any]) -> int:
        return await self.journal.transact(lambda db: db.execute(statement, values).rowcount)


async def enforce_leases(
    journal: Journal, client: NovitaClient, *, clock: Clock | None = None
) -> tuple[list[Enforced], list[Lease]]:
    """For the command line: act on what is due, once; what was done, and the leases still open."""
    leases = Leases(journal, clock=clock)
    done = await leases.enforce({client.owner: client})
    return done, await leases.of(client.owner)


def _many(db: Db, where: str, values: Sequence[Any], order: str = "stop_at") -> list[Lease]:
    rows = db.execute(f"SELECT * FROM leases WHERE {where} ORDER BY {order}", tuple(values)).fetchall()  # noqa: S608  # `where` is ours
    return [
        Lease(
            key=row["key"],
            owner=row["owner"],
            instance_id=row["instance_id"],
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
