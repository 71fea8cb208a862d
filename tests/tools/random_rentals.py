"""Machines, volumes, endpoints and sandboxes in a random run: what can be asked of those there are, and what happens
between."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from mcp import Client
from mcp_types import CallToolResult
from novita_mcp.simulator.core.facts import operations
from novita_mcp.simulator.core.world import DEFAULT_KEY, Charge, World
from novita_mcp.simulator.gpu.extras import SimulatedVolume
from novita_mcp.simulator.gpu.instances import SimulatedInstance
from novita_mcp.simulator.gpu.state import GpuState
from novita_mcp.simulator.sandbox.state import OPERATION as SANDBOX
from novita_mcp.simulator.sandbox.state import SimulatedSandbox, SimulatedSandboxes
from novita_mcp.simulator.serverless.state import ServerlessState, SimulatedEndpoint

from ..conftest import text_of

Json = dict[str, Any]
HOUR, DAY = 3_600, 86_400

MACHINE = "docker.io/library/ubuntu:24.04"
SERVICE = "docker.io/library/nginx:1"
ROOM = 6
"""Things of a kind that are kept at once: stock is small."""


def is_by_time(charge: Charge) -> bool:
    """Whether a charge is for a machine, volume, endpoint or sandbox; its `ref` says which."""
    return charge.operation == SANDBOX or operations()[charge.operation].area in ("gpu", "serverless")


class Renting:
    """Chooses arguments by what is there, of what some answer told of: one may have been lost."""

    def __init__(self, roll: random.Random, world: World) -> None:
        self._roll, self._world = roll, world
        self._names = 0
        self._told = ""

    def hear(self, answer: CallToolResult) -> None:
        """Remember what an answer tells of."""
        self._told += text_of(answer)

    # what there is

    @property
    def machines(self) -> list[SimulatedInstance]:
        there = self._world.area(GpuState).fleet.of(self._world.accounts[DEFAULT_KEY])
        return [each for each in there if each.id in self._told]

    @property
    def volumes(self) -> list[SimulatedVolume]:
        return [each for each in self._world.area(GpuState).storages.all.values() if each.id in self._told]

    @property
    def endpoints(self) -> list[SimulatedEndpoint]:
        there = self._world.area(ServerlessState).of(self._world.accounts[DEFAULT_KEY])
        return [each for each in there if each.id in self._told]

    @property
    def sandboxes(self) -> list[SimulatedSandbox]:
        """Without those that end by themselves while they are talked about."""
        self._world.settle()
        there = self._world.area(SimulatedSandboxes).of(self._world.accounts[DEFAULT_KEY])
        soon = self._world.clock.now() + 60
        return [each for each in there if each.id in self._told and (each.state == "paused" or each.due > soon)]

    # what is asked: good arguments, or None where there is nothing they could be about

    def arguments(self, tool: str) -> Json | None:
        made = _CALLS[tool](self)
        return made and {**made, "confirm": True}

    def create_machine(self) -> Json | None:
        if len(self.machines) >= ROOM:
            return None
        asked: Json = {"image": MACHINE, "name": self._name("box")}
        asked |= {
            "gpu": self._roll.choice(["4090", "3090", "L40S", "A100"]),
            "disk_gb": self._roll.choice([60, 60, 160]),
        }
        billing = self._roll.choice(["onDemand"] * 6 + ["monthly", "spot"])
        if billing == "spot":
            asked |= {"billing": billing, "gpu": "4090"}
        elif billing == "monthly":
            asked |= {"billing": billing, "options": {"month": self._roll.choice([1, 3])}}
        if self._roll.random() < 0.3:
            asked["stop_after_hours"] = self._roll.choice([0.5, 2, 30])
        return asked

    def start_machine(self) -> Json | None:
        stopped = [each for each in self.machines if each.status == "exited"]
        return {"instance_id": self._roll.choice(stopped).id} if stopped else None

    def edit_machine(self) -> Json | None:
        if not (there := [each for each in self.machines if each.status in ("running", "exited")]):
            return None
        chosen = self._roll.choice(there)
        more: Json = {"add_disk_gb": self._roll.randint(1, 50)} if self._roll.random() < 0.7 else {"web_terminal": True}
        return {"instance_id": chosen.id, **more}

    def change_billing(self) -> Json | None:
        if not (there := [each for each in self.machines if each.status == "running"]):
            return None
        chosen = self._roll.choice(there)
        if chosen.subscribed:
            return {"instance_id": chosen.id, "action": self._roll.choice(["renew", "to_on_demand", "to_on_demand"])}
        return {"instance_id": chosen.id, "action": "to_monthly"}

    def save_volume(self) -> Json | None:
        if self.volumes and (self._roll.random() < 0.5 or len(self.volumes) >= ROOM):
            chosen = self._roll.choice(self.volumes)
            return {
                "id": chosen.id,
                "size_gb": chosen.size_gb + self._roll.choice([0, 10, 500]),
                "name": self._name("v"),
            }
        return {"name": self._name("v"), "region": "us-ca-06", "size_gb": self._roll.choice([10, 100, 2_000])}

    def create_endpoint(self) -> Json | None:
        if len(self.endpoints) >= ROOM:
            return None
        return {"image": SERVICE, "port": 80, "name": self._name("e"), "min_workers": self._roll.choice([0, 0, 1])}

    def update_endpoint(self) -> Json | None:
        if not (there := self._serving()):
            return None
        wish: Json = self._roll.choice([{"min_workers": 0}, {"min_workers": 1}, {"env": {"NAME": self._name("x")}}])
        return {"endpoint_id": self._roll.choice(there).id, **wish}

    def call_endpoint(self) -> Json | None:
        there = self._serving()
        return {"endpoint_id": self._roll.choice(there).id, "body": {"a": 1}} if there else None

    def create_sandbox(self) -> Json | None:
        if len(self.sandboxes) >= ROOM:
            return None
        minutes = self._roll.choice([5, 10, 60])
        return {
            "timeout_minutes": minutes,
            "label": self._name("s"),
            "on_timeout": self._roll.choice(["delete", "pause"]),
        }

    def run_code(self) -> Json | None:
        return {"code": f"{self._roll.randint(2, 99)} * 7", "timeout_seconds": self._roll.choice([5, 60])}

    def change_sandbox(self) -> Json | None:
        if not (there := self.sandboxes):
            return None
        chosen = self._roll.choice(there)
        action = "resume" if chosen.state == "paused" else self._roll.choice(["pause", "set_time"])
        return {"sandbox_id": chosen.id, "action": action, "timeout_minutes": self._roll.choice([5, 30])}

    def _serving(self) -> list[SimulatedEndpoint]:
        return [each for each in self.endpoints if each.state == "serving"]

    def _name(self, what: str) -> str:
        self._names += 1
        return f"{what}-{self._names}"

    # what happens between calls

    async def meanwhile(self, client: Client) -> None:
        """Hours pass; things are looked at, stopped and deleted."""
        if self._roll.random() < 0.4:
            self._world.advance(self._roll.choice([60, 600, HOUR, 3 * HOUR, 11 * HOUR]))
        if self._roll.random() < 0.1:
            await self.look(client)
        running = [each for each in self.machines if each.status == "running"]
        if running and self._roll.random() < 0.15:
            await self._do(client, "stop_gpu_instance", instance_id=self._roll.choice(running).id, confirm=True)
        if self._roll.random() < 0.12:
            await self._give_back(client)

    async def _give_back(self, client: Client) -> None:
        now = self._world.clock.now()
        machines = [each for each in self.machines if not each.paid_at(now)]
        things = [(self._delete, "machine", each.id) for each in machines]
        things += [(self._delete, "volume", each.id) for each in self.volumes]
        things += [(self._delete, "endpoint", each.id) for each in self.endpoints]
        things += [(self._delete, "sandbox", each.id) for each in self.sandboxes]
        if things:
            delete, kind, id = self._roll.choice(things)
            await delete(client, kind, id)

    async def _delete(self, client: Client, kind: str, id: str) -> None:
        match kind:
            case "machine":
                await self._do(client, "delete_gpu_instance", instance_id=id, confirm=True)
            case "volume":
                await self._do(client, "delete_gpu_resource", kind="volume", id=id, confirm=True)
            case "sandbox":
                await self._do(client, "delete_sandbox", sandbox_id=id, confirm=True)
            case _:
                await self._do(client, "delete_endpoint", endpoint_id=id, confirm=True)

    async def give_everything_back(self, client: Client) -> None:
        """End subscriptions, delete all there is, and look once more when nothing can be on its way."""
        await self.look(client)
        for machine in self.machines:
            if machine.subscribed:
                ended = {"instance_id": machine.id, "action": "to_on_demand", "confirm": True}
                await self._do(client, "change_gpu_billing", **ended)
                await self.look(client)  # it may go at once: nothing is kept of what was stopped a week ago
            if machine in self.machines:
                await self._delete(client, "machine", machine.id)
        for volume in self.volumes:
            await self._delete(client, "volume", volume.id)
        for endpoint in self.endpoints:
            await self._delete(client, "endpoint", endpoint.id)
        for sandbox in self.sandboxes:
            await self._delete(client, "sandbox", sandbox.id)
        self._world.advance(HOUR)
        await self.look(client)
        assert not (self.machines or self.volumes or self.endpoints or self.sandboxes)

    async def look(self, client: Client) -> None:
        """At all there is."""
        await self._do(client, "list_gpu_instances")
        await self._do(client, "list_gpu_resources", kind="volumes")
        await self._do(client, "list_endpoints")
        await self._do(client, "list_sandboxes")

    async def _do(self, client: Client, tool: str, **arguments: Any) -> None:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, f"{tool}: {text_of(result)}"
        self.hear(result)


_CALLS: Mapping[str, Callable[[Renting], Json | None]] = {
    "create_gpu_instance": Renting.create_machine,
    "start_gpu_instance": Renting.start_machine,
    "edit_gpu_instance": Renting.edit_machine,
    "change_gpu_billing": Renting.change_billing,
    "save_gpu_volume": Renting.save_volume,
    "create_endpoint": Renting.create_endpoint,
    "update_endpoint": Renting.update_endpoint,
    "call_endpoint": Renting.call_endpoint,
    "create_sandbox": Renting.create_sandbox,
    "run_code": Renting.run_code,
    "change_sandbox": Renting.change_sandbox,
}
