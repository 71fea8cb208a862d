"""The journal: what it keeps, what a crash leaves, several processes on one file, and disks that fail."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.errors import JournalError, SpendRefusedError
from novita_mcp.novita.files.artifacts import Artifact
from novita_mcp.novita.journal.databases import open_store
from novita_mcp.novita.journal.facts import BatchFacts, Facts, MediaFacts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import Job, JobState
from novita_mcp.novita.journal.schema import MIGRATIONS
from pydantic import ValidationError

from ..conftest import FakeClock

CENT = Decimal("0.01")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal.sqlite3"


@pytest.fixture
async def journal(path: Path, clock: FakeClock) -> AsyncGenerator[Journal]:
    journal = Journal(path, clock=clock)
    yield journal
    await journal.close()


@pytest.fixture
async def other(path: Path, clock: FakeClock) -> AsyncGenerator[Journal]:
    """The journal of another server process."""
    journal = Journal(path, clock=clock)
    yield journal
    await journal.close()


async def begin(journal: Journal, title: str = "a fox", **more: Any) -> Job:
    given: dict[str, Any] = {"owner": "me", "kind": "media", "tool": "generate_image", "model": "m", "cost": Cost(CENT)}
    return await journal.begin(title=title, **(given | more))


def titles(jobs: list[Job]) -> list[str]:
    return [job.title for job in jobs]


# What it keeps


async def test_a_job_is_on_disk_before_it_is_sent(journal: Journal, other: Journal) -> None:
    job = await begin(journal, facts=MediaFacts(seed=7))
    (seen,) = await other.recent("me", limit=5)
    assert (seen.key, seen.state, seen.task_id, seen.estimate) == (job.key, JobState.SUBMITTING, None, CENT)
    assert seen.facts == MediaFacts(seed=7)


async def test_a_jobs_life_is_kept_whole(journal: Journal, other: Journal, clock: FakeClock) -> None:
    job = await begin(journal, facts=MediaFacts(seed=7))
    clock.time += 2
    await journal.accepted(job.key, "t1", MediaFacts(remark="x"))
    clock.time += 30
    artifact = Artifact(task_id="t1", index=0, kind="image", url="https://x/a.png")
    await journal.finish(job.key, JobState.SUCCEEDED, artifacts=[artifact], facts=MediaFacts(took=30))
    seen = await other.find("me", "t1")
    assert seen is not None
    assert seen.state is JobState.SUCCEEDED
    assert seen.artifacts == (artifact,)
    assert seen.facts == MediaFacts(seed=7, remark="x", took=30)
    assert seen.accepted is not None
    assert seen.finished is not None
    assert (seen.finished - seen.accepted).total_seconds() == 30
    assert seen.created == datetime.fromtimestamp(clock.wall() - 32, UTC)


async def test_facts_are_those_of_their_kind_on_the_way_in_and_out(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    job = await begin(journal, facts=MediaFacts(seed=7, remark="x"))
    with pytest.raises(TypeError, match="BatchFacts"):
        await begin(journal, facts=BatchFacts(rows=1))
    with pytest.raises(TypeError, match="BatchFacts"):
        await journal.note(job.key, BatchFacts(rows=1))
    with pytest.raises(ValidationError):
        MediaFacts.model_validate({"seeed": 7})
    await journal.note(job.key, MediaFacts(remark=None))
    assert await told(journal, job) == MediaFacts(seed=7)

    odd = json.dumps({"seed": "seven", "mode": "sync", "who": "knows"})
    for text, after in ((odd, MediaFacts(mode="sync")), ("[1]", MediaFacts()), ("{", MediaFacts())):
        await journal.transact(lambda db, text=text: db.execute("UPDATE jobs SET facts = ?", (text,)).rowcount)
        assert await told(journal, job) == after
    assert "seed, who" in caplog.text


async def told(journal: Journal, job: Job) -> Facts:
    found = await journal.find("me", job.key)
    assert found is not None
    return found.facts


async def test_a_job_without_a_task_id_is_found_by_its_key(journal: Journal) -> None:
    job = await begin(journal)
    found = await journal.find("me", job.key[:12])
    assert found is not None
    assert found.key == job.key
    assert await journal.find("me", "no-such-task") is None


async def test_owners_see_nothing_of_each_other(journal: Journal) -> None:
    mine, theirs = await begin(journal), await begin(journal, owner="you")
    await journal.accepted(theirs.key, "t1")
    await journal.accepted(mine.key, "t1")
    assert [job.key for job in await journal.recent("me", limit=9)] == [mine.key]
    found = await journal.find("you", "t1")
    assert found is not None
    assert found.key == theirs.key
    assert await journal.find("you", mine.key[:12]) is None


async def test_files_are_replaced_not_added(journal: Journal) -> None:
    job = await journal.accepted((await begin(journal)).key, "t1")
    files = [Artifact(task_id="t1", index=n, kind="image", url=f"https://x/{n}") for n in range(3)]
    await journal.finish(job.key, JobState.SUCCEEDED, artifacts=files)
    await journal.put_artifacts("me", "t1", [file.model_copy(update={"path": "/p"}) for file in files])
    found = await journal.find("me", "t1")
    assert found is not None
    assert [artifact.path for artifact in found.artifacts] == ["/p"] * 3


async def test_in_memory_nothing_touches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal(None)
    job = await begin(journal)
    await journal.accepted(job.key, "t1")
    assert await journal.find("me", "t1") is not None
    await journal.close()
    assert list(tmp_path.iterdir()) == []


async def test_it_can_be_closed_twice_and_used_again(journal: Journal) -> None:
    await begin(journal)
    await journal.close()
    await journal.close()
    assert len(await journal.recent("me", limit=9)) == 1


async def test_only_its_user_may_read_it(journal: Journal, path: Path) -> None:
    await begin(journal)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert len(modes) > 1  # with what SQLite puts beside it
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_task_started_elsewhere_is_adopted_once_and_for_nothing(journal: Journal, other: Journal) -> None:
    first = await journal.adopt("me", "t9", kind="media", tool="get_task")
    second = await other.adopt("me", "t9", kind="media", tool="get_task")
    assert first.key == second.key
    assert (first.state, first.estimate) == (JobState.WORKING, 0)
    assert await journal.spent("me") == 0


async def test_how_long_jobs_of_a_model_took(journal: Journal, clock: FakeClock) -> None:
    for took in (3, 5, None, 9):
        job = await begin(journal)
        clock.time += 1
        facts = None if took is None else MediaFacts(took=took)
        await journal.finish(job.key, JobState.SUCCEEDED, facts=facts)
    failed = await begin(journal)
    await journal.finish(failed.key, JobState.FAILED, facts=MediaFacts(took=100))
    await begin(journal, model="another")
    assert await journal.durations("m") == [9, 5, 3]
    assert await journal.durations("another") == []


# Lists


async def test_the_newest_come_first_and_pages_join(journal: Journal, clock: FakeClock) -> None:
    for number in range(7):
        await begin(journal, f"fox {number}")
        clock.time += number % 2  # some in the same instant
    pages = [titles(await journal.recent("me", limit=3, offset=offset)) for offset in (0, 3, 6, 9)]
    assert pages == [["fox 6", "fox 5", "fox 4"], ["fox 3", "fox 2", "fox 1"], ["fox 0"], []]


async def test_lists_can_be_narrowed(journal: Journal, other: Journal, clock: FakeClock) -> None:
    states = [JobState.WORKING, JobState.SUCCEEDED, JobState.FAILED, JobState.REFUSED, JobState.UNCONFIRMED]
    for state in states * 2:
        job = await begin(journal, state.value)
        await journal.finish(job.key, state)
    await begin(journal, "submitting", kind="instance")
    for state in states:
        assert titles(await other.recent("me", limit=9, states=[state])) == [state.value] * 2
    assert titles(await other.recent("me", limit=9, states=[JobState.SUBMITTING])) == ["submitting"]
    assert titles(await other.recent("me", limit=9, kind="instance")) == ["submitting"]
    clock.time += 1000  # its process has long been gone for the other
    assert titles(await other.recent("me", limit=2, states=[JobState.UNCONFIRMED])) == ["submitting", "unconfirmed"]
    assert titles(await other.recent("me", limit=9, offset=1, states=[JobState.UNCONFIRMED])) == ["unconfirmed"] * 2
    assert titles(await other.recent("me", limit=9, states=[JobState.SUBMITTING])) == []


@pytest.mark.parametrize("states", [(), (JobState.SUCCEEDED,), (JobState.UNCONFIRMED, JobState.SUCCEEDED)])
async def test_a_short_list_does_not_read_a_long_journal(states: tuple[JobState, ...], journal: Journal) -> None:
    for number in range(60):
        job = await begin(journal, f"fox {number}")
        await journal.finish(job.key, JobState.SUCCEEDED, task_id=f"t{number}")
    statements: list[str] = []
    await journal.transact(lambda db: cast(sqlite3.Connection, db).set_trace_callback(statements.append))
    assert len(await journal.recent("me", limit=5, offset=10, states=states)) == 5
    assert sum("FROM artifacts" in statement for statement in statements) == 5


# After a crash

CHILD = """
import asyncio, os, sys
from decimal import Decimal
from pathlib import Path
from novita_mcp.novita.core.errors import SpendRefusedError
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.journal.journal import JobState, Journal

path, what, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

async def main():
    journal = Journal(path)
    done = 0
    print("ready", flush=True)
    sys.stdin.readline()  # all children begin at once
    for number in range(count):
        caps = Caps(per_day=Decimal("1")) if what == "spend" else None
        try:
            job = await journal.begin(owner="me", kind="media", tool="t", model="m", title=f"{os.getpid()}/{number}",
                                      cost=Cost(Decimal("0.05")), caps=caps)
        except SpendRefusedError:
            continue
        done += 1
        if what == "die":
            os._exit(9)
        await journal.accepted(job.key, f"{os.getpid()}-{number}")
        await journal.finish(job.key, JobState.SUCCEEDED)
    await journal.close()
    print(done, flush=True)

asyncio.run(main())
"""


def children(path: Path, what: str, *, processes: int, count: int) -> list[str]:
    """Run so many processes on one journal, all let loose at the same moment; what each said last."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), what, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for child in running:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in running:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    return [child.communicate(timeout=60)[0].strip() for child in running]


async def test_a_submit_whose_process_died_reads_as_unconfirmed(journal: Journal, path: Path) -> None:
    children(path, "die", processes=1, count=1)
    (job,) = await Journal(path).recent("me", limit=5)
    assert job.state is JobState.UNCONFIRMED
    assert "may have accepted and billed" in job.reason
    assert await journal.is_orphan(job.key)


async def test_what_this_or_another_living_process_began_is_no_orphan(journal: Journal, other: Journal) -> None:
    job = await begin(journal)
    assert not await journal.is_orphan(job.key)
    assert not await other.is_orphan(job.key)
    assert not await other.is_orphan("a row that is none")


async def test_a_submit_of_a_living_process_is_under_way(journal: Journal, other: Journal, clock: FakeClock) -> None:
    await begin(journal)
    assert (await other.recent("me", limit=1))[0].state is JobState.SUBMITTING
    clock.time += 301  # the process number may be someone else's by now
    assert (await other.recent("me", limit=1))[0].state is JobState.UNCONFIRMED
    assert (await journal.recent("me", limit=1))[0].state is JobState.SUBMITTING


async def test_an_answer_that_comes_late_settles_it(journal: Journal, other: Journal, clock: FakeClock) -> None:
    job = await begin(journal)
    clock.time += 301
    await journal.accepted(job.key, "t1")
    found = await other.find("me", "t1")
    assert found is not None
    assert found.state is JobState.WORKING


# Several processes


async def test_processes_may_begin_on_an_empty_file_at_the_same_moment(path: Path) -> None:
    said = children(path, "work", processes=5, count=12)
    assert said == ["12"] * 5
    jobs = await Journal(path).recent("me", limit=100)
    assert len({job.title for job in jobs}) == len(jobs) == 60
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}


async def test_a_cap_holds_over_all_processes(path: Path) -> None:
    """$1 a day at $0.05 each: twenty, whoever is first."""
    said = children(path, "spend", processes=4, count=15)
    assert sum(map(int, said)) == 20
    assert await Journal(path).spent("me") == 1


# Caps


@pytest.mark.parametrize("cap", ["per_call", "per_run", "per_day"])
async def test_what_would_pass_a_cap_is_refused_and_leaves_no_row(cap: str, journal: Journal) -> None:
    caps = Caps.model_validate({cap: Decimal("0.025")})
    if cap == "per_call":
        await begin(journal, caps=caps, cost=Cost(Decimal("0.025")))
    else:
        await begin(journal, caps=caps)
        await begin(journal, caps=caps)
    before = len(await journal.recent("me", limit=9))
    with pytest.raises(SpendRefusedError, match="cap") as caught:
        await begin(journal, caps=caps, cost=Cost(Decimal("0.026") if cap == "per_call" else CENT))
    assert caught.value.billed == "no"
    assert len(await journal.recent("me", limit=9)) == before


async def test_each_owner_has_a_cap_of_their_own(journal: Journal) -> None:
    caps = Caps(per_day=CENT)
    await begin(journal, caps=caps)
    await begin(journal, caps=caps, owner="you")


async def test_a_run_counts_its_own_and_a_day_counts_all(journal: Journal, other: Journal) -> None:
    await begin(journal, caps=Caps(per_run=CENT))
    await begin(other, caps=Caps(per_run=CENT))
    with pytest.raises(SpendRefusedError):
        await begin(other, caps=Caps(per_day=CENT))


async def test_a_new_day_begins_at_midnight_utc(journal: Journal, clock: FakeClock) -> None:
    caps = Caps(per_day=CENT)
    await begin(journal, caps=caps)
    clock.time += 86_400 - clock.wall() % 86_400
    await begin(journal, caps=caps)


async def test_an_unknown_price_counts_as_the_user_settled(journal: Journal) -> None:
    caps = Caps(per_day=Decimal("0.15"), unknown=Decimal("0.10"))
    await begin(journal, caps=caps, cost=Cost(None))
    assert await journal.spent("me") == Decimal("0.10")
    with pytest.raises(SpendRefusedError):
        await begin(journal, caps=caps, cost=Cost(None))


async def test_what_was_refused_gives_its_share_back_and_what_is_unclear_does_not(journal: Journal) -> None:
    caps = Caps(per_day=CENT)
    refused = await begin(journal, caps=caps)
    await journal.finish(refused.key, JobState.REFUSED)
    unclear = await begin(journal, caps=caps)
    await journal.finish(unclear.key, JobState.UNCONFIRMED)
    with pytest.raises(SpendRefusedError):
        await begin(journal, caps=caps)
    assert await journal.spent("me") == CENT


# Files that are older, newer, or none


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
async def test_a_file_of_every_earlier_version_is_brought_up(version: int, path: Path) -> None:
    path.parent.mkdir()
    open_store(path, None, MIGRATIONS[:version]).run(
        lambda db: (
            db.execute(
                "INSERT INTO jobs (key, owner, kind, tool, model, title, state, run, pid, created)"
                " VALUES ('k', 'me', 'media', 't', 'm', 'old', 'working', 'r', 1, 1.0)"
            )
            if version
            else None
        )
    )
    journal = Journal(path)
    await begin(journal)
    assert titles(await journal.recent("me", limit=9)) == ["a fox", *(["old"] if version else [])]
    assert await journal.transact(lambda db: db.execute("PRAGMA user_version").fetchone()[0]) == len(MIGRATIONS)
    await journal.close()


async def test_a_newer_file_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(JournalError, match="newer novita-mcp") as caught:
        await begin(Journal(path))
    assert "update" in caught.value.next_step
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


async def test_a_file_that_is_no_journal_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"my holiday diary, and no database at all" * 100)
    with pytest.raises(JournalError, match="cannot be used"):
        await begin(Journal(path))
    assert path.read_bytes().startswith(b"my holiday diary")


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="file") as caught:
        await begin(Journal(tmp_path / "file" / "journal.sqlite3"))
    assert "NOVITA_MCP_JOURNAL" in caught.value.next_step


async def test_a_path_that_is_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be used"):
        await begin(Journal(tmp_path))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
async def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(JournalError, match="cannot be used"):
        await begin(Journal(tmp_path / "journal.sqlite3"))


async def test_a_full_disk_is_named_and_leaves_the_file_whole(journal: Journal) -> None:
    job = await begin(journal)
    await journal.transact(lambda db: db.execute("PRAGMA max_page_count = 1").fetchone())
    with pytest.raises(JournalError, match="full"):
        for _ in range(200):
            await begin(journal, facts=MediaFacts(remark="x" * 4000))
    await journal.transact(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
    assert await journal.transact(lambda db: db.execute("PRAGMA integrity_check").fetchone()[0]) == "ok"
    assert await journal.find("me", job.key[:12]) is not None


async def test_after_a_fault_it_goes_on(path: Path) -> None:
    path.parent.mkdir()
    path.mkdir()
    journal = Journal(path)
    with pytest.raises(JournalError):
        await begin(journal)
    path.rmdir()
    await begin(journal)
    await journal.close()


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
async def test_files_and_a_folder_of_ours_that_were_open_to_others_are_closed(tmp_path: Path) -> None:
    """As a mask of 0 and an earlier version left them; a folder with other things in it is the user's."""
    for name, folder_after in (("novita-mcp", 0o700), ("documents", 0o755)):
        folder = tmp_path / name
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        file = folder / "journal.sqlite3"
        file.touch()
        file.chmod(0o644)
        journal = Journal(file)
        await begin(journal)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
        await journal.close()
        assert set(modes.values()) == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == folder_after
