"""Account tools: the balance that is left, and what was billed."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ...novita.account.balance import get_balance as read_balance
from ...novita.account.bill_words import in_words, kind_of_product
from ...novita.account.bills import (
    Grouping,
    OwnBill,
    Sum,
    add_up,
    as_csv,
    fixed_term_lines,
    monthly_bills,
    months_csv,
    totals,
    usage_lines,
)
from ...novita.core.errors import InputError, NovitaError
from ...novita.core.money import say_exactly, say_usd, show_usd
from ...novita.core.periods import Period, month_of, read_period
from ...novita.files.artifacts import Artifact, NameHint
from ...novita.journal.bill_settlement import settle_by_bill
from ..kit.arguments import SELDOM, Offset
from ..kit.context import Call, Caller
from ..kit.pages import page_of
from ..kit.toolset import READS, ToolResult, Toolset

account = Toolset("account", "Balance and bills.")

ROWS = 50
"""The most rows of a bill in one answer to a model."""
_MOST_ROWS = 1_000
_LONGEST_CSV = 12_000
"""The most characters of a table that is shown in the answer because it cannot be saved as a file."""


class BalanceResult(ToolResult):
    """The wallet, in USD."""

    available_usd: str = Field(description="Credit that can be spent now.")
    frozen_usd: str = Field(default="not told", description="Novita tells no such amount; available_usd is without it.")
    cash_usd: str = Field(description="What is left of the top-ups.")
    credit_limit_usd: str = Field(description="Largest amount that may be owed.")
    owed_usd: str = Field(description="Outstanding invoices.")
    raw: dict[str, str] = Field(description="As Novita sent it, in units of 0.0001 USD.")

    def headline(self) -> str:
        return f"{say_exactly(Decimal(self.available_usd))} can be spent."


@account.tool("Get the balance", READS)
async def get_balance(call: Call) -> BalanceResult:
    """How much money, credit or funds are left in the account, am I running out, should I top up; also whether an
    unclear call was billed. What was spent: get_bill. Free; in USD.
    """
    balance = await read_balance(call.novita)
    return BalanceResult(
        available_usd=show_usd(balance.available),
        cash_usd=show_usd(balance.cash),
        credit_limit_usd=show_usd(balance.credit_limit),
        owed_usd=show_usd(balance.owed),
        raw=balance.raw,
    )


_IN_WORDS = ("day", "month", "product", "category", "api_key", "kind", "status")


class BillRow(BaseModel):
    """Lines of the bill added up."""

    what: str = Field(default="", description="What it is for, in words, with the days.")
    day: date | None = Field(default=None, description="UTC.")
    month: str | None = Field(default=None, description="YYYY-MM.")
    product: str | None = Field(default=None, description="Model or machine.")
    category: str | None = Field(default=None, description="Kind of product.")
    api_key: str | None = Field(default=None, description="Name of the API key.")
    kind: Literal["usage", "fixed_term"] | None = Field(default=None, description="As used, or a term in advance.")
    usd: str = Field(description="Price.")
    status: str | None = Field(default=None, description="pending, outed (payment due), paid, overdue or voided.")
    debt_usd: str | None = Field(default=None, description="Still owed.")
    invoice_url: str | None = Field(default=None, description="Invoice.")


class BillResult(ToolResult):
    """What was billed, in USD."""

    first_day: date = Field(description="UTC, included.")
    last_day: date = Field(description="UTC, included.")
    total_usd: str = Field(description="Of all rows, those on other pages too.")
    voucher_usd: str = Field(description="Part paid by vouchers.")
    cash_usd: str = Field(description="Part paid in cash.")
    rows: tuple[BillRow, ...] = Field(description="They add up to the total.")
    total_rows: int = Field(description="How many there are.")
    next_offset: int | None = Field(default=None, description="Give it as offset for the next page.")
    file: str | None = Field(default=None, description="The CSV file.")
    csv: str | None = Field(default=None, description="The table, where this server keeps no files for you.")
    note: str | None = Field(default=None, description="What this server's own ledger (novita://spend) took from it.")

    def for_reading(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields for the model, without those that the text of the answer says already; programs get all."""
        rows = [{name: value for name, value in row.items() if name not in _IN_WORDS} for row in fields["rows"]]
        return {**fields, "rows": rows}

    def headline(self) -> str:
        return f"{say_usd(self.total_usd)} from {self.first_day} to {self.last_day}."


@account.tool("Get the bill", READS)
async def get_bill(
    call: Call,
    period: Annotated[str, Field(description="Such as last 7 days, May 2026, or dates, UTC.")] = "this month",
    by: Annotated[Grouping, Field(description="Grouping.")] = "product",
    kind: Annotated[
        Literal["usage", "fixed_term", "monthly"] | None, Field(description="Default: first two."), SELDOM
    ] = None,
    csv: Annotated[bool, Field(description="Save all lines.")] = False,
    offset: Annotated[Offset, SELDOM] = 0,
    limit: Annotated[int, Field(ge=1, le=_MOST_ROWS, description="How many rows."), SELDOM] = ROWS,
) -> BillResult:
    """What did I spend, on what? Spending, charges, usage and invoices so far: how much was burned, broken down by
    product, model or day, for a month or any period. Money left: get_balance; before buying: estimate_cost. Free;
    in USD.
    """
    span = read_period(period, today(call))
    if kind == "monthly":
        return await _by_month(call, span, csv=csv, offset=offset, limit=limit)

    async def on_piece(what: str) -> None:
        await call.progress(what)

    lines = await usage_lines(call.novita, span, on_piece=on_piece) if kind != "fixed_term" else []
    if kind != "usage":
        lines += await fixed_term_lines(call.novita, span, on_piece=on_piece)
    result = bill_page(span, totals(lines), [bill_row(row) for row in add_up(lines, by)], offset, limit)
    if kind != "fixed_term":
        result.note = await by_the_bill(call) or None
    return await with_csv(call, result, as_csv(lines)) if csv else result


_STANDS = {"outed": "payment due"}
"""Plain words for states of a monthly bill that Novita abbreviates."""


async def by_the_bill(caller: Caller) -> str:
    """Correct the cost of ended jobs in the ledger by Novita's bill. Returns a sentence about the result, or "".

    If the bill cannot be read, the ledger keeps its own figures, and the next call tries again.
    """
    try:
        return (await settle_by_bill(OwnBill(caller.novita.for_looking()), caller.app.journal, caller.owner)).words()
    except NovitaError as error:
        return f"The costs of ended things could not be corrected by Novita's bill just now: {error.what}."


async def _by_month(caller: Caller, span: Period, *, csv: bool, offset: int, limit: int) -> BillResult:
    bills = await monthly_bills(caller.novita, span)
    rows = [
        BillRow(
            what=f"All of {bill.month}, {_STANDS.get(bill.status, bill.status)}",
            month=bill.month,
            usd=show_usd(bill.total),
            status=bill.status,
            debt_usd=show_usd(bill.debt),
            invoice_url=bill.invoice_url or None,
        )
        for bill in bills
    ]
    nothing = Decimal(0)
    amounts = (
        sum((bill.total for bill in bills), nothing),
        sum((bill.voucher for bill in bills), nothing),
        sum((bill.cash for bill in bills), nothing),
    )
    result = bill_page(Period(month_of(span.first).first, month_of(span.last).last), amounts, rows, offset, limit)
    return await with_csv(caller, result, months_csv(bills)) if csv else result


def bill_page(
    span: Period, amounts: tuple[Decimal, Decimal, Decimal], rows: Sequence[BillRow], offset: int, limit: int = ROWS
) -> BillResult:
    """One page of a bill: ROWS rows from `offset` on, with the totals (price, voucher, cash) of all rows."""
    price, voucher, cash = amounts
    page = page_of(rows, offset, limit)
    return BillResult(
        first_day=span.first,
        last_day=span.last,
        total_usd=show_usd(price),
        voucher_usd=show_usd(voucher),
        cash_usd=show_usd(cash),
        rows=page.rows,
        total_rows=page.total,
        next_offset=page.next_offset,
    )


async def with_csv(caller: Caller, result: BillResult, table: str) -> BillResult:
    """The result with its table as a file. Where no file can be saved for the caller, the table itself is added.

    Raises:
        InputError: There is no place for a file, and the table is too long to be shown.
        ArtifactError: The file cannot be saved.
    """
    store = caller.app.jobs.store
    if caller.app.settings.http:
        if len(table) > _LONGEST_CSV:
            raise InputError("The table is too long for an answer", next_step="Ask for a shorter period.")
        return result.model_copy(update={"csv": table})
    name = NameHint(title=f"novita bill {result.first_day} {result.last_day}")
    saved = await store.save_text(table, Artifact(task_id="", index=0, kind="file"), suffix=".csv", name=name)
    return result.model_copy(update={"file": saved.path})


def today(caller: Caller) -> date:
    """Today's date in UTC."""
    return datetime.fromtimestamp(caller.app.jobs.clock.wall(), UTC).date()


def bill_row(row: Sum) -> BillRow:
    """A sum as a row of the result."""
    return BillRow(
        day=row.day,
        what=in_words(row),
        product=row.product or None,
        category=kind_of_product(row.category) or None,
        api_key=row.key or None,
        kind=row.kind,
        usd=show_usd(row.amount),
    )
