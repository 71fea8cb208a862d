"""Which machines can be rented, how many are left, and what they cost. The invented figures are in catalogue.json.

Raw prices are in 0.00001 USD per hour and card, as on the v1 routes. core/metering.py adds costs up exactly.
"""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..core.faults import Fault
from ..core.world import Account, NotEnoughCredit, World

# Micro dollars per GB and day, from x-billing in gpu.yaml.
DISK_GB_DAY = 5_000
VOLUME_GB_DAY = 2_000
FREE_DISK_GB = 60

V2_PRECISION = 4
"""Decimal places of v2 prices. v1 has others, so a client must read `pricing.precision`."""


def refuse(name: str, message: str = "") -> Fault:
    """A row of the GPU error table, to be raised."""
    return Fault.named("gpu", name, message)


@dataclass(frozen=True)
class Cluster:
    """A region; its id is clusterId of v1 and region_id of v2."""

    id: str
    name: str
    storage: bool
    vpc: bool


@dataclass(frozen=True)
class MarketProduct:
    """A machine type. A CPU type has no cards; for its stock and price an instance of it counts as one card."""

    id: str
    name: str
    kind: str
    cpu: int
    memory_gb: int
    disk_gb: int
    price: int
    spot_price: int | None
    """0 and None both mean that there is no spot offer. Answers show 0 as "0", and leave None out."""
    monthly: tuple[tuple[int, int], ...]
    clusters: tuple[str, ...]
    max_cards: int
    max_rootfs_gb: int
    cuda: str
    gpu_memory_gb: int
    local_gb: int
    serverless_workers: int
    serverless_price: int

    @property
    def modes(self) -> list[str]:
        """Billing modes on offer, by their v1 names."""
        return ["onDemand", "monthly", *(["spot"] if self.spot_price else [])] if self.kind == "gpu" else ["onDemand"]


def _product(row: dict[str, Any], kind: str) -> MarketProduct:
    serverless: dict[str, int] = row.get("serverless") or {"workers": 0, "price": 0}
    return MarketProduct(
        id=row["id"],
        name=row["name"],
        kind=kind,
        cpu=row["cpu"],
        memory_gb=row["memory_gb"],
        disk_gb=row.get("disk_gb", row.get("rootfs_gb", 0)),
        price=row["price"],
        spot_price=row.get("spot_price"),
        monthly=tuple((months, price) for months, price in row.get("monthly", ())),
        clusters=tuple(row["stock"]),
        max_cards=row.get("max_cards", 1),
        max_rootfs_gb=row.get("max_rootfs_gb", row.get("rootfs_gb", 0)),
        cuda=row.get("cuda", ""),
        gpu_memory_gb=row.get("gpu_memory_gb", 0),
        local_gb=row.get("local_gb", 0),
        serverless_workers=serverless["workers"],
        serverless_price=serverless["price"],
    )


@cache
def catalogue() -> dict[str, Any]:
    """The content of catalogue.json: clusters, products, cpu_products, templates."""
    return json.loads(Path(__file__).with_name("catalogue.json").read_text())


@cache
def clusters() -> dict[str, Cluster]:
    return {row["id"]: Cluster(**row) for row in catalogue()["clusters"]}


@cache
def products() -> dict[str, MarketProduct]:
    """GPU and CPU machine types by id."""
    rows = [_product(row, "gpu") for row in catalogue()["products"]]
    rows += [_product(row, "cpu") for row in catalogue()["cpu_products"]]
    return {row.id: row for row in rows}


class Stock:
    """Free cards per product and cluster, and free serverless workers per product."""

    def __init__(self) -> None:
        self.free: Counter[tuple[str, str]] = Counter()
        self.workers: Counter[str] = Counter()
        self.size: Counter[str] = Counter()
        for row in [*catalogue()["products"], *catalogue()["cpu_products"]]:
            for cluster, cards in row["stock"].items():
                self.free[row["id"], cluster] = cards
                self.size[row["id"]] += cards
            self.workers[row["id"]] = products()[row["id"]].serverless_workers

    def room(self, product: MarketProduct, cluster: str | None = None) -> int:
        """How many cards one new instance could get at most, in this cluster or, without one, in any."""
        places = [cluster] if cluster else list(product.clusters)
        return min(product.max_cards, max((self.free[product.id, place] for place in places), default=0))

    def level(self, product: MarketProduct, cluster: str | None = None) -> str:
        """How much of the stock is left: none, low, normal or high."""
        left = self.free[product.id, cluster] if cluster else sum(self.free[product.id, c] for c in product.clusters)
        if left <= 0:
            return "none"
        share = left / max(1, self.size[product.id])
        return "low" if share < 0.25 else "normal" if share < 0.75 else "high"

    def place(self, product: MarketProduct, cards: int, wanted: list[str]) -> str:
        """The first of the wanted clusters, or of all if none is named, with enough free cards.

        INSUFFICIENT_RESOURCE if there is none.
        """
        for cluster in wanted or product.clusters:
            if cluster in product.clusters and self.free[product.id, cluster] >= cards:
                return cluster
        raise refuse("INSUFFICIENT_RESOURCE", f"no {cards} free {product.name} in {', '.join(wanted) or 'any cluster'}")

    def take(self, product: MarketProduct, cluster: str, cards: int) -> None:
        if self.free[product.id, cluster] < cards:
            raise refuse("INSUFFICIENT_RESOURCE", f"no {cards} free {product.name} in {cluster}")
        self.free[product.id, cluster] -= cards

    def give_back(self, product: MarketProduct, cluster: str, cards: int) -> None:
        self.free[product.id, cluster] += cards


def per_day(raw_per_hour: int) -> int:
    """Micro dollars a day of a raw price (0.00001 USD an hour)."""
    return raw_per_hour * 10 * 24


def pay(
    world: World, account: Account, micro_usd: int, operation: str, product: MarketProduct, months: int, ref: str
) -> None:
    """Charge a subscription in advance. BALANCE_NOT_ENOUGH if the account cannot pay it."""
    try:
        world.charge(account, micro_usd, operation, product.name, ref, months=months)
    except NotEnoughCredit as error:
        raise refuse("BALANCE_NOT_ENOUGH", str(error)) from error
