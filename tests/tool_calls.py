"""Blocks of tool calls as pages list them, and how one is walked: the answers of earlier calls fill in later ones.

A line is a call: `clip = generate_video {"prompt": "..."}`. The name before it, where there is one, is what later lines
call its answer. A line that begins with `#` says what happens meanwhile. In arguments `$task_id` is the field of the
latest answer that has it, `$clip.task_id` that of the answer called so, `$offers.products.0.product_id` deeper in it.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

from mcp import Client
from mcp_types import CallToolResult
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World, WorldSettings

from .conftest import fields_of, text_of

Json = dict[str, Any]

_PLACE = re.compile(r"\$([a-z_]+(?:\.[a-z_]+|\.[0-9]+)*)")

A_DAY = datetime(2026, 11, 28, 12, tzinfo=UTC)
"""When walks begin whatever the day is, because a bill of this month is short on the first and long on the last."""


def rich_world() -> World:
    """Novita, on a clock that only moves when somebody waits, and with enough credit for long walks."""
    world = World(WorldSettings(task_seconds=10, speed=0), begin=A_DAY.timestamp())
    world.add_account(DEFAULT_KEY, 5_000)
    return world


def settings_at(here: Path, novita: str, **more: Any) -> Settings:
    """The server of a user whose folder this is; its journal lies beside the folder."""
    return Settings(
        api_key=DEFAULT_KEY,
        base_url=novita,
        output_dir=here / "novita",
        journal=str(here.parent / "journal.sqlite3"),
        allowed_dirs=str(here),
        shipped_models_only=True,
        **more,
    )


class ToolCall(NamedTuple):
    """A tool, its arguments as they are written, and what its answer is called."""

    tool: str
    arguments: Json
    named: str = ""


def calls_in(text: str) -> tuple[ToolCall, ...]:
    """The calls of the only block of a text that lists some."""
    (block,) = re.findall(r"```tool-calls\n(.*?)```", text, re.DOTALL)
    calls: list[ToolCall] = []
    for line in block.splitlines():
        if line.startswith("#"):
            continue
        found = re.fullmatch(r"(?:([a-z_]+) = )?([a-z_]+) ?(\{.*\})?", line)
        assert found is not None, line
        calls.append(ToolCall(found[2], json.loads(found[3] or "{}"), found[1] or ""))
    return tuple(calls)


def filled(value: Any, known: Json) -> Any:
    """Arguments with what is known in place of its name; what stands alone keeps its type."""
    if isinstance(value, str):
        if (whole := _PLACE.fullmatch(value)) is not None:
            return _found(whole[1], known)
        return _PLACE.sub(lambda place: str(_found(place[1], known)), value)
    if isinstance(value, dict):
        return {name: filled(each, known) for name, each in cast(Json, value).items()}
    return [filled(each, known) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def _found(path: str, known: Any) -> Any:
    for part in path.split("."):
        known = known[int(part) if part.isdigit() else part]
    return known


class Walk:
    """Makes calls one after the other, each of which must work, or must be refused."""

    def __init__(self, client: Client, calls: tuple[ToolCall, ...], **given: Any) -> None:
        self.client, self.calls = client, calls
        self.known: Json = given

    async def call(self, number: int, *, refused: bool = False) -> CallToolResult:
        tool, arguments, named = self.calls[number]
        result = await self.client.call_tool(tool, filled(arguments, self.known))
        assert result.is_error is refused, f"{tool}: {text_of(result)}"
        self.known |= fields_of(result) | ({named: fields_of(result)} if named else {})
        return result
