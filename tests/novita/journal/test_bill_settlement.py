"""What the bill says of what has ended: whose line is whose, when it is asked, and what it changes."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from novita_mcp.novita.account.bills import OwnBill
from novita_mcp.novita.core.backoff import RetryPolicy
from novita_mcp.novita.core.client import NovitaClient
from novita_mcp.novita.core.costs import Cost
from novita_mcp.novita.core.errors import NovitaError
from novita_mcp.novita.core.periods import Period
from novita_mcp.novita.journal.bill_settlement import LINES_COME_WITHIN, Settled, settle_by_bill
from novita_mcp.novita.journal.facts import Facts, GpuFacts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.ledger import read_ledger, total
from novita_mcp.novita.journal.rows import Job, JobState

from ..conftest import FakeClock
from .metering import set_rate

Json = dict[str, Any]
HOUR, DAY = 3_600, 86_400
DIME, DAILY, NOTHING = Decimal("0.10"), Decimal("8.64"), Decimal(0)
ALL = Period(date(1970, 1, 1), date(2070, 1, 1))


@dataclass
class SettledBooks:
    """Novita's bill, as far as this matters: what was charged for a resource at a time, and what was asked."""

    journal: Journal
    clock: FakeClock
    charged: list[tuple[str, str, float, int]] = field(default_factory=list[tuple[str, str, float, int]])
    asked: list[httpx.QueryParams] = field(default_factory=list[httpx.QueryParams])
    status: int = 200

    def charge(self, resource: str, usd: str, *, category: str = "gpu", at: float | None = None) -> None:
        """Now, or at a time."""
        at = self.clock.wall() if at is None else at
        self.charged.append((resource, category, at, int(Decimal(usd) * 10_000)))

    async def settle(self) -> Settled:
        transport = httpx.MockTransport(self._answer)
        async with httpx.AsyncClient(transport=transport) as http:
            client = NovitaClient(http, "k", clock=self.clock, retries=RetryPolicy(attempts=1))
            return await settle_by_bill(OwnBill(client), self.journal, "me")

    def _answer(self, request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        self.asked.append(asked)
        start, end = float(asked["startTime"]), float(asked["endTime"])
        assert end - start <= 31 * DAY
        terms = request.url.path.endswith("/monthly/list")
        wanted = "term" if terms else asked["productCategory"]
        bills = [
            {
                "createTime": str(int(at)),
                "startTime": str(int(at - at % DAY)),
                "endTime": str(int(at - at % DAY + DAY)),
                "category": category,
                "productName": "4090",
                "ownerID": resource,
                "amount": str(units),
                "voucherAmount": "0",
                "payAmount": str(units),
            }
            for resource, category, at, units in self.charged
            if category == wanted and start <= at < end
        ]
        return httpx.Response(self.status, text=json.dumps({"bills": bills or None}))


@pytest.fixture
def books(journal: Journal, clock: FakeClock) -> SettledBooks:
    return SettledBooks(journal, clock)


def pass_time(clock: FakeClock, seconds: float) -> None:
    clock.time += seconds


async def begin(journal: Journal, resource: str, tool: str = "create_gpu_instance", **more: Any) -> Job:
    """A job that Novita took."""
    given: Json = {"owner": "me", "kind": "gpu_instance", "model": "4090", "title": "fox", "cost": Cost(DIME)} | more
    job = await journal.begin(tool=tool, facts=Facts(resource=resource), **given)
    await journal.accepted(job.key, f"{resource}#{job.key[:8]}")
    return await journal.finish(job.key, JobState.SUCCEEDED)


async def over(journal: Journal, job: Job) -> None:
    """It was seen to have ended, now."""
    await set_rate(journal, job.key, NOTHING, at=journal.wall(), running=False)


async def counted(journal: Journal, *jobs: Job) -> list[Decimal]:
    found = [await journal.find("me", job.key) for job in jobs]
    return [job.counted for job in found if job is not None]


ENOUGH = LINES_COME_WITHIN.total_seconds() + 1


async def test_what_has_ended_counts_what_the_bill_says(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    job = await begin(journal, "i1")
    await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
    pass_time(clock, 3 * HOUR)
    books.charge("i1", "0.9")
    books.charge("i1", "0.05", category="cloud_storage")
    books.charge("i2", "7")
    await over(journal, job)
    pass_time(clock, ENOUGH)
    assert await counted(journal, job) == [3 * DAILY / 24]

    settled = await books.settle()

    assert await counted(journal, job) == [Decimal("0.95")]
    assert (settled.things, settled.before, settled.after) == ({"machine": 1}, Decimal("1.08"), Decimal("0.95"))
    assert settled.words() == "Just corrected by Novita's bill: 1 machine, from $1.08 to $0.95."
    seen = total(await read_ledger(journal, ALL))
    assert (seen.counted, seen.known) == (Decimal("0.95"), Decimal("0.95"))


async def test_nothing_is_asked_where_nothing_has_ended_long_enough_ago(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    running, ended = await begin(journal, "i1"), await begin(journal, "i2")
    await begin(journal, "i3")  # nobody saw it end
    await set_rate(journal, running.key, DAILY, at=clock.wall(), running=True)
    await over(journal, ended)
    books.charge("i3", "0.5")
    pass_time(clock, ENOUGH - 2)
    assert not (await books.settle()).things
    assert (await books.settle()).words() == ""
    assert books.asked == []
    pass_time(clock, 2)
    assert (await books.settle()).things == {"machine": 1}
    asked = len(books.asked)
    assert asked > 0
    await books.settle()  # what is known is not asked for again
    assert len(books.asked) == asked
    assert await counted(journal, ended) == [NOTHING]  # no line, no cost


async def test_only_the_months_and_categories_needed_are_asked_for(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    """Two volumes, one of January and one of March to April: three months, one category, none longer than allowed."""
    clock.unix = datetime(2026, 1, 10, tzinfo=UTC).timestamp() - clock.time
    first = await begin(journal, "v1", "save_gpu_volume")
    pass_time(clock, DAY)
    await over(journal, first)
    clock.unix = datetime(2026, 3, 10, tzinfo=UTC).timestamp() - clock.time
    second = await begin(journal, "v2", "save_gpu_volume")
    pass_time(clock, 30 * DAY)
    await over(journal, second)
    pass_time(clock, 200 * DAY)
    books.charge("v1", "1", category="cloud_storage", at=datetime(2026, 1, 10, 5, tzinfo=UTC).timestamp())
    books.charge("v2", "2", category="cloud_storage", at=datetime(2026, 4, 5, tzinfo=UTC).timestamp())

    assert (await books.settle()).things == {"volume": 2}

    assert await counted(journal, first, second) == [Decimal(1), Decimal(2)]
    months = [datetime.fromtimestamp(int(asked["startTime"]), UTC).strftime("%Y-%m") for asked in books.asked]
    assert months == ["2026-01", "2026-03", "2026-04"]
    assert {asked["productCategory"] for asked in books.asked} == {"cloud_storage"}


async def test_a_line_goes_to_the_newest_row_begun_before_its_day_was_over(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    jobs: list[Job] = []
    for usd in ("1", "2", "4"):
        jobs.append(await begin(journal, "i1", "start_gpu_instance" if jobs else "create_gpu_instance"))
        books.charge("i1", usd)
        pass_time(clock, 2 * DAY)
    books.charge("i1", "8")
    await over(journal, jobs[-1])  # the others ended where a newer one began
    pass_time(clock, ENOUGH)

    settled = await books.settle()

    assert settled.things == {"machine": 1}
    assert await counted(journal, *jobs) == [Decimal(1), Decimal(2), Decimal(12)]


async def test_an_earlier_run_is_known_while_a_later_one_goes_on(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    first = await begin(journal, "i1")
    books.charge("i1", "1")
    await over(journal, first)
    pass_time(clock, 5 * DAY)
    second = await begin(journal, "i1", "start_gpu_instance")
    books.charge("i1", "2")
    assert (await books.settle()).things == {"machine": 1}
    assert await counted(journal, first, second) == [Decimal(1), DIME]
    await over(journal, second)
    pass_time(clock, ENOUGH)
    await books.settle()
    assert await counted(journal, first, second) == [Decimal(1), Decimal(2)]


async def test_what_ran_on_unseen_is_in_the_newest_row(journal: Journal, books: SettledBooks, clock: FakeClock) -> None:
    """Noted as ended, it was seen again by nobody: its lines tell."""
    job = await begin(journal, "i1")
    books.charge("i1", "1")
    await over(journal, job)
    pass_time(clock, 6 * DAY)
    books.charge("i1", "50")
    await books.settle()
    assert await counted(journal, job) == [Decimal(51)]


async def test_calls_of_an_endpoint_are_in_its_lines_once_it_is_known(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    made = await begin(journal, "e1", "create_endpoint")
    calls = [await begin(journal, "e1", "call_endpoint") for _ in range(2)]
    stranger = await begin(journal, "e2", "call_endpoint")  # of an endpoint made elsewhere: nothing else counts it
    books.charge("e1", "0.3", category="serverless")
    pass_time(clock, ENOUGH)
    assert not (await books.settle()).things
    assert await counted(journal, *calls) == [DIME, DIME]
    await over(journal, made)
    pass_time(clock, ENOUGH)
    assert (await books.settle()).words() == "Just corrected by Novita's bill: 1 endpoint, from $0.30 to $0.30."
    assert await counted(journal, made, *calls, stranger) == [Decimal("0.3"), NOTHING, NOTHING, DIME]


async def test_a_start_nobody_confirmed_is_in_the_lines_of_the_one_before(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    made = await begin(journal, "i1")
    pass_time(clock, 3 * DAY)
    lost = await begin(journal, "i1", "start_gpu_instance")
    # As a submit without an answer leaves it.
    await journal.transact(lambda db: db.execute("UPDATE jobs SET accepted = NULL WHERE key = ?", (lost.key,)))
    await journal.finish(lost.key, JobState.UNCONFIRMED)
    books.charge("i1", "2")
    await over(journal, made)
    pass_time(clock, ENOUGH)
    await books.settle()
    assert await counted(journal, made, lost) == [Decimal(2), NOTHING]


async def test_terms_bought_in_advance_go_to_the_rows_that_bought_them(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    """The first term with the machine, a second by change_gpu_billing, a third by itself; disk besides.

    What rows know they paid stays theirs; the rest is the newest one's, so that together they are what was charged.
    """
    made = await begin(journal, "i1", cost=Cost(Decimal("200.10")))
    await journal.note(made.key, GpuFacts(term_usd=Decimal(200)))
    books.charge("i1", "201", category="term")
    books.charge("i1", "0.5")
    pass_time(clock, 5 * DAY)
    renewed = await begin(journal, "i1", "change_gpu_billing", cost=Cost(Decimal(190)))
    books.charge("i1", "190.5", category="term")
    pass_time(clock, 40 * DAY)
    books.charge("i1", "199", category="term")
    await over(journal, made)
    pass_time(clock, ENOUGH)
    await books.settle()
    assert await counted(journal, made, renewed) == [Decimal("200.5"), Decimal("390.5")]


async def test_a_term_the_bill_does_not_show_was_paid_all_the_same(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    made = await begin(journal, "i1", cost=Cost(Decimal("200.10")))
    await journal.note(made.key, GpuFacts(term_usd=Decimal(200)))
    renewed = await begin(journal, "i1", "change_gpu_billing", cost=Cost(Decimal(190)))
    lost = await begin(journal, "i1", "change_gpu_billing", cost=Cost(Decimal(190)))
    await journal.finish(lost.key, JobState.UNCONFIRMED)
    books.charge("i1", "0.05", category="cloud_storage")
    await over(journal, made)
    pass_time(clock, ENOUGH)
    await books.settle()
    assert await counted(journal, made, renewed, lost) == [Decimal("200.05"), Decimal(190), NOTHING]


async def test_a_bill_that_names_nothing_of_ours_corrects_nothing(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    """Novita may name things otherwise than its pages say: what ran must not come to count nothing by that."""
    job = await begin(journal, "i1")
    await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
    pass_time(clock, 5 * HOUR)
    await over(journal, job)
    before = await counted(journal, job)
    books.charge("another name for i1", "0.9")
    pass_time(clock, ENOUGH)
    assert not (await books.settle()).things
    assert await counted(journal, job) == before
    assert before[0] > 0


async def test_what_was_refused_stays_nothing(journal: Journal, books: SettledBooks, clock: FakeClock) -> None:
    made = await begin(journal, "i1")
    refused = await begin(journal, "i1", "start_gpu_instance")
    await journal.finish(refused.key, JobState.REFUSED)
    books.charge("i1", "2")
    await over(journal, made)
    pass_time(clock, ENOUGH)
    await books.settle()
    assert await counted(journal, made, refused) == [Decimal(2), NOTHING]


async def test_what_failed_ended_when_that_was_seen(journal: Journal, books: SettledBooks, clock: FakeClock) -> None:
    job = await begin(journal, "i1")
    await journal.finish(job.key, JobState.FAILED, reason="no such image")
    books.charge("i1", "0.01")
    pass_time(clock, ENOUGH)
    assert (await books.settle()).things == {"machine": 1}
    assert await counted(journal, job) == [Decimal("0.01")]


async def test_nobody_elses_rows_are_touched(journal: Journal, books: SettledBooks, clock: FakeClock) -> None:
    job = await begin(journal, "i1", owner="you")
    await over(journal, job)
    pass_time(clock, ENOUGH)
    assert not (await books.settle()).things
    assert books.asked == []


async def test_a_bill_that_cannot_be_read_changes_nothing(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    job = await begin(journal, "i1")
    await over(journal, job)
    pass_time(clock, ENOUGH)
    books.status = 500
    with pytest.raises(NovitaError):
        await books.settle()
    assert await counted(journal, job) == [DIME]
    books.status = 200
    books.charge("i1", "2", at=clock.wall() - ENOUGH)
    await books.settle()
    assert await counted(journal, job) == [Decimal(2)]


async def test_what_starts_again_has_not_ended(journal: Journal, books: SettledBooks, clock: FakeClock) -> None:
    job = await begin(journal, "i1")
    await over(journal, job)
    await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
    pass_time(clock, ENOUGH)
    assert not (await books.settle()).things
    assert await counted(journal, job) == [DAILY * int(ENOUGH) / DAY]


async def test_the_worked_example_of_the_page_about_money(
    journal: Journal, books: SettledBooks, clock: FakeClock
) -> None:
    """docs/money.md: a machine that ran, was stopped and ran again, and then its bill."""
    page = (Path(__file__).parents[3] / "docs" / "money.md").read_text(encoding="utf-8")
    example = page.partition("<!-- example -->")[2].partition("<!-- /example -->")[0]
    hour = Cost(Decimal("0.36"))
    clock.time += datetime(2026, 11, 3, 10, tzinfo=UTC).timestamp() - clock.wall()
    created = await begin(journal, "i1", cost=hour)
    shown = [await counted(journal, created)]
    await set_rate(journal, created.key, DAILY, at=clock.wall(), running=True)
    for hours in (Decimal(1) / 3, Decimal("2.5"), Decimal(3)):
        clock.time += datetime(2026, 11, 3, 10, tzinfo=UTC).timestamp() + float(hours) * HOUR - clock.wall()
        shown.append(await counted(journal, created))
    await over(journal, created)
    books.charge("i1", "1.05")
    books.charge("i1", "0.02", category="cloud_storage")
    pass_time(clock, 26 * HOUR)
    started = await begin(journal, "i1", "start_gpu_instance", cost=hour)
    await set_rate(journal, started.key, DAILY, at=clock.wall(), running=True)
    shown.append(await counted(journal, created, started))
    pass_time(clock, HOUR / 3)
    await over(journal, started)
    shown.append(await counted(journal, created, started))
    books.charge("i1", "0.12")

    rows = [line.split("|")[3:5] for line in example.splitlines() if "_gpu_instance`" in line or "it runs;" in line]
    told = [[Decimal(usd) for usd in re.findall(r"\$(\d+\.\d\d)", "|".join(row))] for row in rows]
    assert told == shown

    pass_time(clock, 2 * DAY + 9 * HOUR)
    settled = await books.settle()
    assert await counted(journal, created, started) == [Decimal("1.07"), Decimal("0.12")]
    assert settled.words() in " ".join(example.split())
