"""What people make at Novita with the one key of their team is theirs alone, although Novita shows it to that key.

Batches and files hold what people asked; machines hold passwords and cost money. Whoever has the key itself sees all
machines of its account: who changes his key must not lose sight of what costs.
"""

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceTemplateReference
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from ...conftest import text_of
from ..callers import caller, facts
from ..sign_in.authority import authorization_server
from ..sign_in.serving import SignInServer, signing_in

TEAM_KEY = "sk_the-company-key-0123456789"
SECRET = "my secret fox"
MODEL = "deepseek/deepseek-v3.2"
MACHINE = {"image": "nginx", "name": "web", "confirm": True, "wait_seconds": 0}
ENDPOINT = {"image": "ghcr.io/x/y:1", "port": 80, "name": "w", "min_workers": 1, "wait_seconds": 0, "confirm": True}


@pytest.fixture
def team(settings: Settings, world: World) -> Generator[SignInServer]:
    world.add_account(TEAM_KEY)
    with (
        authorization_server() as held,
        signing_in(settings, held, team_key=TEAM_KEY, vault_keys="", toolsets="all") as running,
    ):
        yield running


@dataclass(frozen=True)
class TeamMember:
    client: Client

    async def told(self, tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await self.client.call_tool(tool, arguments)
        assert not answer.is_error, text_of(answer)
        return facts(answer)

    async def refused(self, tool: str, **arguments: Any) -> str:
        answer = await self.client.call_tool(tool, arguments)
        assert answer.is_error, text_of(answer)
        return text_of(answer)


@asynccontextmanager
async def person(team: SignInServer, name: str) -> AsyncGenerator[TeamMember]:
    """Somebody who signs in, or who brings the key itself."""
    async with caller(team.url, name if name.startswith("sk_") else team.token(name)) as client:
        yield TeamMember(client)


async def test_batches_and_files_are_with_who_made_them(team: SignInServer, world: World) -> None:
    async with person(team, "alice") as alice, person(team, "bob") as bob:
        rows = [{"prompt": SECRET}]
        batch = (await alice.told("create_batch", rows=rows, model=MODEL))["batch_id"]
        (mine,) = (await alice.told("list_batches"))["batches"]
        files = {each["file_id"] for each in (await alice.told("list_files"))["files"]}
        assert mine["batch_id"] == batch
        assert {mine["input_file_id"], mine["output_file_id"]} <= files

        assert (await bob.told("list_batches"))["batches"] == []
        assert (await bob.told("list_files"))["files"] == []
        refused = [
            await bob.refused("get_batch", batch_id=batch, wait_seconds=0),
            await bob.refused("get_batch", batch_id=f" {batch} ", wait_seconds=0),
            await bob.refused("cancel_batch", batch_id=batch, confirm=True),
        ]
        for file in files:
            refused += [
                await bob.refused("get_file", file_id=file),
                await bob.refused("get_file_content", file_id=file),
                await bob.refused("create_batch", file_id=file, dry_run=True),
                await bob.refused("delete_file", file_id=file, confirm=True),
            ]
        with pytest.raises(MCPError, match="not found"):
            await bob.client.read_resource(f"novita://batches/{batch}")
        ref = ResourceTemplateReference(uri="novita://batches/{id}")
        assert (await bob.client.complete(ref, {"name": "id", "value": ""})).completion.values == []
        assert all("There is no " in each for each in refused), refused
        assert SECRET not in json.dumps(refused)
        assert (await bob.told("list_tasks"))["tasks"] == []  # none was adopted by the asking

        # The very same rows are a batch of his own, of a file of his own.
        his = (await bob.told("create_batch", rows=rows, model=MODEL))["batch_id"]
        assert his != batch
        (his_line,) = (await bob.told("list_batches"))["batches"]
        assert his_line["input_file_id"] not in files
        assert (await alice.told("get_batch", batch_id=batch, wait_seconds=5))["status"] == "succeeded"
        assert SECRET in (await alice.told("get_file_content", file_id=mine["input_file_id"]))["text"]


async def test_machines_and_endpoints_are_with_who_rents_them(team: SignInServer, world: World) -> None:
    async with person(team, "alice") as alice, person(team, "bob") as bob:
        product = (await alice.told("list_gpu_products"))["products"][0]["product_id"]
        machine = (await alice.told("create_gpu_instance", product_id=product, **MACHINE))["instance_id"]
        endpoint = (await alice.told("create_endpoint", **ENDPOINT))["endpoint_id"]

        assert (await bob.told("list_gpu_instances"))["instances"] == []
        assert (await bob.told("list_endpoints")).get("endpoints") in (None, [])
        refused = [
            await bob.refused("get_gpu_instance", instance_id=machine, access=True),
            await bob.refused("get_gpu_instance", instance_id="web"),
            await bob.refused("stop_gpu_instance", instance_id=machine, confirm=True),
            await bob.refused("delete_gpu_instance", instance_id=machine, confirm=True),
            await bob.refused("get_endpoint", endpoint_id=endpoint),
            await bob.refused("get_endpoint", endpoint_id="w"),
            await bob.refused("call_endpoint", endpoint_id=endpoint, path="/", confirm=True),
            await bob.refused("delete_endpoint", endpoint_id=endpoint, confirm=True),
        ]
        assert all("There is no " in each for each in refused), refused
        for uri in (f"novita://gpu/instances/{machine}", f"novita://serverless/endpoints/{endpoint}"):
            with pytest.raises(MCPError, match="not found"):
                await bob.client.read_resource(uri)
        assert "Nothing was running" in (await bob.told("stop_everything", confirm=True))["next_step"]
        # A machine of the same name is no second one of his.
        his = (await bob.told("create_gpu_instance", product_id=product, **MACHINE))["instance_id"]
        assert his != machine

        assert [each["instance_id"] for each in (await alice.told("list_gpu_instances"))["instances"]] == [machine]
        assert {each["id"] for each in (await alice.told("stop_everything", confirm=True))["stopped"]} == {
            machine,
            endpoint,
        }
    async with person(team, TEAM_KEY) as holder:
        seen = {each["instance_id"] for each in (await holder.told("list_gpu_instances"))["instances"]}
        assert seen == {machine, his}


async def test_sandboxes_are_with_who_made_them(team: SignInServer) -> None:
    async with person(team, "alice") as alice, person(team, "bob") as bob:
        made = (await alice.told("create_sandbox", timeout_minutes=5))["sandbox_id"]
        assert (await bob.told("list_sandboxes")).get("sandboxes") in (None, [])
        refused = [
            await bob.refused("get_sandbox", sandbox_id=made),
            await bob.refused("run_command", sandbox_id=made, command="env"),
            await bob.refused("delete_sandbox", sandbox_id=made, confirm=True),
        ]
        assert all("There is no " in each for each in refused), refused
        assert not any(made in each.partition("There are")[2] for each in refused)
        assert [each["sandbox_id"] for each in (await alice.told("list_sandboxes"))["sandboxes"]] == [made]
    async with person(team, TEAM_KEY) as holder:
        assert [each["sandbox_id"] for each in (await holder.told("list_sandboxes"))["sandboxes"]] == [made]
