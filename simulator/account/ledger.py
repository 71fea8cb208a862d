"""What an account was billed: first an invented, fixed past since October 2025, then every charge of this world."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..core.facts import operations
from ..core.world import Account, Charge, World

DAY = 86_400
UNIT = 100
"""Micro dollars in 0.0001 USD."""
FIRST_MONTH = datetime(2025, 10, 1, tzinfo=UTC)
WEB_SEARCH = ("exa_", "tavily_")
STORAGE = "create_network_storage"
OWNED = ("gpu", "serverless", "cloud_storage")
"""The bill lines of these categories name the machine, volume or endpoint that cost the money."""
CATEGORIES = {
    "image": "gen_api",
    "video": "gen_api",
    "audio": "gen_api",
    "newer": "gen_api",
    "llm": "llm",
    "gpu": "gpu",
    "serverless": "serverless",
}


def units(micro_usd: int) -> int:
    """Whole 0.0001 USD, as the billing routes count."""
    return round(micro_usd / UNIT)


@dataclass(frozen=True)
class LedgerLine:
    """One thing paid for. `num0` and `num1` are quantities (llm: tokens in and out)."""

    at: float
    category: str
    product: str
    owner: str
    num0: int
    num1: int
    micro_usd: int


@dataclass(frozen=True)
class PastProduct:
    """A product in the invented past: the share of days that used it (0 to 1), and what a day cost in micro dollars."""

    category: str
    product: str
    owner: str
    often: float
    least: int
    most: int


PAST = (
    PastProduct("llm", "deepseek/deepseek-v3.2", "", 0.8, 20_000, 400_000),
    PastProduct("llm", "qwen/qwen3-235b-a22b-instruct-2507", "", 0.4, 5_000, 90_000),
    PastProduct("gen_api", "qwen-image-txt2img", "", 0.5, 20_000, 240_000),
    PastProduct("gen_api", "wan-2.5-i2v", "", 0.15, 250_000, 1_500_000),
    PastProduct("gpu", "RTX 4090 24GB", "past4090instance", 0.2, 350_000, 2_800_000),
    PastProduct("serverless", "RTX 4090 24GB", "pastendpoint", 0.1, 100_000, 900_000),
    PastProduct("cloud_storage", "network storage", "paststorage", 1.0, 2_000, 2_000),
)


def past(account: Account, until: datetime) -> Iterator[LedgerLine]:
    """One line for each day and product. The same key gets the same lines in every run."""
    roll = random.Random(f"past of {account.key}")
    day = FIRST_MONTH
    while day < until:
        for product in PAST:
            if roll.random() < product.often:
                micro = roll.randint(product.least, product.most) // 100 * 100
                at = (day + timedelta(hours=roll.randint(6, 20))).timestamp()
                if at < until.timestamp():
                    out = micro // 4 if product.category == "llm" else 0
                    yield LedgerLine(at, product.category, product.product, product.owner, micro, out, micro)
        day += timedelta(days=1)


def lines(world: World, account: Account) -> list[LedgerLine]:
    """Everything billed to the account as it was used, oldest first."""
    began = datetime.fromtimestamp(world.started, UTC)
    found = list(past(account, began))
    for charge in world.charges:
        if charge.account is account and not charge.refunded and not charge.months:
            category = world.bills_as.get(charge.operation) or _category(charge.operation)
            product = charge.note or operations()[charge.operation].path.rsplit("/", 1)[-1]
            owner = charge.ref if category in OWNED or charge.operation in world.bills_as else ""
            found.append(LedgerLine(charge.at, category, product, owner, 1, 0, charge.micro_usd))
    return found


def _category(operation: str) -> str:
    if operation == STORAGE:
        return "cloud_storage"
    return "web_search" if operation.startswith(WEB_SEARCH) else CATEGORIES[operations()[operation].area]


def terms(world: World, account: Account) -> list[Charge]:
    """What the account bought in advance since this world began, oldest first."""
    return [each for each in world.charges if each.account is account and each.months and not each.refunded]


def slice_of(at: float, cycle: str) -> tuple[float, float]:
    """Start and end (epoch seconds, UTC) of the Hour, Day, Week (from Monday) or Month that holds `at`."""
    when = datetime.fromtimestamp(at, UTC)
    start = when.replace(minute=0, second=0, microsecond=0)
    if cycle == "Hour":
        return start.timestamp(), (start + timedelta(hours=1)).timestamp()
    start = start.replace(hour=0)
    if cycle == "Day":
        return start.timestamp(), (start + timedelta(days=1)).timestamp()
    if cycle == "Week":
        start -= timedelta(days=start.weekday())
        return start.timestamp(), (start + timedelta(days=7)).timestamp()
    start = start.replace(day=1)
    return start.timestamp(), next_month(start).timestamp()


def next_month(start: datetime) -> datetime:
    """The first of the month after `start`, which is itself a first."""
    return (start + timedelta(days=32)).replace(day=1)


def months(world: World) -> list[datetime]:
    """The first of every month with data, the running one last."""
    found: list[datetime] = []
    month = FIRST_MONTH
    while month.timestamp() <= world.clock.now():
        found.append(month)
        month = next_month(month)
    return found
