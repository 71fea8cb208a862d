"""The account beyond balance and bills: transactions, quotas, API keys, the models a key may call, team budgets.

Every write here replaces a whole setting, so sending it twice does what sending it once does: all calls may be
repeated. One documented operation is left out: get_user_legacy, the deprecated twin of the balance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from ..core.answers import (
    Count,
    Moment,
    One,
    Rows,
    Shape,
    Text,
    WhetherTold,
    Whole,
    an_object,
    read_rows,
    read_shape,
    total_in,
)
from ..core.client import NovitaClient
from ..core.errors import InputError, NotFoundError, NovitaConnectionError
from ..core.json_text import Json
from ..core.money import billing_from_usd, say_exactly, usd_from_billing
from ..core.periods import Period
from .bills import BillUsd

BudgetKind = Literal["unlimited", "one_time", "monthly"]

SMALLEST_BUDGET = Decimal(1)
"""USD. Source: update_member_budget, budget_limit at least 10000."""


# Transactions


class Transaction(Shape):
    """Money in or out of the wallet, in USD. `kind`: recharge, refund, consume and what Novita adds."""

    serial: Text = ""
    at: Moment = None
    kind: Text = "unknown"
    channel: Text = ""
    amount: BillUsd
    balance_after: BillUsd
    state: Text = "unknown"
    note: Text = ""
    other_names: ClassVar[Mapping[str, str]] = {
        "serialNumber": "serial",
        "transactionTime": "at",
        "transactionType": "kind",
        "transactionChannel": "channel",
        "transactionAmount": "amount",
        "walletBalance": "balance_after",
    }


async def list_transactions(
    client: NovitaClient, *, page: int, size: int, period: Period | None = None, kind: str | None = None
) -> tuple[list[Transaction], int]:
    """One page, counted from 1, as Novita orders it; and how many there are in all."""
    wanted: Json = {"pageNo": page, "pageSize": size, "transactionType": kind}
    if period is not None:
        wanted |= {"transactionTimeStart": period.start, "transactionTimeEnd": period.end - 1}
    doing = "reading transactions"
    answer = await _read(client, "/openapi/v1/bill/transaction", doing, wanted)
    return read_rows(Transaction, answer, doing, "data", whole=True), total_in(answer) or 0


# Quotas


class QuotaTier(Shape):
    """The limit of one tier of customers."""

    tier: Text = ""
    quota: Count = 0


class Quota(Shape):
    """A rate limit. `unit`: RPM requests, TPM tokens, IPM images a minute."""

    about: Text = ""
    modality: Text = ""
    unit: Text = ""
    product: Text = ""
    current: Whole = None
    default: Whole = None
    adjustable: WhetherTold = None
    tiers: Rows[QuotaTier] = ()
    other_names: ClassVar[Mapping[str, str]] = {
        "quotaObject": "about",
        "modal": "modality",
        "quotaType": "unit",
        "productType": "product",
        "currentQuota": "current",
        "defaultQuota": "default",
        "quotaItems": "tiers",
    }


async def list_quotas(
    client: NovitaClient, *, model: str | None = None, modality: str | None = None, unit: str | None = None
) -> list[Quota]:
    """The rate limits in force; `model` matches loosely."""
    wanted = {"quotaObject": model, "modal": modality, "quotaType": unit}
    answer = await _read(client, "/openapi/v1/user/quota/list", "reading quotas", wanted)
    return read_rows(Quota, answer, "reading quotas", "data", whole=True)


# API keys and the models they may call


class PolicySummary(Shape):
    """What a list of keys says of the models of one: all_enabled or selected, with counts."""

    mode: Text = ""
    allowed_model_count: Count = 0
    excluded_model_count: Count = 0


class ApiKey(Shape):
    """What is known about a key of the team, without the key itself."""

    id: Text = ""
    key_id: Text = ""
    name: Text = ""
    masked: Text = ""
    member_id: Text = ""
    created: Text = ""
    expires: Text = ""
    last_used: Moment = None
    policy: One[PolicySummary] = PolicySummary()
    other_names: ClassVar[Mapping[str, str]] = {
        "stringId": "key_id",
        "maskedKey": "masked",
        "createTime": "created",
        "expireTime": "expires",
        "lastUsedAt": "last_used",
        "modelAccessPolicy": "policy",
    }


@dataclass(frozen=True)
class ModelPolicy:
    """Which language models a key may call. `only` counts in mode selected, `excluded` in all_enabled.

    Args:
        only_count: How many are allowed; `excluded_count` how many are excluded. A developer is told no more.
    """

    key_id: str
    mode: str
    only: tuple[str, ...]
    excluded: tuple[str, ...]
    only_count: int
    excluded_count: int
    is_default: bool
    status: str
    updated: datetime | None


async def list_api_keys(client: NovitaClient) -> list[ApiKey]:
    """The keys this one may see."""
    answer = await _read(client, "/openapi/v2/user/key", "listing API keys", {"includePolicySummary": "true"})
    return read_rows(ApiKey, answer, "listing API keys", "keys", whole=True)


async def find_key(client: NovitaClient, wanted: str) -> ApiKey:
    """The key with this stringId, number, name or mask.

    Raises:
        NotFoundError: There is none, or several; names those there are.
    """
    keys = await list_api_keys(client)
    exact = [key for key in keys if wanted in (key.key_id, key.id)]
    found = exact or [key for key in keys if wanted.casefold() in (key.name.casefold(), key.masked.casefold())]
    if len(found) == 1:
        return found[0]
    what = "Several API keys are" if found else "No API key is"
    known = ", ".join(f"{key.key_id} ({key.name})" for key in (found or keys)[:20]) or "none"
    raise NotFoundError(f"{what} called {wanted[:60]!r}", status=404, next_step=f"Use the id of one: {known}.")


async def get_model_policy(client: NovitaClient, key_id: str) -> ModelPolicy:
    """What a key (by its stringId) may call."""
    return _policy(key_id, await _read(client, _policy_path(key_id), "reading the key's models"))


async def set_model_policy(
    client: NovitaClient, key_id: str, *, only: Sequence[str] | None = None, excluded: Sequence[str] | None = None
) -> ModelPolicy:
    """Allow `only` these models, or all but the `excluded`; with neither, back to the default (all the team has)."""
    if only is None and excluded is None:
        await client.read("DELETE", _policy_path(key_id), doing="resetting the key's models", group="billing")
        return await get_model_policy(client, key_id)
    body = policy_body(only, excluded)
    answer = await client.read(
        "PUT", _policy_path(key_id), body=body, doing="setting the key's models", group="billing"
    )
    return _policy(key_id, an_object(answer.data))


def policy_body(only: Sequence[str] | None, excluded: Sequence[str] | None) -> Json:
    """The request that sets a policy.

    Raises:
        InputError: Both were given, or an empty `only`.
    """
    if only is not None and excluded is not None:
        raise InputError("A key has either a list of allowed models or a list of excluded ones", next_step="Give one.")
    if only is not None and not only:
        raise InputError("No model is allowed: the key would be of no use", next_step="Name a model, or leave it out.")
    listed = [{"type": "llm", "id": model} for model in dict.fromkeys(only or excluded or ())]
    lists = {"allowedModels": listed} if only is not None else {"excludedModels": listed}
    mode = "selected" if only is not None else "all_enabled"
    return {"schemaVersion": 1, "productScope": "model_api", "mode": mode, **lists}


def _policy_path(key_id: str) -> str:
    return f"/openapi/v2/user/key/{quote(key_id, safe='')}/model-access-policy"


class _ModelEntry(Shape):
    id: Text = ""


class _PolicySource(Shape):
    type: Text = ""


class _PolicyRules(Shape):
    mode: Text
    allowed_models: Rows[_ModelEntry] = ()
    excluded_models: Rows[_ModelEntry] = ()
    source: One[_PolicySource] = _PolicySource()


class _PolicyAnswer(Shape):
    policy: One[_PolicyRules]
    string_id: Text = ""
    allowed_model_count: Count = 0
    excluded_model_count: Count = 0
    policy_status: Text = "unknown"
    updated_at: Moment = None


def _policy(key_id: str, answer: Json) -> ModelPolicy:
    read = read_shape(_PolicyAnswer, answer, "reading the key's models")
    only = tuple(entry.id for entry in read.policy.allowed_models)
    excluded = tuple(entry.id for entry in read.policy.excluded_models)
    return ModelPolicy(
        key_id=read.string_id or key_id,
        mode=read.policy.mode,
        only=only,
        excluded=excluded,
        only_count=max(len(only), read.allowed_model_count),
        excluded_count=max(len(excluded), read.excluded_model_count),
        is_default=read.policy.source.type == "default",
        status=read.policy_status,
        updated=read.updated_at,
    )


# Budgets


@dataclass(frozen=True)
class Budget:
    """A limit in USD on a member or a key; `limit` and `left` are None where there is none."""

    id: str
    name: str
    role: str
    status: str
    kind: str
    limit: Decimal | None
    used: Decimal | None
    left: Decimal | None
    period: str


async def member_budgets(client: NovitaClient) -> list[Budget]:
    """The budgets of all members that this key may see."""
    doing = "reading member budgets"
    rows = read_rows(
        _BudgetRow, await _read(client, "/openapi/v1/user/team/budget-list", doing), doing, "budgets", whole=True
    )
    return [_budget(row, row.member_id, row.remark_name) for row in rows]


async def key_budgets(client: NovitaClient, member_id: str) -> list[Budget]:
    """The budgets of one member's keys. They limit the use of language models only."""
    path = "/openapi/v1/user/team/key-budget-list"
    doing = "reading key budgets"
    rows = read_rows(
        _BudgetRow, await _read(client, path, doing, {"member_id": member_id}), doing, "key_budgets", whole=True
    )
    return [_budget(row, row.key_id, row.key_name) for row in rows]


async def set_budget(client: NovitaClient, body: Json) -> None:
    """Replace a budget by that of a `budget_body`. It applies at once."""
    what = "key" if "key_id" in body else "member"
    await client.read(
        "PUT", f"/openapi/v1/user/team/{what}-budget", body=body, doing=f"setting the {what}'s budget", group="billing"
    )


def budget_body(member_id: str, key_id: str | None, kind: BudgetKind, limit: Decimal | None) -> Json:
    """The request that sets a budget.

    Raises:
        InputError: A limit is missing, too small, or not needed.
    """
    body: Json = {"member_id": member_id, **({"key_id": key_id} if key_id else {})}
    if kind == "unlimited":
        if limit is not None:
            raise InputError("An unlimited budget has no limit", next_step="Leave limit_usd out, or change kind.")
        return {**body, "budget_type": "Unlimited"}
    if limit is None or limit < SMALLEST_BUDGET:
        raise InputError(
            f"A budget needs a limit of at least {say_exactly(SMALLEST_BUDGET)}", next_step="Give limit_usd."
        )
    body |= {"budget_type": "One-time" if kind == "one_time" else "Recurring", "budget_limit": _units(limit)}
    return {**body, "cycle": "Monthly"} if kind == "monthly" else body


async def budget_allows(client: NovitaClient, member_id: str, key_id: str | None, cost: Decimal | None) -> bool:
    """Whether a member or key has anything left, or enough for a cost in USD.

    Raises:
        NovitaConnectionError: The answer does not say.
    """
    body: Json = {"member_id": member_id, **({"key_id": key_id} if key_id else {})}
    if cost is not None:
        body["cost"] = _units(cost)
    name = f"check-{'key-' if key_id else ''}budget{'-by-cost' if cost is not None else ''}"
    answer = await client.read(
        "POST", f"/openapi/v1/user/team/{name}", body=body, doing="asking what the budget allows", group="billing"
    )
    enough = an_object(answer.data).get("enough")
    if not isinstance(enough, bool):
        raise NovitaConnectionError("Novita's answer about the budget does not say whether there is enough")
    return enough


_KINDS = {"Unlimited": "unlimited", "One-time": "one_time", "Recurring": "monthly"}


class _BudgetRow(Shape):
    """A budget of a member or a key. Without a limit its amounts mean nothing, so they are not checked."""

    member_id: Text = ""
    key_id: Text = ""
    remark_name: Text = ""
    key_name: Text = ""
    role: Text = ""
    status: Text = ""
    budget_type: Text = "Unlimited"
    budget_limit: Any = None
    used: Any = None
    remaining: Any = None
    period_start: Text = ""
    period_end: Text = ""
    other_names: ClassVar[Mapping[str, str]] = {"email": "remark_name"}


def _budget(row: _BudgetRow, id: str, name: str) -> Budget:
    limited = row.budget_type != "Unlimited"
    return Budget(
        id=id,
        name=name,
        role=row.role,
        status=row.status,
        kind=_KINDS.get(row.budget_type, row.budget_type),
        limit=_usd(row.budget_limit, "budget_limit") if limited else None,
        used=_usd(row.used, "used") if limited else None,
        left=_usd(row.remaining, "remaining") if limited else None,
        period=" to ".join(filter(None, (row.period_start, row.period_end))),
    )


def _usd(units: Any, name: str) -> Decimal | None:
    """USD of a budget amount; None if it is not given."""
    try:
        return usd_from_billing(units) if units is not None else None
    except ValueError as error:
        raise NovitaConnectionError(f"Novita's answer about budgets has a bad {name}: {error}") from error


def _units(amount: Decimal) -> int:
    try:
        return billing_from_usd(amount)
    except ValueError as error:
        raise InputError(str(error), next_step="Give at most four decimal places.") from error


# Reading


async def _read(client: NovitaClient, path: str, doing: str, params: Json | None = None) -> Json:
    sent = {name: value for name, value in (params or {}).items() if value is not None}
    return an_object((await client.read("GET", path, params=sent or None, doing=doing, group="billing")).data)
