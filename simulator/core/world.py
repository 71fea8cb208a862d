"""The simulator's state: accounts, money, time, files and settings. It knows nothing of HTTP.

One event loop changes it. The thread of a test may read it and change its settings at any time. An area, such as the
GPUs, keeps its state in a class of its own: `world.area(GpuState)` makes it as `GpuState(world)` on first use. An area
whose things cost money by time adds itself to `settlers`, so the world can call it without knowing it.
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
"""Micro dollars in a dollar. Money is kept in micro dollars, which is exact enough for the price of one token."""
DEFAULT_KEY = "sk-simulated"

S = TypeVar("S")


class NotEnoughCredit(Exception):
    """The account cannot pay. Each area answers it with its own documented error."""


@dataclass
class WorldSettings:
    """Settings of a world. POST /_simulator/settings sets them by these names."""

    task_seconds: float = 2.0
    """Seconds of the world's time that a media task takes. Other things take a multiple of it."""
    speed: float = 1.0
    """Seconds of the world's time per real second."""
    manual: bool = False
    """No clock: a thing that takes time moves one step each time a request asks about it."""
    unlisted_price_usd: float = 0.02
    """Price of a paid call, or of one unit of it, if no price is documented."""
    link_ttl: int = 3600
    """Seconds a download link lives."""
    old_models: bool = False
    """Whether models that Novita has switched off still answer. If not, it is 404 API_NOT_FOUND."""


class WorldClock:
    """The world's time in epoch seconds. It may run fast, and tests may move it forward."""

    def __init__(self, speed: float = 1.0, begin: float | None = None) -> None:
        self._base = time.time() if begin is None else begin
        self._since = time.monotonic()
        self._speed = speed

    def now(self) -> float:
        return self._base + (time.monotonic() - self._since) * self._speed

    def advance(self, seconds: float) -> None:
        self._base += seconds

    def run_at(self, speed: float) -> None:
        self._base, self._since, self._speed = self.now(), time.monotonic(), speed


class Course:
    """Something that takes time. The clock moves it on, or in manual mode each look, by one of `steps` equal parts."""

    def __init__(self, world: "World", seconds: float, steps: int = 2) -> None:
        self._world = world
        self.seconds = seconds
        self.started = world.clock.now()
        self._steps = steps
        self._looks = 0

    def look(self) -> float:
        """How much is done, from 0 to 1. In manual mode the first look shows 0, the next one 1/steps, and so on."""
        if not self._world.settings.manual:
            return self.peek()
        done = min(1.0, self._looks / self._steps)
        self._looks += 1
        return done

    def peek(self) -> float:
        """How much is done, without moving anything."""
        if self._world.settings.manual:
            return min(1.0, max(0, self._looks - 1) / self._steps)
        if self.seconds <= 0:
            return 1.0
        return min(1.0, (self._world.clock.now() - self.started) / self.seconds)


@dataclass
class Account:
    """The account that a key belongs to."""

    key: str
    micro_usd: int
    name: str = "simulated"
    id: str = field(default_factory=lambda: f"u-{secrets.token_hex(8)}")

    @property
    def units(self) -> int:
        """The balance as the billing routes count it, in whole units of 0.0001 USD."""
        return math.floor(self.micro_usd / 100)


@dataclass
class Charge:
    """One payment. A refund clears it."""

    operation: str
    micro_usd: int
    account: Account
    at: float
    note: str = ""
    ref: str = ""
    refunded: bool = False
    months: int = 0
    """Months of a subscription that was paid in advance; 0 for what is paid as it is used."""
    within: "Charge | None" = None
    """If there were too many charges: the sum that this one is now part of."""

    @property
    def usd(self) -> float:
        return 0.0 if self.refunded else self.micro_usd / MICRO


@dataclass
class Received:
    """One request as it arrived, but with the secrets in its headers redacted."""

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
    """None until the request is answered, and if the connection was cut before that."""


def _by_use(operation: str) -> bool:
    """Whether bills say only what was used, and not for which machine, volume or endpoint."""
    known = operations().get(operation)
    return known is not None and known.area not in ("gpu", "serverless")


class World:
    """Everything the simulator remembers. `World()` has one account, key `sk-simulated`, with 100 USD.

    It begins now, or at `begin` in epoch seconds.
    """

    def __init__(
        self,
        settings: WorldSettings | None = None,
        *,
        balance_usd: float = 100.0,
        bounds: Bounds | None = None,
        begin: float | None = None,
    ) -> None:
        self.bounds = bounds or Bounds()
        self.settings = settings or WorldSettings()
        self.clock = WorldClock(self.settings.speed, begin)
        self.started = self.clock.now()
        self.accounts: dict[str, Account] = {}
        self.charges: list[Charge] = []
        self.requests: deque[Received] = deque(maxlen=self.bounds.requests)
        self.counters: dict[str, Counter[str]] = {"received": Counter(), "accepted": Counter(), "refused": Counter()}
        self.leaked_keys = 0
        """The number of requests to the file host that carried a key."""
        self.webhooks: list[dict[str, Any]] = []
        """Every attempt to deliver a webhook: url, task_id and status, which is None if nobody answered."""
        self.settlers: list[Callable[[], object]] = []
        """Called before every request. Areas that charge by time collect their money in it."""
        self.bills_as: dict[str, str] = {}
        """The category on the bill for charges of an operation that is not documented."""
        self.switched_off: set[str] = set()
        """Operations that a test has switched off, besides those that Novita has announced."""
        self._areas: dict[type[Any], Any] = {}
        self._numbers = itertools.count(1)
        self.files = FileStore(lambda: self.clock.now(), lambda: self.settings.link_ttl, self.bounds)
        self.troubles = Troubles()
        self.trouble = self.troubles.add
        """Disturb requests that match, as `Troubles.add` describes it."""
        self.doomed: list[str | None] = []
        """How the next tasks, boots and jobs end: an entry makes one fail for that reason or, if None, never end."""
        self.add_account(DEFAULT_KEY, balance_usd)

    def area(self, kind: type[S]) -> S:
        """The one instance of an area's state, made as `kind(world)` when first asked for."""
        if kind not in self._areas:
            self._areas[kind] = kind(self)  # type: ignore[call-arg]
        return self._areas[kind]

    def new_id(self, prefix: str = "") -> str:
        """A new id. Later ids sort after earlier ones, and a part of each cannot be guessed."""
        return f"{prefix}{next(self._numbers):06d}{secrets.token_hex(10)}"

    def progress(self, seconds: float, steps: int = 2) -> Course:
        return Course(self, seconds, steps)

    # accounts and money

    def add_account(self, key: str, balance_usd: float = 100.0, name: str = "simulated") -> Account:
        """Add an account, or give an existing one a new balance."""
        if key in self.accounts:
            self.accounts[key].micro_usd = round(balance_usd * MICRO)
        else:
            self.accounts[key] = Account(key, round(balance_usd * MICRO), name)
        return self.accounts[key]

    def charge(
        self, account: Account, micro_usd: int, operation: str, note: str = "", ref: str = "", *, months: int = 0
    ) -> Charge:
        """Take money from an account. If it cannot pay, nothing is taken: NotEnoughCredit."""
        if micro_usd > account.micro_usd:
            raise NotEnoughCredit(f"needs {micro_usd / MICRO} USD, has {account.micro_usd / MICRO}")
        account.micro_usd -= micro_usd
        charge = Charge(operation, micro_usd, account, self.clock.now(), note, ref, months=months)
        self.charges.append(charge)
        if len(self.charges) > self.bounds.charges:
            self._sum_up()
        return charge

    def _sum_up(self) -> None:
        """Add up the charges of each hour that look the same on a bill. The newest half stays as it is."""
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
        """Collect the money for all that has run since the last time."""
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
        """Keep a request. If the bodies are too many bytes together, drop the oldest requests."""
        self.requests.append(received)
        total = sum(each.size for each in self.requests)
        while total > self.bounds.request_bytes and len(self.requests) > 1:
            total -= self.requests.popleft().size

    def delivered(self, delivery: dict[str, Any]) -> None:
        """Remember an attempt to deliver a webhook."""
        self.webhooks.append(delivery)
        del self.webhooks[: -self.bounds.records]

    def received(self, operation: str) -> list[Received]:
        """The remembered requests of one operation, oldest first."""
        return [request for request in list(self.requests) if request.operation == operation]

    # knobs

    def set(self, **settings: Any) -> None:
        """Change settings by name. AttributeError if there is no such setting."""
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
        """Whether an operation answers. What Novita has switched off answers only with the setting old_models."""
        off = is_retired(operation_id) and not self.settings.old_models
        return not off and operation_id not in self.switched_off

    def fate(self) -> str | None:
        """How the next task, boot or job ends: "" means well, a reason that it fails, None that it never ends.

        Asking uses the answer up.
        """
        return self.doomed.pop(0) if self.doomed else ""

    def fail_next_task(self, reason: str = "failed to exec task", times: int = 1) -> None:
        """The next tasks fail with this reason, and their price is paid back."""
        self.doomed.extend([reason] * times)

    def never_end_next_task(self, times: int = 1) -> None:
        """The next tasks stay in progress for ever."""
        self.doomed.extend([None] * times)
