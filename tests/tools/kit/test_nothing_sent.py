"""Whatever stands in an argument: clear words, never a fault of our own, and no bill where nothing went out.

Kind 14 of the inputs that people have: huge numbers, paths of 300 letters, hosts that cannot be.
"""

import re
from typing import Any

import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World
from novita_mcp.tools import TOOLSETS

from ...building import quick
from ...conftest import Connect, text_of

Json = dict[str, Any]
TOOLS: dict[str, Json] = {spec.name: spec.build().taken for toolset in TOOLSETS for spec in toolset.tools}

TEXTS = {
    "a path of 300 letters": "/tmp/" + "n" * 300 + ".png",
    "a path of 300 folders": "/tmp" + "/n" * 300,
    "a port beyond all": "http://127.0.0.1:99999/x.png",
    "a bracket": "https://[::1/x.png",
    "an empty Punycode": "https://xn--/x.png",
    "a host of 300 letters": f"https://{'n' * 300}.example/x.png",
    "a file of a bracket": "file://[x",
    "a null byte": "/tmp/fox\0.png",
    "a number as text": "9" * 400,
    "dots": "..",
    "a percent": "%",
    "a task that is none": "task:../..",
    "base64 of nothing": "data:image/png;base64,",
    "half an emoji": "fox \ud83d",
}
NUMBERS = {
    "2**63": 2**63,
    "2**64": 2**64,
    "-2**63": -(2**63),
    "10**400": 10**400,
    "1e308": 1e308,
    "-1": -1,
    "2**53": 2**53,
}
ODD: dict[str, Any] = {**TEXTS, **NUMBERS}


def everywhere(schema: Json, odd: Any) -> Any:
    """The odd value where the type has room for it."""
    match schema.get("type"):
        case "array":
            return [everywhere(schema.get("items", {}), odd)]
        case "object":
            return {"x": odd, "width": odd, "stop_after_hours": odd}
        case "boolean":
            return False
        case _:
            return odd


def told(text: str, world: World) -> None:
    assert "fault in novita-mcp" not in text
    assert "Traceback" not in text
    paid = [seen for seen in world.requests if seen.method != "GET" and seen.operation not in READ_BY_POST]
    if re.search(r"may (or may not )?have been billed", text):
        assert paid, text


READ_BY_POST = {"get_video_token"}


@pytest.mark.parametrize("case", ODD)
async def test_an_odd_value_in_all_arguments_is_told_in_clear_words(
    case: str, connect: Connect, world: World, era: str
) -> None:
    if era == "legacy":
        pytest.skip("the same in both eras: arguments are read behind them")
    async with connect(toolsets="all", build=quick) as client:
        for tool, schema in TOOLS.items():
            given = {name: everywhere(each, ODD[case]) for name, each in schema["properties"].items()}
            await ask(client, tool, given, world)


@pytest.mark.slow
@pytest.mark.parametrize("case", ODD)
async def test_an_odd_value_in_a_single_argument_is_told_in_clear_words(
    case: str, connect: Connect, world: World, era: str
) -> None:
    """Beside arguments that are well: what comes first would hide what comes later."""
    if era == "legacy":
        pytest.skip("the same in both eras: arguments are read behind them")
    fine = {"string": "fox", "integer": 1, "number": 1, "boolean": False, "array": ["fox"], "object": {"x": "y"}}
    async with connect(toolsets="all", build=quick) as client:
        for tool, schema in TOOLS.items():
            properties: Json = schema["properties"]
            required = {
                name: (properties[name].get("enum") or [fine.get(properties[name].get("type", ""), "fox")])[0]
                for name in schema.get("required", [])
            }
            dry = {"dry_run": True} if "dry_run" in properties else {}
            for name, each in properties.items():
                if each.get("type") != "boolean" and "enum" not in each:
                    await ask(client, tool, {**required, **dry, name: everywhere(each, ODD[case])}, world)


async def ask(client: Client, tool: str, given: Json, world: World) -> None:
    world.requests.clear()
    result = await client.call_tool(tool, given)
    try:
        told(text_of(result), world)
    except AssertionError as error:
        raise AssertionError(f"{tool} {str(given)[:300]}: {text_of(result)[:500]}") from error
