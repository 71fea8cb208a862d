"""The order of an instance, in a form for both generations of routes, and the checks that need no state."""

from dataclasses import dataclass, field

from .market import FREE_DISK_GB, MarketProduct, refuse

RESERVED_PORTS = (2222, 2223, 2224)
MOST_PORTS = 15


@dataclass(frozen=True)
class OrderedPort:
    port: int
    type: str


@dataclass(frozen=True)
class Tool:
    name: str
    port: int
    type: str


@dataclass(frozen=True)
class OrderedMount:
    """A network volume, which has an id, or the local volume of a CPU instance, which has none."""

    kind: str
    size_gb: int
    id: str
    path: str


@dataclass
class SimulatedOrder:
    """What a request to create an instance asks for. `mode` is onDemand, monthly or spot."""

    product_id: str
    image: str
    kind: str = "gpu"
    name: str = ""
    cards: int = 1
    rootfs_gb: int = FREE_DISK_GB
    image_auth: str = ""
    image_auth_id: str = ""
    ports: list[OrderedPort] = field(default_factory=list[OrderedPort])
    tools: list[Tool] = field(default_factory=list[Tool])
    envs: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    command: str = ""
    entrypoint: str = ""
    clusters: list[str] = field(default_factory=list[str])
    volumes: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Network volumes as (id, mount path)."""
    network_id: str = ""
    network_ip: str = ""
    local_mount: str = "/workspace"
    mode: str = "onDemand"
    months: int = 0
    auto_renew: bool = False
    auto_renew_months: int = 1
    min_cuda: str = ""
    auto_migrate: bool = False
    auto_migrate_disk: bool = False


def check_ports(ports: list[OrderedPort], tools: list[Tool]) -> None:
    """VALIDATOR_PARAM if a port is reserved, out of range or given twice, or if there are too many."""
    numbers = [each.port for each in ports] + [each.port for each in tools]
    if len(numbers) > MOST_PORTS:
        raise refuse("VALIDATOR_PARAM", f"ports and tools together must be at most {MOST_PORTS}")
    for number in numbers:
        if not 1 <= number <= 65535 or number in RESERVED_PORTS:
            raise refuse("VALIDATOR_PARAM", f"port {number} must be 1-65535 and none of {RESERVED_PORTS}")
    if len(set(numbers)) < len(numbers):
        raise refuse("VALIDATOR_PARAM", "the same port is given twice")
    if any(each.type not in ("tcp", "http") for each in [*ports, *tools]):
        raise refuse("VALIDATOR_PARAM", "port type must be tcp or http")


def version(text: str) -> tuple[int, ...]:
    """Read `12.4` as (12, 4). VALIDATOR_PARAM if the text has another form."""
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError:
        raise refuse("VALIDATOR_PARAM", f"CUDA version {text!r} must be major.minor") from None


def term_price(product: MarketProduct, months: int, cards: int) -> int:
    """Micro dollars for a subscription: the listed price of the term, or else that of one month times `months`."""
    listed = dict(product.monthly)
    if not listed:
        raise refuse("UNSUPPORTED_BILLING_MODE", f"{product.name} has no subscription")
    if months < 1:
        raise refuse("VALIDATOR_PARAM", "month must be at least 1 for monthly billing")
    return (listed[months] if months in listed else listed[1] * months) * 10 * cards
