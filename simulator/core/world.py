"""The simulator's state: accounts, money, time, files, tasks, knobs. Knows nothing of HTTP.

One event loop changes it; a test's thread may read it, and may turn its knobs, at any time. Each area keeps its own
state in its own class, reached as `world.area(GpuState)` and made on first use as `GpuState(world)`.
"""

import itertools
import math
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from .bounds import Bounds
from .facts import operations
from .files import FileStore
from .lifecycle import is_retired
from .trouble import Troubles

MICRO = 1_000_000
"""Micro dollars in a dollar: how money is kept, exact enough for the price of one token."""
DEFAULT_KEY = "sk-simulated"

S = TypeVar("S")


class NotEnoughCredit(Exception):
    """The account cannot pay; each area has its own documented error for it."""


@dataclass
class WorldSettings:
    """Knobs that last. POST /_simulator/settings sets them by these names."""

    task_seconds: float = 2.0
    """Seconds (of the world's clock) a media task takes; kinds of task scale it."""
    speed: float = 1.0
    """Seconds of the world per real second."""
    manual: bool = False
    """No clock: whatever takes time moves one step each time it is looked at."""
    unlisted_price_usd: float = 0.02
    """Price of a paid call, or unit of it, for which no price is documented."""
    link_ttl: int = 3600
    """Seconds a download link lives."""
    old_models: bool = False
    """The media models that Novita has switched off still answer; otherwise 404 API_NOT_FOUND, "route not found"."""


class WorldClock:
    """The world's time: epoch seconds that may run fast and be moved forward."""

    def __init__(self, speed: float = 1.0) -> None:
        self._base = time.time()
        self._since = time.monotonic()
        self._speed = speed

    def now(self) -> float:
        return self._base + (time.monotonic() - self._since) * self._speed

    def advance(self, seconds: float) -> None:
        self._base += seconds

    def run_at(self, speed: float) -> None:
        self._base, self._since, self._speed = self.now(), time.monotonic(), speed


class Course:
    """Something that takes time. By the clock, or in manual mode one of `steps` equal parts per look."""

    def __init__(self, world: "World", seconds: float, steps: int = 2) -> None:
        self._world = world
        self.seconds = seconds
        self.started = world.clock.now()
        self._steps = steps
        self._looks = 0

    def look(self) -> float:
        """How much is done, 0 to 1. A look moves a manual world: 0, then 1/steps and so on up to 1."""
        if not self._world.settings.manual:
            return self.peek()
        done = min(1.0, self._looks / self._steps)
        self._looks += 1
        return done

    def peek(self) -> float:
        """The same without moving anything."""
        if self._world.settings.manual:
            return min(1.0, max(0, self._looks - 1) / self._steps)
        if self.seconds <= 0:
            return 1.0
        return min(1.0, (self._world.clock.now() - self.started) / self.seconds)


@dataclass
class Account:
    """Who a key belongs to. Money in micro dollars."""

    key: str
    micro_usd: int
    name: str = "simulated"
    id: str = field(default_factory=lambda: f"u-{secrets.token_hex(8)}")

    @property
    def units(self) -> int:
        """Balance as the billing routes count it: whole 0.0001 USD."""
        return math.floor(self.micro_usd / 100)


@dataclass
class Charge:
    """One line of what was paid. A refund clears it."""

    operation: str
    micro_usd: int
    account: Account
    at: float
    note: str = ""
    ref: str = ""
    refunded: bool = False
    months: int = 0
    """Of a term bought in advance; the rest is paid as it is used."""
    within: "Charge | None" = None
    """The sum it has become a part of, once there were too many."""

    @property
    def usd(self) -> float:
        return 0.0 if self.refunded else self.micro_usd / MICRO


@dataclass
class Received:
    """One request as it arrived; secrets in headers are redacted."""

    at: float
    method: str
    path: str
    query: str
    operation: str | None
    headers: Mapping[str, str]
    body: Any = None
    size: int = 0
    """Bytes of the body."""
    status: int | None = None
    """None while unanswered, or when the connection was cut before an answer."""


def _by_use(operation: str) -> bool:
    """Whether bills name what was used, not the machine, volume or endpoint it was for."""
    known = operations().get(operation)
    return known is not None and known.area not in ("gpu", "serverless")


class World:
    """Everything the simulator remembers. `World()` has one account, key `sk-simulated`, with 100 USD."""

    def __init__(
        self, settings: WorldSettings | None = None, *, balance_usd: float = 100.0, bounds: Bounds | None = None
    ) -> None:
        self.bounds = bounds or Bounds()
        self.settings = settings or WorldSettings()
        self.clock = WorldClock(self.settings.speed)
        self.started = self.clock.now()
        self.accounts: dict[str, Account] = {}
        self.charges: list[Charge] = []
        self.requests: deque[Received] = deque(maxlen=self.bounds.requests)
        self.counters: dict[str, Counter[str]] = {"received": Counter(), "accepted": Counter(), "refused": Counter()}
        self.leaked_keys = 0
        """Requests to the file host that carried a key."""
        self.webhooks: list[dict[str, Any]] = []
        """Every webhook delivery tried: url, task_id, status (None when nobody answered)."""
        self.settlers: list[Callable[[], object]] = []
        """Called before every request: who charges by time collects here."""
        self.bills_as: dict[str, str] = {}
        """Category of the bill by what is charged for, where that is no documented operation."""
        self.switched_off: set[str] = set()
        """Operations that are gone besides those that Novita has announced."""
        self._areas: dict[type[Any], Any] = {}
        self._numbers = itertools.count(1)
        self.files = FileStore(lambda: self.clock.now(), lambda: self.settings.link_ttl, self.bounds)
        self.troubles = Troubles()
        self.trouble = self.troubles.add
        """Disturb matching requests: see Troubles.add."""
        self.doomed: list[str | None] = []
        """How the next things that take time end: a reason fails one, None lets one never end."""
        self.add_account(DEFAULT_KEY, balance_usd)

    def area(self, kind: type[S]) -> S:
        """The one instance of an area's state, made as `kind(world)` when first asked for."""
        if kind not in self._areas:
            self._areas[kind] = kind(self)  # type: ignore[call-arg]
        return self._areas[kind]

    def new_id(self, prefix: str = "") -> str:
        """An id nothing else in this world has, unguessable in part, ordered by time."""
        return f"{prefix}{next(self._numbers):06d}{secrets.token_hex(10)}"

    def progress(self, seconds: float, steps: int = 2) -> Course:
        return Course(self, seconds, steps)

    # accounts and money

    def add_account(self, key: str, balance_usd: float = 100.0, name: str = "simulated") -> Account:
        """A new account, or an old one with a new balance."""
        if key in self.accounts:
            self.accounts[key].micro_usd = round(balance_usd * MICRO)
        else:
            self.accounts[key] = Account(key, round(balance_usd * MICRO), name)
        return self.accounts[key]

    def charge(
        self, account: Account, micro_usd: int, operation: str, note: str = "", ref: str = "", *, months: int = 0
    ) -> Charge:
        """Take money. NotEnoughCredit, and nothing taken, when the account cannot pay."""
        if micro_usd > account.micro_usd:
            raise NotEnoughCredit(f"needs {micro_usd / MICRO} USD, has {account.micro_usd / MICRO}")
        account.micro_usd -= micro_usd
        charge = Charge(operation, micro_usd, account, self.clock.now(), note, ref, months=months)
        self.charges.append(charge)
        if len(self.charges) > self.bounds.charges:
            self._sum_up()
        return charge

    def _sum_up(self) -> None:
        """Make one charge of those of an hour that differ in nothing that a bill shows; the newest half stays."""
        old, new = self.charges[: -self.bounds.charges // 2], self.charges[-self.bounds.charges // 2 :]
        sums: dict[tuple[object, ...], Charge] = {}
        for charge in old:
            if charge.refunded:
                continue
            owner = charge.ref if charge.months or not _by_use(charge.operation) else ""
            key = (charge.account.key, charge.operation, charge.note, owner, int(charge.at) // 3600, charge.months)
            if (whole := sums.get(key)) is None:
                sums[key] = whole = replace(charge, micro_usd=0, ref=owner, within=None)
            whole.micro_usd += charge.micro_usd
            charge.within = whole
        self.charges = [*sums.values(), *new]

    def settle(self) -> None:
        """Collect what has come up by the clock since the last time."""
        for settler in self.settlers:
            settler()

    def refund(self, charge: Charge) -> None:
        """Give the money of a charge back, once."""
        if not charge.refunded:
            charge.refunded = True
            charge.account.micro_usd += charge.micro_usd
            whole = charge.within
            while whole is not None:
                whole.micro_usd -= charge.micro_usd
                whole = whole.within

    def balance_usd(self, key: str = DEFAULT_KEY) -> float:
        return self.accounts[key].micro_usd / MICRO

    # what happened

    def count(self, operation: str, what: str = "received") -> int:
        """Requests of an operation so far: received, accepted (answered below 400) or refused."""
        return self.counters[what][operation]

    def remember(self, received: Received) -> None:
        """Keep a request, and let the oldest go where their bodies are too many bytes together."""
        self.requests.append(received)
        total = sum(each.size for each in self.requests)
        while total > self.bounds.request_bytes and len(self.requests) > 1:
            total -= self.requests.popleft().size

    def delivered(self, delivery: dict[str, Any]) -> None:
        """Keep what became of a webhook."""
        self.webhooks.append(delivery)
        del self.webhooks[: -self.bounds.records]

    def received(self, operation: str) -> list[Received]:
        """The remembered requests of one operation, oldest first."""
        return [request for request in list(self.requests) if request.operation == operation]

    # knobs

    def set(self, **settings: Any) -> None:
        """Change settings by name; AttributeError for a name that is none."""
        for name, value in settings.items():
            if name not in WorldSettings.__dataclass_fields__:
                raise AttributeError(f"no setting {name!r}")
            setattr(self.settings, name, value)
        if "speed" in settings:
            self.clock.run_at(self.settings.speed)

    def advance(self, seconds: float) -> None:
        """Move the world's clock forward."""
        self.clock.advance(seconds)

    def offers(self, operation_id: str) -> bool:
        """Whether an operation answers: what Novita has switched off does in the old world only."""
        off = is_retired(operation_id) and not self.settings.old_models
        return not off and operation_id not in self.switched_off

    def fate(self) -> str | None:
        """How the next thing that takes time ends, used up by asking: "" as it should, a reason, None for never."""
        return self.doomed.pop(0) if self.doomed else ""

    def fail_next_task(self, reason: str = "failed to exec task", times: int = 1) -> None:
        """The next tasks end as failed with this reason (and are paid back)."""
        self.doomed.extend([reason] * times)

    def never_end_next_task(self, times: int = 1) -> None:
        """The next tasks stay in progress for ever."""
        self.doomed.extend([None] * times)
