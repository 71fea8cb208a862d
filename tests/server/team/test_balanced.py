"""Two copies behind nginx on one PostgreSQL and one storage, 64 callers, and a copy that is killed: nobody loses what
was paid for, and limits hold over both.

Skipped only where Debian's postgresql or nginx is not installed.
"""

import math
import signal
import time
from collections import Counter
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.media.tasks import TaskStore
from novita_mcp.simulator.serving import serve

from ...postgres import binaries, run_postgres
from ...storage import Storage, run_storage
from ..callers import result_of
from .team import Copy, balancer, copies, nginx_installed

pytest.importorskip("psycopg")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(binaries() is None, reason="Debian's postgresql is not installed"),
    pytest.mark.skipif(not nginx_installed(), reason="Debian's nginx is not installed"),
]

HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
CALLERS = 64
LIMIT = 3
"""Calls a caller may make in a minute."""
LONGEST = 300.0
"""Seconds for all of it, once the servers run."""


async def ask(http: httpx.AsyncClient, key: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """A call's facts; None where the connection broke, as it does when a copy dies, or the tool named an error.

    Plain HTTP: sixty-four whole clients would keep this process busier than the servers.
    """
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    try:
        answer = await http.post("/mcp", json=message, headers={**HEADERS, "Authorization": f"Bearer {key}"})
    except httpx.TransportError:
        return None
    result = result_of(answer)
    return None if result is None or result.get("isError") else result["structuredContent"]


class Callers:
    """What each caller holds in the end: task id -> links of its files, and how many rows it is told are unclear.

    Args:
        bearers: What callers send, by their names; left out, each sends its own key.
    """

    def __init__(self, http: httpx.AsyncClient, bearers: Mapping[str, str] | None = None) -> None:
        self.http = http
        self.bearers = bearers or {key_of(number): key_of(number) for number in range(CALLERS)}
        self.files: dict[str, dict[str, list[str]]] = {name: {} for name in self.bearers}
        self.titles: dict[str, str] = {}
        self.unclear: Counter[str] = Counter()
        self.told: dict[str, list[str]] = {}
        """What each was told last of its tasks: shown where something is amiss."""

    async def ask(self, name: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        return await ask(self.http, self.bearers[name], tool, arguments)

    async def make(self, key: str) -> None:
        """Ask for a picture, then go on until every task is home; as a host does whose connection may break."""
        number = len(self.files[key])
        prompt = f"fox {number} for {key}"
        wish: dict[str, Any] = {"model": "qwen-image-txt2img", "prompt": prompt, "wait_seconds": 15}
        self._keep(key, await self.ask(key, "generate_image", wish))
        while True:
            told = await self.ask(key, "list_tasks", {"limit": 50})
            if told is None:
                await anyio.sleep(0.2)  # a real copy is coming back
                continue
            self.titles |= {task["task_id"]: task["title"] for task in told["tasks"]}
            missing = [task for task in told["tasks"] if task["task_id"] not in self.files[key]]
            waiting = [task for task in missing if task["state"] in ("working", "succeeded", "submitting")]
            if not waiting:
                self.told[key] = [f"{task['task_id']} {task['state']}" for task in told["tasks"]]
                self.unclear[key] = sum(task["state"] == "unconfirmed" for task in missing)
                return
            for task in waiting:
                wish = {"task_id": task["task_id"], "wait_seconds": 5}
                self._keep(key, await self.ask(key, "get_task", wish))

    def _keep(self, key: str, made: dict[str, Any] | None) -> None:
        if made is not None and made["status"] == "succeeded":
            self.files[key][made["task_id"]] = [artifact["url"] for artifact in made["artifacts"]]


def key_of(number: int) -> str:
    return f"sk-caller-{number:02d}"


async def until_all_are_noted(url: str) -> None:
    """Until every caller's task has its id in the journal."""
    journal = Journal(None, url=url)
    count = "SELECT COUNT(*) FROM jobs WHERE state = 'working'"
    while await journal.transact(lambda db: db.execute(count).fetchone()[0]) < CALLERS:
        await anyio.sleep(0.1)
    await journal.close()


async def until_charged(world: World, count: int) -> None:
    while len(world.charges) < count:
        await anyio.sleep(0.02)


async def kill_and_start_again(copy: Copy) -> None:
    assert copy.process is not None
    copy.tell(signal.SIGKILL)
    await anyio.to_thread.run_sync(copy.process.wait)
    copy.start()
    await anyio.to_thread.run_sync(copy.wait_until_ready)


@pytest.fixture(scope="module")
def storage() -> Generator[Storage]:
    with run_storage() as running:
        yield running


async def test_nobody_loses_a_paid_picture_when_a_copy_is_killed(tmp_path: Path, storage: Storage) -> None:
    world = World(WorldSettings(task_seconds=3600, old_models=True))
    for number in range(CALLERS):
        world.add_account(key_of(number))
    limits = httpx.Limits(max_connections=2 * CALLERS)
    with run_postgres() as postgres, serve(world) as simulator:
        journal = postgres.new()
        settings = {"NOVITA_MCP_JOURNAL": journal, "NOVITA_MCP_ARTIFACTS": storage.url(), **storage.credentials}
        with copies(tmp_path, simulator.url, 2, **settings) as (one, two), balancer([one, two]) as url:
            async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
                callers = Callers(http)
                with anyio.fail_after(LONGEST):
                    # One copy dies while all wait. Nothing is on its way to Novita: all that was paid must come home.
                    async with anyio.create_task_group() as group:
                        for key in callers.files:
                            group.start_soon(callers.make, key)
                        await until_all_are_noted(journal)
                        await kill_and_start_again(one)
                        world.set(task_seconds=0.5)
                        world.advance(3600)
                    first = set(world.area(TaskStore).tasks)
                    assert len(first) == CALLERS
                    assert {task_id for files in callers.files.values() for task_id in files} == first
                    assert not callers.unclear.total()
                    # The other dies in the thick of it: calls are being sent, answered, noted.
                    async with anyio.create_task_group() as group:
                        for key in callers.files:
                            group.start_soon(callers.make, key)
                        await until_charged(world, CALLERS + CALLERS // 3)
                        await kill_and_start_again(two)
                for key in callers.files:
                    check(world, callers, storage, key)
        assert "Traceback" not in one.log + two.log


def check(world: World, callers: Callers, storage: Storage, key: str) -> None:
    """All that this caller paid for is with it or said to be unclear, once, and nothing else."""
    mine = callers.files[key]
    paid = {task.id for task in world.area(TaskStore).tasks.values() if task.account.key == key}
    assert set(mine) <= paid, "another caller's task"
    assert len(paid) <= 2, "made twice"
    assert len([charge for charge in world.charges if charge.account.key == key]) == len(paid)
    # What was cut between Novita's answer and its row has no id that anybody knows: the caller is told so.
    assert len(paid) - len(mine) <= callers.unclear[key], (paid, callers.told[key])
    for task_id, links in mine.items():
        (link,) = links
        assert link.startswith(storage.endpoint)
        made = [world.files.files[output.file.id].data for output in world.area(TaskStore).tasks[task_id].outputs]
        assert httpx.get(link).content in made


async def test_a_callers_limit_is_exact_over_both_copies_though_one_is_killed(tmp_path: Path) -> None:
    world = World(WorldSettings(old_models=True))
    for number in range(CALLERS):
        world.add_account(key_of(number))
    let_in: Counter[str] = Counter()
    turned_away: Counter[str] = Counter()
    cut: Counter[str] = Counter()
    with run_postgres() as postgres, serve(world) as simulator:
        settings = {"NOVITA_MCP_JOURNAL": postgres.new(), "NOVITA_MCP_RATE_LIMIT": f"{LIMIT}"}
        with copies(tmp_path, simulator.url, 2, **settings) as (one, two), balancer([one, two]) as url:
            async with httpx.AsyncClient(base_url=url, timeout=60) as http:

                async def call(key: str) -> None:
                    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
                    wish: dict[str, Any] = {**message, "params": {"name": "get_balance", "arguments": {}}}
                    try:
                        answer = await http.post(
                            "/mcp", json=wish, headers={**HEADERS, "Authorization": f"Bearer {key}"}
                        )
                    except httpx.TransportError:
                        cut[key] += 1
                        return
                    if answer.status_code == 200:
                        (turned_away if "Too many calls" in answer.text else let_in)[key] += 1
                    else:
                        cut[key] += 1  # the balancer's own word for a copy that died

                begun = time.monotonic()
                async with anyio.create_task_group() as group:
                    for _ in range(2 * LIMIT):
                        for number in range(CALLERS):
                            group.start_soon(call, key_of(number))
                    while let_in.total() < CALLERS:
                        await anyio.sleep(0.02)
                    await kill_and_start_again(one)
                refilled = math.ceil((time.monotonic() - begun) / (60 / LIMIT))
    for key in map(key_of, range(CALLERS)):
        assert let_in[key] + turned_away[key] + cut[key] == 2 * LIMIT
        assert let_in[key] <= LIMIT + refilled, "let in by both copies"
        assert let_in[key] + cut[key] >= LIMIT, "turned away too early"
