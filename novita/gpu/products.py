"""Products, regions and prices of machines, and the choice of the cheapest offer that fits a wish.

Prices are estimates: no page of Novita's names the unit of v1's raw numbers. Two independent clients divide them by
100,000 to get USD per card and hour; a subscription's price is for the whole term.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar, Literal

from ..core.answers import Amount, Rows, Shape, Text, Whether, Whole, Words, read_rows
from ..core.client import NovitaClient
from ..core.errors import InputError, NovitaError
from ..core.money import GPU_UNIT, say_usd
from .routes import ask

Billing = Literal["onDemand", "spot", "monthly"]

RAW = GPU_UNIT
"""USD in one raw unit of v1's prices."""
HOURS_A_MONTH = 720
DISK_GB_DAY = Decimal("0.005")
"""USD per GB and day for the part of the root disk that is not free.
Source: gpu-instance-pricing guide, February 2026.
"""
VOLUME_GB_DAY = Decimal("0.002")
"""USD per GB and day of a network volume. Same source."""
FREE_DISK_GB = 60
PRICE_SOURCE = "Novita's product list, raw price / 100000; estimated"


class Region(Shape):
    """A cluster."""

    id: Text = ""
    name: Text = ""
    available_gpu_type: Words = ()
    support_network_storage: Whether = False
    support_instance_network: Whether = False


class MonthlyPrice(Shape):
    """One subscription term. `price` is raw, for the whole term."""

    price: Amount = None
    month: Whole = None


class MachineProduct(Shape):
    """A GPU machine type; prices are raw."""

    id: Text
    name: Text = ""
    cpu_per_gpu: Whole = None
    memory_per_gpu: Whole = None
    available_deploy: Whether = False
    min_root_fs: Whole = None
    max_root_fs: Whole = None
    regions: Words = ()
    price: Amount = None
    spot_price: Amount = None
    monthly_price: Rows[MonthlyPrice] = ()
    billing_methods: Words = ()
    inventory_state: Text = ""


class CpuProduct(Shape):
    """A machine type without cards; `price` is raw, per hour."""

    id: Text
    name: Text = ""
    cpu_num: Whole = None
    memory_size: Whole = None
    rootfs_size: Whole = None
    local_volume_size: Whole = None
    available_deploy: Whether = False
    price: Amount = None


class _Gpu(Shape):
    memory_gb: Amount = None


class _Spec(Shape):
    gpu: _Gpu = _Gpu()


class _ProductV2(Shape):
    id: Text = ""
    name: Text = ""
    resource_spec: _Spec = _Spec()
    other_names: ClassVar[Mapping[str, str]] = {"resource_specs": "resource_spec"}


@dataclass(frozen=True)
class MachineWish:
    """The wishes for a machine. None means "any". Memory is that of one card, the price is for all cards together."""

    gpu: str | None = None
    min_memory_gb: int | None = None
    max_usd_per_hour: Decimal | None = None
    region: str | None = None
    count: int = 1
    billing: Billing = "onDemand"
    months: int | None = None

    def words(self) -> str:
        """The wish in words, for messages."""
        parts = [f"{self.count} x {self.gpu or 'GPU'}"]
        if self.min_memory_gb:
            parts.append(f"with at least {self.min_memory_gb} GB")
        if self.region:
            parts.append(f"in {self.region}")
        if self.max_usd_per_hour is not None:
            parts.append(f"for at most {say_usd(self.max_usd_per_hour)} per hour")
        if self.billing != "onDemand":
            parts.append(f"billed {self.billing}")
        return " ".join(parts)


@dataclass(frozen=True)
class MachineOffer:
    """A product with a number of cards and one way of billing, in one region or (None) wherever Novita has room."""

    product: MachineProduct
    memory_gb: int | None
    count: int
    billing: Billing
    region: Region | None = None
    months: int = 1

    @property
    def term_usd(self) -> Decimal | None:
        """The price of a subscription's whole term. None for other billing, or if that term is not offered."""
        if self.billing != "monthly":
            return None
        terms = {term.month: term.price for term in self.product.monthly_price if term.month and term.price}
        if (listed := terms.get(self.months)) is not None:
            return listed * RAW * self.count
        single = terms.get(1)
        return single * self.months * RAW * self.count if single is not None else None

    @property
    def usd_per_hour(self) -> Decimal | None:
        """USD per hour for all cards; a subscription's price spread over its hours. None if there is no such offer."""
        if self.billing == "monthly":
            return self.term_usd / (self.months * HOURS_A_MONTH) if self.term_usd is not None else None
        raw = self.product.spot_price if self.billing == "spot" else self.product.price
        return raw * RAW * self.count if raw else None

    @property
    def in_stock(self) -> bool:
        return self.product.available_deploy and self.product.inventory_state != "none"

    def words(self) -> str:
        """The offer in words: `RTX 4090 24GB x2 at $0.70 per hour in us-ca-06`."""
        price = f"{say_usd(self.usd_per_hour)} per hour" if self.usd_per_hour else "no price"
        where = f" in {self.region.id}" if self.region else ""
        stock = "" if self.in_stock else ", out of stock"
        return f"{self.product.name} x{self.count} at {price}{where} (product_id {self.product.id}{stock})"


async def list_regions(client: NovitaClient) -> list[Region]:
    """All clusters."""
    return read_rows(Region, await ask(client, "list_clusters"), "listing GPU regions", "data")


async def find_regions(client: NovitaClient, wanted: str) -> list[Region]:
    """The region with the id `wanted`, or all whose id or name has a word that begins so ("us", "france").

    Raises:
        InputError: There is no such region. The text names the regions there are.
    """
    known = await list_regions(client)
    wanted_word = wanted.strip().casefold()
    exact = [region for region in known if wanted_word in (region.id.casefold(), region.name.casefold())]
    begins = re.compile(rf"\b{re.escape(wanted_word)}")  # at the beginning of a word: "as" means Asia, not Texas
    found = exact or [region for region in known if begins.search(f"{region.id} {region.name}".casefold())]
    if not wanted_word or not found:
        names = ", ".join(f"{region.id} ({region.name})" for region in known)
        raise InputError(f"There is no region {wanted!r}", next_step=f"Known regions: {names}.")
    return found


async def list_cpu_products(client: NovitaClient, *, region: str | None = None) -> list[CpuProduct]:
    """All machine types without cards."""
    params = {"clusterId": region}
    return read_rows(CpuProduct, await ask(client, "list_cpu_products", params=params), "listing CPU products", "data")


async def find_offers(client: NovitaClient, wish: MachineWish, *, in_stock: bool = True) -> list[MachineOffer]:
    """Offers that fit the wish, cheapest first.

    Raises:
        InputError: The region is unknown.
    """
    regions = await find_regions(client, wish.region) if wish.region else [None]
    offers: list[MachineOffer] = []
    for region in regions:
        offers += await _offers_in(client, wish, region, with_room=in_stock)
    offers = await _with_memory(client, offers)
    fitting = [offer for offer in offers if _fits(offer, wish) and (offer.in_stock or not in_stock)]
    return sorted(fitting, key=_cheapest)


async def _offers_in(
    client: NovitaClient, wish: MachineWish, region: Region | None, *, with_room: bool
) -> list[MachineOffer]:
    params = {
        "clusterId": region.id if region else None,
        "gpuNum": wish.count if with_room else None,
        "billingMethod": wish.billing,
    }
    answer = await ask(client, "list_gpu_products", params=params)
    products = read_rows(MachineProduct, answer, "listing GPU products", "data")
    return [
        MachineOffer(product, memory_in(product.name), wish.count, wish.billing, region, wish.months or 1)
        for product in products
    ]


def _fits(offer: MachineOffer, wish: MachineWish) -> bool:
    if wish.gpu and not named(wish.gpu, f"{offer.product.name} {offer.product.id}"):
        return False
    if wish.min_memory_gb and (offer.memory_gb or 0) < wish.min_memory_gb:
        return False
    price = offer.usd_per_hour
    return price is not None and (wish.max_usd_per_hour is None or price <= wish.max_usd_per_hour)


def _cheapest(offer: MachineOffer) -> tuple[Decimal, str, str]:
    return (offer.usd_per_hour or Decimal("Infinity"), offer.product.id, offer.region.id if offer.region else "")


def named(wanted: str, name: str) -> bool:
    """Whether `name` holds every word of `wanted`. Spaces and case do not matter: "RTX 4090 24GB" holds "rtx4090"."""
    hay = re.sub(r"[^a-z0-9]", "", name.lower())
    return all(re.sub(r"[^a-z0-9]", "", word) in hay for word in wanted.lower().split())


def memory_in(name: str) -> int | None:
    """GB of memory on a card, if the product's name tells it, as "H100 SXM 80GB" does."""
    found = re.findall(r"(\d{1,3})\s?GB?\b", name, re.IGNORECASE)
    return int(found[-1]) if found else None


async def _with_memory(client: NovitaClient, offers: Sequence[MachineOffer]) -> list[MachineOffer]:
    """The offers, with the memory that their names do not tell added from v2, which uses the same names and ids."""
    if all(offer.memory_gb for offer in offers):
        return list(offers)
    try:
        answer = await ask(
            client, "gpus_v2_list_products", params={"type": "gpu", "category": "instance", "limit": 100}
        )
        listed = read_rows(_ProductV2, answer, "reading the memory of GPUs", "data")
    except NovitaError:
        # The offers are good without v2's answer: those cards just count as having unknown memory.
        return list(offers)
    sizes = {key: row.resource_spec.gpu.memory_gb for row in listed for key in (row.id, row.name)}
    return [
        offer
        if offer.memory_gb or not (size := sizes.get(offer.product.id) or sizes.get(offer.product.name))
        else replace(offer, memory_gb=int(size))
        for offer in offers
    ]


async def choose_offer(client: NovitaClient, wish: MachineWish, product_id: str | None = None) -> MachineOffer:
    """The offer of the product asked for, or the cheapest offer that fits the wish and is in stock.

    Raises:
        InputError: Nothing fits. The text shows the nearest offers.
    """
    fitting = await find_offers(client, wish)
    if product_id is not None:
        fitting = [offer for offer in fitting if offer.product.id == product_id]
    if fitting:
        return fitting[0]
    # Nothing fits, so ask for all offers, to show the nearest ones.
    everything = await find_offers(
        client, replace(wish, max_usd_per_hour=None, gpu=None, min_memory_gb=None), in_stock=False
    )
    if product_id is not None:
        raise _no_such_product(product_id, wish, everything)
    near = nearest(everything, wish)
    shown = "; ".join(offer.words() for offer in near)
    raise InputError(
        f"Nothing in stock fits: {wish.words()}",
        next_step=f"Nearest offers: {shown}." if shown else "See list_gpu_products with out_of_stock=true.",
    )


def nearest(offers: Sequence[MachineOffer], wish: MachineWish, *, most: int = 3) -> list[MachineOffer]:
    """The offers that miss the wish least: those in stock and of the right kind first, then by price."""

    def missed(offer: MachineOffer) -> tuple[int, tuple[Decimal, str, str]]:
        right_kind = _fits(offer, replace(wish, max_usd_per_hour=None))
        too_dear = not _fits(offer, wish)
        return (2 * (not offer.in_stock) + 3 * (not right_kind) + too_dear, _cheapest(offer))

    return sorted(offers, key=missed)[:most]


def _no_such_product(product_id: str, wish: MachineWish, offers: Sequence[MachineOffer]) -> InputError:
    for offer in offers:
        if offer.product.id != product_id:
            continue
        others = [other for other in offers if other.product.id != product_id and other.in_stock]
        near = "; ".join(other.words() for other in nearest(others, wish))
        price = offer.usd_per_hour
        if offer.in_stock and price is not None and wish.max_usd_per_hour is not None and price > wish.max_usd_per_hour:
            return InputError(
                f"{offer.words()} is above the ceiling of {say_usd(wish.max_usd_per_hour)} per hour",
                next_step=f"Raise the ceiling, or take: {near}.",
            )
        return InputError(
            f"{offer.product.name} has no free machine for {wish.words()} now", next_step=f"In stock: {near}."
        )
    close = difflib.get_close_matches(product_id, [offer.product.id for offer in offers], n=3, cutoff=0.3)
    hint = f"Did you mean {', '.join(dict.fromkeys(close))}?" if close else "See list_gpu_products."
    where = f" billed {wish.billing}" + (f" in {wish.region}" if wish.region else "")
    return InputError(f"No product {product_id!r} is offered{where}", next_step=hint)
