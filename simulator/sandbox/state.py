"""How sandboxes are made, paused, resumed and ended, and what they cost. Nothing here knows of HTTP."""

import json
import random
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..core.faults import Fault
from ..core.metering import DAY, Meter
from ..core.world import MICRO, Account, World
from .disk import MemoryDisk
from .machine import Level, Machine

CATEGORY = "cloud_sandbox"
OPERATION = "create_sandbox"
SNAPSHOT_OF = "snapshot of "
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
METRIC_EVERY = 5.0
MIB, GB = 2**20, 10**9
FAULTS = frozenset({"cut", "no_end", "garbage", "silent", "endless"})
"""cut: the connection is dropped after the first event. no_end: the answer ends properly but without its end mark.
garbage: a message that cannot be read. silent: nothing more comes. endless: the output never ends."""
Ending = Literal["delete", "timeout", "pause", "overdue"]
State = Literal["running", "paused"]


@cache
def facts() -> dict[str, Any]:
    """The content of facts.json: prices, lifetimes, quotas and the official templates."""
    return json.loads(Path(__file__).with_name("facts.json").read_text(encoding="utf-8"))


def _per_day(usd_per_second: str, factor: float) -> int:
    """Whole micro dollars a day."""
    return int(Decimal(usd_per_second) * DAY * MICRO * Decimal(str(factor)))


def fault(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Fault:
    """An error of the control plane, to be raised."""
    return Fault(status, "", message, headers=headers)


@dataclass
class BuiltTemplate:
    """What a sandbox starts from. It decides CPU and RAM. `owner` is None for an official template."""

    id: str
    name: str
    cpu: int
    memory_mb: int
    disk_mb: int
    interpreter: bool
    owner: Account | None = None
    created: float = 0.0
    spawned: int = 0
    last_spawned: float | None = None
    source: str = ""
    """For a snapshot, the sandbox that it was made of."""
    content: MemoryDisk | bytes | None = None
    """For a snapshot, its files."""
    level: Level = "scripted"
    builds: list[str] = field(default_factory=list[str])
    tags: list[str] = field(default_factory=lambda: ["default"])

    @property
    def is_snapshot(self) -> bool:
        return bool(self.source)


@dataclass
class Order:
    """What a create asks for, after it is checked."""

    timeout: float
    auto_pause: bool = False
    auto_resume: bool = False
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    envs: dict[str, str] = field(default_factory=dict[str, str])
    secrets: dict[str, str] = field(default_factory=dict[str, str])
    secure: bool = False
    internet: bool = True
    network: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def idle(self) -> float | None:
        found = self.metadata.get("idle_timeout")
        return float(found) if found else None


@dataclass(eq=False)
class SimulatedSandbox:
    """One sandbox, running or paused. Times are in epoch seconds of the world."""

    id: str
    account: Account
    template: BuiltTemplate
    order: Order
    started: float
    ends: float
    token: str | None
    traffic_token: str
    memory_mb: int
    state: State = "running"
    used_at: float = 0.0
    open_streams: int = 0
    pausing_until: float = 0.0
    resumed: int = 0
    memory_added: int = 0
    machine: Machine | None = None
    meter: Meter = field(default_factory=Meter)
    storage: Meter = field(default_factory=Meter)
    metrics: deque[dict[str, Any]] = field(default_factory=lambda: deque[dict[str, Any]](maxlen=1000))
    measured: float = 0.0
    gone: bool = False
    mounts: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    logs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def public(self) -> bool:
        return self.order.network.get("allowPublicTraffic", True)

    @property
    def due(self) -> float:
        """When it ends: at its end time, or earlier if it is idle too long. With an open connection it is not idle."""
        if self.order.idle is None or self.open_streams:
            return self.ends
        return min(self.ends, self.used_at + self.order.idle)

    def rate(self) -> int:
        """Micro dollars a day while it runs."""
        prices = facts()["prices"]
        return _per_day(prices["vcpu_usd_per_core_second"], self.template.cpu) + _per_day(
            prices["ram_usd_per_gib_second"], self.memory_mb / 1024
        )


@dataclass(frozen=True)
class LifeEvent:
    """One line of the history that `GET /sandboxes/events` shows."""

    id: str
    at: float
    sandbox: str
    template: BuiltTemplate
    name: str
    account: Account


class SimulatedSandboxes:
    """All sandboxes of a world: `world.area(SimulatedSandboxes)`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.level: Level = "scripted"
        """How code is run. `--run-code` sets it."""
        self.domain: str | None = None
        """The domain in answers. None leaves it out; nobody has seen whether the real service sends it."""
        self.tier = "paid"
        self.quota: dict[str, int] = dict(facts()["quota"][self.tier])
        self.pause_seconds_per_gib = 4.0
        self.start_seconds = 0.0
        self.faults: deque[str] = deque()
        """What goes wrong with the next streams, in this order: names from FAULTS."""
        self.count: dict[str, int] = {}
        """The number of requests by what they ask for: create_sandbox, delete_sandbox, Process/Start, execute..."""
        self.lose_files_on_resume = 0
        """From this resume on the files are lost, which is a known fault of the real service. 0 means never."""
        self.sandboxes: dict[str, SimulatedSandbox] = {}
        self.events: deque[LifeEvent] = deque(maxlen=world.bounds.records)
        self.secrets: dict[str, dict[str, dict[str, Any]]] = {}
        """The secrets of each account id, by name. Their values are not kept, as nobody can read them again."""
        self.templates: dict[str, BuiltTemplate] = {
            row["id"]: BuiltTemplate(
                row["id"], row["name"], row["cpu"], row["memory_mb"], row["disk_mb"], row["interpreter"], created=0.0
            )
            for row in facts()["templates"]
        }
        self.make_machine: Callable[[SimulatedSandbox], Machine] | None = None
        """machines.py sets this, because this module knows nothing of processes."""
        world.settlers.append(self.settle)
        world.bills_as[OPERATION] = CATEGORY

    def set_tier(self, tier: str) -> None:
        """Set the tier of all accounts: free, paid or enterprise."""
        if tier not in facts()["quota"]:
            raise ValueError(f"tier is one of {', '.join(facts()['quota'])}")
        self.tier, self.quota = tier, dict(facts()["quota"][tier])

    def add_fault(self, name: str) -> None:
        """Let the next stream of a command or a cell go wrong in this way."""
        if name not in FAULTS:
            raise ValueError(f"a fault is one of {', '.join(sorted(FAULTS))}")
        self.faults.append(name)

    def noted(self, what: str) -> None:
        self.count[what] = self.count.get(what, 0) + 1

    # finding

    def template(self, account: Account, wanted: str) -> BuiltTemplate:
        """The template or snapshot with this id, name or `name:tag`."""
        name = wanted.partition(":")[0]
        for found in self.templates.values():
            if (found.owner is None or found.owner is account) and (found.id == wanted or found.name == name):
                return found
        raise fault(404, f"template '{wanted}' not found")

    def find(self, account: Account, id: str) -> SimulatedSandbox:
        found = self.sandboxes.get(id)
        if found is None or found.account is not account:
            raise fault(404, f"Sandbox {id} not found")
        return found

    def of(self, account: Account) -> list[SimulatedSandbox]:
        """The sandboxes of an account, oldest first."""
        return [each for each in self.sandboxes.values() if each.account is account]

    # life

    def check_life(self, seconds: float, sandbox: SimulatedSandbox | None = None) -> None:
        """Refuse a lifetime that is longer than the account may have. It is not shortened."""
        hours = self.quota["maxLengthHours"]
        lived = self.world.clock.now() - sandbox.started if sandbox is not None and sandbox.state == "running" else 0.0
        if seconds > hours * 3600 or lived + seconds > hours * 3600 + 1:
            raise fault(400, f"Timeout cannot be greater than {hours} hours")

    def usage(self, account: Account) -> dict[str, int]:
        running = [each for each in self.of(account) if each.state == "running"]
        return {
            "concurrentInstances": len(running),
            "concurrentVcpu": sum(each.template.cpu for each in running),
            "concurrentRamMb": sum(each.memory_mb for each in running),
        }

    def check_room(self, account: Account, cpu: int, memory_mb: int) -> None:
        usage = self.usage(account)
        asked = {"concurrentInstances": 1, "concurrentVcpu": cpu, "concurrentRamMb": memory_mb}
        for what, more in asked.items():
            if usage[what] + more > self.quota[what]:
                raise fault(
                    429,
                    f"you have reached the maximum number of concurrent sandboxes: {what} is {usage[what]} of "
                    f"{self.quota[what]}",
                    headers={"Retry-After": "30"},
                )

    def create(self, account: Account, template: BuiltTemplate, order: Order) -> SimulatedSandbox:
        self.check_life(order.timeout)
        self.check_room(account, template.cpu, template.memory_mb)
        if account.micro_usd <= 0:
            raise fault(403, "the account is overdue: top up its balance to create sandboxes")
        now = self.world.clock.now()
        roll = random.SystemRandom()
        sandbox = SimulatedSandbox(
            id="i" + "".join(roll.choice(LETTERS) for _ in range(19)),
            account=account,
            template=template,
            order=order,
            started=now,
            ends=now + order.timeout,
            token=f"ea_{secrets.token_hex(20)}" if order.secure else None,
            traffic_token=secrets.token_hex(32),
            memory_mb=template.memory_mb,
            used_at=now,
            measured=now,
        )
        template.spawned += 1
        template.last_spawned = now
        sandbox.meter.run_at(sandbox.rate(), now)
        self.sandboxes[sandbox.id] = sandbox
        self._happened(sandbox, "create", now)
        return sandbox

    def machine(self, sandbox: SimulatedSandbox) -> Machine:
        """The machine of a sandbox, made when it is first needed."""
        if sandbox.machine is None:
            if self.make_machine is None:
                raise RuntimeError("no machines: simulator.sandbox.machines was not set up")
            sandbox.machine = self.make_machine(sandbox)
        return sandbox.machine

    def used(self, sandbox: SimulatedSandbox) -> None:
        sandbox.used_at = self.world.clock.now()

    def extend(self, sandbox: SimulatedSandbox, seconds: float, *, only_later: bool = False) -> None:
        self.check_life(seconds, sandbox)
        ends = self.world.clock.now() + seconds
        sandbox.ends = max(sandbox.ends, ends) if only_later else ends
        self.used(sandbox)

    def pause(self, sandbox: SimulatedSandbox, at: float | None = None, *, event: str = "pause") -> None:
        at = self.world.clock.now() if at is None else at
        if sandbox.state == "paused":
            raise fault(409, f"Sandbox {sandbox.id} is already paused")
        sandbox.state = "paused"
        sandbox.pausing_until = at + self.pause_seconds_per_gib * sandbox.memory_mb / 1024
        sandbox.meter.run_at(0, at)
        if sandbox.machine is not None:
            sandbox.machine.freeze()
        self._store(sandbox.account, at)
        self._happened(sandbox, event, at)

    def resume(self, sandbox: SimulatedSandbox, seconds: float, *, event: str = "resume") -> None:
        if sandbox.state != "paused":
            raise fault(409, f"Sandbox {sandbox.id} is already running")
        self.check_life(seconds)
        self.check_room(sandbox.account, sandbox.template.cpu, sandbox.memory_mb)
        now = self.world.clock.now()
        sandbox.state, sandbox.started, sandbox.ends, sandbox.used_at = "running", now, now + seconds, now
        sandbox.resumed += 1
        sandbox.meter.run_at(sandbox.rate(), now)
        if self.lose_files_on_resume and sandbox.resumed >= self.lose_files_on_resume and sandbox.machine is not None:
            sandbox.machine.stop()
            sandbox.machine = None
        elif sandbox.machine is not None:
            sandbox.machine.thaw()
        self._store(sandbox.account, now)
        self._happened(sandbox, event, now)

    def end(self, sandbox: SimulatedSandbox, name: Ending = "delete", at: float | None = None) -> None:
        at = self.world.clock.now() if at is None else at
        sandbox.meter.run_at(0, at)
        sandbox.storage.run_at(0, at)
        self._collect(sandbox)
        sandbox.gone = True
        del self.sandboxes[sandbox.id]
        self._store(sandbox.account, at)
        if sandbox.machine is not None:
            sandbox.machine.stop()
        self._happened(sandbox, name, at)

    def settle(self) -> None:
        """End or pause what is due, measure the rest, and collect the costs."""
        now = self.world.clock.now()
        for sandbox in list(self.sandboxes.values()):
            if sandbox.state == "running" and sandbox.due <= now:
                at = sandbox.due
                self._measure(sandbox, at)
                if sandbox.order.auto_pause:
                    self.pause(sandbox, at)
                else:
                    self.end(sandbox, "timeout", at)
                    continue
            self._measure(sandbox, now)
        for account in {each.account.key: each.account for each in self.sandboxes.values()}.values():
            self._settle_account(account, now)

    def _store(self, account: Account, now: float) -> None:
        """Set what paused disks cost from now on. They pay together for what is above the free size, each its share."""
        paused = [each for each in self.of(account) if each.state == "paused"]
        stored = sum(each.template.disk_mb * MIB / GB for each in paused)
        beyond = max(0.0, stored - facts()["prices"]["storage_free_gb"])
        per_gb_day = Decimal(facts()["prices"]["storage_usd_per_gb_hour"]) * 24 * MICRO
        for each in self.of(account):
            share = beyond / len(paused) if each.state == "paused" else 0.0
            each.storage.run_at(int(per_gb_day * Decimal(str(share))), now)

    def _settle_account(self, account: Account, now: float) -> None:
        mine = self.of(account)
        paid = [self._collect(each) for each in mine]
        if not all(paid):
            for each in mine:  # An account that cannot pay loses its sandboxes.
                self.end(each, "overdue", now)

    def _collect(self, sandbox: SimulatedSandbox) -> bool:
        paid = sandbox.meter.collect(self.world, sandbox.account, OPERATION, "Agent Sandbox", sandbox.id)
        return (
            sandbox.storage.collect(self.world, sandbox.account, OPERATION, "Agent Sandbox storage", sandbox.id)
            and paid
        )

    def _measure(self, sandbox: SimulatedSandbox, until: float) -> None:
        """Add one line of metrics for each five seconds that it ran."""
        if sandbox.state != "running":
            sandbox.measured = until
            return
        first = max(sandbox.measured, until - 1000 * METRIC_EVERY)
        while first + METRIC_EVERY <= until:
            first += METRIC_EVERY
            total = sandbox.memory_mb * MIB
            roll = random.Random(f"{sandbox.id}{int(first)}")
            busy = min(100.0, 1.0 + 45.0 * bool(sandbox.open_streams) + roll.random())
            sandbox.metrics.append(
                {
                    "at": first,
                    "cpuCount": sandbox.template.cpu,
                    "cpuUsedPct": round(busy, 2),
                    "memUsed": int(total * (0.18 + 0.02 * roll.random())),
                    "memTotal": total,
                    "diskUsed": int(1.2 * GB) + int(MIB * roll.random()),
                    "diskTotal": sandbox.template.disk_mb * MIB,
                }
            )
        sandbox.measured = first

    def add_memory(self, sandbox: SimulatedSandbox, mib: int) -> None:
        """Add memory to a sandbox, which then costs more."""
        if mib <= 0 or mib % 512 or sandbox.memory_mb + mib > self.quota["maxRamMb"]:
            raise fault(400, f"requested_size_mib must be a multiple of 512, at most {self.quota['maxRamMb']} in all")
        sandbox.memory_mb += mib
        sandbox.meter.run_at(sandbox.rate(), self.world.clock.now())

    def add_template(self, template: BuiltTemplate) -> BuiltTemplate:
        self.templates[template.id] = template
        return template

    def _happened(self, sandbox: SimulatedSandbox, name: str, at: float) -> None:
        self.events.append(LifeEvent(secrets.token_hex(8), at, sandbox.id, sandbox.template, name, sandbox.account))
