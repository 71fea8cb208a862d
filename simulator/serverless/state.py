"""Endpoints of both generations: their settings, the state of their deployment, and jobs with their results."""

import itertools
import re
import secrets
from collections.abc import Iterator
from typing import Any

from ..core.bounds import Kept
from ..core.timeline import Timeline
from ..core.world import Account, World
from ..gpu.market import clusters, per_day, products, refuse
from ..gpu.order import RESERVED_PORTS
from ..gpu.state import GpuState
from .plan import DeploymentPlan
from .pool import FINAL, Pool, PoolWork, PoolWorker

KEPT = 6 * 3600
"""A result can be read for so many seconds after the end of its job."""
ASYNC_PRODUCTS = ("RTX 4090 24GB", "H100 SXM 80GB")

# get_serverless_endpoint_limits answers these ranges, and every plan must be within them. The documentation has the
# names, but not the numbers.
LIMITS: dict[str, Any] = {
    "minRootfsSize": 10,
    "maxRootfsSize": 1000,
    "freeRootfsSize": 100,
    "minLocalVolumeSize": 10,
    "maxLocalVolumeSize": 500,
    "freeLocalVolumeSize": 30,
    "minWorkerNum": 0,
    "maxWorkerNum": 10,
    "minFreeTimeout": 1,
    "maxFreeTimeout": 3600,
    "minConcurrencyNum": 1,
    "maxConcurrencyNum": 500,
    "minQueueWaitTime": 1,
    "maxQueueWaitTime": 300,
    "minRequestNum": 1,
    "maxRequestNum": 500,
    "minGPUNum": 1,
    "maxGPUNum": 8,
    "cudaVersionList": ["11.8", "12.1", "12.4", "12.6", "12.8", "12.9"],
}


class SimulatedEndpoint:
    """One deployed service."""

    def __init__(self, world: World, owner: Account, id: str, plan: DeploymentPlan, state: GpuState) -> None:
        self.id = id
        self.owner = owner
        self.plan = plan
        self.slug = f"{plan.app_name or id}-{secrets.token_hex(4)}"
        """The part of its URL that names it: the app name, and something that cannot be guessed from the id."""
        self.created_at = int(world.clock.now())
        self.updated_at = self.created_at
        self.error: tuple[str, str] | None = None
        self.line = Timeline(world, "pending")
        self.pool = Pool(world, owner, id, plan, state.stock)
        self.jobs: Kept[str, PoolWork] = Kept(
            world.bounds.records,
            most_bytes=world.bounds.upload_bytes,
            size=lambda work: work.size,
            over=lambda work: work.status in FINAL,
        )

    @property
    def state(self) -> str:
        return self.line.state

    @property
    def names(self) -> frozenset[str]:
        """The names by which the async gateway knows it."""
        named = self.plan.name or self.id
        return frozenset([self.id, named, f"{self.id}-{self.plan.app_name}" if self.plan.app_name else self.id])

    def worker(self, id: str) -> PoolWorker | None:
        return next((worker for worker in self.pool.workers if worker.id == id), None)


class ServerlessState:
    """All endpoints of the world: `world.area(ServerlessState)`. They share their stock of cards with the GPU area."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gpu = world.area(GpuState)
        self.all: dict[str, SimulatedEndpoint] = {}
        self.gpu.storages.users.append(self._uses)
        world.settlers.append(self.settle)

    def of(self, owner: Account) -> list[SimulatedEndpoint]:
        """The account's endpoints, newest first."""
        return [each for each in reversed(self.all.values()) if each.owner is owner]

    def find(self, owner: Account, id: str) -> SimulatedEndpoint:
        found = self.all.get(id)
        if found is None or found.owner is not owner:
            raise refuse("SERVERLESS_ENDPOINT_NOT_FOUND", f"endpoint {id} not found")
        return found

    def at(self, slug: str) -> SimulatedEndpoint | None:
        return next((each for each in self.all.values() if each.slug == slug), None)

    # the owner's wishes

    def create(self, owner: Account, plan: DeploymentPlan) -> SimulatedEndpoint:
        self._check(owner, plan)
        if plan.app_name and any(each.plan.app_name == plan.app_name for each in self.all.values()):
            raise refuse("SERVERLESS_APP_NAME_IS_EXIST", f"application name {plan.app_name} is taken")
        self._check_money(owner, plan)
        endpoint = SimulatedEndpoint(self.world, owner, self.world.new_id("ep"), plan, self.gpu)
        self.all[endpoint.id] = endpoint
        self._deploy(endpoint, "pending", ("creating", 0.1))
        return endpoint

    def update(self, endpoint: SimulatedEndpoint, plan: DeploymentPlan) -> None:
        self._check(endpoint.owner, plan)
        if plan.app_name != endpoint.plan.app_name or plan.type != endpoint.plan.type:
            raise refuse("VALIDATOR_PARAM", "neither app name nor type can be changed")
        if endpoint.owner.micro_usd <= 0:
            raise refuse("EXPIRED_OR_BALANCE_NOT_ENOUGH", "no changes while in arrears")
        before, endpoint.plan = endpoint.plan, plan
        endpoint.pool.plan = plan
        endpoint.updated_at = int(self.world.clock.now())
        runs = ("image", "command", "entrypoint", "envs", "products", "cards", "port", "rootfs_gb", "volumes")
        if any(getattr(before, name) != getattr(plan, name) for name in runs):
            self._deploy(endpoint, "updating")
            endpoint.pool.restart()
        else:
            endpoint.pool.settle()

    def delete(self, endpoint: SimulatedEndpoint) -> None:
        endpoint.pool.close()
        del self.all[endpoint.id]

    def drain(self, owner: Account, id: str, on: bool) -> None:
        for endpoint in self.of(owner):
            if worker := endpoint.worker(id):
                worker.drained = on
                endpoint.pool.settle()
                return
        raise refuse("SERVERLESS_WORKER_NOT_FOUND", f"worker {id} not found")

    # work

    def begin(self, endpoint: SimulatedEndpoint, input: Any, seconds: float, error: str = "") -> PoolWork:
        """Put a job or request into the queue."""
        patient = endpoint.plan.type == "async"
        work = PoolWork(self.world.new_id("req"), self.world.clock.now(), seconds, input, error, patient)
        return endpoint.pool.submit(work)

    def job(self, endpoint: SimulatedEndpoint, id: str) -> PoolWork:
        """The job with this id. JOB_NOT_FOUND also if its result has expired."""
        work = endpoint.jobs.get(id)
        if work is None:
            raise refuse("JOB_NOT_FOUND", f"job {id} not found")
        if work.status in FINAL and work.ended + KEPT <= self.world.clock.now():
            del endpoint.jobs[id]
            raise refuse("JOB_NOT_FOUND", f"job {id} has expired")
        return work

    # time

    def settle(self, look: str = "") -> None:
        """Bring all endpoints up to the world's time.

        `look` is the id of the endpoint that a request asks about, or * for all, which moves it in a manual world.
        """
        for endpoint in list(self.all.values()):
            seen = look in ("*", endpoint.id)
            for state, at in endpoint.line.moves(look=seen):
                if state == "serving":
                    endpoint.pool.serve(at)
            endpoint.pool.settle(seen and not endpoint.line.moving)

    def _deploy(self, endpoint: SimulatedEndpoint, state: str, *first: tuple[str, float]) -> None:
        """Begin a deployment. The endpoint serves before its first worker runs, and a call needs both."""
        endpoint.error = None
        host = endpoint.plan.image.split("/")[0]
        reason = self.world.fate()
        if host.endswith(".invalid"):
            endpoint.error = ("IMAGE_NOT_FOUND", f"failed to pull {endpoint.plan.image}: no such host")
        elif reason:
            endpoint.error = ("UNKNOWN", reason)
        last = [] if reason is None else [("failed" if endpoint.error else "serving", 0.4)]
        endpoint.line.set(state, *first, *last)
        if endpoint.error or reason is None:
            endpoint.pool.open = False

    def _uses(self, volume: str) -> bool:
        return any(mount.get("id") == volume for each in self.all.values() for mount in each.plan.volumes)

    # checks

    def _check_money(self, owner: Account, plan: DeploymentPlan) -> None:
        dearest = max(products()[id].serverless_price for id in plan.products)
        if owner.micro_usd < per_day(dearest) // 24 * plan.cards * max(1, plan.least):
            raise refuse("BALANCE_NOT_ENOUGH", "the balance must cover the first hour")

    def _check(self, owner: Account, plan: DeploymentPlan) -> None:
        for id in plan.products:
            if id not in products() or not products()[id].serverless_workers:
                raise refuse("SERVERLESS_PRODUCT_NOT_FOUND", f"product {id} is not offered serverless")
            if plan.type == "async" and products()[id].name not in ASYNC_PRODUCTS:
                raise refuse("VALIDATOR_PARAM", f"async endpoints run on {' and '.join(ASYNC_PRODUCTS)} only")
        for problem in itertools.chain(self._out_of_range(plan), self._wrong_words(plan)):
            raise refuse("VALIDATOR_PARAM", problem)
        self.gpu.auths.check(owner, plan.auth_id)
        for mount in plan.volumes:
            if mount["type"] == "network":
                storage = self.gpu.storages.find(owner, mount.get("id", ""))
                if storage.cluster != plan.cluster:
                    raise refuse("VALIDATOR_PARAM", f"network volume {storage.id} needs cluster {storage.cluster}")

    def _out_of_range(self, plan: DeploymentPlan) -> Iterator[str]:
        values = {
            "WorkerNum": (plan.least, plan.most),
            "FreeTimeout": (plan.idle,),
            "ConcurrencyNum": (plan.concurrent,),
            "GPUNum": (plan.cards,),
            "RootfsSize": (plan.rootfs_gb,),
            "QueueWaitTime" if plan.policy == "queue" else "RequestNum": (plan.policy_value,),
            "LocalVolumeSize": tuple(m.get("size", 30) for m in plan.volumes if m["type"] == "local"),
        }
        for name, found in values.items():
            low, high = LIMITS[f"min{name}"], LIMITS[f"max{name}"]
            if any(not low <= value <= high for value in found):
                yield f"{name}: {', '.join(map(str, found))} is not within {low} to {high}"

    def _wrong_words(self, plan: DeploymentPlan) -> Iterator[str]:
        if plan.most < max(1, plan.least):
            yield "the highest number of workers must be at least 1 and not below the lowest"
        if not 1 <= plan.port <= 65535 or plan.port in RESERVED_PORTS:
            yield f"port {plan.port} must be 1-65535 and none of {RESERVED_PORTS}"
        if plan.cluster and plan.cluster not in clusters():
            yield f"cluster {plan.cluster} does not exist"
        if plan.cuda and plan.cuda not in LIMITS["cudaVersionList"]:
            yield f"CUDA version must be one of {', '.join(LIMITS['cudaVersionList'])}"
        if not re.fullmatch(r"[a-z0-9-]*", plan.app_name):
            yield "app name takes lower-case letters, digits and hyphens"
        if not 1 <= plan.request_timeout <= 86_400:
            yield "request timeout must be 1 to 86400 seconds"
