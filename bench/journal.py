"""Measures how long a journal of 100,000 rows takes to store a job and to list the newest jobs.

    python bench/journal.py [rows]

The output has the median and the 95th percentile of 200 tries in milliseconds, and the processor time of each. There
are two journals: one filled over a year, and one whose rows are all of today and of this run of the server, so that
the spending limits have to add them up.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.journal.databases import Db
from novita_mcp.novita.journal.joining import JoinRule, SameCall
from novita_mcp.novita.journal.journal import OPEN_STATES, Journal
from novita_mcp.novita.journal.rows import JobState

ROWS = 100_000
TRIES = 200
YEAR, DAY = 365 * 86_400, 86_400
CAPS = Caps(per_call=Decimal(10), per_run=Decimal(1_000_000), per_day=Decimal(1_000_000))


def fill(db: Db, rows: int, first: float, last: float, run: str) -> None:
    """Insert finished jobs at even intervals. Every hundredth has failed, every thousandth is a machine."""
    db.lock("bench")
    for number in range(rows):
        created = first + (last - first) * number / rows
        machine = number % 1_000 == 7
        state = "failed" if number % 100 == 3 else "succeeded"
        db.execute(
            "INSERT INTO jobs (key, owner, task_id, kind, tool, model, title, state, estimate_micro, counted_micro,"
            " run, pid, created, accepted, finished, facts, counts)"
            " VALUES (?, 'me', ?, ?, ?, 'm', 'a fox', ?, 20000, 20000, ?, 1, ?, ?, ?, '{\"took\": 9.5}', ?)",
            (
                f"{number:032}",
                f"task-{number}",
                "gpu_instance" if machine else "media",
                "create_gpu_instance" if machine else "generate_image",
                state,
                run,
                created,
                created,
                created + 10,
                "time" if machine else "counted",
            ),
        )
        if machine:
            db.execute(
                "INSERT INTO segments (job, owner, thing, since, until, micro_day, source)"
                " VALUES (?, 'me', ?, ?, ?, 8640000, 'seen')",
                (f"{number:032}", f"task-{number}", created, created + 3_600),
            )


async def times(what: Callable[[int], Awaitable[object]]) -> str:
    taken: list[float] = []
    worked = time.process_time()
    for number in range(TRIES):
        begun = time.perf_counter()
        await what(number)
        taken.append((time.perf_counter() - begun) * 1_000)
    worked = (time.process_time() - worked) * 1_000 / TRIES
    slow = statistics.quantiles(taken, n=20)[-1]
    return f"{statistics.median(taken):7.2f} ms, slowest twentieth {slow:7.2f} ms, processor {worked:6.2f} ms"


async def measure(name: str, journal: Journal, rows: int, first: float, last: float, run: str) -> None:
    begun = time.perf_counter()
    await journal.transact(lambda db: fill(db, rows, first, last, run))
    print(f"{name}: {rows} rows, filled in {time.perf_counter() - begun:.1f} s")

    async def begin(number: int) -> object:
        return await journal.begin(
            owner="me",
            kind="media",
            tool="generate_image",
            model="m",
            title="fox",
            cost=Cost(Decimal("0.02")),
            caps=CAPS,
            same=SameCall(f"call {number}", {"media": JoinRule()}),
        )

    async def keep(number: int) -> object:
        key = (await journal.recent("me", limit=1))[0].key
        return await journal.keep_answer(key, '{"fields": {}}')

    tries: dict[str, Callable[[int], Awaitable[object]]] = {
        "begin": begin,
        "the same call again": lambda _: journal.earlier("me", SameCall("call 7", {"media": JoinRule()})),
        "list and keep an answer": keep,
        "list the newest 20": lambda _: journal.recent("me", limit=20),
        "list 20 that failed": lambda _: journal.recent("me", limit=20, states=(JobState.FAILED,)),
        "list 20 that are done": lambda _: journal.recent("me", limit=20, states=(JobState.SUCCEEDED,)),
        "list what is open": lambda _: journal.recent("me", limit=20, states=OPEN_STATES),
        "list machines": lambda _: journal.recent("me", limit=20, kind="gpu_instance"),
        "find one": lambda number: journal.find("me", f"task-{number * 97 % rows}"),
        "durations": lambda _: journal.durations("m"),
    }
    for what, work in tries.items():
        print(f"  {what:24}{await times(work)}")


async def main(rows: int) -> None:
    now = time.time()
    with tempfile.TemporaryDirectory() as folder:
        year = Journal(Path(folder) / "year.sqlite3")
        await measure("over a year", year, rows, now - YEAR, now, "another run")
        await year.close()
        day = Journal(Path(folder) / "day.sqlite3")
        await measure("all of today and of this run", day, rows, now - now % DAY, now, day.run)
        await day.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
