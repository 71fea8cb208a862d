"""Nothing paid is lost to the journal: files that are locked, full, gone, replaced or damaged, ids that repeat, clocks
that jump."""

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.errors import JournalError, SpendRefusedError
from novita_mcp.novita.files.artifacts import Artifact
from novita_mcp.novita.journal.databases import sqlite
from novita_mcp.novita.journal.facts import MediaFacts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.leases import Leases
from novita_mcp.novita.journal.rows import Job, JobState

from ..conftest import FakeClock

CENT = Decimal("0.01")
Open = Callable[[], Journal]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
async def open_journal(path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Open]:
    """Opens the file once more, as another process does. Nobody waits long for a lock."""
    monkeypatch.setattr(sqlite, "PATIENCE", 0.05)
    opened: list[Journal] = []

    def another() -> Journal:
        opened.append(Journal(path, clock=clock))
        return opened[-1]

    yield another
    for journal in opened:
        await journal.close()


async def begin(journal: Journal, title: str = "a fox", **more: Any) -> Job:
    given: dict[str, Any] = {"owner": "me", "kind": "media", "tool": "generate_image", "model": "m", "cost": Cost(CENT)}
    return await journal.begin(title=title, **(given | more))


async def found(journal: Journal, task_id: str) -> Job:
    job = await journal.find("me", task_id)
    assert job is not None
    return job


# An answer that cannot be noted


async def test_an_answer_that_comes_while_the_file_is_locked_is_noted_when_it_is_free(
    open_journal: Open, path: Path
) -> None:
    journal, other = open_journal(), open_journal()
    job = await begin(journal, facts=MediaFacts(seed=7))
    file = Artifact(task_id="t1", index=0, kind="image", url="https://x/a.png")
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert (await journal.accepted(job.key, "t1")).task_id == "t1"
        assert (await found(journal, "t1")).state is JobState.WORKING
        done = await journal.finish(
            job.key, JobState.SUCCEEDED, artifacts=[file], counted=2 * CENT, facts=MediaFacts(took=3)
        )
        assert (done.state, done.artifacts, done.facts) == (JobState.SUCCEEDED, (file,), MediaFacts(seed=7, took=3))
        assert await found(journal, "t1") == done
        assert [each.state for each in await journal.recent("me", limit=5)] == [JobState.SUCCEEDED]
        assert await other.find("me", "t1") is None
        holder.execute("ROLLBACK")
    await journal.recent("me", limit=1)
    written = await found(other, "t1")
    assert written == await found(journal, "t1")
    assert written == done


async def test_an_answer_that_finds_the_disk_full_is_noted_when_there_is_room(open_journal: Open, path: Path) -> None:
    journal = open_journal()
    job = await begin(journal)
    await journal.transact(lambda db: db.execute("PRAGMA max_page_count = 1").fetchone())
    files = [Artifact(task_id="t1", index=n, kind="image", url=f"https://x/{n}" + "a" * 2_000) for n in range(60)]
    await journal.accepted(job.key, "t1")
    done = await journal.finish(job.key, JobState.SUCCEEDED, artifacts=files)
    assert len(done.artifacts) == 60
    with pytest.raises(JournalError, match="Nothing was billed"):
        await begin(journal, facts=MediaFacts(remark="x" * 100_000))
    await journal.transact(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    await journal.close()
    assert len((await found(open_journal(), "t1")).artifacts) == 60


async def test_what_is_owed_is_written_at_the_end(open_journal: Open, path: Path) -> None:
    journal = open_journal()
    job = await begin(journal)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        await journal.accepted(job.key, "t1")
        await Leases(journal).attach(job.key, "i-1")  # what belongs to an answer hides it from nobody
    await journal.close()
    assert (await found(open_journal(), "t1")).key == job.key


# Files that are gone, replaced, damaged


@pytest.mark.parametrize("how", ["removed", "removed with all", "moved", "replaced"])
async def test_a_file_that_is_not_the_same_any_more_is_noticed_before_the_next_job(
    how: str, open_journal: Open, path: Path, tmp_path: Path, clock: FakeClock
) -> None:
    caps = Caps(per_day=10 * CENT)
    journal, other = open_journal(), open_journal()
    working = await begin(journal, "working", caps=caps, cost=Cost(4 * CENT))
    await journal.accepted(working.key, "t1")
    done = await begin(other, "done", caps=caps, cost=Cost(4 * CENT))
    await other.finish(done.key, JobState.SUCCEEDED, task_id="t2")
    await Leases(journal).grant("me", kind="instance", hours=1, name="box", thing_id="i-1")
    match how:
        case "moved":
            path.rename(tmp_path / "elsewhere")
        case "replaced":
            elsewhere = Journal(tmp_path / "new.sqlite3", clock=clock)
            await begin(elsewhere, "of the new file", owner="you")
            await elsewhere.close()
            (tmp_path / "new.sqlite3").replace(path)
        case _:
            path.unlink()
            if how == "removed with all":
                for file in tmp_path.glob("journal.sqlite3-*"):
                    file.unlink()

    for each in (journal, other, open_journal()):
        with pytest.raises(SpendRefusedError):
            await begin(each, caps=caps, cost=Cost(4 * CENT))
        assert {job.title for job in await each.recent("me", limit=9)} == {"working", "done"}
        assert (await found(each, "t1")).state is JobState.WORKING
        assert [lease.thing_id for lease in await Leases(each).of("me")] == ["i-1"]
        assert await each.transact(lambda db: db.execute("PRAGMA integrity_check").fetchone()[0]) == "ok"
    assert [job.title for job in await journal.recent("you", limit=9)] == (["of the new file"] * (how == "replaced"))
    news = journal.take_news()
    assert ("replaced" if how == "replaced" else "removed") in news and str(path) in news
    assert journal.take_news() == ""
    await journal.finish(working.key, JobState.SUCCEEDED)
    assert (await found(other, "t1")).state is JobState.SUCCEEDED
    await other.close()
    await journal.close()
    assert len(await open_journal().recent("me", limit=9)) == 2


@pytest.mark.parametrize("spot", ["head", "zeros", "middle", "all"])
async def test_a_damaged_file_is_moved_aside_and_told(spot: str, open_journal: Open, path: Path) -> None:
    journal = open_journal()
    for number in range(200):
        earlier = await begin(journal, f"fox {number}")
        await journal.finish(earlier.key, JobState.SUCCEEDED, task_id=f"t{number}")
    await journal.close()
    journal = open_journal()
    job = await begin(journal, "open")
    await journal.accepted(job.key, "mine")
    await journal.transact(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    size = path.stat().st_size
    with path.open("r+b") as file:
        match spot:
            case "head":
                file.seek(16)
                file.write(b"\xff" * 84)
            case "zeros":
                file.write(b"\0" * size)
            case "middle":
                file.seek(8_192)
                file.write(b"\xaa" * (size - 8_192))
            case _:
                file.seek(16)
                file.write(b"\xaa" * (size - 16))
    await journal.close()  # what is read again is what stands on the disk
    again = await begin(journal, "another")
    assert (await found(journal, "mine")).key == job.key
    (aside,) = [
        file for file in path.parent.iterdir() if ".damaged-" in file.name and file.suffix[-4:] not in ("-wal", "-shm")
    ]
    news = journal.take_news()
    assert "damaged" in news and aside.name in news
    other = open_journal()
    assert {each.key for each in await other.recent("me", limit=2)} == {job.key, again.key}
    assert await other.transact(lambda db: db.execute("PRAGMA integrity_check").fetchone()[0]) == "ok"


# Ids that repeat


async def test_an_id_that_repeats_is_no_error_and_means_the_newer_job(open_journal: Open) -> None:
    journal = open_journal()
    jobs = [await begin(journal, title) for title in ("first", "second", "third")]
    for job in jobs:
        file = Artifact(task_id="t1", index=0, kind="image", url=f"https://x/{job.title}.png")
        await journal.accepted(job.key, "t1")
        await journal.finish(job.key, JobState.SUCCEEDED, artifacts=[file])
    assert (await found(journal, "t1")).title == "third"
    for job in jobs:
        (kept,) = (await found(journal, job.key[:12])).artifacts
        assert kept.url == f"https://x/{job.title}.png"
    assert await journal.spent("me") == 3 * CENT


async def test_a_task_that_was_looked_up_before_its_answer_came_is_one_job(open_journal: Open) -> None:
    """Novita accepted it, somebody asked for it by its id, and only then our answer came."""
    journal = open_journal()
    job = await begin(journal)
    await journal.adopt("me", "t1", kind="media", tool="get_task")
    await journal.accepted(job.key, "t1")
    (only,) = await journal.recent("me", limit=9)
    assert (only.key, only.task_id, only.estimate) == (job.key, "t1", CENT)


# Clocks that jump


@pytest.mark.parametrize("jump", [3_600.0, -3_600.0, 0.0])
async def test_a_clock_that_jumps_writes_no_history_of_durations(
    jump: float, open_journal: Open, clock: FakeClock
) -> None:
    journal = open_journal()
    job = await begin(journal)
    await journal.accepted(job.key, "t1")
    clock.time += 10
    clock.unix += jump
    await journal.finish(job.key, JobState.SUCCEEDED, facts=MediaFacts(took=10 + jump))
    assert await journal.durations("m") == ([] if jump else [10])


async def test_rows_of_days_to_come_do_not_eat_todays_cap(open_journal: Open, clock: FakeClock) -> None:
    journal, caps = open_journal(), Caps(per_day=CENT)
    clock.unix += 400 * 86_400
    await begin(journal, "by a clock that ran ahead", caps=caps)
    clock.unix -= 400 * 86_400
    await begin(journal, "today", caps=caps)
    with pytest.raises(SpendRefusedError):
        await begin(journal, caps=caps)
