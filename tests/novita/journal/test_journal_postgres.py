"""The journal of a team, in PostgreSQL: what the file of one user does, for any number of servers.

Skipped where Debian's postgresql or psycopg (the extra `team`) is not installed.
"""

import multiprocessing
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from novita_mcp.novita.core.client import NovitaClient
from novita_mcp.novita.core.clock import SystemClock
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.errors import JournalError, SpendRefusedError
from novita_mcp.novita.core.periods import Period
from novita_mcp.novita.core.this_machine import this_host
from novita_mcp.novita.files.artifacts import Artifact
from novita_mcp.novita.gpu.leases import INSTANCE
from novita_mcp.novita.journal import journal as journal_module
from novita_mcp.novita.journal.databases import open_store
from novita_mcp.novita.journal.databases import postgres as postgres_journal
from novita_mcp.novita.journal.facts import Facts, MediaFacts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.leases import Enforced, Leases, LeaseState
from novita_mcp.novita.journal.ledger import read_ledger
from novita_mcp.novita.journal.rows import Job, JobState
from novita_mcp.novita.journal.schema import MIGRATIONS

from ...postgres import PASSWORD, Postgres, binaries
from ..conftest import FakeClock

pytest.importorskip("psycopg")
pytestmark = pytest.mark.skipif(binaries() is None, reason="Debian's postgresql is not installed")

CENT = Decimal("0.01")
Open = Callable[[], Journal]


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.new()


@pytest.fixture(params=["sqlite", "postgresql"])
async def open_journal(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path, clock: FakeClock
) -> AsyncGenerator[Open]:
    """Opens journals on the same rows; each stands for a server process. Once per dialect."""
    opened: list[Journal] = []
    shared = postgres.new() if request.param == "postgresql" else None

    def another() -> Journal:
        opened.append(Journal(None if shared else tmp_path / "journal.sqlite3", url=shared, clock=clock))
        return opened[-1]

    yield another
    for journal in opened:
        await journal.close()


async def begin(journal: Journal, title: str = "a fox", *, owner: str = "me", **more: Any) -> Job:
    given: dict[str, Any] = {"cost": Cost(CENT), "kind": "media", "tool": "generate_image", "model": "m", **more}
    return await journal.begin(owner=owner, title=title, **given)


def test_the_server_speaks_for_itself(postgres: Postgres) -> None:
    """What is tested is PostgreSQL, and a client that must know the password."""
    import psycopg

    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.url().replace(":a-pass%2Fword@", ":wrong@"))


# One behaviour, two dialects


async def test_a_job_goes_through_its_life(open_journal: Open, clock: FakeClock) -> None:
    journal, other = open_journal(), open_journal()
    job = await begin(journal, "a 100% fox? yes", facts=MediaFacts(mode="async"))
    await journal.note(job.key, MediaFacts(seed=1))
    clock.unix += 2
    await journal.accepted(job.key, "t-1", MediaFacts(remark="x"))
    files = [Artifact(task_id="t-1", index=index, kind="image", url="https://x.example/a.png") for index in (1, 0)]
    await other.finish(job.key, JobState.SUCCEEDED, task_id="t-1", artifacts=files, facts=MediaFacts(took=1.5))
    await journal.put_artifacts("me", "t-1", [file.model_copy(update={"note": "again"}) for file in files])

    found = await other.find("me", "t-1")
    assert found is not None
    assert (found.title, found.state, found.estimate) == ("a 100% fox? yes", JobState.SUCCEEDED, CENT)
    assert found.facts == MediaFacts(mode="async", seed=1, remark="x", took=1.5)
    assert [(file.index, file.note) for file in found.artifacts] == [(0, "again"), (1, "again")]
    assert found.accepted is not None
    assert (found.accepted - found.created).total_seconds() == pytest.approx(2)
    assert await other.find("me", job.key[:12]) == found
    assert await other.find("you", "t-1") is None
    assert await other.durations("m") == [1.5]
    assert await other.spent("me") == CENT


async def test_rows_of_one_instant_keep_their_order(open_journal: Open) -> None:
    journal = open_journal()
    for number in range(5):
        await begin(journal, f"fox {number}")
    assert [job.title for job in await journal.recent("me", limit=2, offset=1)] == ["fox 3", "fox 2"]
    assert len(await journal.recent("me", limit=9, states=[JobState.SUBMITTING])) == 5
    assert await journal.recent("me", limit=9, states=[JobState.UNCONFIRMED]) == []
    assert await journal.recent("me", limit=9, kind="gpu_instance") == []


async def test_a_task_is_adopted_once(open_journal: Open) -> None:
    journals = [open_journal() for _ in range(4)]
    rows: list[Job] = []

    async def adopt(journal: Journal) -> None:
        rows.append(await journal.adopt("me", "t-9", kind="media", tool="get_task"))

    async with anyio.create_task_group() as group:
        for journal in journals:
            group.start_soon(adopt, journal)
    assert len({row.key for row in rows}) == 1
    assert (await journals[0].adopt("you", "t-9", kind="media", tool="get_task")).key != rows[0].key


async def test_a_cap_holds_over_all_servers(open_journal: Open) -> None:
    journals = [open_journal() for _ in range(4)]
    refused: list[str] = []

    async def spend(journal: Journal) -> None:
        try:
            await begin(journal, caps=Caps(per_day=10 * CENT))
        except SpendRefusedError as error:
            refused.append(str(error))

    async with anyio.create_task_group() as group:
        for number in range(32):
            group.start_soon(spend, journals[number % 4])
    assert len(refused) == 22
    assert await journals[0].spent("me") == 10 * CENT
    await begin(journals[0], owner="you", caps=Caps(per_day=10 * CENT))


async def test_notes_from_many_servers_are_all_kept(open_journal: Open) -> None:
    journals = [open_journal() for _ in range(4)]
    job = await begin(journals[0])

    words = [MediaFacts.model_validate({name: name}) for name in ("operation", "save_to", "mode", "remark", "look")]
    notes = [*words, MediaFacts(seed=1), MediaFacts(asked=2), MediaFacts(empty_since=3), MediaFacts(took=4)]

    async with anyio.create_task_group() as group:
        for number, each in enumerate(notes):
            group.start_soon(journals[number % 4].note, job.key, each)
    found = await journals[0].find("me", job.key)
    assert found is not None
    assert found.facts == reduce(MediaFacts.with_, notes)


async def test_leases_are_shared(open_journal: Open, clock: FakeClock) -> None:
    one, two = Leases(open_journal(), clock=clock), Leases(open_journal(), clock=clock)
    first = await one.grant("me", kind="instance", hours=1, name="gpu", thing_id="i-1")
    clock.unix += 1
    second = await two.grant("me", kind="instance", hours=2, name="gpu", thing_id="i-1")
    await one.grant("me", kind="instance", hours=1, name="new", job_key="j-1")
    await two.attach("j-1", "i-2")

    assert [lease.thing_id for lease in await one.of("me")] == ["i-2", "i-1"]
    newest = (await two.newest("me", "instance"))["i-1"]
    assert newest.key == second.key != first.key
    assert newest.state is LeaseState.ACTIVE
    assert await two.of("you") == []


async def test_a_due_lease_is_claimed_by_one_server(open_journal: Open, clock: FakeClock) -> None:
    servers = [Leases(open_journal(), clock=clock) for _ in range(4)]
    await servers[0].grant("me", kind=INSTANCE, hours=1, name="gpu", thing_id="i-1")
    clock.unix += 3_601
    done: list[Enforced] = []

    async def enforce(leases: Leases, client: NovitaClient) -> None:
        done.extend(await leases.enforce({"me": client}))

    gone = httpx.MockTransport(lambda _: httpx.Response(404, json={"code": 404, "message": "no such instance"}))
    async with httpx.AsyncClient(transport=gone) as http:
        client = NovitaClient(http, "sk-me", clock=clock)
        assert await servers[0].enforce({}) == []
        async with anyio.create_task_group() as group:
            for leases in servers:
                group.start_soon(enforce, leases, client)
    assert [outcome.done for outcome in done] == [True]
    assert await servers[0].of("me") == []


LEASE_OF_0_1_0 = (
    "INSERT INTO leases (key, owner, instance_id, job_key, name, created, stop_at, state)"
    " VALUES (?, 'me', ?, ?, ?, 1795300000.0, 1795400000.0, ?)"
)


async def test_leases_of_0_1_0_learn_what_they_are_of(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its prefix for endpoints goes; a process of it that still runs may write more of them."""
    monkeypatch.setattr(journal_module, "_CARRY_EVERY", 0.0)
    journal = open_journal()
    leases = Leases(journal)
    for row in (
        ("1", "i-1", None, "box", "active"),
        ("2", "endpoint:e-1", "j-1", "endpoint:chat", "active"),
        ("3", None, "j-2", "endpoint:lost", "pending"),
        ("4", "endpoint:e-0", None, "endpoint:old", "done"),
    ):
        await journal.transact(lambda db, row=row: db.execute(LEASE_OF_0_1_0, row).rowcount)
        await leases.of("me")

    assert {(lease.kind, lease.thing_id, lease.name) for lease in await leases.of("me")} == {
        ("instance", "i-1", "box"),
        ("endpoint", "e-1", "chat"),
        ("endpoint", None, "lost"),
    }
    assert {id: lease.state for id, lease in (await leases.newest("me", "endpoint")).items()} == {
        "e-1": LeaseState.ACTIVE,
        "e-0": LeaseState.DONE,
    }
    assert await journal.transact(lambda db: db.execute("SELECT COUNT(*) FROM leases").fetchone()[0]) == 0


async def test_a_lease_of_a_kind_that_nobody_here_can_end_is_left(open_journal: Open, clock: FakeClock) -> None:
    leases = Leases(open_journal(), clock=clock)
    await leases.grant("me", kind="spaceship", hours=1, name="x", thing_id="s-1")
    clock.unix += 3_601
    async with httpx.AsyncClient() as http:
        assert await leases.enforce({"me": NovitaClient(http, "sk-me", clock=clock)}) == []
    assert [lease.state for lease in await leases.of("me")] == [LeaseState.ACTIVE]


async def test_the_ledger_adds_up(open_journal: Open, clock: FakeClock) -> None:
    journal = open_journal()
    paid = await begin(journal)
    await journal.finish(paid.key, JobState.SUCCEEDED, task_id="t", counted=3 * CENT, facts=Facts(usd=3 * CENT))
    refused = await begin(journal)
    await journal.finish(refused.key, JobState.REFUSED)
    await begin(journal, cost=Cost(None, ceiling=10 * CENT))
    await begin(journal, owner="you")
    day = datetime.fromtimestamp(clock.wall(), UTC).date()
    rows = await read_ledger(journal, Period(day, day), owner="me")

    assert [(row.day, row.calls, row.counted, row.known, row.free_calls) for row in rows] == [
        (day, 3, Decimal("0.13"), 3 * CENT, 1)
    ]
    assert (rows[0].doubtful, rows[0].unpriced_calls) == (Decimal("0.10"), 1)


# After a crash, on this machine and on others


@pytest.fixture
def dead_pid() -> int:
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


async def as_left_by(journal: Journal, host: str, pid: int) -> None:
    statement = "UPDATE jobs SET host = ?, pid = ?, run = 'another'"
    await journal.transact(lambda db: db.execute(statement, (host, pid)).rowcount)


@pytest.mark.parametrize("host", ["", this_host()])
async def test_a_dead_process_of_this_host_leaves_unconfirmed_rows(
    open_journal: Open, host: str, dead_pid: int
) -> None:
    journal = open_journal()
    await begin(journal)
    await as_left_by(journal, host, dead_pid)
    assert [job.state for job in await journal.recent("me", limit=1)] == [JobState.UNCONFIRMED]


async def test_process_ids_of_another_host_say_nothing(open_journal: Open, clock: FakeClock, dead_pid: int) -> None:
    """Its process may live although the number is dead here, and be dead although it lives here: age decides."""
    journal = open_journal()
    await begin(journal)
    await as_left_by(journal, "another-container", dead_pid)
    assert [job.state for job in await journal.recent("me", limit=1)] == [JobState.SUBMITTING]
    clock.unix += 301
    assert [job.state for job in await journal.recent("me", limit=1)] == [JobState.UNCONFIRMED]


# Only PostgreSQL


async def test_many_servers_make_the_tables_at_once(url: str) -> None:
    journals = [Journal(None, url=url) for _ in range(8)]
    async with anyio.create_task_group() as group:
        for journal in journals:
            group.start_soon(begin, journal)
    assert len(await journals[0].recent("me", limit=20)) == 8
    for journal in journals:
        await journal.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_tables_of_every_earlier_version_are_brought_up(version: int, url: str) -> None:
    old = open_store(None, url, MIGRATIONS[:version])
    old.run(
        lambda db: (
            db.execute(
                "INSERT INTO jobs (key, owner, task_id, kind, tool, model, title, state, run, pid, created)"
                " VALUES ('k', 'me', 't', 'media', 'tool', 'm', 'old', 'working', 'r', 1, 1.5)"
            ).rowcount
        )
    )
    old.close()
    journal = Journal(None, url=url)
    await begin(journal)
    assert [job.title for job in await journal.recent("me", limit=9)] == ["a fox", "old"]
    assert await journal.transact(lambda db: db.execute("SELECT version FROM journal_version").fetchall()) == [
        (len(MIGRATIONS),)
    ]
    await journal.close()


async def test_newer_tables_are_left_alone(url: str) -> None:
    journal = Journal(None, url=url)
    await journal.transact(lambda db: db.execute("UPDATE journal_version SET version = 999").rowcount)
    await journal.close()
    with pytest.raises(JournalError, match="newer novita-mcp"):
        await begin(Journal(None, url=url))


async def test_a_server_that_was_started_again_is_found_again(postgres: Postgres, url: str) -> None:
    journal = Journal(None, url=url)
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(begin, journal)
    postgres.hang_up()
    await begin(journal)
    assert len(await journal.recent("me", limit=9)) == 7
    await journal.close()


async def test_more_work_than_connections_waits_its_turn(url: str) -> None:
    """All of it is done, by a few connections that are kept for the next."""
    journal = Journal(None, url=url)
    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(begin, journal)
    assert len(await journal.recent("me", limit=99)) == 40
    count = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()"
    assert 1 <= await journal.transact(lambda db: db.execute(count).fetchone()[0]) <= 8
    await journal.close()


async def test_work_that_finds_no_connection_in_time_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_journal, "_CONNECTIONS", 1)
    monkeypatch.setattr(postgres_journal, "PATIENCE", 1.0)
    store = open_store(None, url, MIGRATIONS)

    def within(db: Any) -> None:
        with pytest.raises(JournalError, match="all 1 connections are at work"):
            store.run(lambda other: other.execute("SELECT 1"))

    store.run(within)
    store.close()


async def test_a_connection_that_breaks_at_work_is_told_and_leaves_nothing(postgres: Postgres, url: str) -> None:
    journal = Journal(None, url=url)
    await begin(journal)

    def work(db: Any) -> None:
        db.execute("UPDATE jobs SET title = 'half'")
        postgres.hang_up()
        db.execute("UPDATE jobs SET title = 'whole'")

    with pytest.raises(JournalError, match="cannot be used"):
        await journal.transact(work)
    assert [job.title for job in await journal.recent("me", limit=9)] == ["a fox"]
    await journal.close()


async def test_an_error_in_the_work_leaves_nothing(url: str) -> None:
    journal = Journal(None, url=url)
    job = await begin(journal)

    def work(db: Any) -> None:
        db.execute("UPDATE jobs SET title = 'half'")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await journal.transact(work)
    assert await journal.find("me", job.key) == job
    await journal.close()


@pytest.mark.parametrize("where", ["127.0.0.1:1/journal", "127.0.0.1:bad/journal"])
async def test_a_server_that_is_not_there_costs_nothing_and_no_password(where: str) -> None:
    with pytest.raises(JournalError) as caught:
        await begin(Journal(None, url=f"postgresql://me:{PASSWORD.replace('/', '%2F')}@{where}"))
    assert caught.value.billed == "no"
    assert PASSWORD not in str(caught.value)
    assert "a-pass%2Fword" not in str(caught.value)


async def test_a_wrong_password_is_not_shown(postgres: Postgres) -> None:
    with pytest.raises(JournalError, match="password authentication failed") as caught:
        await begin(Journal(None, url=postgres.url().replace("a-pass%2Fword", "wr0ng-word")))
    assert "wr0ng-word" not in str(caught.value)


async def test_a_zero_byte_is_no_reason_to_lose_a_job(url: str) -> None:
    journal = Journal(None, url=url)
    job = await begin(journal, "a\0fox", facts=MediaFacts(remark="a\0fox"))
    assert (job.title, job.facts) == ("afox", MediaFacts(remark="a\0fox"))
    await journal.close()


def test_the_first_file_is_opened_by_the_newest(tmp_path: Path) -> None:
    """A journal as the first schema wrote it, kept as a dump; what was in it is all still there."""
    dump = Path(__file__).with_name("journal_first.sql").read_text(encoding="utf-8")
    path = tmp_path / "journal.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(dump)
    journal = Journal(path, clock=SystemClock())

    async def look() -> list[Job]:
        try:
            return await journal.recent("0123456789abcdef", limit=9)
        finally:
            await journal.close()

    jobs = anyio.run(look)
    assert [(job.title, job.state) for job in jobs] == [
        ("sent and never answered", JobState.UNCONFIRMED),
        ("still at work", JobState.WORKING),
        ("a red fox in the snow", JobState.SUCCEEDED),
    ]
    assert [file.path for file in jobs[2].artifacts] == ["/home/me/Downloads/novita/2026-11-22_a-red-fox_1.png"]
    assert (jobs[2].estimate, jobs[2].facts.took) == (Decimal("0.02"), 12.5)
