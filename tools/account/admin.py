"""Account tools for those who run a team: transactions, bills by key, quotas, keys and their models, budgets."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ...novita.account import admin as novita
from ...novita.account.admin import ApiKey, Budget, BudgetKind, ModelPolicy
from ...novita.account.bills import Grouping, add_up, as_csv, key_lines, totals
from ...novita.core.by_name import the_one
from ...novita.core.errors import InputError
from ...novita.core.money import say_exactly, show_usd
from ...novita.core.periods import read_period
from ...novita.core.words import counted
from ..kit.arguments import Agreed
from ..kit.context import Call
from ..kit.pages import page_of
from ..kit.purchase import Direct, Purchase, carry_out
from ..kit.toolset import DESTROYS, READS, ToolResult, Toolset
from .balance_and_bills import BillResult, bill_page, bill_row, today, with_csv

account_admin = Toolset("account_admin", "Transactions, bills by key, quotas, API keys and their models, budgets.")

PeriodText = Annotated[str, Field(description='Words or dates, UTC: "last week", "2026-10".')]
KeyId = Annotated[str, Field(min_length=1, description="key_id or name from list_api_keys.")]
MemberId = Annotated[str, Field(min_length=1, description="Id or name from list_budgets.")]
ShowOnly = Annotated[bool, Field(description="Send nothing, show the request.")]


# Transactions


class TransactionLine(BaseModel):
    """One movement of money, in or out."""

    at: datetime | None = Field(default=None, description="UTC.")
    type: str = Field(description="recharge, refund, consume, ...")
    usd: str = Field(description="Amount moved.")
    balance_after_usd: str = Field(description="In the wallet after it.")
    state: str = Field(description="pending, success, failed or expired.")
    channel: str | None = Field(default=None, description="How it was paid.")
    serial: str = Field(description="Serial number.")
    note: str | None = Field(default=None, description="Note.")


class TransactionList(ToolResult):
    """Transactions of the wallet."""

    transactions: tuple[TransactionLine, ...] = Field(description="In Novita's order.")
    total: int = Field(description="How many there are.")
    next_page: int | None = Field(default=None, description="Give it as page.")

    def headline(self) -> str:
        return f"{len(self.transactions)} of {counted(self.total, 'transaction')}."


_PAGE = 30


@account_admin.tool("List transactions", READS)
async def list_transactions(
    call: Call,
    period: PeriodText | None = None,
    type: Annotated[Literal["recharge", "refund", "consume"] | None, Field(description="Only these.")] = None,
    page: Annotated[int, Field(ge=1, description="Page of 30.")] = 1,
) -> TransactionList:
    """Movements of the account's wallet: when money was added (top-ups), refunded or charged, and how much, newest
    first. What it was spent on: get_bill. Free; in USD.
    """
    span = read_period(period, today(call)) if period else None
    found, total = await novita.list_transactions(call.novita, page=page, size=_PAGE, period=span, kind=type)
    lines = tuple(
        TransactionLine(
            at=moved.at,
            type=moved.kind,
            usd=show_usd(moved.amount),
            balance_after_usd=show_usd(moved.balance_after),
            state=moved.state,
            channel=moved.channel or None,
            serial=moved.serial,
            note=moved.note[:200] or None,
        )
        for moved in found
    )
    return TransactionList(transactions=lines, total=total, next_page=page + 1 if page * _PAGE < total else None)


# Bills by key


@account_admin.tool("Get bills by API key", READS)
async def get_key_bill(
    call: Call,
    period: PeriodText = "this month",
    key: Annotated[str | None, Field(description="Name of one key.")] = None,
    by: Annotated[Grouping, Field(description="Grouping.")] = "product",
    csv: Annotated[bool, Field(description="All lines as a file.")] = False,
    offset: Annotated[int, Field(ge=0, description="Skip rows.")] = 0,
) -> BillResult:
    """What did each API key spend? Charges by key for models, media and web search, by product or day, from 2026 on, to
    see which team or app costs most. The whole account: get_bill. Free; in USD.
    """
    span = read_period(period, today(call))

    async def on_piece(what: str) -> None:
        await call.progress(what)

    lines = await key_lines(call.novita, span, on_piece=on_piece)
    if key is not None:
        names = sorted({line.key for line in lines})
        lines = [line for line in lines if line.key.casefold() == key.strip().casefold()]
        if not lines:
            known = f"Keys with bills: {', '.join(names[:20])}." if names else "No key was billed then."
            raise InputError(f"No bill names the key {key[:60]!r} from {span}", next_step=known)
    result = bill_page(span, totals(lines), [bill_row(row) for row in add_up(lines, by)], offset)
    return await with_csv(call, result, as_csv(lines)) if csv else result


# Quotas


class QuotaLine(BaseModel):
    """A rate limit."""

    model: str = Field(description="Model or route.")
    unit: str = Field(description="RPM requests, TPM tokens, IPM images a minute.")
    now: int | None = Field(default=None, description="In force.")
    default: int | None = Field(default=None, description="Without a change.")
    adjustable: bool | None = Field(default=None, description="Whether Novita takes requests to change it.")
    by_tier: dict[str, int] | None = Field(default=None, description="Limit of each tier.")


class QuotaList(ToolResult):
    """Rate limits."""

    quotas: tuple[QuotaLine, ...] = Field(description="By model.")
    total: int = Field(description="How many fit.")
    next_offset: int | None = Field(default=None, description="Give it as offset.")

    def headline(self) -> str:
        return f"{len(self.quotas)} of {counted(self.total, 'quota')}."


@account_admin.tool("List quotas", READS)
async def list_quotas(
    call: Call,
    model: Annotated[str | None, Field(description="Part of a model id.")] = None,
    modality: Annotated[Literal["llm", "image"] | None, Field(description="Kind of model.")] = None,
    unit: Annotated[Literal["RPM", "TPM", "IPM"] | None, Field(description="Requests, tokens, images.")] = None,
    offset: Annotated[int, Field(ge=0, description="Skip so many.")] = 0,
) -> QuotaList:
    """Rate limits of this account: how many requests, tokens or images a minute each model allows. For 429 errors, or
    before many calls. Free.
    """
    page = page_of(await novita.list_quotas(call.novita, model=model, modality=modality, unit=unit), offset, _PAGE)
    lines = tuple(
        QuotaLine(
            model=quota.about,
            unit=quota.unit,
            now=quota.current,
            default=quota.default,
            adjustable=quota.adjustable,
            by_tier={tier.tier: tier.quota for tier in quota.tiers} or None,
        )
        for quota in page.rows
    )
    return QuotaList(quotas=lines, total=page.total, next_offset=page.next_offset)


# Keys and their models


class KeyLine(BaseModel):
    """An API key, shown masked."""

    key_id: str = Field(description="Give it to other tools.")
    name: str = Field(description="Its name.")
    masked: str = Field(description="Its ends.")
    member_id: str | None = Field(default=None, description="Whose it is.")
    models: str = Field(description="Which language models it may call.")
    created: str | None = Field(default=None, description="As Novita says it; time zone unknown.")
    expires: str | None = Field(default=None, description="never, or a time.")
    last_used: datetime | None = Field(default=None, description="UTC.")


class KeyList(ToolResult):
    """API keys of the team."""

    keys: tuple[KeyLine, ...] = Field(description="In Novita's order.")
    total: int = Field(description="How many there are.")
    next_offset: int | None = Field(default=None, description="Give it as offset.")

    def headline(self) -> str:
        return f"{self.total} API keys."


@account_admin.tool("List API keys", READS)
async def list_api_keys(call: Call, offset: Annotated[int, Field(ge=0, description="Skip so many.")] = 0) -> KeyList:
    """API keys of the team, masked, with their names, ids and which models each may call. Free; no key is shown."""
    page = page_of(await novita.list_api_keys(call.novita), offset, _PAGE)
    lines = tuple(_key_line(key) for key in page.rows)
    return KeyList(keys=lines, total=page.total, next_offset=page.next_offset)


def _key_line(key: ApiKey) -> KeyLine:
    models = f"only {key.policy.allowed_model_count}" if key.policy.mode == "selected" else "all"
    if key.policy.mode != "selected" and key.policy.excluded_model_count:
        models = f"all but {key.policy.excluded_model_count}"
    return KeyLine(
        key_id=key.key_id,
        name=key.name,
        masked=key.masked,
        member_id=key.member_id or None,
        models=models,
        created=key.created or None,
        expires=key.expires or None,
        last_used=key.last_used,
    )


class KeyModels(ToolResult):
    """Which language models a key may call."""

    status: Literal["done", "needs_confirmation", "dry_run"] = Field(description="What was done.")
    key_id: str | None = Field(default=None, description="The key.")
    access: Literal["all", "all_but", "only"] | None = Field(default=None, description="How to read models.")
    models: tuple[str, ...] = Field(default=(), description="Models left out, or the only ones.")
    count: int | None = Field(default=None, description="How many models that are; a developer's key is told no more.")
    is_default: bool | None = Field(default=None, description="Whether it was never set.")
    warning: str | None = Field(default=None, description="What is wrong with it.")
    updated: datetime | None = Field(default=None, description="UTC.")
    model: str | None = Field(default=None, description="What the question is about.")
    estimated_cost_usd: str | None = Field(default=None, description="Of the change: 0.")
    next_step: str | None = Field(default=None, description="What to do now.")
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")

    def headline(self) -> str:
        match self.access:
            case "only":
                return f"{counted(self.count or 0, 'model')} allowed."
            case "all_but":
                return f"All models but {self.count}."
            case "all":
                return "All models of the team."
            case None:
                return "Nothing was changed yet."


def _key_models(policy: ModelPolicy) -> KeyModels:
    only = policy.mode == "selected"
    models, count = (policy.only, policy.only_count) if only else (policy.excluded, policy.excluded_count)
    lost = policy.status == "no_available_models"
    return KeyModels(
        status="done",
        key_id=policy.key_id,
        access="only" if only else "all_but" if count else "all",
        models=models,
        count=count if only or count else None,
        is_default=policy.is_default,
        warning="None of these models is on offer now: the key can call nothing." if lost else None,
        updated=policy.updated,
    )


@account_admin.tool("Get the models of a key", READS)
async def get_key_models(call: Call, key: KeyId) -> KeyModels:
    """Which language models one API key may call, or may not. To change that use set_key_models. Free."""
    found = await novita.find_key(call.novita, key)
    return _key_models(await novita.get_model_policy(call.novita, found.key_id))


@account_admin.tool("Set the models of a key", DESTROYS)
async def set_key_models(
    call: Call,
    key: KeyId,
    only: Annotated[list[str] | None, Field(description="The only models it may call.")] = None,
    all_but: Annotated[list[str] | None, Field(description="Models it may not call.")] = None,
    every: Annotated[bool, Field(description="Lift the limits: it may call every model.")] = False,
    confirm: Agreed = False,
    dry_run: ShowOnly = False,
) -> KeyModels:
    """Set which language models one API key may call: only some, all but some, or every one; it replaces what was set
    and counts at once. Asks first. Free; returns what is allowed now.
    """
    # Some hosts send an empty list for an argument that nobody set. It must not open a key to all models.
    if [bool(only), bool(all_but), every].count(True) != 1:
        raise InputError(
            "Which models the key may call was not said", next_step="Give one of only, all_but and every=true."
        )

    async def plan() -> Purchase[KeyModels]:
        found = await novita.find_key(call.novita, key)
        body = novita.policy_body(only, all_but) if only is not None or all_but is not None else None
        path = f"/openapi/v2/user/key/{found.key_id}/model-access-policy"
        before = _key_models(await novita.get_model_policy(call.novita, found.key_id))
        wanted = f"only {', '.join(only)}" if only else f"all but {', '.join(all_but)}" if all_but else "all models"
        question = f"Let the API key {found.name!r} ({found.masked}) call {wanted}? Until now: {_in_words(before)}."

        async def change() -> KeyModels:
            return _key_models(await novita.set_model_policy(call.novita, found.key_id, only=only, excluded=all_but))

        async def request() -> dict[str, Any]:
            sent = {"method": "PUT" if body else "DELETE", "path": path, **({"body": body} if body else {})}
            return {"key_id": found.key_id, "request": sent}

        return Purchase(
            answer=KeyModels,
            effect=question[:1_500],
            model="API key",
            sending=Direct(act=change),
            dry_run=request,
            about=found.key_id,
            always_asks=True,
        )

    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


def _in_words(models: KeyModels) -> str:
    more = " and more" if len(models.models) > 8 else ""
    named = ", ".join(models.models[:8]) + more if models.models else counted(models.count or 0, "model")
    return {"only": f"only {named}", "all_but": f"all but {named}"}.get(models.access or "", "all models")


# Budgets


class BudgetLine(BaseModel):
    """A limit on a member or a key, in USD."""

    id: str = Field(description="member_id, or the key's id.")
    name: str | None = Field(default=None, description="Whose it is.")
    role: str | None = Field(default=None, description="Role in the team.")
    status: str | None = Field(default=None, description="Of the member's account.")
    kind: str = Field(description="unlimited, one_time or monthly.")
    limit_usd: str | None = Field(default=None, description="Limit.")
    used_usd: str | None = Field(default=None, description="Spent.")
    left_usd: str | None = Field(default=None, description="Left; below 0 if overspent.")
    period: str | None = Field(default=None, description="As Novita says it.")


class BudgetList(ToolResult):
    """Budgets."""

    budgets: tuple[BudgetLine, ...] = Field(description="One for each member, or each key of one.")
    total: int = Field(description="How many there are.")
    next_offset: int | None = Field(default=None, description="Give it as offset.")

    def headline(self) -> str:
        return f"{counted(self.total, 'budget')}."


@account_admin.tool("List budgets", READS)
async def list_budgets(
    call: Call,
    member_id: Annotated[str | None, Field(description="For the budgets of this member's keys: id or name.")] = None,
    offset: Annotated[int, Field(ge=0, description="Skip so many.")] = 0,
) -> BudgetList:
    """Spending budgets of the team's members, or of one member's API keys: limit, spent and left. Free; in USD."""
    found = await novita.member_budgets(call.novita)
    if member_id:
        found = await novita.key_budgets(call.novita, _find_budget(found, member_id, "member").id)
    page = page_of(found, offset, _PAGE)
    lines = tuple(_budget_line(budget) for budget in page.rows)
    return BudgetList(budgets=lines, total=page.total, next_offset=page.next_offset)


def _budget_line(budget: Budget) -> BudgetLine:
    return BudgetLine(
        id=budget.id,
        name=budget.name or None,
        role=budget.role or None,
        status=budget.status or None,
        kind=budget.kind,
        limit_usd=_shown(budget.limit),
        used_usd=_shown(budget.used),
        left_usd=_shown(budget.left),
        period=budget.period or None,
    )


def _shown(amount: Decimal | None) -> str | None:
    return None if amount is None else show_usd(amount)


class BudgetAnswer(ToolResult):
    """Whether a budget allows something."""

    enough: bool = Field(description="Whether it does.")

    def headline(self) -> str:
        return "There is enough." if self.enough else "There is not enough."


@account_admin.tool("Check a budget", READS)
async def check_budget(
    call: Call,
    member_id: MemberId,
    key_id: Annotated[str | None, Field(description="Of this key: id or name.")] = None,
    cost_usd: Annotated[Decimal | None, Field(ge=0, description="Enough for this; default: anything.")] = None,
) -> BudgetAnswer:
    """Is there money left in the budget of a team member or an API key, or enough for a certain cost? Free; says yes or
    no.
    """
    member, key = await _whose(call, member_id, key_id)
    return BudgetAnswer(enough=await novita.budget_allows(call.novita, member.id, key.id if key else None, cost_usd))


class BudgetChange(ToolResult):
    """A budget that was set."""

    status: Literal["done", "needs_confirmation", "dry_run"] = Field(description="What was done.")
    budget: BudgetLine | None = Field(default=None, description="As it is now.")
    model: str | None = Field(default=None, description="What the question is about.")
    estimated_cost_usd: str | None = Field(default=None, description="Of the change: 0.")
    next_step: str | None = Field(default=None, description="What to do now.")
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")

    def headline(self) -> str:
        return "The budget is set." if self.status == "done" else "Nothing was changed yet."


@account_admin.tool("Set a budget", DESTROYS)
async def update_budget(
    call: Call,
    member_id: MemberId,
    kind: Annotated[BudgetKind, Field(description="Kind of limit.")],
    limit_usd: Annotated[Decimal | None, Field(ge=1, description="Limit, in USD.")] = None,
    key_id: Annotated[str | None, Field(description="Only for this key: id or name.")] = None,
    confirm: Agreed = False,
    dry_run: ShowOnly = False,
) -> BudgetChange:
    """Set or replace the spending budget of a team member or of one API key: a limit once or each month, or none. It
    counts at once: who has spent it is suspended. Asks first. Free; returns the budget.
    """
    novita.budget_body(
        member_id, key_id, kind, limit_usd
    )  # refuses impossible values before Novita or the user is asked
    path = f"/openapi/v1/user/team/{'key' if key_id else 'member'}-budget"

    async def plan() -> Purchase[BudgetChange]:
        member, key = await _whose(call, member_id, key_id)
        before = key or member
        body = novita.budget_body(member.id, key.id if key else None, kind, limit_usd)

        async def change() -> BudgetChange:
            await novita.set_budget(call.novita, body)
            now = await _whose(call, member.id, key.id if key else None)
            return BudgetChange(status="done", budget=_budget_line(now[1] or now[0]))

        async def request() -> dict[str, Any]:
            return {"request": {"method": "PUT", "path": path, "body": body}}

        now = before.kind if before.limit is None else f"{before.kind}, {say_exactly(before.limit)}"
        wanted = kind if limit_usd is None else f"{kind}, {say_exactly(limit_usd)}"
        used = say_exactly(before.used) if before.used is not None else "unknown"
        whose = f"{'API key' if key_id else 'member'} {before.name or before.id}"
        return Purchase(
            answer=BudgetChange,
            effect=f"Set the budget of {whose} to {wanted}? Until now: {now}; used: {used}.",
            model="budget",
            sending=Direct(act=change),
            dry_run=request,
            about=f"{member.id} {key.id if key else ''} {wanted}",
            always_asks=True,
        )

    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


async def _whose(call: Call, member: str, key: str | None) -> tuple[Budget, Budget | None]:
    """The budgets of a member and of one of the member's keys, each given by id or name.

    Raises:
        InputError: There is no such budget, or there are several. The text names those there are.
    """
    whose = _find_budget(await novita.member_budgets(call.novita), member, "member")
    return whose, _find_budget(await novita.key_budgets(call.novita, whose.id), key, "key") if key else None


def _find_budget(found: Sequence[Budget], wanted: str, what: str) -> Budget:
    budget = the_one(wanted, found, f"{what}s", lambda other: f"{other.id} ({other.name})")
    if budget is None:
        known = ", ".join(f"{other.id} ({other.name})" for other in found[:20]) or "none"
        raise InputError(f"There is no {what} {wanted[:60]!r}", next_step=f"There are: {known}.")
    return budget
