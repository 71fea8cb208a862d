"""The list of language models where Novita cannot give it: as it was read last, and said to be."""

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, text_of

MODEL = "deepseek/deepseek-v3.2"
UNREADABLE: dict[str, Any] = {"status": 200, "body": '{"data": []}', "content_type": "application/json"}
SAID = "Novita's list cannot be read now"


async def told(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return {**(result.structured_content or {}), "said": text_of(result)}


async def test_what_was_listed_before_prices_lists_and_chooses(connect: Connect, world: World) -> None:
    wish: dict[str, Any] = {"model": MODEL, "arguments": {"prompt_tokens": 1_000_000, "max_tokens": 1_000}}
    async with connect() as client:
        live, listed = await told(client, "estimate_cost", **wish), await told(client, "list_models", kind="chat")
        assert SAID not in listed["said"]
        assert "by Novita's list now" in live["note"]

    world.trouble(UNREADABLE, operation="list_models", times=-1)
    async with connect() as client:  # another process
        before = await told(client, "estimate_cost", **wish)
        assert Decimal(before["estimated_cost_usd"]) == Decimal(live["estimated_cost_usd"])
        assert "cannot be read now" in before["note"]
        again = await told(client, "list_models", kind="chat")
        assert again["models"] == listed["models"]
        assert SAID in again["said"]
        asked = await told(client, "chat", messages=[{"role": "user", "content": "Hello"}], model=MODEL, dry_run=True)
        assert asked["estimated_cost_usd"] not in (None, "unknown")
    assert len(world.received("list_models")) > 1


@pytest.mark.parametrize("text", ["", "{", '[{"id": 3}]'])
async def test_a_damaged_list_counts_as_none(connect: Connect, world: World, tmp_path: Path, text: str) -> None:
    async with connect() as client:
        await told(client, "list_models")
    with closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as db:
        assert db.execute("UPDATE news SET text = ?", (text,)).rowcount == 1
        db.commit()
    world.trouble(UNREADABLE, operation="list_models", times=-1)
    async with connect() as client:
        result = await client.call_tool("list_models", {})
        assert result.is_error
        assert "empty or cannot be understood" in text_of(result)


async def test_a_list_is_kept_once_a_day_and_for_its_key_alone(connect: Connect, world: World, tmp_path: Path) -> None:
    kept: list[list[Any]] = []
    for _ in range(2):
        async with connect() as client:
            await told(client, "list_models")
        with closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as db:
            kept.append(db.execute("SELECT base, at FROM news").fetchall())
    assert len(kept[0]) == 1
    assert kept[1] == kept[0]

    with closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as db:
        db.execute("UPDATE news SET base = base || 'x'")  # as of another key
        db.commit()
    world.trouble(UNREADABLE, operation="list_models", times=-1)
    async with connect() as client:
        assert (await client.call_tool("list_models", {})).is_error
