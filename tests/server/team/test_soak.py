"""Sixteen callers and faults throughout: memory stays flat, the books are equal, no key is anywhere.

Takes about a minute, so it runs where it is asked for by its mark: `pytest -m soak`.
"""

import random
import re
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.media.tasks import TaskStore
from novita_mcp.simulator.serving import serve

from ..callers import result_of
from .team import Copy, copies

pytestmark = [
    pytest.mark.soak,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc"),
]

CALLERS = 16
WARM = 10.0
"""Seconds until everything is imported and every pool is full."""
LASTS = 36.0
"""Seconds of load, the warming included."""
LONGEST = 240.0
"""Seconds for all of it, on a machine with other things to do."""
GROWTH = 1.12
"""Memory at the end, as a share of what it was once warm. A leak of a picture a call would be twice of it."""
HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
SPEND, LOOK, CHAT, FILES = "qwen_image_txt2img", "get_task_result", "create_chat_completion", "/_simulator/files/*"
CHAT_MODEL = "qwen/qwen3-vl-30b-a3b-instruct"

FAULTS: tuple[Mapping[str, Any], ...] = (
    {"status": 500},
    {"status": 503, "body": "overloaded"},
    {"error": "RATE_LIMIT_EXCEEDED", "retry_after": 1},
    {"reset": "before"},
    {"reset": "after"},
    {"garbage": True, "handled": True},
    {"html": True},
    {"empty": True, "handled": True},
    {"cut": 60},
    {"delay": 1.0},
)


@dataclass
class Soak:
    """What is known of it from outside."""

    http: httpx.AsyncClient
    keys: tuple[str, ...]
    chance: random.Random
    seen: list[str] = field(default_factory=list[str])
    answered: Counter[str] = field(default_factory=Counter[str])
    made: int = 0

    async def ask(self, key: str, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A call's structured answer; empty where it is an error. Every letter of it is kept for the end."""
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        answer = await self.http.post("/mcp", json=message, headers={**HEADERS, "Authorization": f"Bearer {key}"})
        self.seen.append(answer.text)
        assert answer.status_code == 200, answer.text
        result = result_of(answer)
        assert result is not None, f"no answer to {tool}: {answer.text[:500]}"
        self.answered["error" if result.get("isError") else "fine"] += 1
        return result.get("structuredContent") or {}

    async def once(self, key: str) -> None:
        """One thing of those that callers do."""
        self.made += 1
        picture = {"model": "qwen-image-txt2img", "prompt": f"fox {self.made}", "size": "512x512", "wait_seconds": 5}
        calls: list[tuple[str, dict[str, Any]]] = [
            ("generate_image", picture),
            ("generate_image", picture),
            ("generate_image", {**picture, "wait_seconds": 0}),
            ("chat", {"prompt": "Name a fox.", "model": CHAT_MODEL}),
            ("get_balance", {}),
            ("list_tasks", {"limit": 20}),
            ("get_task", {"task_id": "no-such-task"}),
            ("remove_background", {"image": "http://169.254.169.254/a.png"}),
            ("generate_image", {"prompt": "", "count": "many"}),
        ]
        await self.ask(key, *self.chance.choice(calls))

    async def rows(self, key: str) -> list[dict[str, Any]]:
        """All that the journal lists for a caller."""
        rows: list[dict[str, Any]] = []
        while True:
            page = await self.ask(key, "list_tasks", {"limit": 50, "offset": len(rows)})
            rows += page["tasks"]
            if not page["more"]:
                return rows

    async def settle(self, key: str) -> list[dict[str, Any]]:
        """Fetch whatever still works; the rows in the end."""
        while working := [row for row in await self.rows(key) if row["state"] in ("working", "submitting")]:
            for row in working:
                await self.ask(key, "get_task", {"task_id": row["task_id"], "wait_seconds": 2})
        return await self.rows(key)


async def disturb(world: World, chance: random.Random) -> None:
    """Faults of Novita, of every kind, at every place, one after the other."""
    while True:
        place: dict[str, Any] = chance.choice(
            [{"operation": SPEND}, {"operation": LOOK}, {"operation": CHAT}, {"path": FILES}]
        )
        world.trouble(chance.choice(FAULTS), **place)
        if chance.random() < 0.1:
            world.fail_next_task("the picture shows no face")
        await anyio.sleep(0.15)


async def memory(copy: Copy, within: float) -> float:
    """Bytes that a copy has in memory, on average over some seconds."""
    assert copy.process is not None
    status = Path(f"/proc/{copy.process.pid}/status")
    found: list[int] = []
    with anyio.move_on_after(within):
        while True:
            (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", status.read_text(encoding="ascii"))
            found.append(int(kilobytes) * 1024)
            await anyio.sleep(0.2)
    return sum(found) / len(found)


async def test_sixteen_callers_amid_faults_cost_no_memory_no_money_and_no_key(tmp_path: Path) -> None:
    world = World(WorldSettings(task_seconds=0.3, old_models=True))
    keys = tuple(f"sk_{secrets.token_hex(20)}" for _ in range(CALLERS))
    for key in keys:
        world.add_account(key)
    warm = last = 0.0
    rows: dict[str, list[dict[str, Any]]] = {}
    with serve(world) as simulator, copies(tmp_path, simulator.url, 1, NOVITA_MCP_LOG_LEVEL="DEBUG") as (copy,):
        limits = httpx.Limits(max_connections=2 * CALLERS)
        async with httpx.AsyncClient(base_url=copy.url, timeout=60, limits=limits) as http:
            soak = Soak(http, keys, random.Random(17))

            async def go_on(key: str) -> None:
                while True:
                    await soak.once(key)

            with anyio.fail_after(LONGEST):
                async with anyio.create_task_group() as group:
                    group.start_soon(disturb, world, random.Random(18))
                    for key in keys:
                        group.start_soon(go_on, key)
                    await anyio.sleep(WARM)
                    warm = await memory(copy, 5)
                    await anyio.sleep(LASTS - WARM - 10)
                    last = await memory(copy, 5)
                    group.cancel_scope.cancel()
                world.troubles.clear()
                world.doomed.clear()
                for key in keys:
                    rows[key] = await soak.settle(key)
        log = copy.log
    print(f"{soak.answered}, {len(world.charges)} charges, {warm / 2**20:.0f} to {last / 2**20:.0f} MiB")

    assert last <= warm * GROWTH
    assert soak.answered["fine"] > 3 * CALLERS
    assert soak.answered["error"] > CALLERS // 2
    for key in keys:
        check_books(world, key, rows[key])
    assert "Traceback" not in log
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()).decode("utf-8", "replace")
    everything = "\n".join([*soak.seen, kept])
    assert not [key for key in keys if key in everything or key.removeprefix("sk_")[:20] in everything]


def check_books(world: World, key: str, rows: list[dict[str, Any]]) -> None:
    """What Novita took money for is known here, once, with its id or as unclear; and nothing of anybody else's."""
    mine = [task for task in world.area(TaskStore).tasks.values() if task.account.key == key]
    pictures = [row for row in rows if row["tool"] == "generate_image"]
    known = {row["task_id"] for row in pictures if row["state"] in ("succeeded", "failed")}
    unclear = sum(row["state"] == "unconfirmed" for row in pictures)
    accepted = {task.id for task in mine}
    assert known <= accepted
    assert len(accepted - known) <= unclear
    assert len({row["title"] for row in pictures}) == len(pictures)  # each prompt was given once
    taken = [charge for charge in world.charges if charge.account.key == key and charge.operation == SPEND]
    assert len(taken) == len(accepted)  # so none was sent twice: each prompt has one row, each row at most one task
    chats = [charge for charge in world.charges if charge.account.key == key and charge.operation == CHAT]
    assert len(chats) <= sum(row["tool"] == "chat" for row in rows)
