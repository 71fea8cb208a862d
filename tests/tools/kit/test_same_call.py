"""Asking twice is not paying twice: the same call joins the job of the first, by the simulator's books.

Ours: what is the same, what joins, what was delivered, and how another one is asked for.
"""

import base64
import json
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from novita_mcp.novita.core.redaction import learn
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serverless.state import ServerlessState
from novita_mcp.tools.kit.same_call import kept_answer
from novita_mcp.tools.kit.toolset import Picture
from novita_mcp.tools.serverless.results import CallResult

from ...building import quick
from ...conftest import Connect, text_of
from ..gpu_stage import OpenStage, Stage, built_on
from ..media_things import picture, recording
from .joining import answered_once_joined

pytestmark = pytest.mark.old_models

Json = dict[str, Any]

FOX: Json = {"prompt": "a red fox in the snow", "model": "z-image-turbo", "size": "512x512"}


async def ask(client: Client, tool: str = "generate_image", **arguments: Any) -> Json:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


async def start(client: Client, world: World, **arguments: Any) -> Json:
    """Begin a picture and have no answer: it takes long, and nobody waits."""
    world.set(task_seconds=1_000)
    begun = await ask(client, **{**FOX, **arguments}, wait_seconds=0)
    assert begun["status"] == "working"
    return begun


def joined(answer: Json) -> bool:
    return "This is the job you started" in answer.get("next_step", "")


async def test_a_call_that_is_made_again_while_it_runs_joins_it_and_gets_the_whole_answer(
    connect: Connect, world: World
) -> None:
    async with connect() as client:
        first = await start(client, world)
        again = await ask(client, **FOX, wait_seconds=0)
        assert again["status"] == "working" and joined(again) and again["task_id"] == first["task_id"]
        world.advance(1_000)
        result = await client.call_tool("generate_image", FOX)
    answer: Json = result.structured_content or {}
    assert answer["status"] == "succeeded" and joined(answer) and answer["task_id"] == first["task_id"]
    assert "For variants use count or seed; again=true makes another." in answer["next_step"]
    assert Path(answer["artifacts"][0]["path"]).is_file()
    assert [block.type for block in result.content] == ["text", "image"]
    assert len(world.charges) == 1


async def test_what_was_delivered_is_made_anew(connect: Connect, world: World) -> None:
    async with connect() as client:
        first = await ask(client, **FOX)
        second = await ask(client, **FOX)
    assert not joined(second) and second["task_id"] != first["task_id"]
    assert len(world.charges) == 2


@pytest.mark.parametrize("how", [{"again": True}, {"again": "true"}, {"options": {"allow_duplicate": True}}])
async def test_another_one_is_made_where_it_is_asked_for(connect: Connect, world: World, how: Json) -> None:
    async with connect() as client:
        first = await start(client, world)
        again = await ask(client, **FOX, **how, wait_seconds=0)
        assert not joined(again) and again["task_id"] != first["task_id"]
    assert len(world.charges) == 2


@pytest.mark.parametrize(
    "changed", [{"seed": 8}, {"size": "768x768"}, {"prompt": "a red fox in the rain"}, {"options": {"seed": 8}}]
)
async def test_what_asks_for_something_else_is_another_call(connect: Connect, world: World, changed: Json) -> None:
    async with connect() as client:
        await start(client, world)
        assert not joined(await ask(client, **{**FOX, **changed}, wait_seconds=0))
    assert len(world.charges) == 2


@pytest.mark.parametrize(
    "said",
    [
        {"seed": None, "options": {}, "aspect_ratio": ""},
        {"wait_seconds": 1, "confirm": True},
        {"dry_run": False, "again": False},
        {"options": json.dumps({})},
        {"count": "1"},
        {"count": 1.0},
    ],
)
async def test_what_says_nothing_of_what_is_bought_makes_no_other_call(
    connect: Connect, world: World, said: Json
) -> None:
    count: Json = {"count": 1} if "count" in said else {}
    async with connect(build=quick) as client:
        first = await start(client, world, **count)
        arguments: Json = {**FOX, "wait_seconds": 0, **said}
        again = await ask(client, **arguments)
        assert joined(again) and again["task_id"] == first["task_id"]
    assert len(world.charges) == 1


async def test_calls_made_at_once_are_one_job_and_all_get_it(connect: Connect, world: World) -> None:
    answers: list[Json] = []
    async with connect() as client, anyio.create_task_group() as group:
        for _ in range(4):

            async def one() -> None:
                answers.append(await ask(client, **FOX))

            group.start_soon(one)
    assert len({answer["task_id"] for answer in answers}) == 1
    assert sum(joined(answer) for answer in answers) == 3
    assert all(answer["artifacts"] == answers[0]["artifacts"] for answer in answers)
    assert len(world.charges) == 1


async def test_get_task_delivers(connect: Connect, world: World) -> None:
    async with connect() as client:
        first = await start(client, world)
        looked = await ask(client, "get_task", task_id=first["task_id"], wait_seconds=0)
        assert looked["status"] == "working"
        world.advance(1_000)
        world.set(task_seconds=0)
        await ask(client, "get_task", task_id=first["task_id"])
        assert not joined(await ask(client, **FOX))
    assert len(world.charges) == 2


async def test_an_answer_that_came_when_hosts_have_given_up_is_given_once_more(connect: Connect, world: World) -> None:
    """Written 60 s after its call: hosts that wait 60 s have told their model to try again."""
    world.set(task_seconds=60)
    async with connect(build=built_on(world)) as client:
        first = await ask(client, **FOX, wait_seconds=100)
        assert first["status"] == "succeeded"
        second = await ask(client, **FOX, wait_seconds=100)
        assert joined(second) and second["artifacts"] == first["artifacts"]
        assert not joined(await ask(client, **FOX, wait_seconds=0))
    assert len(world.charges) == 2


@pytest.mark.parametrize(("later", "joins"), [(550, True), (650, False)])
async def test_what_was_given_to_nobody_is_joined_for_ten_minutes(
    connect: Connect, world: World, later: int, joins: bool
) -> None:
    world.set(task_seconds=60)
    async with connect(build=built_on(world)) as client:
        await ask(client, **FOX, wait_seconds=100)
        world.advance(later)
        assert joined(await ask(client, **FOX, wait_seconds=0)) is joins
    assert len(world.charges) == (1 if joins else 2)


async def test_a_failed_job_that_nobody_heard_of_is_told_once(connect: Connect, world: World) -> None:
    async with connect() as client:
        world.fail_next_task("no luck")
        await start(client, world)
        world.advance(1_000)
        world.set(task_seconds=0)
        told = await client.call_tool("generate_image", FOX)
        assert told.is_error and "no luck" in text_of(told) and "This is the job you started" in text_of(told)
        assert (await ask(client, **FOX))["status"] == "succeeded"


async def test_an_error_that_was_told_is_no_job_to_join(connect: Connect, world: World) -> None:
    world.trouble({"status": 400, "body": '{"code": 400, "reason": "INVALID", "message": "no"}'}, method="POST")
    async with connect() as client:
        refused = await client.call_tool("generate_image", FOX)
        assert refused.is_error
        assert not joined(await ask(client, **FOX))
    assert len(world.charges) == 1


async def test_a_question_is_no_purchase(connect: Connect, world: World) -> None:
    async with connect(confirm_above_usd=0) as client:
        asked = await ask(client, **FOX)
        assert asked["status"] == "needs_confirmation"
        world.set(task_seconds=1_000)
        said_yes = await ask(client, **FOX, confirm=True, wait_seconds=0)
        assert not joined(said_yes) and said_yes["status"] == "working"
        unasked = await ask(client, **FOX, wait_seconds=0)
        assert joined(unasked), "to join costs nothing, so nobody is asked"
    assert len(world.charges) == 1


async def test_files_count_by_their_content(connect: Connect, world: World, tmp_path: Path) -> None:
    one = Path(picture(tmp_path / "one.png"))
    other = tmp_path / "other.png"
    shutil.copy(one, other)
    pasted = f"data:image/png;base64,{base64.b64encode(one.read_bytes()).decode()}"
    world.set(task_seconds=1_000)
    film: Json = {"prompt": "it snows", "wait_seconds": 0}
    async with connect() as client:
        first = await ask(client, "generate_video", **film, image=str(one))
        for same in (str(other), pasted):
            again = await ask(client, "generate_video", **film, image=same)
            assert joined(again) and again["task_id"] == first["task_id"]
        shutil.copy(picture(tmp_path / "new.png", size=(640, 400)), one)
        assert not joined(await ask(client, "generate_video", **film, image=str(one)))
    assert len(world.charges) == 2


async def test_without_a_journal_it_holds_for_the_process(connect: Connect, world: World) -> None:
    async with connect(journal="off") as client:
        first = await start(client, world)
        assert (await ask(client, **FOX, wait_seconds=0))["task_id"] == first["task_id"]
    async with connect(journal="off") as client:
        assert not joined(await ask(client, **FOX, wait_seconds=0))
    assert len(world.charges) == 2


async def test_talk_is_made_anew(connect: Connect, world: World) -> None:
    async with connect() as client, anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(client.call_tool, "chat", {"prompt": "Say something about foxes.", "max_tokens": 50})
    assert world.count("create_chat_completion") == 2


RENTED: dict[str, tuple[Json, str]] = {
    "create_gpu_instance": ({"image": "docker.io/library/ubuntu:24.04", "gpu": "4090"}, "instance_id"),
    "create_endpoint": ({"image": "docker.io/library/nginx:1", "port": 80}, "endpoint_id"),
}
CREATES = {"create_gpu_instance": "create_gpu_instance", "create_endpoint": "create_serverless_endpoint"}


@pytest.mark.parametrize("tool", RENTED)
async def test_what_is_rented_is_created_once_until_it_was_given(opened: OpenStage, world: World, tool: str) -> None:
    wish, named = RENTED[tool]
    world.set(task_seconds=60)
    async with opened() as on:
        first = await on.call(tool, **wish, wait_seconds=0, confirm=True)
        assert first["status"] == "working"
        second = await on.call(tool, **wish, wait_seconds=0)
        assert joined(second) and second[named] == first[named], "nobody is asked: it costs nothing more"
        third = await on.call(tool, **wish, wait_seconds=600, confirm=True)
        assert third["status"] in ("running", "serving") and joined(third)
        assert world.count(CREATES[tool]) == 1
        await on.call(tool.replace("create", "get"), **{named: first[named]})
        refused = await on.refused(tool, **wish, confirm=True)
        assert "exists already" in refused and "again=true" in refused
        other = await on.call(tool, **wish, again=True, confirm=True, wait_seconds=0)
        assert not joined(other) and other[named] != first[named]
    assert world.count(CREATES[tool]) == 2


async def test_an_instance_that_was_deleted_since_is_not_joined(opened: OpenStage, world: World) -> None:
    wish, _ = RENTED["create_gpu_instance"]
    world.set(task_seconds=60)
    async with opened() as on:
        first = await on.call("create_gpu_instance", **wish, wait_seconds=0, confirm=True)
        world.advance(300)
        await on.call("delete_gpu_instance", instance_id=first["instance_id"], confirm=True)
        second = await on.call("create_gpu_instance", **wish, wait_seconds=0, confirm=True)
        assert not joined(second) and second["instance_id"] != first["instance_id"]


async def test_a_batch_is_one_until_another_is_asked_for(connect: Connect, world: World) -> None:
    rows: Json = {"rows": [{"prompt": "a"}, {"prompt": "b"}], "options": {"max_tokens": 50}}
    async with connect(toolsets="all") as client:
        first = await ask(client, "create_batch", **rows)
        second = await ask(client, "create_batch", **rows)
        assert joined(second) and second["batch_id"] == first["batch_id"]
        third = await ask(client, "create_batch", **rows, again=True)
        assert third["batch_id"] != first["batch_id"]
    assert world.count("create_batch") == 2


async def test_a_voice_is_cloned_once(connect: Connect, world: World, tmp_path: Path) -> None:
    sample = recording(tmp_path / "words.mp3", "the fox sleeps in the snow and dreams of summer", world)
    answers: list[Json] = []
    async with connect(toolsets="all") as client, anyio.create_task_group() as group:
        for _ in range(2):

            async def one() -> None:
                answers.append(await ask(client, "clone_voice", audio=sample, name="Fox"))

            group.start_soon(one)
    assert answers[0]["values"] == answers[1]["values"] and sum(map(joined, answers)) == 1
    assert len(world.charges) == 1


@pytest.mark.parametrize(
    ("tool", "arguments", "operation"),
    [
        ("search_web", {"query": "foxes"}, "exa_search"),
        ("create_embeddings", {"texts": ["a fox", "a red fox"]}, "create_embeddings"),
        (
            "save_gpu_volume",
            {"name": "data", "size_gb": 10, "region": "us-ca-06", "confirm": True},
            "create_network_storage",
        ),
    ],
)
async def test_what_is_answered_at_once_is_made_once_for_calls_at_the_same_time(
    connect: Connect, world: World, tool: str, arguments: Json, operation: str
) -> None:
    async with connect(toolsets="all") as client:
        with answered_once_joined(world, 2):
            answers = await all_ask([client] * 3, tool, **arguments)
        assert sum(map(joined, answers)) == 2
        assert world.count(operation) == 1


AWAITED: dict[str, tuple[Json, str]] = {
    "search_web": ({"query": "foxes"}, "exa_search"),
    "read_web_pages": ({"urls": ["https://example.com/fox"]}, "exa_contents"),
    "create_embeddings": ({"texts": ["a fox", "a red fox"], "inline": True}, "create_embeddings"),
    "rerank": ({"query": "a fox", "documents": ["tax law", "the red fox"]}, "create_rerank"),
}


@asynccontextmanager
async def servers(connect: Connect, count: int = 3) -> AsyncGenerator[list[Client]]:
    """Clients of so many servers on one journal. Each stands for a process of its own."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect(toolsets="all")) for _ in range(count)]


async def all_ask(clients: Iterable[Client], tool: str, **arguments: Any) -> list[Json]:
    """What each is answered that asks for the same at the same moment."""
    answers: list[Json] = []

    async def one(client: Client) -> None:
        answers.append(await ask(client, tool, **arguments))

    async with anyio.create_task_group() as group:
        for client in clients:
            group.start_soon(one, client)
    return answers


@pytest.mark.parametrize("tool", AWAITED)
async def test_what_is_answered_at_once_is_made_once_by_servers_that_race(
    connect: Connect, world: World, tool: str
) -> None:
    arguments, operation = AWAITED[tool]
    async with servers(connect) as clients:
        with answered_once_joined(world, 2):
            answers = await all_ask(clients, tool, **arguments)
    assert sum(map(joined, answers)) == 2
    plain = [{name: value for name, value in answer.items() if name != "next_step"} for answer in answers]
    assert plain[0] == plain[1] == plain[2]
    assert world.count(operation) == 1


async def test_a_search_that_was_given_up_is_had_by_the_same_call_of_another_server(
    connect: Connect, world: World
) -> None:
    """A host that cuts off at 5 s, and tells its model to try again; what Novita has begun to answer is paid for."""
    async with connect(toolsets="all") as client, connect(toolsets="all") as other:
        with answered_once_joined(world, 1):
            async with anyio.create_task_group() as cut:
                cut.start_soon(client.call_tool, "search_web", {"query": "foxes"})
                with anyio.fail_after(60):
                    while not world.count("exa_search"):
                        await anyio.sleep(0.005)
                cut.cancel_scope.cancel()
            again = await ask(other, "search_web", query="foxes")
        assert joined(again) and again["results"]
        assert not joined(await ask(other, "search_web", query="foxes")), "that one was given it"
    assert world.count("exa_search") == 2


async def test_an_answer_of_a_service_that_came_too_late_is_had_by_another_server(
    opened: OpenStage, world: World
) -> None:
    wish, _ = RENTED["create_endpoint"]
    slow: Json = {"path": "/?_seconds=60", "wait_seconds": 100}
    answers: list[Json] = []

    async def a_minute_later(on: Stage) -> None:
        """Asks the service, whose answer comes when hosts that wait 60 s have given up."""
        pool = world.area(ServerlessState).all[slow["endpoint_id"]].pool

        async def asks() -> None:
            answers.append(await on.call("call_endpoint", **slow))

        async with anyio.create_task_group() as group:
            group.start_soon(asks)
            with anyio.fail_after(60):
                while not pool.held:
                    await anyio.sleep(0.005)
            world.advance(60)

    async with opened() as on, opened() as other:
        slow["endpoint_id"] = (await on.call("create_endpoint", **wish, min_workers=1, confirm=True))["endpoint_id"]
        await a_minute_later(on)
        answers.append(await other.call("call_endpoint", **slow))
        await a_minute_later(other)
    first, second, third = answers
    assert joined(second) and second["result"] == first["result"]
    assert not joined(first) and not joined(third)
    assert world.count("invoke_sync_endpoint") == 2


async def test_a_call_whose_answer_is_lost_is_not_sent_again_by_who_waits_for_it(
    opened: OpenStage, world: World
) -> None:
    """It may have been paid for: both are told so. The waiting passes the time."""
    told: list[str] = []
    async with opened() as on, opened() as other:
        wish, _ = RENTED["create_endpoint"]
        endpoint = (await on.call("create_endpoint", **wish, min_workers=1, confirm=True))["endpoint_id"]
        pool, slow = world.area(ServerlessState).all[endpoint].pool, {"endpoint_id": endpoint, "path": "/?_seconds=20"}
        world.trouble({"reset": "after"}, operation="invoke_sync_endpoint")

        async def asks(each: Stage) -> None:
            told.append(await each.refused("call_endpoint", **slow))

        async with anyio.create_task_group() as group:
            group.start_soon(asks, on)
            with anyio.fail_after(60):
                while not pool.held:
                    await anyio.sleep(0.005)
            group.start_soon(asks, other)
    assert world.count("invoke_sync_endpoint") == 1
    assert all("may have been billed" in text for text in told)
    assert sum("This is the job you started" in text for text in told) == 1


async def test_an_answer_is_kept_no_longer_than_it_is_joined(opened: OpenStage, world: World, tmp_path: Path) -> None:
    async with opened(toolsets="all") as on:
        await on.call("search_web", query="foxes")
        await on.call("search_web", query="snow")
        db = sqlite3.connect(tmp_path / "journal.sqlite3")
        assert db.execute("SELECT COUNT(*) FROM answers").fetchone() == (2,)
        world.advance(601)
        await on.call("search_web", query="winter")
        assert db.execute("SELECT COUNT(*) FROM answers").fetchone() == (1,)
        db.close()


def test_an_answer_is_kept_without_secrets_and_with_its_pictures() -> None:
    result = CallResult(status="succeeded", endpoint_id="e", text="the key is sk-a-secret-of-the-service")
    result.show([Picture(data=b"png", mime="image/png")])
    learn("sk-a-secret-of-the-service")
    kept = json.loads(kept_answer(result))
    assert kept["fields"]["text"].startswith("the key is ") and "sk-a-secret" not in json.dumps(kept)
    assert kept["pictures"] == [[base64.b64encode(b"png").decode(), "image/png"]]
