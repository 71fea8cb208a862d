"""Bills: whole, exact and joined, whatever pieces and spellings they come in."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest
from novita_mcp.novita.account.bill_words import in_words
from novita_mcp.novita.account.bills import (
    BillLine,
    add_up,
    as_csv,
    fixed_term_lines,
    key_lines,
    monthly_bills,
    months_csv,
    totals,
    usage_lines,
)
from novita_mcp.novita.core.client import NovitaClient
from novita_mcp.novita.core.errors import InputError, NovitaConnectionError
from novita_mcp.novita.core.periods import Period, month_of
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running

from ..conftest import FakeClock

Json = dict[str, Any]
YEAR = Period(date(2025, 10, 1), date(2026, 9, 30))
JUNE = month_of(date(2026, 6, 1))


@pytest.fixture
def novita(simulator: Running, http: httpx.AsyncClient) -> NovitaClient:
    return NovitaClient(http, DEFAULT_KEY, simulator.url, clock=FakeClock())


def answering(clock: FakeClock, answer: Callable[[httpx.Request], Any]) -> NovitaClient:
    """A client whose Novita answers so."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=json.dumps(answer(request))))
    return NovitaClient(httpx.AsyncClient(transport=transport), "k", clock=clock)


def line(day: int, units: Any, **more: Any) -> Json:
    """A usage line of a day of June 2026."""
    start = JUNE.start + (day - 1) * 86_400
    given: Json = {"startTime": str(start), "endTime": str(start + 86_400), "category": "llm", "productName": "m"}
    return given | {"amount": units, "voucherAmount": "0", "payAmount": units} | more


# Against the simulator


async def test_a_year_is_read_in_pieces_and_adds_up_to_its_months(novita: NovitaClient, world: World) -> None:
    """Usage lines of a year, in pieces of 31 days at most, are the sum of the monthly bills to the last unit."""
    lines = await usage_lines(novita, YEAR)
    bills = await monthly_bills(novita, YEAR)

    assert world.count("query_usage_based_billing", "refused") == 0
    assert world.count("query_usage_based_billing") == len(bills) == 12
    assert totals(lines)[0] == sum(bill.total for bill in bills) > 0
    assert {line.day for line in lines} <= {
        date.fromordinal(day) for day in range(YEAR.first.toordinal(), YEAR.last.toordinal() + 1)
    }


async def test_the_seams_lose_nothing_and_count_nothing_twice(novita: NovitaClient) -> None:
    crooked = Period(date(2026, 1, 17), date(2026, 4, 3))
    parts = [Period(date(2026, 1, 17), date(2026, 2, 28)), Period(date(2026, 3, 1), date(2026, 4, 3))]

    whole = await usage_lines(novita, crooked)

    assert whole == [line for part in parts for line in await usage_lines(novita, part)]
    assert len(set(whole)) == len(whole)


@pytest.mark.parametrize("by", ["product", "day", "both"])
async def test_every_grouping_has_the_same_total(by: Any, novita: NovitaClient) -> None:
    lines = await usage_lines(novita, JUNE) + await fixed_term_lines(novita, JUNE)
    sums = add_up(lines, by)
    assert sum(one.amount for one in sums) == totals(lines)[0] == sum(line.amount for line in lines)
    assert sum(one.voucher + one.cash for one in sums) == totals(lines)[0]
    assert len({(one.day, one.kind, one.category, one.product) for one in sums}) == len(sums)


async def test_a_term_paid_by_voucher_is_told_apart(novita: NovitaClient) -> None:
    (term,) = await fixed_term_lines(novita, JUNE)
    assert (term.day, term.product, term.amount, term.voucher, term.cash) == (
        date(2026, 6, 1),
        "RTX 3090 24GB",
        Decimal(90),
        Decimal(90),
        Decimal(0),
    )


async def test_bills_by_key_are_part_of_the_whole(novita: NovitaClient) -> None:
    by_key = await key_lines(novita, JUNE)
    whole = await usage_lines(novita, JUNE)
    assert {line.key for line in by_key} == {"default"}
    assert totals(by_key)[0] == sum(line.amount for line in whole if line.category in ("llm", "gen_api", "web_search"))


async def test_bills_by_key_before_2026_are_not_asked_for(novita: NovitaClient, world: World) -> None:
    with pytest.raises(InputError, match="2026-01-01"):
        await key_lines(novita, Period(date(2025, 12, 1), date(2026, 1, 31)))
    assert world.count("query_apikey_bill") == 0


async def test_a_span_of_years_is_refused_before_it_is_asked_for(novita: NovitaClient, world: World) -> None:
    with pytest.raises(InputError, match="400 are the most"):
        await usage_lines(novita, Period(date(2024, 1, 1), date(2026, 1, 1)))
    assert world.count("query_usage_based_billing") == 0


async def test_a_table_holds_every_line_exactly(novita: NovitaClient) -> None:
    lines = await usage_lines(novita, JUNE)
    rows = list(csv.DictReader(io.StringIO(as_csv(lines))))
    assert len(rows) == len(lines)
    assert sum(Decimal(row["amount_usd"]) for row in rows) == totals(lines)[0]
    months = await monthly_bills(novita, YEAR)
    rows = list(csv.DictReader(io.StringIO(months_csv(months))))
    assert [Decimal(row["total_usd"]) for row in rows] == [bill.total for bill in months]


# Oddities


@pytest.mark.parametrize("answer", [{"bills": None}, {"bills": []}])
async def test_a_null_list_is_an_empty_one(answer: Json, clock: FakeClock) -> None:
    assert await usage_lines(answering(clock, lambda _: answer), JUNE) == []


@pytest.mark.parametrize("answer", [{}, {"bills": "none"}, [], {"bills": [1]}, {"message": "hello"}])
async def test_an_answer_without_a_list_is_an_error_not_an_empty_bill(answer: Any, clock: FakeClock) -> None:
    with pytest.raises(NovitaConnectionError):
        await usage_lines(answering(clock, lambda _: answer), JUNE)


@pytest.mark.parametrize("field", ["amount", "voucherAmount", "payAmount", "startTime", "endTime"])
@pytest.mark.parametrize("value", [None, "", "ten", "1.5"])
async def test_a_line_that_cannot_be_read_is_an_error_not_a_smaller_sum(
    field: str, value: Any, clock: FakeClock
) -> None:
    broken = line(1, "100") | {field: value}
    place = re.sub("([A-Z])", r"_\1", field).lower()
    with pytest.raises(NovitaConnectionError, match=place):
        await usage_lines(answering(clock, lambda _: {"bills": [line(2, "5"), broken]}), JUNE)


async def test_numbers_come_as_texts_or_numbers(clock: FakeClock) -> None:
    bills = [line(1, "12345"), line(2, 5, billingMethod="1", payAmountDisplay="0.0005", pricePrecision="10000")]
    lines = await usage_lines(answering(clock, lambda _: {"bills": bills}), JUNE)
    assert [one.amount for one in lines] == [Decimal("1.2345"), Decimal("0.0005")]


async def test_two_equal_lines_of_one_answer_are_two_and_one_on_the_seam_is_one(clock: FakeClock) -> None:
    seam, twin = line(30, "100"), line(29, "7")

    def answer(request: httpx.Request) -> Json:
        return {"bills": [twin, twin, seam] if request.url.params["startTime"] == str(JUNE.start) else [seam]}

    lines = await usage_lines(answering(clock, answer), Period(JUNE.first, date(2026, 7, 2)))

    assert totals(lines)[0] == Decimal("0.0114")


async def test_a_term_that_every_piece_shows_counts_once(clock: FakeClock) -> None:
    term = {"startTime": str(JUNE.start + 50), "endTime": str(JUNE.start + 90 * 86_400), "createTime": str(JUNE.start)}
    money = {"amount": "900", "voucherAmount": "0", "payAmount": "900", "productName": "g", "productCategory": "gpu"}

    lines = await fixed_term_lines(
        answering(clock, lambda _: {"bills": [term | money]}), Period(JUNE.first, date(2026, 9, 9))
    )

    assert [(one.day, one.amount) for one in lines] == [(JUNE.first, Decimal("0.09"))]


def month(name: str, units: str) -> Json:
    money = ("totalAmount", "originTotalAmount", "voucherPayAmount", "cashPayAmount", "debtAmount", "repaidAmount")
    return {"billingMonth": name, "status": "paid", "invoiceUrl": ""} | dict.fromkeys(money, units)


async def test_pages_of_any_size_are_read_to_the_empty_one(clock: FakeClock) -> None:
    """query_monthly_bill: no total; a page may hold more or fewer than asked for."""
    pages = {
        1: [month("2026-08", "3"), month("2026-07", "2")],
        2: [month("2026-06", "1"), month("2026-07", "2")],
        3: [],
    }

    def answer(request: httpx.Request) -> Json:
        return {"data": pages[int(request.url.params["page"])] or None}

    bills = await monthly_bills(answering(clock, answer), Period(date(2026, 6, 5), date(2026, 7, 9)))

    assert [(bill.month, bill.total) for bill in bills] == [
        ("2026-06", Decimal("0.0001")),
        ("2026-07", Decimal("0.0002")),
    ]


async def test_a_route_that_repeats_its_page_for_ever_ends(clock: FakeClock) -> None:
    bills = await monthly_bills(answering(clock, lambda _: {"data": [month("2026-06", "1")]}), JUNE)
    assert len(bills) == 1


@pytest.mark.parametrize(
    ("category", "quantity", "says"),
    [
        ("llm", ("1200", "30"), "m (language model): 1,200 tokens read and 30 made, on 2026-06-03"),
        ("llm", ("many", ""), "m (language model), on 2026-06-03"),  # counts that are none are not told
        ("bare_metal", ("8", ""), "m (bare-metal server), on 2026-06-03"),
        ("quantum_thing", ("8", ""), "m (quantum thing), on 2026-06-03"),  # the list of categories is open
        ("", ("8", ""), "m, on 2026-06-03"),
    ],
)
def test_whatever_is_billed_has_words(category: str, quantity: tuple[str, str], says: str) -> None:
    nothing = Decimal(0)
    start = 1_780_444_800
    line = BillLine("usage", date(2026, 6, 3), start, start + 1, category, "m", "", quantity, nothing, nothing, nothing)
    assert [in_words(one) for one in add_up([line], "product")] == [says]


@pytest.mark.parametrize(
    ("trade", "says"),
    [
        ("monthly_new_buy", "a term bought in advance"),
        ("monthly_re_buy", "a term renewed in advance"),
        ("monthly_re_config", "an extension of a term"),
        ("something_new", "paid in advance"),
    ],
)
def test_a_term_says_how_it_came_to_be(trade: str, says: str) -> None:
    nothing = Decimal(0)
    line = BillLine(
        "fixed_term", date(2026, 6, 3), 1, 2, "gpu", "H100", "", ("1", ""), nothing, nothing, nothing, trade=trade
    )
    (one,) = add_up([line], "product")
    assert in_words(one) == f"H100 (rented GPU machine): {says}, on 2026-06-03"
