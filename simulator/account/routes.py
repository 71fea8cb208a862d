"""Balance, bills, transactions and quotas. Answers give money as text, in whole units of 0.0001 USD."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from ..core.facts import operations
from ..core.metering import MONTH
from ..core.world import Account, Charge
from .ledger import DAY, LedgerLine, lines, months, next_month, past, slice_of, terms, units
from .team import Teams

PRODUCT_CATEGORIES = frozenset(
    [
        "summary",
        "gpu",
        "llm",
        "serverless",
        "cloud_storage",
        "gen_api",
        "cloud_sandbox",
        "bare_metal",
        "web_search",
        "llm_dedicated_endpoint",
    ]
)
FIXED_CATEGORIES = frozenset(["summary", "gpu", "serverless", "cloud_storage", "local_storage", "image", "bare_metal"])
KEY_BILLS_FROM = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
TIERS = ("T1", "T2", "T3", "T4", "T5")


# Balance


async def get_user_balance(call: Call) -> Response:
    balance = str(call.account.units)
    return answer({"availableBalance": balance, "cashBalance": balance, "creditLimit": "0", "outstandingInvoices": "0"})


async def get_user_legacy(call: Call) -> Response:
    return answer({"credit_balance": call.account.units, "allow_features": ["upload_model"]})


# Bills


async def query_monthly_bill(call: Call) -> Response:
    first, page, size = call.params.get("startMonth", ""), call.params.get("page", 1), call.params.get("pageSize", 12)
    wanted = [month for month in months(call.world) if month.strftime("%Y-%m") >= first]
    totals: dict[float, int] = defaultdict(int)
    for line in (*lines(call.world, call.account), *terms(call.world, call.account)):
        totals[slice_of(line.at, "Month")[0]] += line.micro_usd
    running = months(call.world)[-1]
    data: list[Json] = []
    for month in wanted[(page - 1) * size : page * size]:
        paid = str(units(totals[month.timestamp()]))
        data.append(
            {
                "billId": f"bill-{month:%Y%m}-{call.account.id}",
                "userId": call.account.id,
                "billingMonth": f"{month:%Y-%m}",
                "totalAmount": paid,
                "originTotalAmount": paid,
                "voucherPayAmount": "0",
                "cashPayAmount": paid,
                "debtAmount": "0",
                "status": "pending" if month == running else "paid",
                "invoiceUrl": "",
                "startTime": str(int(month.timestamp())),
                "endTime": str(int(next_month(month).timestamp()) - 1),
                "repaidAmount": "0",
            }
        )
    return answer({"data": data})


def span(call: Call, longest_days: int) -> tuple[float, float]:
    """startTime and endTime of the query. Without them, or with 0, the span is the last 31 days."""
    end = float(call.params.get("endTime") or call.world.clock.now())
    start = float(call.params.get("startTime") or end - 31 * DAY)
    if end <= start:
        raise call.fault("INVALID_BILL_CYCLE", "endTime must be later than startTime")
    if end - start > longest_days * DAY:
        raise call.fault(
            "INVALID_BILL_CYCLE", f"the span must not be longer than {longest_days} days for this granularity"
        )
    return start, end


def sliced(found: Iterable[LedgerLine], cycle: str) -> list[tuple[tuple[float, float], LedgerLine]]:
    """Lines of one product added up within each slice of time, oldest first."""
    sums: dict[tuple[tuple[float, float], str, str, str], LedgerLine] = {}
    for line in found:
        key = (slice_of(line.at, cycle), line.category, line.product, line.owner)
        before = sums.get(key)
        num0, num1, micro = (before.num0, before.num1, before.micro_usd) if before else (0, 0, 0)
        sums[key] = LedgerLine(
            line.at,
            line.category,
            line.product,
            line.owner,
            num0 + line.num0,
            num1 + line.num1,
            micro + line.micro_usd,
        )
    return [(key[0], line) for key, line in sorted(sums.items(), key=lambda item: item[0])]


def bill(account: Account, when: tuple[float, float], line: LedgerLine) -> Json:
    """A pay-as-you-go line."""
    paid = units(line.micro_usd)
    each = str(round(line.micro_usd / max(1, line.num0 + line.num1) * 10_000))
    return {
        "userId": account.id,
        "startTime": str(int(when[0])),
        "endTime": str(int(when[1])),
        "billingMethod": 1,
        "productName": line.product,
        "category": line.category,
        "ownerID": line.owner,
        "billNum0": str(line.num0),
        "billNum1": str(line.num1),
        "basePrice0": each,
        "basePrice1": "0",
        "discountPrice0": each,
        "discountPrice1": each if line.num1 else "0",
        "amount": str(paid),
        "voucherAmount": "0",
        "payAmount": str(paid),
        "payAmountDisplay": paid / 10_000,
        "pricePrecision": 10_000,
        "productId": f"prod-{line.category}-{line.product}".replace("/", "-").replace(" ", "-").lower(),
    }


def chosen(call: Call, when: tuple[float, float], category: str) -> list[LedgerLine]:
    """The lines of a span, of one category (summary: all) and product."""
    name = call.params.get("productName", "").lower()
    owner = call.params.get("ownerId", "")
    return [
        line
        for line in lines(call.world, call.account)
        if when[0] <= line.at < when[1]
        and category in ("summary", line.category)
        and name in line.product.lower()
        and (not owner or line.owner == owner)
    ]


async def query_usage_based_billing(call: Call) -> Response:
    category, cycle = call.params["productCategory"], call.params["cycleType"]
    if category not in PRODUCT_CATEGORIES:
        raise call.fault("INVALID_PRODUCT_CATEGORY", f"productCategory {category} is not known")
    found = sliced(chosen(call, span(call, 31), category), cycle)
    return answer({"bills": [bill(call.account, when, line) for when, line in found]})


@dataclass(frozen=True)
class Term:
    """Time of a machine bought in advance, in units of 0.0001 USD; `voucher` paid all of it, or cash did."""

    at: float
    product: str
    owner: str
    months: int
    units: int
    trade: str
    voucher: bool = False


def _past_term(month: datetime, first: datetime) -> Term:
    """In the invented past the account rents one instance by the month."""
    trade = "monthly_new_buy" if month == first else "monthly_re_buy"
    return Term(month.timestamp() + 9 * 3600, "RTX 3090 24GB", "pastmonthlyinstance", 1, 900_000, trade, voucher=True)


def _trade(charge: Charge) -> str:
    return "monthly_re_buy" if "renew" in charge.operation else "monthly_new_buy"


def term(account: Account, member: str, bought: Term) -> Json:
    """A line of a term bought in advance."""
    paid, at = str(bought.units), datetime.fromtimestamp(bought.at, UTC)
    return {
        "userId": account.id,
        "memberId": member,
        "startTime": str(int(bought.at)),
        "endTime": str(int(bought.at + bought.months * MONTH)),
        "productName": bought.product,
        "productCategory": "gpu",
        "ownerID": bought.owner,
        "tradeMode": "monthly",
        "tradeType": bought.trade,
        "basePrice": str(bought.units // bought.months),
        "billNum": str(bought.months),
        "amount": paid,
        "voucherAmount": paid if bought.voucher else "0",
        "payAmount": "0" if bought.voucher else paid,
        "payAmountDisplay": 0 if bought.voucher else bought.units / 10_000,
        "pricePrecision": 10_000,
        "createTime": str(int(bought.at)),
        "cycle": f"{at:%Y-%m}",
        "productId": f"prod-gpu-{bought.product}".replace(" ", "-").lower(),
        "billingMethod": 2,
    }


async def query_fixed_term_billing(call: Call) -> Response:
    category = call.params.get("category", "summary")
    if category not in FIXED_CATEGORIES:
        raise call.fault("INVALID_PRODUCT_CATEGORY", f"category {category} is not known")
    start, end = span(call, 31)
    bought = [_past_term(month, months(call.world)[0]) for month in months(call.world)]
    bought = [each for each in bought if each.at < call.world.started]
    bought += [
        Term(each.at, each.note, each.ref, each.months, units(each.micro_usd), _trade(each))
        for each in terms(call.world, call.account)
    ]
    member = next(iter(call.world.area(Teams).of(call.account).members))
    bills = [
        term(call.account, member, each) for each in bought if category in ("summary", "gpu") and start <= each.at < end
    ]
    name, owner = call.params.get("productName", "").lower(), call.params.get("ownerId", "")
    return answer(
        {
            "bills": [
                line
                for line in bills
                if name in line["productName"].lower() and (not owner or line["ownerID"] == owner)
            ]
        }
    )


async def query_apikey_bill(call: Call) -> Response:
    cycle, category = call.params["cycleType"], call.params.get("category", "summary")
    if call.params["startTime"] < KEY_BILLS_FROM:
        raise call.fault("INVALID_BILL_CYCLE", "startTime must not be before 2026-01-01")
    when = span(call, 7 if cycle == "Hour" else 31)
    found = [line for line in chosen(call, when, category) if line.category in ("llm", "gen_api", "web_search")]
    key = call.world.area(Teams).of(call.account).keys[0]
    marks = {"apikeyName": key.name, "apikeyMask": key.masked}
    return answer({"bills": [bill(call.account, at, line) | marks for at, line in sliced(found, cycle)]})


async def query_transactions(call: Call) -> Response:
    """The invented past: at the start of each month the account paid in what that month cost."""
    wallet = call.account.micro_usd + sum(
        charge.micro_usd for charge in call.world.charges if charge.account is call.account and not charge.refunded
    )
    spent: dict[float, int] = defaultdict(int)
    for line in past(call.account, datetime.fromtimestamp(call.world.started, UTC)):
        spent[slice_of(line.at, "Month")[0]] += line.micro_usd
    moves: list[tuple[float, str, int, int]] = []
    for month in months(call.world):
        at = month.timestamp()
        moves.append((at, "recharge", spent[at], wallet + spent[at]))
        if next_month(month).timestamp() < call.world.started:
            moves.append((next_month(month).timestamp() - 1, "consume", spent[at], wallet))
    p = call.params
    found = [
        {
            "customerId": call.account.id,
            "serialNumber": f"TX{int(at)}{kind[0].upper()}",
            "transactionTime": str(int(at)),
            "transactionType": kind,
            "transactionChannel": "PublicRemittance",
            "transactionAmount": str(units(amount)),
            "walletBalance": str(units(after)),
            "note": "",
            "state": "success",
            "invoiceURL": "",
            "orderType": "recharge",
        }
        for at, kind, amount, after in reversed(moves)
        if p.get("transactionType", kind) == kind
        and p.get("transactionChannel", "PublicRemittance") == "PublicRemittance"
        and p.get("status", "success") == "success"
        and p.get("orderType", "recharge") == "recharge"
        and p.get("transactionTimeStart", 0) <= at <= (p.get("transactionTimeEnd") or at)
        and p.get("serialNumber", "") in f"TX{int(at)}{kind[0].upper()}"
    ]
    start = (p["pageNo"] - 1) * p["pageSize"]
    return answer({"data": found[start : start + p["pageSize"]], "total": len(found)})


# Quotas


async def list_quotas(call: Call) -> Response:
    quotas: list[Json] = []
    for model, rpm in (("deepseek/deepseek-v3.2", 10), ("qwen/qwen3-235b-a22b-instruct-2507", 30)):
        quotas.append(_quota("llm", model, "RPM", rpm, (1, 2, 10, 50, 100)))
        quotas.append(_quota("llm", model, "TPM", 1_000_000, (1, 2, 5, 10, 50)))
    for operation in operations().values():
        limit = operation.facts.get("rate_limit")
        if limit and limit.get("metric") == "images_per_minute":
            quotas.append(_quota("image", limit["key"], "IPM", limit["default"], (1, 1, 2, 5, 10)))
    p = call.params
    found = [
        quota
        for quota in quotas
        if p.get("modal", quota["modal"]) == quota["modal"]
        and p.get("quotaType", quota["quotaType"]) == quota["quotaType"]
        and p.get("productType", quota["productType"]) == quota["productType"]
        and p.get("quotaObject", "").lower() in quota["quotaObject"].lower()
    ]
    return answer({"data": found, "total": len(found)})


def _quota(modal: str, name: str, kind: str, default: int, factors: tuple[int, ...]) -> Json:
    return {
        "modal": modal,
        "quotaObject": name,
        "quotaType": kind,
        "productType": "Public Endpoint",
        "currentQuota": default,
        "defaultQuota": default,
        "adjustable": modal == "llm",
        "quotaItems": [{"tier": t, "quota": default * f} for t, f in zip(TIERS, factors, strict=True)],
    }


HANDLERS: dict[str, Handler] = {
    "get_user_balance": get_user_balance,
    "get_user_legacy": get_user_legacy,
    "query_monthly_bill": query_monthly_bill,
    "query_usage_based_billing": query_usage_based_billing,
    "query_fixed_term_billing": query_fixed_term_billing,
    "query_apikey_bill": query_apikey_bill,
    "query_transactions": query_transactions,
    "list_quotas": list_quotas,
}
