"""A client for the GPU and serverless areas that checks every answer against the documented schema.

The clock of its world stands still until a test moves it.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import httpx
from novita_mcp.simulator import World, serve
from novita_mcp.simulator.core.facts import answer_problems, operations
from novita_mcp.simulator.gpu.state import GpuState
from novita_mcp.simulator.serverless.state import ServerlessState

Json = dict[str, Any]

BOOT = 150
"""Seconds from create to running with task_seconds=100 and an image that must be pulled."""
RTX_4090 = "4090.18c100g"
H100 = "h100.24c240g"


def known(value: Any) -> Any:
    """The value without nulls. Any optional field may be null, but the schemas say so only in prose."""
    if isinstance(value, dict):
        return {name: known(part) for name, part in cast("Json", value).items() if part is not None}
    if isinstance(value, list):
        return [known(part) for part in cast("list[Any]", value)]
    return value


class Gpu:
    """Calls by operationId; path and query parameters by name."""

    def __init__(self, url: str, world: World, key: str = "sk-simulated") -> None:
        self.url, self.world = url, world
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    @property
    def state(self) -> GpuState:
        return self.world.area(GpuState)

    @property
    def serverless(self) -> ServerlessState:
        return self.world.area(ServerlessState)

    def ask(self, operation: str, body: Any = None, /, **given: Any) -> httpx.Response:
        found = operations()[operation]
        query = {name: value for name, value in given.items() if f"{{{name}}}" not in found.path}
        return self.http.request(found.method, found.path.format(**given), json=body, params=query)

    def good(self, operation: str, body: Any = None, /, **given: Any) -> Any:
        """The answer of a call that must succeed; None for 204."""
        response = self.ask(operation, body, **given)
        assert response.status_code in (200, 204), response.text
        if response.status_code == 204:
            assert response.content == b""
            return None
        answer = response.json()
        found = answer_problems(operations()[operation], answer)
        assert found == [] or answer_problems(operations()[operation], known(answer)) == [], found
        return answer

    def refused(self, operation: str, body: Any = None, /, **given: Any) -> tuple[int, str]:
        """Status and error name."""
        response = self.ask(operation, body, **given)
        assert response.status_code >= 400, response.text
        assert response.json().keys() >= {"code", "reason", "message"}
        return response.status_code, response.json()["reason"]

    def create(self, **changes: Any) -> str:
        return self.good("create_gpu_instance", order(**changes))["id"]

    def running(self, **changes: Any) -> str:
        """An instance that runs since a known second of the clock."""
        id = self.create(**changes)
        self.world.advance(BOOT)
        assert self.status(id) == "running"
        return id

    def status(self, id: str) -> str:
        return self.good("get_gpu_instance", instanceId=id)["status"]

    def spent(self) -> int:
        """Micro dollars spent so far, after everything is settled."""
        self.http.get("/_simulator")
        return 100_000_000 - self.world.accounts["sk-simulated"].micro_usd

    def close(self) -> None:
        self.http.close()


def order(**changes: Any) -> Json:
    body = {"name": "box", "productId": RTX_4090, "gpuNum": 1, "rootfsSize": 60, "imageUrl": "docker.io/a/b:1"}
    return {**body, "kind": "gpu", **changes}


def v2_order(**changes: Any) -> Json:
    body: Json = {"product_id": RTX_4090, "image": "docker.io/a/b:1", "billing": {"mode": "postpaid"}}
    return {**body, "resource": {"rootfs_size_gb": 60, "gpu_num": 1}, **changes}


def endpoint(*, workers: Json | None = None, **changes: Any) -> Json:
    config = {"minNum": 0, "maxNum": 3, "freeTimeout": 60, "maxConcurrent": 1, "gpuNum": 1, **(workers or {})}
    plan: Json = {
        "name": "service",
        "workerConfig": config,
        "ports": [{"port": "8000"}],
        "policy": {"type": "queue", "value": 30},
        "image": {"image": "docker.io/a/b:1"},
        "products": [{"id": RTX_4090}],
        "rootfsSize": 100,
        "volumeMounts": [],
        "healthy": {"path": "/health"},
    }
    return {**plan, **changes}


@contextmanager
def opened(key: str = "sk-simulated") -> Generator[Gpu]:
    """A world whose clock stands still until it is moved, behind a socket. A task-time is 100 s."""
    world = World()
    world.set(speed=0, task_seconds=100)
    with serve(world) as running:
        client = Gpu(running.url, world, key)
        try:
            yield client
        finally:
            client.close()
