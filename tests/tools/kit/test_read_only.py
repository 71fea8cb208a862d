"""What is marked read-only costs nothing and changes nothing; --read-only leaves nothing else, however it is asked."""

from typing import Any

import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.tasks import TaskStore
from novita_mcp.tools import TOOLSETS
from novita_mcp.tools.kit.toolset import ToolSpec

from ...building import quick
from ...conftest import Connect, text_of
from ..one_call_per_tool import CALLS, spending_tools

Json = dict[str, Any]

SPECS: dict[str, ToolSpec] = {spec.name: spec for toolset in TOOLSETS for spec in toolset.tools}
READING = [name for name, spec in SPECS.items() if spec.effect.read_only]
CHANGING = [name for name, spec in SPECS.items() if not spec.effect.read_only]

QUESTIONS = frozenset(
    {"check_member_budget", "check_member_budget_by_cost", "check_key_budget", "check_key_budget_by_cost"}
)
"""Operations that are asked by POST and change nothing (x-read-only in account.yaml)."""

ANSWERS: dict[str, Json] = {
    "get_bill": {"period": "last week", "csv": True},
    "get_key_models": {"key": "default"},
    "list_gpu_resources": {"kind": "volumes"},
    "estimate_cost": {"model": "deepseek/deepseek-v3.2", "arguments": {"prompt_tokens": 1_000_000}},
    "describe_media_model": {"model": "flux-1-schnell"},
    "get_model": {"model": "deepseek/deepseek-v3.2"},
}
"""Arguments of reading tools where made-up ones would not do."""


def arguments_for(name: str) -> Json:
    """Something a tool takes: made-up ids, mostly; Novita is asked all the same."""
    if name in ANSWERS:
        return ANSWERS[name]
    schema = SPECS[name].build().parameters
    made: Json = {}
    for argument in schema.get("required", ()):
        kind = schema["properties"][argument]
        made[argument] = (
            kind["enum"][0] if "enum" in kind else 1 if kind.get("type") == "integer" else "nothing-like-it"
        )
    return made


@pytest.mark.parametrize("name", READING)
async def test_a_tool_that_is_marked_read_only_costs_and_changes_nothing(
    name: str, connect: Connect, world: World
) -> None:
    async with connect(toolsets="all", build=quick) as client:
        result = await client.call_tool(name, arguments_for(name))

        assert "Bad arguments" not in text_of(result)
        asked = [(request.method, request.operation) for request in world.requests]
        assert [one for one in asked if one[0] != "GET" and one[1] not in QUESTIONS] == []
        assert not world.charges
        assert not world.area(TaskStore).tasks


def test_nothing_that_is_billed_or_destroys_is_marked_read_only() -> None:
    for name, spec in SPECS.items():
        effect = spec.effect
        assert not (effect.read_only and (effect.spends or effect.destructive)), name
        assert spec.build().annotations is not None, name
    assert not set(CALLS) & set(READING)
    assert len(spending_tools()) > 15


async def test_read_only_lists_reading_tools_and_no_others(connect: Connect) -> None:
    async with connect(read_only=True, toolsets="all", tools=",".join(SPECS)) as client:
        listed = (await client.list_tools()).tools
        assert {tool.name for tool in listed} == set(READING)
        assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in listed)


@pytest.mark.parametrize("name", CHANGING)
async def test_read_only_is_kept_at_call_time_too(name: str, connect: Connect, world: World) -> None:
    """By clients that know the tool from elsewhere: refused before anything is asked of anybody."""
    async with connect(read_only=True, toolsets="all", tools=",".join(SPECS)) as client:
        result = await client.call_tool(name, arguments_for(name) | {"confirm": True})
        assert result.is_error
        assert "Nothing was sent or billed" in text_of(result)
        assert sum(world.counters["received"].values()) == 0


async def test_no_resource_costs_or_changes_anything(connect: Connect, world: World) -> None:
    async with connect(toolsets="all", build=quick) as client:
        for resource in (await client.list_resources()).resources:
            await client.read_resource(str(resource.uri))
        assert {request.method for request in world.requests} <= {"GET"}
        assert not world.charges
