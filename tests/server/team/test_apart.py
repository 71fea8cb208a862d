"""Callers of one server have nothing to do with each other, through whatever door they come, in both eras.

The world is a permissive Novita: all keys belong to one account, so that it would tell anybody of any task. What
keeps callers apart is this server alone. So it is with people who sign in and spend with one key of their team.
"""

import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceTemplateReference, TextResourceContents
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.serving import serve

from ...conftest import text_of
from ...serving import serve_asgi
from ...storage import Storage, run_storage
from ..callers import caller, facts
from ..sign_in.authority import Authorities, authorization_server
from ..sign_in.serving import signing_in
from ..test_mcp_tasks import Tasks, ask, start

UNKNOWN, HEADER_MISMATCH = -32602, -32020
OTHER_KEY = "sk-somebody-else"
SECRET = "my secret fox"
A_DAY = int(time.time()) + 86_400


@dataclass(frozen=True)
class TeamScene:
    """A running server, and what its first caller has there: ids of tasks with files and without, and a handle.

    Args:
        mine: What the first caller sends as bearer: a key, or a token.
        others: What another sends.
    """

    url: str
    mine: str
    others: str
    world: World
    tasks: tuple[str, ...]
    handle: str
    before: int


@pytest.fixture(scope="module")
def storage() -> Generator[Storage]:
    with run_storage() as running:
        yield running


@pytest.fixture(scope="module")
def authority() -> Generator[Authorities]:
    with authorization_server() as held:
        yield held


@pytest.fixture(scope="module", params=["links", "storage", "subjects"])
def scene(
    request: pytest.FixtureRequest,
    storage: Storage,
    authority: Authorities,
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[TeamScene]:
    world = World(WorldSettings(task_seconds=0, old_models=True))
    world.accounts[OTHER_KEY] = world.accounts[DEFAULT_KEY]
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, serve(world) as simulator:
        for name, value in {**storage.credentials, "XDG_DATA_HOME": str(home), "HOME": str(home)}.items():
            patch.setenv(name, value)
        settings = Settings(
            base_url=simulator.url,
            journal=str(home / "journal.sqlite3"),
            artifacts="" if request.param == "links" else storage.url(),
        )
        if request.param == "subjects":
            with signing_in(settings, authority, team_key=DEFAULT_KEY, vault_keys="") as running:
                mine, others = running.token("alice", exp=A_DAY), running.token("bob", exp=A_DAY)
                tasks, handle = anyio.run(make_things, running.url, mine)
                yield TeamScene(running.url, mine, others, world, tasks, handle, len(world.charges))
            return
        with serve_asgi(http_app(web_server(settings), settings)) as url:
            tasks, handle = anyio.run(make_things, url, DEFAULT_KEY)
            yield TeamScene(url, DEFAULT_KEY, OTHER_KEY, world, tasks, handle, len(world.charges))


async def make_things(url: str, key: str) -> tuple[tuple[str, ...], str]:
    async with caller(url, key, mode="auto") as client:
        done = facts(await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": SECRET}))
        started = facts(
            await client.call_tool(
                "generate_image", {"model": "qwen-image-txt2img", "prompt": SECRET, "wait_seconds": 0, "again": True}
            )
        )
        spoken = facts(await client.call_tool("generate_speech", {"text": SECRET}))
    async with caller(url, key, mode="auto", extensions=[Tasks()]) as client:
        answer = await start(client, {"prompt": SECRET, "model": "qwen-image-txt2img", "again": True})
    return (done["task_id"], started["task_id"], spoken["task_id"]), answer.task_id


def words(id: str) -> st.SearchStrategy[str]:
    """The id itself, and what somebody might try instead."""
    return st.one_of(
        st.just(id),
        st.integers(1, len(id) - 1).map(lambda end: id[:end]),
        st.sampled_from([id.upper(), f" {id} ", f"{id}%", f"%{id[4:]}", f"{id}' OR '1'='1", f"../{id}", f"{id}/0"]),
    )


Attempt = Callable[[Client, str], Any]


async def by_get_task(client: Client, id: str) -> str:
    answer = await client.call_tool("get_task", {"task_id": id, "wait_seconds": 0})
    assert answer.is_error
    return text_of(answer)


async def by_input(client: Client, id: str) -> str:
    answer = await client.call_tool("edit_image", {"image": f"task:{id}/0", "prompt": "a hat"})
    assert answer.is_error
    return text_of(answer)


async def by_task_resource(client: Client, id: str) -> str:
    return await read(client, f"novita://tasks/{id}")


async def by_artifact_resource(client: Client, id: str) -> str:
    return await read(client, f"novita://artifacts/{id}/0")


async def read(client: Client, uri: str) -> str:
    with pytest.raises(MCPError) as caught:
        await client.read_resource(uri)
    return str(caught.value)


async def by_lists(client: Client, id: str) -> str:
    listed = facts(await client.call_tool("list_tasks", {}))
    assert listed["tasks"] == []
    resource = (await client.read_resource("novita://tasks")).contents[0]
    assert isinstance(resource, TextResourceContents)
    assert json.loads(resource.text)["tasks"] == []
    ref = ResourceTemplateReference(uri="novita://tasks/{id}")
    found = await client.complete(ref, {"name": "id", "value": id[:1]})
    assert found.completion.values == []
    return ""


DOORS: tuple[Attempt, ...] = (by_get_task, by_input, by_task_resource, by_artifact_resource, by_lists)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@examples(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_anothers_task_is_not_found_through_any_door(scene: TeamScene, mode: str, data: st.DataObject) -> None:
    door = data.draw(st.sampled_from(DOORS))
    id = data.draw(st.sampled_from(scene.tasks).flatmap(words))

    async def attempt() -> str:
        async with caller(scene.url, scene.others, mode=mode) as client:
            return await door(client, id)

    told = anyio.run(attempt)
    if id in scene.tasks and door is not by_lists:
        assert "not found" in told.lower() or "there is no result" in told.lower()
    assert SECRET not in told
    assert "s3://" not in told
    assert len(scene.world.charges) == scene.before


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel"])
@examples(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_anothers_handle_is_unknown(scene: TeamScene, method: str, data: st.DataObject) -> None:
    handle = data.draw(words(scene.handle))

    async def attempt() -> MCPError:
        async with caller(scene.url, scene.others, mode="auto", extensions=[Tasks()]) as client:
            with pytest.raises(MCPError) as caught:
                await ask(client, method, handle)
            return caught.value

    # A handle with blanks around it is not even the one its header names.
    assert anyio.run(attempt).error.code in (UNKNOWN, HEADER_MISMATCH)


def test_the_owner_finds_all_of_it(scene: TeamScene) -> None:
    """The doors do open: to the caller whose things they are."""

    async def look() -> None:
        async with caller(scene.url, scene.mine, mode="auto", extensions=[Tasks()]) as client:
            listed = facts(await client.call_tool("list_tasks", {}))
            assert set(scene.tasks) <= {task["task_id"] for task in listed["tasks"]}
            for id in scene.tasks:
                assert not (await client.call_tool("get_task", {"task_id": id})).is_error
                assert (await client.read_resource(f"novita://artifacts/{id}/0")).contents
            assert (await ask(client, "tasks/get", scene.handle)).status == "completed"

    anyio.run(look)
