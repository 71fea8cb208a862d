"""A journal of version 0.1.0, with rows of every kind as that version wrote them, is brought up to date in place."""

import sqlite3
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.errors import JournalError, SpendRefusedError
from novita_mcp.novita.gpu.instances import Instance
from novita_mcp.novita.gpu.meters import follow_instance, open_meters
from novita_mcp.novita.journal import journal as journal_module
from novita_mcp.novita.journal.databases import open_store, sqlite
from novita_mcp.novita.journal.facts import BatchFacts, CallFacts, EndpointFacts, GatewayFacts, GpuFacts, MediaFacts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.leases import Leases
from novita_mcp.novita.journal.rows import JobState
from novita_mcp.novita.journal.schema import MIGRATIONS

from ...postgres import Postgres
from ..conftest import FakeClock, needs_postgres

DUMP = Path(__file__).with_name("journal_0_1_0.sql")
ME = "0123456789abcdef"
LAST = 1795445214.0
"""When 0.1.0 read its rows last."""
COUNTED = {
    "a red fox": "0.02",
    "at work": "0.1",
    "no answer": "0.02",
    "refused": "0",
    "a talk": "0.0042",
    "rows": "0.5",
    "runs": "0.9",
    "rests": "0.730416",
    "month": "200.36",
    "box": "3",
}
"""What 0.1.0 counted for them then."""
SPENT = Decimal("209.764616")
VERSION = 5
"""Of the tables of 0.1.0."""

Upgrade = Callable[[], Journal]


def statements() -> list[str]:
    """The rows alone."""
    return [line for line in DUMP.read_text(encoding="utf-8").splitlines() if line.startswith("INSERT INTO")]


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock()
    clock.unix = LAST - clock.time
    return clock


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
async def upgraded(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Upgrade]:
    """Opens the old journal with the code of today, as often as asked."""
    monkeypatch.setattr(journal_module, "_CARRY_EVERY", 0.0)
    path, url = tmp_path / "journal.sqlite3", None
    if request.param == "sqlite":
        with closing(sqlite3.connect(path)) as db:
            db.executescript(DUMP.read_text(encoding="utf-8"))
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.new()
        old = open_store(None, url, MIGRATIONS[:VERSION])
        for statement in statements():
            old.run(lambda db, statement=statement: db.execute(in_order(statement)).rowcount)
        old.close()
    opened: list[Journal] = []

    def another() -> Journal:
        opened.append(Journal(None if url else path, url=url, clock=clock))
        return opened[-1]

    yield another
    for journal in opened:
        await journal.close()


def in_order(statement: str) -> str:
    """A row of the dump with its columns named: PostgreSQL's tables begin with a number of their own."""
    table = statement.split('"')[1]
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(DUMP.read_text(encoding="utf-8"))
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    return statement.replace(f'"{table}"', f"{table} ({', '.join(columns)})", 1)


async def test_every_row_counts_what_it_counted(upgraded: Upgrade) -> None:
    journal = upgraded()
    jobs = await journal.recent(ME, limit=50)
    counted = {job.title: job.counted for job in jobs}
    assert len(jobs) == 14
    for title, usd in COUNTED.items():
        assert counted[title] == pytest.approx(Decimal(usd), abs=Decimal("0.000001")), title
    assert await journal.spent(ME) == pytest.approx(SPENT, abs=Decimal("0.000002"))
    assert {job.title: job.usd_per_day for job in jobs if job.usd_per_day} == {
        "chat": Decimal("28.8"),
        "box": Decimal("0.2"),
        "month": Decimal("0.5"),
        "rests": Decimal("0.5"),
        "runs": Decimal("8.64"),
    }


async def test_time_goes_on_where_it_stood(upgraded: Upgrade, clock: FakeClock) -> None:
    journal = upgraded()
    before = {meter.resource: meter for meter in await open_meters(journal, ME)}
    assert (before["i-runs"].usd, before["i-month"].usd) == (Decimal("0.9"), Decimal("0.052083"))
    clock.time += 3_600
    after = {meter.resource: meter for meter in await open_meters(journal, ME)}
    assert after["i-runs"].usd == Decimal("1.26")
    assert after["e-1"].usd - before["e-1"].usd == Decimal("1.2")
    stopped = Instance(id="i-runs", status="exited", rootfs_size=160, billing_mode="onDemand", kind="gpu")
    await follow_instance(journal, ME, stopped)
    clock.time += 86_400
    (runs,) = [job for job in await journal.recent(ME, limit=50) if job.title == "runs"]
    assert runs.counted == Decimal("1.26") + Decimal("0.5")


async def test_what_rows_say_is_all_there(upgraded: Upgrade, caplog: pytest.LogCaptureFixture) -> None:
    journal = upgraded()
    jobs = {(job.title, job.tool): job for job in await journal.recent(ME, limit=50)}
    fox = jobs["a red fox", "generate_image"]
    assert fox.facts == MediaFacts(operation="qwen_image_txt2img", mode="async", asked=1, seed=7, took=12.0)
    assert [artifact.url for artifact in fox.artifacts] == ["https://files.example/a.png"]
    assert jobs["at work", "generate_video"].facts_as(MediaFacts).look == "v2"
    assert jobs["a talk", "chat"].facts == CallFacts(usd=Decimal("0.0042"), tokens=321, answer_id="chat-1")
    batch = BatchFacts(content="abc", rows=3, endpoint="/v1/chat/completions", input_file_id="file_1")
    assert jobs["rows", "create_batch"].facts == batch
    runs = jobs["runs", "create_gpu_instance"].facts_as(GpuFacts)
    assert (runs.usd_per_hour, runs.disk_gb, runs.resource) == (Decimal("0.36"), 160, "i-runs")
    assert jobs["month", "create_gpu_instance"].facts_as(GpuFacts).term_usd == 200
    assert jobs["box", "save_gpu_volume"].facts_as(GpuFacts).volume == ("box", "eu")
    assert jobs["chat", "create_endpoint"].facts_as(EndpointFacts).usd_per_worker_hour == Decimal("0.6")
    assert jobs["chat", "call_endpoint"].facts_as(GatewayFacts).gateway_name == "chat"
    assert jobs["gone", "start_gpu_instance"].facts.usd == Decimal("0.31")
    assert "has facts that such rows do not have" not in caplog.text
    assert await journal.durations("qwen-image-txt2img") == [12]


async def test_leases_know_what_they_are_of(upgraded: Upgrade) -> None:
    found = await Leases(upgraded()).of(ME)
    assert {(lease.kind, lease.thing_id, lease.name) for lease in found} == {
        ("instance", "i-runs", "runs"),
        ("instance", "i-rests", "rests"),
        ("endpoint", "e-1", "chat"),
        ("endpoint", None, "lost"),
    }


async def test_the_cap_of_a_day_holds_over_the_upgrade(upgraded: Upgrade) -> None:
    given: dict[str, Any] = {"owner": ME, "kind": "media", "tool": "t", "model": "m", "title": "x"}
    journal = upgraded()
    await journal.begin(**given, cost=Cost(Decimal("0.2")), caps=Caps(per_day=Decimal(210)))
    with pytest.raises(SpendRefusedError, match=r"209\.97"):
        await journal.begin(**given, cost=Cost(Decimal("0.2")), caps=Caps(per_day=Decimal(210)))


# A process of 0.1.0 on the same file: its own statements, since its code is not here.

OLD_COST = (
    "CASE WHEN rate_micro_day IS NULL OR metered_micro + CAST((CASE WHEN ({now} - (rate_since)) > 0 THEN"
    " ({now} - (rate_since)) ELSE 0 END) * rate_micro_day / 86400 AS INTEGER) < counted_micro THEN counted_micro"
    " ELSE metered_micro + CAST((CASE WHEN ({now} - (rate_since)) > 0 THEN ({now} - (rate_since)) ELSE 0 END)"
    " * rate_micro_day / 86400 AS INTEGER) END"
)
OLD_BEGIN = (
    "INSERT INTO jobs (key, owner, kind, tool, model, title, state, estimate_micro, counted_micro,"
    " run, pid, host, created, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
OLD_CHANGE = (
    "UPDATE jobs SET state = ?, reason = ?, task_id = COALESCE(?, task_id),"
    " accepted = COALESCE(?, accepted), finished = ?, counted_micro = COALESCE(?, counted_micro),"
    " facts = ? WHERE key = ?"
)
OLD_RATE = "UPDATE jobs SET metered_micro = ?, rate_micro_day = ?, rate_since = ?, counted_micro = ? WHERE key = ?"
OLD_LEASE = (
    "INSERT INTO leases (key, owner, instance_id, job_key, name, created, stop_at, state)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


async def test_a_process_of_0_1_0_goes_on_writing_and_is_heard(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the file open when it is brought up to date; a job of its that is under way gets its answer noted, a
    machine it starts is counted, a lease it grants is kept."""
    monkeypatch.setattr(journal_module, "_CARRY_EVERY", 0.0)
    path, now = tmp_path / "journal.sqlite3", LAST
    with closing(sqlite3.connect(path)) as db:
        db.executescript(DUMP.read_text(encoding="utf-8"))
        db.execute("PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(path, isolation_level=None)) as old:

        def begin(key: str, tool: str) -> None:
            state, facts = "submitting", '{"usd_per_hour": "0.36", "disk_gb": 60, "billing": "onDemand"}'
            kind = "gpu_instance" if "gpu" in tool else "media"
            facts = facts if "gpu" in tool else '{"mode": "async"}'
            values = (key, ME, kind, tool, "m", key, state, 360_000, 360_000, "old", 1, "", now, facts)
            old.execute(OLD_BEGIN, values)

        begin("before", "generate_image")
        journal = Journal(path, clock=clock)
        assert len(await journal.recent(ME, limit=50)) == 15
        old.execute(OLD_CHANGE, ("working", "", "task-9", now, None, None, '{"mode": "async"}', "before"))
        begin("machine", "create_gpu_instance")
        facts = f'{{"usd_per_hour": "0.36", "disk_gb": 60, "resource": "i-9", "metered_from": {now}}}'
        old.execute(OLD_CHANGE, ("working", "", "i-9", now, None, None, facts, "machine"))
        old.execute(OLD_RATE, (0, 8_640_000, now, 360_000, "machine"))
        old.execute(OLD_LEASE, ("l-9", ME, "endpoint:e-9", None, "endpoint:chat", now, now + 60, "active"))
        (sum_before,) = old.execute(
            f"SELECT SUM({OLD_COST.format(now=now)}) FROM jobs WHERE key = 'machine'"
        ).fetchone()
        assert sum_before == 360_000

        found = await journal.find(ME, "task-9")
        assert found is not None and found.state is JobState.WORKING
        clock.time += 7_200
        machine = await journal.find(ME, "i-9")
        assert machine is not None and (machine.counted, machine.usd_per_day) == (Decimal("0.72"), Decimal("8.64"))
        assert ("endpoint", "e-9") in {(lease.kind, lease.thing_id) for lease in await Leases(journal).of(ME)}
        # It finds nothing to end that is not its to end, and reads its jobs as ever.
        due = "SELECT COUNT(*) FROM leases WHERE state IN ('pending', 'active') AND stop_at <= ?"
        assert old.execute(due, (now + 90_000,)).fetchone() == (0,)
        assert old.execute(f"SELECT {OLD_COST.format(now=now)} FROM jobs WHERE key = 'before'").fetchone() == (360_000,)
        # Set again, as it sees no rate of it: no second time is counted.
        old.execute(OLD_RATE, (0, 8_640_000, now + 7_200, 360_000, "machine"))
        clock.time += 3_600
        machine = await journal.find(ME, "i-9")
        assert machine is not None and machine.counted == Decimal("1.08")
        await journal.close()


async def test_the_file_is_copied_before_it_is_changed(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "journal.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(DUMP.read_text(encoding="utf-8"))
    journal = Journal(path, clock=clock)
    await journal.recent(ME, limit=1)
    await journal.close()
    copy = tmp_path / f"journal.sqlite3.before-{VERSION}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        kept = set(db.iterdump())
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(DUMP.read_text(encoding="utf-8"))
        assert kept == set(db.iterdump())
    assert {file.name for file in tmp_path.iterdir()} == {path.name, copy.name}


async def test_without_room_for_a_copy_nothing_is_changed(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(DUMP.read_text(encoding="utf-8"))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sqlite, "copy_before", full)
    with pytest.raises(JournalError, match="No space left"):
        await Journal(path, clock=clock).recent(ME, limit=1)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
