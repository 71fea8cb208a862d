"""Hosts cut calls off and tell their model to try again: however it is cut, one job is paid for, and all of it is had.

By the simulator's books, over stdio and HTTP, in both eras, and with one process per call.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp_types.version import LATEST_MODERN_VERSION
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.media.tasks import TaskStore
from novita_mcp.simulator.serving import Running

from ..serving import serve_asgi
from ..tools.kit.joining import answered_once_joined
from .callers import result_of
from .children import PATIENCE, Child, child

pytestmark = pytest.mark.old_models

Json = dict[str, Any]

FOX: Json = {"model": "z-image-turbo", "prompt": "a red fox in the snow", "seed": 7, "size": "512x512"}
OTHER_KEY = "sk-somebody-else"
OTHER_SEED: Json = {**FOX, "seed": 8}


def params(era: str, arguments: Json, tool: str = "generate_image") -> Json:
    meta: Json = {"progressToken": "p"}
    if era == "auto":
        meta |= {
            "io.modelcontextprotocol/protocolVersion": LATEST_MODERN_VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    return {"name": tool, "arguments": arguments, "_meta": meta}


def greet(server: Child, era: str) -> None:
    if era == "legacy":
        server.initialize()


def ask(server: Child, era: str, arguments: Json = FOX) -> int:
    return server.send("tools/call", params(era, arguments))


def told(server: Child, request: int) -> Json:
    return all_told(server, request)[0]


def all_told(server: Child, *requests: int) -> list[Json]:
    """The answers, in whatever order they come."""
    found: dict[int, Json] = {}
    while len(found) < len(requests):
        message = server.next()
        if message.get("id") in requests and "method" not in message:
            assert not message["result"].get("isError"), message
            found[message["id"]] = message["result"]["structuredContent"]
    return [found[request] for request in requests]


def joined(answer: Json) -> bool:
    return "This is the job you started" in answer.get("next_step", "")


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.01)


def let_it_end(world: World) -> None:
    for task in world.area(TaskStore).tasks.values():
        task.endless = False


def whole(answer: Json) -> bool:
    """Whether all of it is there: the file on disk."""
    return answer["status"] == "succeeded" and Path(answer["artifacts"][0]["path"]).is_file()


@pytest.mark.parametrize("way", ["cancelled", "in silence"])
def test_a_call_cut_off_over_stdio_and_made_again_is_one_charge(
    way: str, era: str, simulator: Running, world: World, tmp_path: Path
) -> None:
    world.never_end_next_task()
    with child(tmp_path, simulator.url) as server:
        greet(server, era)
        first = ask(server, era)
        until(lambda: world.charges)
        if way == "cancelled":
            server.send("notifications/cancelled", {"requestId": first, "reason": "too slow"}, notify=True)
        second = ask(server, era)
        third = ask(server, era)
        told(server, server.send("tools/call", params(era, {}, "list_tasks")))  # both are on their way
        let_it_end(world)
        answers = all_told(server, second, third)
        assert all(joined(answer) and whole(answer) for answer in answers)
        assert len({answer["task_id"] for answer in answers}) == 1
        assert len(world.charges) == 1

        assert not joined(told(server, ask(server, era, OTHER_SEED)))
        assert len(world.charges) == 2


def test_an_answer_that_a_cancelled_call_never_got_is_given_to_the_next(
    era: str, simulator: Running, world: World, tmp_path: Path
) -> None:
    """It ended in between, and nobody was there."""
    world.never_end_next_task()
    with child(tmp_path, simulator.url) as server:
        greet(server, era)
        first = ask(server, era)
        until(lambda: world.charges)
        server.send("notifications/cancelled", {"requestId": first}, notify=True)
        let_it_end(world)
        second = told(server, ask(server, era))
        assert joined(second) and whole(second)
        third = told(server, ask(server, era))
        assert not joined(third), "the second call was given it"
        assert len(world.charges) == 2


def test_processes_that_make_the_same_call_at_once_are_one_charge(
    era: str, simulator: Running, world: World, tmp_path: Path
) -> None:
    """LangChain starts a process for every call."""
    world.never_end_next_task()
    places = {"NOVITA_MCP_JOURNAL": str(tmp_path / "journal.sqlite3"), "NOVITA_MCP_OUTPUT_DIR": str(tmp_path / "out")}
    with ExitStack() as stack:
        servers: list[Child] = []
        for number in range(3):
            home = tmp_path / str(number)
            home.mkdir()
            servers.append(stack.enter_context(child(home, simulator.url, **places)))
        for server in servers:
            greet(server, era)
        requests = [ask(server, era) for server in servers]
        for server in servers:
            server.progress("s")  # each is on its way
        until(lambda: world.charges)
        servers[0].process.kill()
        let_it_end(world)
        answers = [told(server, request) for server, request in list(zip(servers, requests, strict=True))[1:]]
        assert all(whole(answer) for answer in answers)
        assert len({answer["task_id"] for answer in answers}) == 1
        assert len(world.charges) == 1
        told(servers[1], ask(servers[1], era, OTHER_SEED))
        assert len(world.charges) == 2


def head(era: str, key: str, tool: str = "generate_image") -> dict[str, str]:
    version = LATEST_MODERN_VERSION if era == "auto" else "2025-11-25"
    more = {"Mcp-Method": "tools/call", "Mcp-Name": tool} if era == "auto" else {}
    return {
        "Authorization": f"Bearer {key}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": version,
        **more,
    }


def message(era: str, arguments: Json = FOX, tool: str = "generate_image") -> Json:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params(era, arguments, tool)}


async def asked(
    http: httpx.AsyncClient, era: str, arguments: Json = FOX, key: str = DEFAULT_KEY, tool: str = "generate_image"
) -> Json:
    """The structured answer of a call."""
    answer = await http.post("/mcp", json=message(era, arguments, tool), headers=head(era, key, tool))
    result = result_of(answer)
    assert result is not None, answer.text
    assert not result.get("isError"), result
    return result["structuredContent"]


async def test_a_line_that_drops_over_http_and_a_call_made_again_are_one_charge(
    era: str, settings: Settings, world: World
) -> None:
    world.add_account(OTHER_KEY)
    world.never_end_next_task()
    with anyio.fail_after(PATIENCE), serve_asgi(http_app(web_server(settings), settings)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
            for _ in range(2):
                async with http.stream("POST", "/mcp", json=message(era), headers=head(era, DEFAULT_KEY)) as answer:
                    async for line in answer.aiter_lines():
                        if line.startswith("data:") and world.charges:
                            break
                assert len(world.charges) == 1
            let_it_end(world)
            last = await asked(http, era)
            assert joined(last) and last["status"] == "succeeded"
            assert len(world.charges) == 1

            stranger = await asked(http, era, key=OTHER_KEY)
            assert not joined(stranger) and stranger["task_id"] != last["task_id"]
            assert len(world.charges) == 2
            await asked(http, era, OTHER_SEED)
            assert len(world.charges) == 3


async def test_what_is_answered_at_once_goes_on_when_the_line_drops_and_is_had_by_the_next_call(
    era: str, settings: Settings, world: World
) -> None:
    """Thousands of texts are embedded in two requests; the line drops between them."""
    texts: Json = {"texts": [f"fox {number}" for number in range(2_100)]}
    tool = "create_embeddings"
    with (
        anyio.fail_after(PATIENCE),
        answered_once_joined(world, 1, skip=1),
        serve_asgi(http_app(web_server(settings), settings)) as url,
    ):
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
            dropped = message(era, texts, tool)
            async with http.stream("POST", "/mcp", json=dropped, headers=head(era, DEFAULT_KEY, tool)) as answer:
                async for line in answer.aiter_lines():
                    if "1 of 2 parts" in line:
                        break
            again = await asked(http, era, texts, tool=tool)
            assert joined(again) and again["status"] == "succeeded"
            assert world.count("create_embeddings") == 2


async def test_a_call_cut_off_at_one_copy_of_the_server_and_made_again_at_another_is_one_charge(
    era: str, settings: Settings, world: World
) -> None:
    """A team's server runs in several copies behind one address, on one journal."""
    world.never_end_next_task()
    with ExitStack() as stack, anyio.fail_after(PATIENCE):
        urls = [stack.enter_context(serve_asgi(http_app(web_server(settings), settings))) for _ in range(2)]
        async with (
            httpx.AsyncClient(base_url=urls[0], timeout=PATIENCE) as first,
            httpx.AsyncClient(base_url=urls[1], timeout=PATIENCE) as other,
        ):
            async with first.stream("POST", "/mcp", json=message(era), headers=head(era, DEFAULT_KEY)) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data:") and world.charges:
                        break
            let_it_end(world)
            last = await asked(other, era)
            assert joined(last) and last["status"] == "succeeded"
            assert len(world.charges) == 1
            assert not joined(await asked(other, era, OTHER_SEED))
            assert len(world.charges) == 2


async def test_two_people_who_ask_for_the_same_at_the_same_moment_never_join(
    era: str, settings: Settings, world: World
) -> None:
    world.add_account(OTHER_KEY)
    found: list[Json] = []
    with anyio.fail_after(PATIENCE), serve_asgi(http_app(web_server(settings), settings)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http, anyio.create_task_group() as group:

            async def one(key: str) -> None:
                found.append(await asked(http, era, key=key))

            for key in (DEFAULT_KEY, OTHER_KEY) * 2:
                group.start_soon(one, key)
    assert len({answer["task_id"] for answer in found}) == 2
    assert {charge.account.name for charge in world.charges} and len(world.charges) == 2
