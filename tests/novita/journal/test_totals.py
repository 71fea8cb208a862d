"""What the caps add up: as much as all rows together, and without reading them all."""

import random
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.errors import SpendRefusedError
from novita_mcp.novita.journal.databases import Db
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState
from novita_mcp.novita.journal.segments import COUNTED, cost_at
from novita_mcp.novita.journal.totals import spent_by_run, spent_today

from ..conftest import FakeClock
from .metering import bill, set_rate

DAY = 86_400


def by_all_rows(db: Db, journal: Journal, now: float) -> tuple[int, int]:
    """What this run and this day cost, summed over every row."""
    sums = f"SELECT COALESCE(SUM({cost_at(now)}), 0) FROM jobs WHERE owner = 'me' AND "
    start = now - now % DAY
    run = db.execute(f"{sums} run = ?", (journal.run,)).fetchone()[0]
    today = db.execute(f"{sums} created >= ? AND created < ?", (start, start + DAY)).fetchone()[0]
    return int(run), int(today)


@pytest.mark.parametrize("seed", range(3))
async def test_the_sums_are_those_of_all_rows_whatever_happens_to_them(
    seed: int, journal: Journal, clock: FakeClock
) -> None:
    chance = random.Random(seed)
    keys: list[str] = []
    clock.unix += DAY - (
        clock.wall() % DAY
    )  # nothing is older than today, whose things count with what they cost today
    for _ in range(150):
        clock.time += chance.random() * 200
        key = chance.choice(keys) if keys and chance.random() < 0.6 else ""
        match chance.randrange(5):
            case 0 if key:
                end = chance.choice([JobState.SUCCEEDED, JobState.REFUSED, JobState.FAILED])
                await journal.finish(key, end, counted=Decimal(chance.randrange(90)) / 1_000)
            case 1 if key:
                rate = Decimal(chance.randrange(3)) * 24
                await set_rate(journal, key, rate, at=clock.wall(), running=rate > 0)
            case 2 if key:
                await bill(journal, key, Decimal(chance.randrange(500)) / 1_000)
            case 3 if key:
                await journal.transact(lambda db, key=key: db.execute("DELETE FROM jobs WHERE key = ?", (key,)))
                keys.remove(key)
            case _:
                owner = chance.choice(["me", "me", "you"])
                price = Cost(Decimal(chance.randrange(1, 400)) / 1_000)
                row = await journal.begin(
                    owner=owner,
                    kind="gpu_instance",
                    tool="create_gpu_instance",
                    model="m",
                    title="x",
                    cost=price,
                    caps=Caps(),
                )
                keys.append(row.key)
        now = clock.wall()
        found = await journal.transact(
            lambda db, now=now: (
                (spent_by_run(db, "me", journal.run, now), spent_today(db, "me", now)),
                by_all_rows(db, journal, now),
            )
        )
        assert found[0] == found[1]
    counted = f"SELECT COALESCE(SUM(counted_micro), 0) FROM jobs WHERE counts = '{COUNTED}'"
    both = await journal.transact(
        lambda db: [
            int(db.execute(sums).fetchone()[0]) for sums in ("SELECT COALESCE(SUM(micro), 0) FROM totals", counted)
        ]
    )
    assert both[0] == both[1]


async def test_a_job_is_begun_without_reading_the_others_of_its_day(tmp_path: Path, clock: FakeClock) -> None:
    """Steps of the database, not seconds: they are the same on a busy machine."""
    journal = Journal(tmp_path / "journal.sqlite3", clock=clock)
    caps = Caps(per_run=Decimal(40), per_day=Decimal(40))
    steps = 0

    async def begin() -> int:
        nonlocal steps
        before = steps
        cost = Cost(Decimal("0.01"))
        await journal.begin(owner="me", kind="media", tool="t", model="m", title="x", cost=cost, caps=caps)
        return steps - before

    def count() -> None:
        nonlocal steps
        steps += 1

    await journal.transact(lambda db: cast(sqlite3.Connection, db).set_progress_handler(count, 10))
    first = await begin()
    made = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
        " INSERT INTO jobs (key, owner, kind, tool, model, title, state, estimate_micro, counted_micro, run, pid,"
        " created) SELECT 'k' || i, 'me', 'media', 't', 'm', 'x', 'succeeded', 10000, 10000, ?, 1, ? FROM n"
    )
    await journal.transact(lambda db: db.execute(made, (journal.run, clock.wall())))
    await begin()  # folds what has come from elsewhere
    assert await begin() < 10 * max(first, 20)
    cap = Caps(per_day=Decimal("30.02"))
    with pytest.raises(SpendRefusedError, match=r"\$30\.03 is estimated for today"):
        await journal.begin(
            owner="me", kind="media", tool="t", model="m", title="x", cost=Cost(Decimal("0.01")), caps=cap
        )
    await journal.close()
