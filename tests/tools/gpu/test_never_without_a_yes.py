"""Nothing is destroyed, rented or started without a yes: over all tools, whatever else is said.

Tools that destroy, and tools that rent by the hour, must take `confirm`; without it they ask, and until the answer is
yes Novita receives nothing but reads.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.facts import operations
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.serving import serve
from novita_mcp.tools import TOOLSETS
from novita_mcp.tools.kit.toolset import ToolSpec

from ...conftest import text_of
from ..gpu_stage import Json, Person

RENTS = {
    *("create_gpu_instance", "start_gpu_instance", "create_endpoint", "save_gpu_volume"),
    *("change_gpu_billing", "edit_gpu_instance"),
}
Say = Callable[[ToolSpec, Json], Awaitable[tuple[bool, str]]]

ASKING: list[ToolSpec] = [
    spec for toolset in TOOLSETS for spec in toolset.tools if spec.effect.destructive or spec.name in RENTS
]
READS = {name for name, operation in operations().items() if operation.method == "GET"}


def test_all_of_them_take_a_yes_and_are_marked_as_what_they_are() -> None:
    assert {spec.name for spec in ASKING} >= {"delete_gpu_instance", "stop_gpu_instance", "create_gpu_instance"}
    for spec in ASKING:
        parameters: Json = spec.build().taken["properties"]
        assert "confirm" in parameters, spec.name
        assert parameters["confirm"]["type"] == "boolean"
        assert not spec.effect.read_only


class ConsentScene:
    """A world with one of everything to lose, and a server's settings on it."""

    def __init__(self, world: World, url: str, folder: Path) -> None:
        self.world = world
        self.settings = Settings(
            api_key=DEFAULT_KEY, base_url=url, output_dir=folder, journal="off", toolsets="all", wait_seconds=0
        )
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {DEFAULT_KEY}"}) as http:
            self.ids = _furnish(http)

    def writes(self) -> int:
        """Requests so far that were not reads."""
        return sum(count for name, count in self.world.counters["received"].items() if name not in READS)


def _furnish(http: httpx.Client) -> Json:
    """Ids by the name of the argument that takes them; `id` by kind."""
    v1 = "/gpu-instance/openapi/v1"

    def post(path: str, body: Json) -> Any:
        answer = http.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else {}

    machine = {"name": "box", "productId": "4090.18c100g", "gpuNum": 1, "rootfsSize": 60, "imageUrl": "a/b:1"}
    template = {"name": "t", "type": "instance", "channel": "private", "image": "a/b", "rootfsSize": 60}
    running = post(f"{v1}/gpu/instance/create", {**machine, "kind": "gpu"})["id"]
    stopped = post(f"{v1}/gpu/instance/create", {**machine, "name": "still", "kind": "gpu"})["id"]
    http.get(f"{v1}/gpu/instances")
    post(f"{v1}/gpu/instance/stop", {"instanceId": stopped})
    http.get(f"{v1}/gpu/instances")
    post(f"{v1}/networkstorage/create", {"clusterId": "us-ca-06", "storageName": "s", "storageSize": 10})
    return {
        "instance_id": running,
        "stopped": stopped,
        "template_id": post(f"{v1}/template/create", {"template": template})["templateId"],
        "id": http.get(f"{v1}/networkstorages/list").json()["data"][0]["storageId"],
        "kind": "volume",
        "image": "a/c:2",
        "gpu": "4090",
    }


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Generator[ConsentScene]:
    world = World(WorldSettings(task_seconds=0))
    with serve(world) as running:
        yield ConsentScene(world, running.url, tmp_path_factory.mktemp("out"))


def arguments_of(spec: ToolSpec, ids: Json, *, extra: bool) -> st.SearchStrategy[Json]:
    """Arguments for a tool without `confirm`: ids that exist, and with `extra` any of the others."""
    schema: Json = spec.build().taken
    needed: dict[str, st.SearchStrategy[Any]] = {}
    others: dict[str, st.SearchStrategy[Any]] = {}
    for name, described in cast(dict[str, Json], schema["properties"]).items():
        if name == "confirm":
            continue
        values = st.just(ids[name]) if name in ids else _values(described)
        if name in schema.get("required", ()):
            needed[name] = values
        else:
            others[name] = values
    return st.fixed_dictionaries(needed, optional=others if extra else {})


def _values(described: Json) -> st.SearchStrategy[Any]:
    if "enum" in described:
        return st.sampled_from(described["enum"])
    match described.get("type"):
        case "integer":
            return st.integers(described.get("minimum", 1), described.get("maximum", 12))
        case "number":
            return st.floats(0.5, 100)
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(st.sampled_from(["80/http", "x"]), max_size=2, unique=True)
        case "object":
            return st.sampled_from([{}, {"entrypoint": "x"}])
        case _:
            return st.sampled_from(["x", "a/b:1", "name with spaces", "80/http"])


@asynccontextmanager
async def speaking(scene: ConsentScene, era: str, action: str) -> AsyncGenerator[tuple[Say, Person]]:
    """A client whose person answers with `action`; "nobody" cannot be asked."""
    person = Person(action)
    options: Json = {} if action == "nobody" else {"elicitation_callback": person}
    async with Client(create_app(scene.settings), mode=era, **options) as client:

        async def say(spec: ToolSpec, given: Json) -> tuple[bool, str]:
            result = await client.call_tool(spec.name, given)
            return bool(result.is_error), text_of(result)

        yield say, person


def drawn(strategy: st.SearchStrategy[Json], count: int = 8) -> list[Json]:
    """Examples, drawn beforehand: one client then serves them all."""
    found: list[Json] = []

    # Without its clocks: a busy machine is no fault of what is drawn.
    @hypothesis_settings(max_examples=count, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(strategy)
    def keep(example: Json) -> None:
        found.append(example)

    keep()
    return found


@pytest.mark.parametrize("action", ["nobody", "decline", "cancel"])
async def test_nothing_is_sent_before_the_yes(scene: ConsentScene, era: str, action: str) -> None:
    async with speaking(scene, era, action) as (say, person):
        for spec in ASKING:
            for arguments in drawn(arguments_of(spec, scene.ids, extra=True)):
                before, person.asked = scene.writes(), []
                error, text = await say(spec, arguments)
                assert scene.writes() == before, (spec.name, arguments, text)
                if person.asked:
                    assert action != "nobody" and error and "declined" in text


OURS = [spec for toolset in TOOLSETS if toolset.name.startswith("gpu") for spec in toolset.tools if spec in ASKING]
ENOUGH: dict[str, Json] = {
    "create_gpu_instance": {"image": "a/b:1", "gpu": "4090", "name": "fresh"},
    "edit_gpu_instance": {"ports": ["80/http"]},
    "upgrade_gpu_instance": {"image": "a/c:2"},
    "update_gpu_template": {"image": "a/c:2"},
    "save_gpu_volume": {"name": "v", "region": "texas", "size_gb": 10, "id": None},
    "change_gpu_billing": {"action": "to_monthly"},
}


@pytest.mark.parametrize("action", ["nobody", "decline", "cancel"])
@pytest.mark.parametrize("spec", OURS, ids=lambda spec: spec.name)
async def test_a_call_that_could_be_sent_asks_first(scene: ConsentScene, era: str, action: str, spec: ToolSpec) -> None:
    """So that the property above is not kept by mere errors."""
    schema: Json = spec.build().taken
    arguments = {name: scene.ids[name] for name in schema.get("required", ()) if name in scene.ids}
    arguments = {name: value for name, value in {**arguments, **ENOUGH.get(spec.name, {})}.items() if value}
    if spec.name == "start_gpu_instance":
        arguments["instance_id"] = scene.ids["stopped"]
    async with speaking(scene, era, action) as (say, person):
        error, text = await say(spec, arguments)
    if action == "nobody":
        assert not error and "needs_confirmation" in text and "confirm=true" in text
    else:
        assert len(person.asked) == 1
        assert error and "declined" in text and "Nothing was billed" in text
