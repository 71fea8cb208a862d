"""Caps: two servers cannot both take the last dollar, in whatever order their statements reach the database."""

import random
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.errors import SpendRefusedError
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState

T = TypeVar("T")

DOLLAR = Caps(per_day=Decimal(1), unknown=Decimal("0.30"))
SERVERS = ("left", "right")
INTERLEAVINGS = 200


class Turns:
    """Lets one server at a time make one step; who is next is drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._changed = threading.Condition()
        self._there: set[str] = set(SERVERS)
        self._waiting: set[str] = set()
        self._next: str | None = None
        self.order: list[str] = []

    def step(self, who: str) -> None:
        """Return when it is this server's turn. It has it until its next step."""
        with self._changed:
            self._waiting.add(who)
            self._draw()
            assert self._changed.wait_for(lambda: self._next == who, timeout=30), "nobody moves"
            self._waiting.remove(who)
            self._next = None
            self.order.append(who)

    def leave(self, who: str) -> None:
        with self._changed:
            self._there.remove(who)
            self._draw()

    def _draw(self) -> None:
        if self._next is None and self._waiting and self._waiting == self._there:
            self._next = self._random.choice(sorted(self._waiting))
            self._changed.notify_all()


class SteppedDb:
    """A database whose every statement waits for its turn."""

    def __init__(self, db: sqlite3.Connection, turn: Callable[[], None], *, locks: bool) -> None:
        self._db, self._turn, self._locks = db, turn, locks

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> sqlite3.Cursor:
        self._turn()
        return self._db.execute(statement, values)

    def lock(self, what: str) -> None:
        while self._locks:
            self._turn()
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:  # the other has it: let it move
                assert "locked" in str(error)

    def day_of(self, seconds: str) -> str:
        raise NotImplementedError

    def fact(self, column: str, name: str) -> str:
        raise NotImplementedError


class SteppedStore:
    """The file of a journal, opened by one server, one step at a time."""

    label = "stepped"

    def __init__(self, path: Path, turn: Callable[[], None], *, locks: bool) -> None:
        self._db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA synchronous = OFF")  # 200 runs: the order matters here, not the disk
        self._turn, self._locks = turn, locks

    def run(self, work: Callable[[Any], T]) -> T:
        with self._db:
            return work(SteppedDb(self._db, self._turn, locks=self._locks))

    def close(self) -> None:
        self._db.close()


class Server:
    """One server process on the shared journal: what it was let through, and what it was refused."""

    def __init__(self, who: str, path: Path, turns: Turns, seed: int, *, owner: str, locks: bool) -> None:
        self.who, self._turns, self._owner = who, turns, owner
        self._random = random.Random(f"{who} {seed}")
        self._journal = Journal(path)
        self._journal._store = SteppedStore(path, lambda: turns.step(who), locks=locks)  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        self.submitted = Decimal(0)
        self.given_back = Decimal(0)
        self.refused: list[Decimal] = []
        self.trouble: list[BaseException] = []

    def run(self) -> None:
        try:
            anyio.run(self._work)
        except BaseException as error:  # told by the test's own thread
            self.trouble.append(error)
        finally:
            self._turns.leave(self.who)
            self._journal._store.close()  # pyright: ignore[reportPrivateUsage]

    async def _work(self) -> None:
        for index in range(4):
            # One in five has no known price, and counts as settled.
            estimate = None if self._random.random() < 0.2 else Decimal(self._random.randrange(1, 60)) / 100
            counts = DOLLAR.counted(Cost(estimate))
            try:
                job = await self._journal.begin(
                    owner=self._owner,
                    kind="media",
                    tool="t",
                    model="m",
                    title=f"{index}",
                    cost=Cost(estimate),
                    caps=DOLLAR,
                )
            except SpendRefusedError:
                self.refused.append(counts)
                continue
            self.submitted += counts
            match self._random.randrange(4):
                case 0:
                    await self._journal.finish(job.key, JobState.REFUSED)
                    self.submitted -= counts
                    self.given_back += counts
                case 1:
                    await self._journal.finish(job.key, JobState.UNCONFIRMED)
                case 2:
                    await self._journal.accepted(job.key, f"task-{self.who}-{index}")
                case _:
                    pass  # still being sent


def interleave(path: Path, seed: int, *, locks: bool = True) -> tuple[list[Server], list[str]]:
    """Run both servers to their ends in the order the seed draws."""
    turns = Turns(seed)
    servers = [Server(who, path, turns, seed, owner=f"owner {seed}", locks=locks) for who in SERVERS]
    threads = [threading.Thread(target=server.run) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return servers, turns.order


async def _make(place: Path) -> None:
    journal = Journal(place)
    await journal.recent("nobody", limit=1)
    await journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal's file, made by one server before the two meet."""
    place = tmp_path / "journal.sqlite3"
    anyio.run(_make, place)
    return place


def test_two_servers_never_submit_more_than_the_cap_over_200_interleavings(path: Path) -> None:
    orders: set[tuple[str, ...]] = set()
    for seed in range(INTERLEAVINGS):
        servers, order = interleave(path, seed)
        assert not [error for server in servers for error in server.trouble], f"seed {seed}"
        spent = sum((server.submitted for server in servers), Decimal(0))
        assert spent <= 1, f"seed {seed}: {order}"
        if not any(server.given_back for server in servers):
            # Nor is anybody refused what there was room for.
            assert all(spent + asked > 1 for server in servers for asked in server.refused), f"seed {seed}: {order}"
        with closing(sqlite3.connect(path)) as db:
            (kept,) = db.execute("SELECT SUM(counted_micro) FROM jobs WHERE owner = ?", (f"owner {seed}",)).fetchone()
        assert Decimal(kept) / 1_000_000 == spent, f"seed {seed}"
        orders.add(tuple(order))
    assert len(orders) > INTERLEAVINGS * 0.95  # they were different ones


def test_the_same_interleavings_find_a_journal_that_does_not_lock(path: Path) -> None:
    """That the test above can fail: without the lock both servers read the same sum, and both spend."""
    leaks = 0
    for seed in range(40):
        servers, _ = interleave(path, seed, locks=False)
        leaks += sum((server.submitted for server in servers), Decimal(0)) > 1
    assert leaks


def test_an_interleaving_is_the_same_every_time(path: Path, tmp_path: Path) -> None:
    (left, right), order = interleave(path, 7)
    path.replace(tmp_path / "old.sqlite3")
    anyio.run(_make, path)
    (again_left, again_right), again = interleave(path, 7)
    assert (order, left.submitted, right.submitted) == (again, again_left.submitted, again_right.submitted)


async def test_servers_that_race_for_real_keep_the_cap_too(tmp_path: Path) -> None:
    """Sixty begins at once through two journals, in real threads: whatever order the machine takes."""
    journals = [Journal(tmp_path / "journal.sqlite3") for _ in SERVERS]
    taken: list[Decimal] = []

    async def take(journal: Journal, estimate: Decimal) -> None:
        try:
            await journal.begin(owner="me", kind="k", tool="t", model="m", title="", cost=Cost(estimate), caps=DOLLAR)
        except SpendRefusedError:
            return
        taken.append(estimate)

    async with anyio.create_task_group() as group:
        for index in range(60):
            group.start_soon(take, journals[index % 2], Decimal(1 + index % 9) / 100)
    for journal in journals:
        await journal.close()

    assert Decimal("0.99") <= sum(taken) <= 1
