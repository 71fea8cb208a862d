"""The account beyond balance and bills: transactions, quotas, API keys, the models a key may call, team budgets.

Every write here replaces a whole setting, so sending it twice does what sending it once does: all calls may be
repeated. One documented operation is left out: get_user_legacy, the deprecated twin of the balance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote

from ..core.answers import a_moment, a_whole, an_object, objects
from ..core.client import NovitaClient
from ..core.errors import InputError, NotFoundError, NovitaConnectionError
from ..core.money import billing_from_usd, say_exactly, usd_from_billing
from ..core.periods import Period
from .bills import rows_of, usd_of

Json = dict[str, Any]
BudgetKind = Literal["unlimited", "one_time", "monthly"]

SMALLEST_BUDGET = Decimal(1)
"""USD. Source: update_member_budget, budget_limit at least 10000."""


# Transactions


@dataclass(frozen=True)
class Transaction:
    """Money in or out of the wallet, in USD. `kind`: recharge, refund, consume and what Novita adds."""

    serial: str
    at: datetime | None
    kind: str
    channel: str
    amount: Decimal
    balance_after: Decimal
    state: str
    note: str


async def list_transactions(
    client: NovitaClient, *, page: int, size: int, period: Period | None = None, kind: str | None = None
) -> tuple[list[Transaction], int]:
    """One page, counted from 1, as Novita orders it; and how many there are in all."""
    wanted: Json = {"pageNo": page, "pageSize": size, "transactionType": kind}
    if period is not None:
        wanted |= {"transactionTimeStart": period.start, "transactionTimeEnd": period.end - 1}
    answer = await _read(client, "/openapi/v1/bill/transaction", "reading transactions", wanted)
    rows = rows_of(answer, "data", "transactions")
    return [
        Transaction(
            serial=str(row.get("serialNumber") or ""),
            at=a_moment(row.get("transactionTime")),
            kind=str(row.get("transactionType") or "unknown"),
            channel=str(row.get("transactionChannel") or ""),
            amount=usd_of(row, "transactionAmount", "transactions"),
            balance_after=usd_of(row, "walletBalance", "transactions"),
            state=str(row.get("state") or "unknown"),
            note=str(row.get("note") or ""),
        )
        for row in rows
    ], a_whole(answer.get("total")) or 0


# Quotas


@dataclass(frozen=True)
class Quota:
    """A rate limit. `unit`: RPM requests, TPM tokens, IPM images a minute. `tiers`: tier -> limit."""

    about: str
    modality: str
    unit: str
    product: str
    current: int | None
    default: int | None
    adjustable: bool | None
    tiers: dict[str, int]


async def list_quotas(
    client: NovitaClient, *, model: str | None = None, modality: str | None = None, unit: str | None = None
) -> list[Quota]:
    """The rate limits in force; `model` matches loosely."""
    wanted = {"quotaObject": model, "modal": modality, "quotaType": unit}
    answer = await _read(client, "/openapi/v1/user/quota/list", "reading quotas", wanted)
    return [
        Quota(
            about=str(row.get("quotaObject") or ""),
            modality=str(row.get("modal") or ""),
            unit=str(row.get("quotaType") or ""),
            product=str(row.get("productType") or ""),
            current=a_whole(row.get("currentQuota")),
            default=a_whole(row.get("defaultQuota")),
            adjustable=row.get("adjustable") if isinstance(row.get("adjustable"), bool) else None,
            tiers={str(item.get("tier")): a_whole(item.get("quota")) or 0 for item in objects(row.get("quotaItems"))},
        )
        for row in rows_of(answer, "data", "quotas")
    ]


# API keys and the models they may call


@dataclass(frozen=True)
class ApiKey:
    """A key of the team; never the key itself. `models`: all_enabled or selected, with counts."""

    id: str
    key_id: str
    name: str
    masked: str
    member_id: str
    created: str
    expires: str
    last_used: datetime | None
    mode: str | None
    allowed: int
    excluded: int


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
    keys: list[ApiKey] = []
    for row in rows_of(answer, "keys", "API keys"):
        policy = an_object(row.get("modelAccessPolicy"))
        keys.append(
            ApiKey(
                id=str(row.get("id") or ""),
                key_id=str(row.get("stringId") or ""),
                name=str(row.get("name") or ""),
                masked=str(row.get("maskedKey") or ""),
                member_id=str(row.get("memberId") or ""),
                created=str(row.get("createTime") or ""),
                expires=str(row.get("expireTime") or ""),
                last_used=a_moment(row.get("lastUsedAt")),
                mode=policy.get("mode"),
                allowed=a_whole(policy.get("allowedModelCount")) or 0,
                excluded=a_whole(policy.get("excludedModelCount")) or 0,
            )
        )
    return keys


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


def _policy(key_id: str, answer: Json) -> ModelPolicy:
    policy = an_object(answer.get("policy"))
    if "mode" not in policy:
        raise NovitaConnectionError("Novita's answer about the key's models holds no policy")
    only = tuple(str(entry.get("id")) for entry in objects(policy.get("allowedModels")))
    excluded = tuple(str(entry.get("id")) for entry in objects(policy.get("excludedModels")))
    return ModelPolicy(
        key_id=str(answer.get("stringId") or key_id),
        mode=str(policy["mode"]),
        only=only,
        excluded=excluded,
        only_count=max(len(only), a_whole(answer.get("allowedModelCount")) or 0),
        excluded_count=max(len(excluded), a_whole(answer.get("excludedModelCount")) or 0),
        is_default=an_object(policy.get("source")).get("type") == "default",
        status=str(answer.get("policyStatus") or "unknown"),
        updated=a_moment(answer.get("updatedAt")),
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
    """Of all members this key may see."""
    answer = await _read(client, "/openapi/v1/user/team/budget-list", "reading member budgets")
    return [
        _budget(row, "member_id", str(row.get("remark_name") or row.get("email") or ""))
        for row in rows_of(answer, "budgets", "budgets")
    ]


async def key_budgets(client: NovitaClient, member_id: str) -> list[Budget]:
    """Of one member's keys. They limit language model use only."""
    path = "/openapi/v1/user/team/key-budget-list"
    answer = await _read(client, path, "reading key budgets", {"member_id": member_id})
    return [_budget(row, "key_id", str(row.get("key_name") or "")) for row in rows_of(answer, "key_budgets", "budgets")]


async def set_budget(client: NovitaClient, body: Json) -> None:
    """Replace a budget by `budget_body`'s; at once."""
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


def _budget(row: Json, id_field: str, name: str) -> Budget:
    native = str(row.get("budget_type") or "Unlimited")
    limited = native != "Unlimited"
    ends = [str(row[end]) for end in ("period_start", "period_end") if row.get(end)]
    return Budget(
        id=str(row.get(id_field) or ""),
        name=name,
        role=str(row.get("role") or ""),
        status=str(row.get("status") or ""),
        kind=_KINDS.get(native, native),
        limit=_usd(row, "budget_limit") if limited else None,
        used=_usd(row, "used") if limited else None,
        left=_usd(row, "remaining") if limited else None,
        period=" to ".join(ends),
    )


def _usd(row: Json, name: str) -> Decimal | None:
    """Budget amounts are numbers; fields that are not there are not known."""
    try:
        return usd_from_billing(row[name]) if row.get(name) is not None else None
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
