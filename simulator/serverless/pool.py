"""The workers of one endpoint and their work, as a small event simulation. Nothing here knows of HTTP.

`Pool.settle` goes in order through all events since it was last called, by the world's clock: workers start, take work,
finish it, and stop when they are idle. In a manual world each look makes the next event happen, whenever it is due.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ..core.metering import Meter
from ..core.world import Account, World
from ..gpu.market import MarketProduct, Stock, per_day, products
from .plan import DeploymentPlan

BOOT = 0.7
"""How long a new worker needs until it runs, as a multiple of the setting task_seconds."""

# x-async-job-status
PENDING, IN_PROGRESS = "PENDING", "IN_PROGRESS"
COMPLETED, FAILED, TIMED_OUT, CANCELLED = "COMPLETED", "FAILED", "TIMED_OUT", "CANCELLED"
FINAL = frozenset([COMPLETED, FAILED, TIMED_OUT, CANCELLED])


@dataclass
class PoolWork:
    """One sync request or async job. `seconds` is how long the container works on it."""

    id: str
    arrived: float
    seconds: float
    input: Any = None
    error: str = ""
    """The error with which the container will fail, or ""."""
    patient: bool = True
    """A job waits in the queue without limit, but a request only until the request timeout."""
    status: str = PENDING
    started: float = 0
    ended: float = 0
    worker: str = ""
    size: int = 0
    """Bytes of the request."""

    def progress(self, now: float) -> float:
        if self.status != IN_PROGRESS:
            return float(self.status == COMPLETED)
        return min(0.99, (now - self.started) / self.seconds) if self.seconds > 0 else 0.99


@dataclass
class PoolWorker:
    id: str
    product: MarketProduct
    ready_at: float
    cards: int
    state: str = "creating"
    drained: bool = False
    idle_since: float = 0
    holds: list[PoolWork] = field(default_factory=list[PoolWork])
    meter: Meter = field(default_factory=Meter)


class Pool:
    """The workers of an endpoint. Their number follows the endpoint's plan, which may change meanwhile."""

    def __init__(self, world: World, owner: Account, endpoint: str, plan: DeploymentPlan, stock: Stock) -> None:
        self._world = world
        self._owner = owner
        self._endpoint = endpoint
        self._stock = stock
        self.plan = plan
        self.open = False
        """Whether the endpoint serves. Before that it has no workers."""
        self.time = world.clock.now()
        self.workers: list[PoolWorker] = []
        self.queue: deque[PoolWork] = deque()
        self._gone: list[PoolWorker] = []

    # work

    def submit(self, work: PoolWork) -> PoolWork:
        self.settle()
        work.arrived = self.time = max(self._world.clock.now(), self.time)
        self.queue.append(work)
        self._act()
        return work

    def cancel(self, work: PoolWork) -> None:
        """Cancel work in the queue or at a worker. Nothing happens if it has ended."""
        if work.status in FINAL:
            return
        if work in self.queue:
            self.queue.remove(work)
        self._end(work, CANCELLED, max(self._world.clock.now(), self.time))
        self._act()

    def purge(self) -> int:
        waiting = list(self.queue)
        for work in waiting:
            self.cancel(work)
        return len(waiting)

    @property
    def busy(self) -> int:
        return sum(1 for worker in self.workers if worker.holds)

    @property
    def held(self) -> int:
        return sum(len(worker.holds) for worker in self.workers)

    # life

    def settle(self, look: bool = False) -> None:
        """Go through all events until now, and then collect the cost of the workers."""
        self._act()
        if self._world.settings.manual:
            if look and (due := self._next()) is not None:
                self._reach(due)
        else:
            self.live(self._world.clock.now())
        self._collect()

    def live(self, until: float) -> None:
        """Go through all events that are due until this time."""
        while (due := self._next()) is not None and due <= until:
            self._reach(due)
        self.time = max(self.time, until)

    def serve(self, at: float) -> None:
        """Begin to serve, as the deployment has finished."""
        if not self._world.settings.manual:
            self.live(at)
        self.open = True

    def restart(self) -> None:
        """Replace every worker, after a change of image or product. Their work goes back to the front of the queue."""
        for worker in list(self.workers):
            for work in reversed(worker.holds):
                work.status, work.worker = PENDING, ""
                self.queue.appendleft(work)
            worker.holds.clear()
            self._remove(worker)
        self._act()

    def close(self) -> None:
        self.open = False
        self.purge()
        for worker in list(self.workers):
            for work in list(worker.holds):
                self._end(work, CANCELLED, self.time)
            self._remove(worker)
        self._collect()

    @property
    def _dry(self) -> bool:
        """Whether the account cannot pay any more. Then workers finish their work and stop."""
        return self._owner.micro_usd <= 0

    def _reach(self, at: float) -> None:
        self.time = max(self.time, at)
        for worker in list(self.workers):
            if worker.state == "creating" and worker.ready_at <= self.time:
                worker.state, worker.idle_since = "running", self.time
                worker.meter.run_at(per_day(worker.product.serverless_price) * worker.cards, self.time)
            for work in list(worker.holds):
                if self._ends_at(work) <= self.time:
                    late = work.seconds > self.plan.request_timeout
                    self._end(work, TIMED_OUT if late else FAILED if work.error else COMPLETED, self._ends_at(work))
        for work in [each for each in self.queue if self._gives_up_at(each) <= self.time]:
            self.queue.remove(work)
            self._end(work, TIMED_OUT, self.time)
        self._shrink()
        self._act()

    def _next(self) -> float | None:
        """The time of the next event, or None."""
        times = [worker.ready_at for worker in self.workers if worker.state == "creating"]
        times += [self._ends_at(work) for worker in self.workers for work in worker.holds]
        times += [self._gives_up_at(work) for work in self.queue if not work.patient]
        if self.queue and self.plan.policy == "queue" and not self._starting and self._may_grow:
            times.append(max(self.time, self.queue[0].arrived + self.plan.policy_value))
        times += [worker.idle_since + self.plan.idle for worker in self._spare()]
        return min(times, default=None)

    def _gives_up_at(self, work: PoolWork) -> float:
        return math.inf if work.patient else work.arrived + self.plan.request_timeout

    def _ends_at(self, work: PoolWork) -> float:
        return work.started + min(work.seconds, self.plan.request_timeout)

    def _end(self, work: PoolWork, status: str, at: float) -> None:
        work.status, work.ended = status, at
        for worker in self.workers:
            if work in worker.holds:
                worker.holds.remove(work)
                if not worker.holds:
                    worker.idle_since = at

    # workers

    @property
    def _starting(self) -> bool:
        return any(worker.state == "creating" for worker in self.workers)

    @property
    def _may_grow(self) -> bool:
        return self.open and not self._dry and len(self.workers) < self.plan.most and self._product() is not None

    def _act(self) -> None:
        """Give waiting work to idle workers, and start workers that are missing."""
        if not self._dry:
            for worker in self.workers:
                while self.queue and self._takes(worker):
                    work = self.queue.popleft()
                    work.status, work.worker = IN_PROGRESS, worker.id
                    work.started = max(self.time, work.arrived)
                    worker.holds.append(work)
        while self._may_grow and len(self.workers) < self._wanted():
            self._start()
        self._shrink()

    def _takes(self, worker: PoolWorker) -> bool:
        return worker.state == "running" and not worker.drained and len(worker.holds) < self.plan.concurrent

    def _wanted(self) -> int:
        """How many workers the policy asks for, between the least and the largest number."""
        wanted, load = self.plan.least, len(self.queue) + self.held
        if self.plan.policy == "concurrency":
            wanted = max(wanted, -(-load // max(1, self.plan.policy_value)))
        elif self.queue:
            waited = self.time >= self.queue[0].arrived + self.plan.policy_value
            grown = len(self.workers) + 1 if waited and not self._starting else len(self.workers)
            wanted = max(wanted, 1, grown)
        return min(self.plan.most, wanted)

    def _product(self) -> MarketProduct | None:
        """The first product of the plan that has room for one more worker, or None."""
        for id in self.plan.products:
            if self._stock.workers[id] >= self.plan.cards:
                return products()[id]
        return None

    def _start(self) -> None:
        product = self._product()
        assert product is not None
        self._stock.workers[product.id] -= self.plan.cards
        ready = self.time + BOOT * self._world.settings.task_seconds
        self.workers.append(PoolWorker(self._world.new_id("w"), product, ready, self.plan.cards))

    def _spare(self) -> list[PoolWorker]:
        """Idle workers that may stop: those above the least number, and every drained one."""
        idle = [worker for worker in self.workers if worker.state == "running" and not worker.holds]
        return idle[: max(0, len(self.workers) - self.plan.least)] if self.open else idle

    def _shrink(self) -> None:
        for worker in list(self.workers):
            if worker.holds:
                continue
            unwanted = worker.drained or self._dry or len(self.workers) > self.plan.most
            if unwanted or (worker in self._spare() and worker.idle_since + self.plan.idle <= self.time):
                self._remove(worker)

    def _remove(self, worker: PoolWorker) -> None:
        worker.state = "stopped"
        worker.meter.run_at(0, self.time)
        self.workers.remove(worker)
        self._gone.append(worker)
        self._stock.workers[worker.product.id] += worker.cards

    def _collect(self) -> None:
        for worker in [*self.workers, *self._gone]:
            note = f"worker {worker.id}, {worker.product.name} x {worker.cards}"
            worker.meter.collect(self._world, self._owner, "create_serverless_endpoint", note, self._endpoint)
        self._gone.clear()
