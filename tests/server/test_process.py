"""Life of the process: how it ends, whatever it is doing, and that it stays awake while it works.

Promises of ours: out within a second, code 0 or 128+n, no traceback, nothing on stdout but JSON-RPC.
"""

import json
import re
import signal
import sys
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.media.tasks import TaskStore
from novita_mcp.simulator.serving import Running

from .children import OUT_WITHIN, PATIENCE, Child, child

pytestmark = [
    pytest.mark.slow,
    pytest.mark.old_models,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]

FOX = {"model": "qwen-image-txt2img", "prompt": "a fox that is never finished"}
BEARER = {"Authorization": f"Bearer {DEFAULT_KEY}"}


def hang_up(server: Child) -> None:
    assert server.process.stdin is not None
    server.process.stdin.close()


def terminate(server: Child) -> None:
    server.process.send_signal(signal.SIGTERM)


def interrupt(server: Child) -> None:
    server.process.send_signal(signal.SIGINT)


ENDINGS: list[tuple[Callable[[Child], None], int]] = [(hang_up, 0), (terminate, 143), (interrupt, 130)]


def assert_clean(server: Child) -> None:
    assert "Traceback" not in server.stderr()
    for line in server.stdout:
        assert json.loads(line)["jsonrpc"] == "2.0"


@pytest.mark.parametrize(("end", "code"), ENDINGS)
def test_an_idle_server_leaves_at_once(
    end: Callable[[Child], None], code: int, simulator: Running, tmp_path: Path
) -> None:
    with child(tmp_path, simulator.url) as server:
        server.initialize()

        end(server)

        assert server.exit_code() == code
        assert_clean(server)


@pytest.mark.parametrize(("end", "code"), ENDINGS)
def test_a_server_that_waits_for_a_task_leaves_at_once_and_forgets_nothing(
    end: Callable[[Child], None], code: int, simulator: Running, world: World, tmp_path: Path
) -> None:
    world.never_end_next_task()
    with child(tmp_path, simulator.url) as server:
        server.initialize()
        server.call("generate_image", FOX)
        server.progress("accepted")

        end(server)

        assert server.exit_code() == code
        assert_clean(server)
    (job,) = anyio.run(journaled, tmp_path)
    assert (job.state, world.count("qwen_image_txt2img")) == (JobState.WORKING, 1)
    assert job.task_id in world.area(TaskStore).tasks


@pytest.mark.parametrize(("end", "code"), ENDINGS)
def test_a_server_in_the_middle_of_a_submit_leaves_at_once_and_says_it_is_unclear(
    end: Callable[[Child], None], code: int, simulator: Running, world: World, tmp_path: Path
) -> None:
    world.trouble({"hang": True}, operation="qwen_image_txt2img")
    with child(tmp_path, simulator.url) as server:
        server.initialize()
        server.call("generate_image", FOX)
        server.progress("submitting")
        while not world.count("qwen_image_txt2img"):
            server.answer(server.send("ping"))

        end(server)

        assert server.exit_code() == code
        assert_clean(server)
    (job,) = anyio.run(journaled, tmp_path)
    assert job.state is JobState.UNCONFIRMED


async def journaled(home: Path) -> list[Any]:
    journal = Journal(home / "journal.sqlite3")
    try:
        return await journal.recent(owner_of(DEFAULT_KEY), limit=10)
    finally:
        await journal.close()


def test_a_server_told_to_end_before_it_was_spoken_to_ends(simulator: Running, tmp_path: Path) -> None:
    with child(tmp_path, simulator.url) as server:
        hang_up(server)

        assert server.process.wait(timeout=PATIENCE) == 0
        assert_clean(server)


def test_sixty_four_slow_calls_do_not_stop_a_ping(simulator: Running, world: World, tmp_path: Path) -> None:
    world.never_end_next_task(times=64)
    with child(tmp_path, simulator.url) as server:
        server.initialize()
        calls = {server.call("generate_image", {**FOX, "prompt": f"fox {number}"}) for number in range(64)}
        accepted = 0
        while accepted < 64:
            message = server.next()
            assert message.get("id") not in calls, message
            accepted += "accepted" in str(message.get("params", {}).get("message"))

        assert server.answer(server.send("ping"))["result"] == {}

        assert world.count("qwen_image_txt2img") == 64
        hang_up(server)
        assert server.exit_code() == 0
        assert_clean(server)


@contextmanager
def http_child(home: Path, novita: str) -> Generator[tuple[Child, str]]:
    with child(home, novita, "serve", "--http", "--port", "0") as server:
        # The address is said once the socket listens: requests sent from then on queue.
        while not (found := re.search(r"http://\S+/mcp", server.stderr())):
            assert server.process.poll() is None, server.stderr()
            urllib.request.urlopen(f"{novita}/_simulator").close()  # gives the child a moment
        yield server, found[0]


def post(url: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "url": url,
        "json": {"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
        "headers": {
            **BEARER,
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-11-25",
        },
    }


@pytest.mark.parametrize(("end", "code"), ENDINGS[1:])
def test_an_idle_http_server_leaves_at_once(
    end: Callable[[Child], None], code: int, simulator: Running, tmp_path: Path
) -> None:
    with http_child(tmp_path, simulator.url) as (server, url):
        assert httpx.get(url.replace("/mcp", "/healthz")).json() == {"status": "ok"}

        end(server)

        assert server.exit_code() == code
        assert "Traceback" not in server.stderr()
        assert server.stdout == []


@pytest.mark.parametrize(("end", "code"), ENDINGS[1:])
def test_an_http_server_that_waits_for_a_task_leaves_at_once(
    end: Callable[[Child], None], code: int, simulator: Running, world: World, tmp_path: Path
) -> None:
    world.never_end_next_task()
    call = {"name": "generate_image", "arguments": FOX, "_meta": {"progressToken": "p"}}
    with (
        http_child(tmp_path, simulator.url) as (server, url),
        httpx.Client(timeout=PATIENCE) as http,
        http.stream("POST", **post(url, "tools/call", call)) as answer,
    ):
        for line in answer.iter_lines():
            if "accepted" in line:
                break

        end(server)

        assert server.process.wait(timeout=OUT_WITHIN) == code
        assert "Traceback" not in server.stderr()
        assert server.stdout == []


async def test_sixty_four_slow_calls_over_http_do_not_stop_a_health_check(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    world.never_end_next_task(times=64)
    limits = httpx.Limits(max_connections=None)
    accepted = anyio.Semaphore(0)
    with http_child(tmp_path, simulator.url) as (_, url):
        async with httpx.AsyncClient(timeout=PATIENCE, limits=limits) as http, anyio.create_task_group() as group:

            async def wait_forever(prompt: str) -> None:
                call = {
                    "name": "generate_image",
                    "arguments": {**FOX, "prompt": prompt},
                    "_meta": {"progressToken": "p"},
                }
                async with http.stream("POST", **post(url, "tools/call", call)) as answer:
                    async for line in answer.aiter_lines():
                        if "accepted" in line:
                            accepted.release()

            for number in range(64):
                group.start_soon(wait_forever, f"fox {number}")
            for _ in range(64):
                await accepted.acquire()

            health = await http.get(url.replace("/mcp", "/healthz"))
            ping = await http.post(**post(url, "ping", {}))

            assert health.json() == {"status": "ok"}
            assert '"result":{}' in ping.text
            group.cancel_scope.cancel()
    assert world.count("qwen_image_txt2img") == 64
