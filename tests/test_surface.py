"""What a host sees of the tools, stored and compared; `pytest --update-surface` rewrites what is stored.

The rules are those of the strictest clients: flat closed schemas, everything described, a list that fits a budget.
"""

import json
import re
import subprocess
import sys
from collections.abc import Generator
from dataclasses import fields
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from mcp import Client
from mcp_types import Prompt, PromptArgument, Resource, ResourceTemplate
from mcp_types import Tool as MCPTool
from novita_mcp.server.app import HOUR_MS, create_app
from novita_mcp.server.settings import Settings
from novita_mcp.server.version import version
from novita_mcp.tools import TOOLSET_NAMES, TOOLSETS
from novita_mcp.tools.overview.prompts import PROMPTS
from novita_mcp.tools.overview.resources import RESOURCES
from novita_mcp.tools.overview.surface import FILE, surface
from pydantic import BaseModel

from .tokens import counted

ROOT = Path(__file__).parents[1]
README, MANIFEST = ROOT / "README.md", ROOT / "manifest.json"

WHOLE_LIST, ONE_TOOL, A_TOOL = 10_000, 600, 180
"""Tokens of name, description and input schema: of the default tools, of the longest, of one on average."""
DESCRIPTIONS = 1 / 3
"""What share of them the descriptions of tools are, so that schemas do not drown the words."""
SANDBOX = 1_600
"""o200k tokens of the sandbox toolset."""
SHAPES = 60_000
"""Bytes of all output schemas of the default tools."""

FORBIDDEN = {"anyOf", "oneOf", "allOf", "not", "$ref", "$defs", "title", "exclusiveMinimum", "exclusiveMaximum"}
"""Keywords of a schema that clients, or the model APIs behind them, reject or pay for in vain."""

needs_source = pytest.mark.skipif(not MANIFEST.is_file(), reason="away from the source")

UPDATE = "run: pytest --update-surface"

Tool = dict[str, Any]


async def listed(toolsets: str, mode: str = "legacy") -> list[Tool]:
    """The tools as they go over the wire, without icons and pages, which no model is shown."""
    async with Client(create_app(Settings(toolsets=toolsets)), mode=mode) as client:
        tools = (await client.list_tools()).tools
    return [tool.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"icons", "meta"}) for tool in tools]


def nodes(schema: Any, where: str = "") -> Generator[tuple[str, Any]]:
    """Every schema within a schema, with where it stands. Names of properties are no keywords."""
    yield where, schema
    if not isinstance(schema, dict):
        return
    found = cast(dict[str, Any], schema)
    for name, inner in found.get("properties", {}).items():
        yield from nodes(inner, f"{where}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in found and not isinstance(found[keyword], bool):
            yield from nodes(found[keyword], f"{where}[]")


def of_the_code() -> dict[str, Any]:
    """What the file holds, made of the tools and tables themselves."""
    tools = {
        toolset.name: [
            MCPTool(
                name=made.name,
                title=made.title,
                description=made.description,
                input_schema=made.parameters,
                output_schema=made.output_schema,
                annotations=made.annotations,
            )
            for made in (spec.build() for spec in toolset.tools)
        ]
        for toolset in TOOLSETS
    }
    shown = [
        (
            row.uri,
            {
                "name": row.name,
                "title": row.name,
                "description": row.description,
                "mime_type": row.mime,
                **({"size": row.size()} if row.size else {}),
            },
        )
        for row in RESOURCES
    ]
    prompts = [
        Prompt(
            name=row.name,
            title=row.title,
            description=row.description,
            arguments=[
                PromptArgument(name=name, description=what, required=name not in row.optional)
                for name, what in row.arguments.items()
            ],
        )
        for row in PROMPTS
    ]
    return {
        "tools": {name: [wire(tool) for tool in made] for name, made in tools.items()},
        "resources": [wire(Resource.model_validate({"uri": uri, **row})) for uri, row in shown if "{" not in uri],
        "templates": [
            wire(ResourceTemplate.model_validate({"uri_template": uri, **row})) for uri, row in shown if "{" in uri
        ],
        "prompts": [wire(prompt) for prompt in prompts],
    }


def wire(listed: BaseModel) -> dict[str, Any]:
    return listed.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_what_is_listed_is_what_the_code_takes(request: pytest.FixtureRequest) -> None:
    """A changed promise is a diff somebody reads. First here: the others look at what this one has written."""
    now = of_the_code()
    if request.config.getoption("--update-surface"):
        FILE.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        surface.cache_clear()
    stored = json.loads(FILE.read_text(encoding="utf-8"))

    assert [*stored["tools"]] == [*TOOLSET_NAMES]
    for toolset, tools in now["tools"].items():
        assert [tool["name"] for tool in stored["tools"][toolset]] == [tool["name"] for tool in tools], UPDATE
        for old, new in zip(stored["tools"][toolset], tools, strict=True):
            assert old == new, f"{new['name']} changed; {UPDATE}"
    for what in ("resources", "templates", "prompts"):
        assert stored[what] == now[what], UPDATE


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_what_goes_over_the_wire_is_what_is_stored(mode: str) -> None:
    stored = json.loads(FILE.read_text(encoding="utf-8"))

    assert await listed("all", mode) == [tool for tools in stored["tools"].values() for tool in tools]
    async with Client(create_app(Settings()), mode=mode) as client:
        templates, resources = await client.list_resource_templates(), await client.list_resources()
        prompts = await client.list_prompts()
    assert [wire(found) for found in templates.resource_templates] == stored["templates"]
    assert [wire(found) for found in resources.resources if not found.uri.startswith(("ui:", "skill:"))] == stored[
        "resources"
    ]
    assert [wire(found) for found in prompts.prompts] == stored["prompts"]
    if mode == "auto":  # what a modern host may keep, and share
        assert {(found.ttl_ms, found.cache_scope) for found in (templates, resources, prompts)} == {(HOUR_MS, "public")}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_every_tool_has_a_small_icon_that_is_asked_of_nobody(mode: str) -> None:
    async with Client(create_app(Settings(toolsets="all")), mode=mode) as client:
        tools = (await client.list_tools()).tools
    for tool in tools:
        (icon,) = tool.icons or []
        assert re.fullmatch(rf"data:{re.escape(str(icon.mime_type))},[\w.~%/:=,'-]+", icon.src), tool.name
        assert ElementTree.fromstring(unquote(icon.src.partition(",")[2])).tag == "{http://www.w3.org/2000/svg}svg"
        assert len(icon.src) <= 350, tool.name


def test_listing_imports_no_tool() -> None:
    """Start-up and lists stay light; the imports that calls need come once the host has its list."""
    script = (
        "import sys, anyio\n"
        "from mcp import Client\n"
        "from novita_mcp.server import Settings, create_app, warming\n"
        "warming.LIST_FIRST = 3600\n"
        "async def main():\n"
        "    async with Client(create_app(Settings(toolsets='all', tools='search_web'))) as client:\n"
        "        for listed in (client.list_tools, client.list_resources, client.list_resource_templates):\n"
        "            await listed()\n"
        "        await client.list_prompts()\n"
        "        print(*sys.modules, sep='\\n')\n"
        "anyio.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    tools = [name for name in done.stdout.split() if name.startswith("novita_mcp.tools.")]

    assert "novita_mcp.tools.overview.surface" in tools
    assert not [name for name in tools if not name.startswith(("novita_mcp.tools.kit", "novita_mcp.tools.overview"))]
    assert "novita_mcp.tools.kit.toolset" not in tools


async def test_every_tool_is_named_titled_and_described() -> None:
    for tool in await listed("all"):
        name = tool["name"]
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name), name
        assert len(name) <= 40, name
        assert tool["title"], name
        assert tool["description"].endswith("."), name
        assert "\n" not in tool["description"], name


async def test_every_tool_gives_all_four_hints_and_they_are_true() -> None:
    effects = {spec.name: spec.effect for toolset in TOOLSETS for spec in toolset.tools}
    for tool in await listed("all"):
        name, hints = tool["name"], tool["annotations"]
        said = [hints[f"{hint}Hint"] for hint in ("readOnly", "destructive", "idempotent", "openWorld")]
        assert all(isinstance(hint, bool) for hint in said), name
        assert not (hints["readOnlyHint"] and hints["destructiveHint"]), name
        assert not (hints["readOnlyHint"] and effects[name].spends), f"{name} spends, so it is not read-only"
        verb = name.partition("_")[0]
        if verb in ("get", "list"):
            assert hints["readOnlyHint"], name
        if verb in ("delete", "stop"):
            assert hints["destructiveHint"], name


async def test_a_tool_that_spends_says_so() -> None:
    spending = {spec.name for toolset in TOOLSETS for spec in toolset.tools if spec.effect.spends}
    for tool in await listed("all"):
        if tool["name"] in spending:
            said = re.search(r"\$\d|\b(cost|costs|paid|billed|price)\b", tool["description"], re.IGNORECASE)
            assert said, tool["name"]


@pytest.mark.parametrize("which", ["inputSchema", "outputSchema"])
async def test_schemas_are_flat_and_every_value_has_one_type_and_every_argument_a_line_of_description(
    which: str,
) -> None:
    problems: list[str] = []
    for tool in await listed("all"):
        assert tool[which]["type"] == "object", tool["name"]
        for where, schema in nodes(tool[which]):
            problems += [f"{tool['name']} {which}{where}: {problem}" for problem in problems_of(schema, where)]
    if which == "outputSchema":  # where the name says it, a line more is only weight
        problems = [each for each in problems if not each.endswith("no description")]
    assert problems == []


def problems_of(schema: Any, where: str) -> Generator[str]:
    if not isinstance(schema, dict):
        yield "a boolean schema"
        return
    node = cast(dict[str, Any], schema)
    if found := FORBIDDEN & node.keys():
        yield f"uses {found}"
    if not isinstance(node.get("type"), str) or node["type"] == "null":
        yield "no single type"
    if where and not where.endswith("[]") and not node.get("description"):
        yield "no description"
    if "\n" in node.get("description", ""):
        yield "a description of several lines"


async def test_arguments_are_closed() -> None:
    for tool in await listed("all"):
        for where, schema in nodes(tool["inputSchema"]):
            if "properties" in schema:
                assert schema["additionalProperties"] is False, f"{tool['name']}{where}"


async def test_both_eras_see_the_same_list() -> None:
    assert await listed("default") == await listed("default", mode="auto")


async def test_the_list_fits_its_budget() -> None:
    sizes = {tool["name"]: tokens(tool) for tool in await listed("default")}

    assert {name: size for name, size in sizes.items() if size > ONE_TOOL} == {}
    assert sum(sizes.values()) <= WHOLE_LIST, sizes
    assert sum(sizes.values()) / len(sizes) <= A_TOOL


async def test_a_third_of_the_list_is_what_the_tools_are_for() -> None:
    tools = await listed("default")

    assert sum(counted(tool["description"]) for tool in tools) / sum(map(tokens, tools)) >= DESCRIPTIONS


async def test_what_is_not_listed_is_taken_all_the_same() -> None:
    """Agents never set it unasked; whoever does is not refused."""
    specs = {spec.name: spec.build() for toolset in TOOLSETS for spec in toolset.tools}
    taken = {
        name: tool.taken["properties"].keys() - tool.parameters["properties"].keys() for name, tool in specs.items()
    }

    assert {"webhook_url", "seed", "resize"} <= taken["generate_video"]
    assert {"options", "resize", "model"} <= taken["upscale_image"]
    assert {"temperature", "tools", "confirm"} <= taken["chat"]
    for name, tool in specs.items():  # needed, or what makes a call safe to try: those every agent must see
        assert not taken[name] & {*tool.taken.get("required", ()), "dry_run"}, name


async def test_a_tool_that_may_ask_by_itself_lists_the_yes() -> None:
    """What is always asked about, or may well cost more than the usual threshold, shows how to agree."""
    tools = {tool["name"]: tool["inputSchema"]["properties"] for tool in await listed("all")}

    for name, given in tools.items():
        if name.startswith(
            ("create_gpu_i", "create_endpoint", "start_", "stop_", "delete_", "generate_video", "cancel_")
        ):
            assert "confirm" in given, name


async def test_a_tool_that_takes_many_pictures_lists_the_yes() -> None:
    """A folder of photos may well cost more than the usual threshold; words about them cost far less."""
    for tool in await listed("images"):
        given = tool["inputSchema"]["properties"]
        if tool["name"] != "describe_image" and "many: folder" in given.get("image", {}).get("description", ""):
            assert "confirm" in given, tool["name"]


async def test_the_shapes_of_answers_are_light() -> None:
    """They go over the wire with every list; no model reads them."""
    shapes = [json.dumps(tool["outputSchema"], separators=(",", ":")) for tool in await listed("default")]

    assert sum(map(len, shapes)) <= SHAPES


async def test_no_tool_of_any_toolset_is_too_long() -> None:
    assert {tool["name"] for tool in await listed("all") if tokens(tool) > ONE_TOOL} == set()


async def test_the_sandbox_toolset_is_nine_tools_of_1600_tokens_together() -> None:
    """Ours (issue of the agent sandboxes): who switches it on pays this much more with every conversation."""
    (toolset,) = [each for each in TOOLSETS if each.name == "sandbox"]
    names = {spec.name for spec in toolset.tools}
    tools = [tool for tool in await listed("sandbox") if tool["name"] in names]

    assert len(names) == len(tools) == 9
    assert sum(map(tokens, tools)) <= SANDBOX


def tokens(tool: Tool) -> int:
    """What a model pays for, in o200k tokens."""
    shown = {"name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"]}
    return counted(json.dumps(shown, ensure_ascii=False, separators=(",", ":")))


@needs_source
async def test_the_readme_has_the_tools_and_the_settings(request: pytest.FixtureRequest) -> None:
    tables = {"tools": tool_table(await listed("all")), "settings": setting_table()}
    if request.config.getoption("--update-surface"):
        text = README.read_text(encoding="utf-8")
        for name, table in tables.items():
            text = between(name).sub(lambda found, table=table: f"{found[1]}\n{table}\n{found[3]}", text)
        README.write_text(text, encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    for name, table in tables.items():
        found = between(name).search(text)
        assert found, f"README.md lost its {name} markers"
        assert found[2].strip() == table, UPDATE


def between(name: str) -> re.Pattern[str]:
    """The part of README that is generated."""
    return re.compile(rf"(<!-- {name} -->)(.*?)(<!-- /{name} -->)", re.DOTALL)


def tool_table(tools: list[Tool]) -> str:
    """One row a toolset: whether it is on, what it is for, its tools."""
    there = {tool["name"] for tool in tools}
    rows = ["| toolset | | tools |", "|---|---|---|"]
    for toolset in TOOLSETS:
        names = ", ".join(f"`{spec.name}`" for spec in toolset.tools if spec.name in there)
        rows.append(f"| `{toolset.name}` ({TOOLSET_NAMES[toolset.name]}) | {toolset.description} | {names} |")
    return "\n".join(rows)


def setting_table() -> str:
    """One row a setting."""
    rows = ["| environment | flag | default | |", "|---|---|---|---|"]
    for item in fields(Settings):
        flag = f"`{item.metadata['flag']}`" if item.metadata["flag"] else ""
        default = "" if item.default in (None, "") else f"`{item.default}`"
        rows.append(f"| `{item.metadata['env']}` | {flag} | {default} | {item.metadata['help']} |")
    return "\n".join(rows)


@needs_source
async def test_the_manifest_lists_the_tools_and_the_version(request: pytest.FixtureRequest) -> None:
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    tools = [
        {"name": tool["name"], "description": tool["description"].partition(". ")[0].rstrip(".") + "."}
        for tool in await listed("default")
    ]
    if request.config.getoption("--update-surface"):
        manifest |= {"version": version(), "tools": tools}
        MANIFEST.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    assert manifest["tools"] == tools, UPDATE
    assert manifest["version"] == version()
