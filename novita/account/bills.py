"""Bills: what Novita charged, read in pieces the routes allow, joined, and added up exactly.

Novita's spelling is camelCase, its numbers are strings, an empty list may be null, and a request may span 31 days.
"""

import csv
import io
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from ..core.answers import Shape, Text, a_moment, a_whole, read_rows
from ..core.client import NovitaClient
from ..core.errors import InputError
from ..core.json_text import Json
from ..core.money import show_usd, usd_from_billing
from ..core.periods import Period, utc_day
from ..core.words import counted

Term = Literal["usage", "fixed_term"]
Grouping = Literal["product", "day", "both"]
OnPiece = Callable[[str], Awaitable[None]]

LONGEST_DAYS = 400
"""The most days of one question, which takes about a dozen requests."""
_MOST_PAGES = 100
_USAGE = "/openapi/v1/billing/bill/list"
_TERMS = "/openapi/v1/billing/bill/monthly/list"
KEY_BILLS_FROM = date(2026, 1, 1)
"""Before that there are no bills by key. Source: query_apikey_bill."""


BillUsd = Annotated[Decimal, BeforeValidator(usd_from_billing)]
"""An amount in a bill, which counts 0.0001 USD. A bill without it is refused, so that no money is lost silently."""


def _second_of(value: Any) -> int:
    moment = a_moment(value)
    if moment is None or moment.microsecond:
        raise ValueError("no whole second")
    return int(moment.timestamp())


Second = Annotated[int, BeforeValidator(_second_of)]
"""A time that a bill must tell, in Unix seconds."""


class _BillRow(Shape):
    """What the lines of both bills have in common. `amount` is the price."""

    amount: BillUsd
    voucher_amount: BillUsd
    pay_amount: BillUsd
    start_time: Second
    owner_id: Text = ""
    product_name: Text = "unnamed"
    apikey: Text = ""
    trade_type: Text = ""
    other_names: ClassVar[Mapping[str, str]] = {"apikeyName": "apikey", "apikeyMask": "apikey"}


class _UsageRow(_BillRow):
    end_time: Second
    category: Text = ""
    bill_num0: Text = ""
    bill_num1: Text = ""


class _TermRow(_BillRow):
    create_time: Second | None = None
    product_category: Text = ""
    bill_num: Text = ""


@dataclass(frozen=True)
class BillLine:
    """What one product cost on one day (`usage`), or for one term bought that day (`fixed_term`). Money is USD.

    Args:
        amount: The price; `voucher` and `cash` are what it was paid with.
        quantity: As sent: tokens read and made for language models, else cards or gigabytes times time.
        trade: Of a term, tradeType as sent: bought, renewed or extended.
        key: Name of the API key, in bills by key.
    """

    kind: Term
    day: date
    start: int
    end: int
    category: str
    product: str
    resource: str
    quantity: tuple[str, str]
    amount: Decimal
    voucher: Decimal
    cash: Decimal
    key: str = ""
    trade: str = ""


class MonthlyBill(Shape):
    """The bill of one month, in USD. `status`: pending, outed (payment due), paid, overdue, voided."""

    month: Text = ""
    status: Text = "unknown"
    total: BillUsd
    original: BillUsd
    voucher: BillUsd
    cash: BillUsd
    debt: BillUsd
    repaid: BillUsd
    invoice_url: Text = ""
    other_names: ClassVar[Mapping[str, str]] = {
        "billingMonth": "month",
        "totalAmount": "total",
        "originTotalAmount": "original",
        "voucherPayAmount": "voucher",
        "cashPayAmount": "cash",
        "debtAmount": "debt",
        "repaidAmount": "repaid",
    }


@dataclass(frozen=True)
class Sum:
    """Lines added up; what differs between them is empty. Money is USD.

    Args:
        first: The day of the first line; `last`: of the last.
        tokens: Of a language model, how many were read and made.
        trades: Of terms, each tradeType there is.
    """

    day: date | None
    kind: Term | None
    category: str
    product: str
    amount: Decimal
    voucher: Decimal
    cash: Decimal
    first: date
    last: date
    key: str = ""
    tokens: tuple[int, int] | None = None
    trades: tuple[str, ...] = ()


async def usage_lines(client: NovitaClient, period: Period, *, on_piece: OnPiece | None = None) -> list[BillLine]:
    """Pay-as-you-go lines by day and product.

    Raises:
        InputError: The period is too long. NovitaConnectionError: an answer is no bill.
    """
    _refuse_too_long(period)
    return await _joined(client, _USAGE, _of_category("summary"), period, "usage", on_piece)


async def resource_lines(client: NovitaClient, period: Period, category: str) -> list[BillLine]:
    """Pay-as-you-go lines by day and resource of one category (gpu, cloud_sandbox), however long ago.

    Raises:
        NovitaConnectionError: An answer is no bill.
    """
    return await _joined(client, _USAGE, _of_category(category), period, "usage", None)


async def machine_terms(client: NovitaClient, period: Period) -> list[BillLine]:
    """Terms of machines bought in advance, however long ago. Raises as `resource_lines`."""
    return await _joined(client, _TERMS, {"category": "gpu"}, period, "fixed_term", None)


@dataclass(frozen=True)
class OwnBill:
    """The bill of the account that a client's key belongs to, as the journal reads it to settle its rows."""

    client: NovitaClient

    async def resource_lines(self, period: Period, category: str) -> list[BillLine]:
        return await resource_lines(self.client, period, category)

    async def machine_terms(self, period: Period) -> list[BillLine]:
        return await machine_terms(self.client, period)


def _of_category(name: str) -> Json:
    return {"cycleType": "Day", "productCategory": name}


async def fixed_term_lines(client: NovitaClient, period: Period, *, on_piece: OnPiece | None = None) -> list[BillLine]:
    """Terms bought in advance. Raises as `usage_lines`."""
    _refuse_too_long(period)
    return await _joined(client, _TERMS, {"category": "summary"}, period, "fixed_term", on_piece)


async def key_lines(client: NovitaClient, period: Period, *, on_piece: OnPiece | None = None) -> list[BillLine]:
    """Pay-as-you-go lines by day, product and API key. Raises as `usage_lines`."""
    if period.first < KEY_BILLS_FROM:
        raise InputError(
            f"Bills by key begin on {KEY_BILLS_FROM}, not on {period.first}", next_step="Ask for a later period."
        )
    _refuse_too_long(period)
    path = "/openapi/v1/billing/apikey/bill/list"
    return await _joined(client, path, {"cycleType": "Day"}, period, "usage", on_piece)


async def monthly_bills(client: NovitaClient, period: Period) -> list[MonthlyBill]:
    """The bills of the months a period touches, oldest first.

    Raises:
        NovitaConnectionError: An answer is no bill.
    """
    first, last = f"{period.first:%Y-%m}", f"{period.last:%Y-%m}"
    found: dict[str, MonthlyBill] = {}
    for page in range(1, _MOST_PAGES):
        answer = await client.read(
            "GET",
            "/openapi/v1/billing/monthly/bill",
            params={"startMonth": first, "page": page, "pageSize": 24},
            doing="reading monthly bills",
            group="billing",
        )
        bills = read_rows(MonthlyBill, answer.data, "reading monthly bills", "data", whole=True)
        fresh = [bill for bill in bills if bill.month not in found]
        found |= {bill.month: bill for bill in fresh}
        # No total is given and a page may hold any number of bills, so the last page is one with nothing new on it.
        if not fresh:
            break
    return [found[month] for month in sorted(found) if first <= month <= last]


def add_up(lines: Iterable[BillLine], by: Grouping) -> list[Sum]:
    """Sums by product (dearest first), by day (oldest first), or by both. Keys, where lines have them, stay apart."""
    groups: dict[tuple[date | None, Term | None, str, str, str], list[BillLine]] = {}
    for line in lines:
        day = line.day if by != "product" else None
        mark = (day, line.kind, line.category, line.product, line.key) if by != "day" else (day, None, "", "", line.key)
        groups.setdefault(mark, []).append(line)
    sums = [
        Sum(
            day,
            kind,
            category,
            product,
            *totals(members),
            first=min(line.day for line in members),
            last=max(line.day for line in members),
            key=key,
            tokens=_tokens(members) if category == "llm" and kind == "usage" else None,
            trades=tuple(dict.fromkeys(line.trade for line in members if kind == "fixed_term")),
        )
        for (day, kind, category, product, key), members in groups.items()
    ]
    return sorted(sums, key=lambda one: (one.day or date.min, -one.amount, one.product, one.category, one.key))


def _tokens(lines: Iterable[BillLine]) -> tuple[int, int] | None:
    """Tokens read and made; None if a line does not say."""
    read = made = 0
    for line in lines:
        counts = [a_whole(each) for each in line.quantity]
        if counts[0] is None or counts[1] is None:
            return None
        read, made = read + counts[0], made + counts[1]
    return read, made


def totals(lines: Iterable[BillLine]) -> tuple[Decimal, Decimal, Decimal]:
    """The price, what was paid by vouchers, and what was paid in cash."""
    amount = voucher = cash = Decimal(0)
    for line in lines:
        amount, voucher, cash = amount + line.amount, voucher + line.voucher, cash + line.cash
    return amount, voucher, cash


def as_csv(lines: Sequence[BillLine]) -> str:
    """All lines as a table with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["day", "kind", "category", "product", "resource", "quantity_0", "quantity_1"]
    keyed = any(line.key for line in lines)
    writer.writerow([*head, "amount_usd", "voucher_usd", "cash_usd", *(["api_key"] if keyed else [])])
    for line in sorted(lines, key=lambda one: (one.day, one.kind, one.category, one.product, one.key)):
        named = [line.day, line.kind, line.category, line.product, line.resource, *line.quantity]
        paid = [show_usd(each) for each in (line.amount, line.voucher, line.cash)]
        writer.writerow([*named, *paid, *([line.key] if keyed else [])])
    return text.getvalue()


def months_csv(bills: Sequence[MonthlyBill]) -> str:
    """Monthly bills as a table with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["month", "status", *(f"{name}_usd" for name in _MONTHLY_MONEY), "invoice_url"])
    for bill in bills:
        amounts = [show_usd(getattr(bill, name)) for name in _MONTHLY_MONEY]
        writer.writerow([bill.month, bill.status, *amounts, bill.invoice_url])
    return text.getvalue()


_MONTHLY_MONEY = ("total", "original", "voucher", "cash", "debt", "repaid")


def _refuse_too_long(period: Period) -> None:
    if period.days > LONGEST_DAYS:
        raise InputError(
            f"{counted(period.days, 'day')} are too many at once; {LONGEST_DAYS} are the most",
            next_step="Ask for a year at most, or for kind=monthly.",
        )


async def _joined(
    client: NovitaClient, path: str, more: Json, period: Period, kind: Term, on_piece: OnPiece | None
) -> list[BillLine]:
    lines: list[BillLine] = []
    before: set[BillLine] = set()
    doing = f"reading the {kind.replace('_', '-')} bill"
    for piece in period.months():
        if on_piece is not None:
            await on_piece(f"{kind.replace('_', '-')} bill, {piece}")
        answer = await client.read(
            "GET",
            path,
            params={**more, "startTime": piece.start, "endTime": piece.end},
            doing=doing,
            group="billing",
        )
        if kind == "usage":
            found = [_usage_line(row) for row in read_rows(_UsageRow, answer.data, doing, "bills", whole=True)]
        else:
            found = [_term_line(row) for row in read_rows(_TermRow, answer.data, doing, "bills", whole=True)]
        # A line at the border of two pieces may come with both. Equal lines within one answer are two lines.
        lines += [line for line in found if line not in before and line.end > period.start and line.start < period.end]
        before = set(found)
    return lines


def _usage_line(row: _UsageRow) -> BillLine:
    when = row.start_time, row.end_time
    return _line("usage", row, when, row.category, (row.bill_num0, row.bill_num1))


def _term_line(row: _TermRow) -> BillLine:
    # A term reaches into the future; what it cost belongs to the day it was bought.
    bought = row.create_time or row.start_time
    return _line("fixed_term", row, (bought, bought + 1), row.product_category, (row.bill_num, ""))


def _line(kind: Term, row: _BillRow, when: tuple[int, int], category: str, quantity: tuple[str, str]) -> BillLine:
    return BillLine(
        kind=kind,
        day=utc_day(when[0]),
        start=when[0],
        end=max(when[1], when[0] + 1),
        category=category,
        product=row.product_name,
        resource=row.owner_id,
        quantity=quantity,
        amount=row.amount,
        voucher=row.voucher_amount,
        cash=row.pay_amount,
        key=row.apikey,
        trade=row.trade_type,
    )
