"""The ledger: what the journal's rows cost, as far as anybody knows, and how sure that is."""

from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.periods import Period
from novita_mcp.novita.journal.facts import Facts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.ledger import Spent, notes, read_ledger, regroup, report, total
from novita_mcp.novita.journal.rows import Job, JobState

from ..conftest import FakeClock

DIME, CENT, NOTHING = Decimal("0.10"), Decimal("0.01"), Decimal(0)
ALL = Period(date(2020, 1, 1), date(2030, 1, 1))


@pytest.fixture
async def journal(tmp_path: Path, clock: FakeClock) -> AsyncGenerator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite3", clock=clock)
    yield journal
    await journal.close()


async def begin(journal: Journal, estimate: Decimal | None = DIME, **more: Any) -> Job:
    given: dict[str, Any] = {"owner": "me", "kind": "media", "tool": "generate_image", "model": "m", "title": "a fox"}
    return await journal.begin(cost=Cost(estimate), caps=Caps(unknown=Decimal("0.25")), **(given | more))


async def whole(journal: Journal, owner: str | None = "me") -> Spent:
    return total(await read_ledger(journal, ALL, owner=owner))


async def test_a_job_that_works_or_is_done_counts_its_estimate(journal: Journal) -> None:
    job = await begin(journal)
    await journal.accepted(job.key, "t1")
    assert (await whole(journal)).counted == DIME
    await journal.finish(job.key, JobState.SUCCEEDED)
    seen = await whole(journal)
    assert (seen.calls, seen.counted, seen.estimated, seen.known, seen.doubtful) == (1, DIME, DIME, NOTHING, NOTHING)


async def test_what_novita_refused_counts_nothing_and_is_known_to(journal: Journal) -> None:
    job = await begin(journal)
    await journal.finish(job.key, JobState.REFUSED, reason="no")
    seen = await whole(journal)
    assert (seen.counted, seen.estimated, seen.free_calls, seen.doubtful_calls) == (NOTHING, DIME, 1, 0)


async def test_what_was_never_sent_counts_nothing(journal: Journal) -> None:
    job = await begin(journal)
    await journal.finish(job.key, JobState.CANCELLED, counted=NOTHING)
    assert ((await whole(journal)).counted, (await whole(journal)).free_calls) == (NOTHING, 1)


@pytest.mark.parametrize("state", [JobState.UNCONFIRMED, JobState.FAILED, JobState.CANCELLED])
async def test_where_nobody_knows_it_counts_in_full_and_is_said_to_be_doubtful(
    state: JobState, journal: Journal
) -> None:
    """Novita does not say whether failed tasks are billed; of a call without an answer nobody can."""
    job = await begin(journal)
    await journal.finish(job.key, state)
    seen = await whole(journal)
    assert (seen.counted, seen.doubtful, seen.doubtful_calls) == (DIME, DIME, 1)
    assert any("may not have been billed" in note for note in notes([seen]))


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
async def test_real_usage_replaces_the_estimate_however_the_call_ended(state: JobState, journal: Journal) -> None:
    job = await begin(journal, tool="chat", kind="call")
    await journal.finish(job.key, state, counted=CENT, facts=Facts(usd=CENT))
    seen = await whole(journal)
    assert (seen.counted, seen.known, seen.estimated, seen.doubtful_calls) == (CENT, CENT, DIME, 0)


async def test_a_call_without_a_price_is_never_nothing_in_silence(journal: Journal) -> None:
    job = await begin(journal, None)
    await journal.accepted(job.key, "t1")
    seen = await whole(journal)
    assert (seen.counted, seen.unpriced, seen.unpriced_calls, seen.estimated) == (
        Decimal("0.25"),
        Decimal("0.25"),
        1,
        NOTHING,
    )
    assert any("no known price" in note for note in notes([seen]))


async def test_a_price_that_becomes_known_is_known(journal: Journal) -> None:
    job = await begin(journal, None, tool="chat")
    await journal.finish(job.key, JobState.SUCCEEDED, counted=CENT, facts=Facts(usd=CENT))
    seen = await whole(journal)
    assert (seen.counted, seen.known, seen.unpriced_calls) == (CENT, CENT, 0)


async def test_a_task_started_elsewhere_is_not_in_it(journal: Journal) -> None:
    await journal.adopt("me", "task-of-another", kind="media", tool="get_task")
    assert (await whole(journal)).calls == 0


async def test_a_change_that_costs_nothing_is_in_it(journal: Journal) -> None:
    job = await begin(journal, NOTHING, model="", tool="change_gpu_billing")
    await journal.finish(job.key, JobState.SUCCEEDED)
    seen = await whole(journal)
    assert (seen.calls, seen.counted) == (1, NOTHING)


async def test_keys_are_kept_apart_and_joined_for_the_machine(journal: Journal) -> None:
    await begin(journal)
    await begin(journal, CENT, owner="you")
    assert (await whole(journal)).counted == DIME
    assert (await whole(journal, None)).counted == DIME + CENT


async def test_days_are_utc_days_and_a_period_holds_both_its_ends(journal: Journal, clock: FakeClock) -> None:
    midnight = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
    for offset, estimate in ((-0.5, "0.01"), (0.5, "0.02"), (86_400.5, "0.04")):
        clock.unix = midnight + offset - clock.time
        await begin(journal, Decimal(estimate))
    rows = regroup(await read_ledger(journal, ALL), ("day",))
    assert [(row.day, row.counted) for row in rows] == [
        (date(2026, 11, 24), Decimal("0.01")),
        (date(2026, 11, 25), Decimal("0.02")),
        (date(2026, 11, 26), Decimal("0.04")),
    ]
    day = Period(date(2026, 11, 25), date(2026, 11, 25))
    assert total(await read_ledger(journal, day)).counted == Decimal("0.02")


async def test_the_report_is_plain_and_leaves_out_what_is_nothing(journal: Journal) -> None:
    await begin(journal)
    told = report(ALL, regroup(await read_ledger(journal, ALL), ("tool", "model")))
    (row,) = told["rows"]
    # Under way: nobody knows yet.
    assert row == {
        "tool": "generate_image",
        "model": "m",
        "calls": 1,
        "usd": "0.10",
        "estimated_usd": "0.10",
        "doubtful_usd": "0.10",
        "doubtful_calls": 1,
    }
    assert told["total"]["usd"] == "0.10"


async def test_a_long_report_says_how_much_it_leaves_out_and_totals_all(journal: Journal) -> None:
    for index in range(5):
        await begin(journal, CENT, model=f"m{index}")
    told = report(ALL, await read_ledger(journal, ALL), most=2)
    assert (len(told["rows"]), told["rows_left_out"], told["total"]["usd"]) == (2, 3, "0.05")


amounts = st.decimals(min_value=0, max_value=100, places=6)
rows = st.lists(
    st.builds(
        Spent,
        day=st.dates(date(2026, 11, 1), date(2026, 11, 5)),
        tool=st.sampled_from(["chat", "generate_image"]),
        model=st.sampled_from(["a", "b", "c"]),
        calls=st.integers(1, 9),
        counted=amounts,
        estimated=amounts,
        known=amounts,
        doubtful=amounts,
        doubtful_calls=st.integers(0, 9),
        unpriced=amounts,
        unpriced_calls=st.integers(0, 9),
        free_calls=st.integers(0, 9),
    ),
    max_size=30,
)


@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@given(rows, st.lists(st.sampled_from(["day", "tool", "model"]), unique=True))
def test_however_it_is_grouped_the_total_is_the_same(found: list[Spent], by: list[Any]) -> None:
    assert total(regroup(found, by)) == total(found)
