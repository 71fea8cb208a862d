"""docs/tools.md: every tool with its arguments, a call, and the answer to it. `pytest --update-surface` writes it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running
from novita_mcp.tools import TOOLSETS
from novita_mcp.tools.overview.surface import surface

from ..conftest import text_of
from ..tool_calls import ToolCall, Walk, calls_in, filled, rich_world, settings_at
from ..tools.account.test_admin import member
from ..tools.gpu_stage import built_on
from ..tools.media_things import clip, link_to, mask, picture, recording

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"
CALLS = calls_in((Path(__file__).parent / "session.txt").read_text(encoding="utf-8"))
NO_MODEL = "No model for it is known to live now, so this session has no answer of it."
WITHOUT = {
    "edit_video": NO_MODEL,
    "generate_music": NO_MODEL,
    "show_key_page": "It belongs to servers with sign-in (docs/http.md).",
}
"""Tools that this session cannot call, and why."""
UPDATE = "run: pytest -m '' tests/reference --update-surface"
LONGEST = 30
"""Lines of an answer that are shown."""

pytestmark = pytest.mark.skipif(not PAGE.parent.is_dir(), reason="away from the source")
Json = dict[str, Any]


@pytest.fixture
def world() -> World:
    return rich_world()


@pytest.mark.slow
async def test_every_tool_answers_in_one_session(
    world: World, simulator: Running, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    here = tmp_path / "Pictures"
    here.mkdir()
    picture(here / "product.png")
    mask(here / "mask.png")
    recording(here / "words.mp3", "the fox sleeps in the snow and dreams of summer", world)
    (here / "rows.csv").write_text("custom_id,prompt\n1,I love it\n2,It broke\n", encoding="utf-8")
    body: Json = {"model": "deepseek/deepseek-v3.2", "messages": [{"role": "user", "content": "Hello"}]}
    row: Json = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (here / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    given = {
        "here": str(here),
        "film": link_to(clip(tmp_path / "clip.mp4", world=world), world, simulator.url),
        "member": member(world),
    }
    settings = settings_at(here, simulator.url, toolsets="all")
    shown: dict[str, str] = {}
    async with Client(create_app(settings, build=built_on(world)), mode="auto") as client:
        walk = Walk(client, CALLS, **given)
        for number, call in enumerate(CALLS):
            answer = text_of(await walk.call(number))
            assert "needs_confirmation" not in answer, f"{call.tool}: {answer}"
            shown.setdefault(call.tool, example(call, answer, walk.known, str(here), simulator.url))
            world.advance(30)
    if request.config.getoption("--update-surface"):
        PAGE.write_text(page(shown), encoding="utf-8")


def example(call: ToolCall, answer: str, known: Json, here: str, novita: str) -> str:
    """A call and its answer as the page shows them."""
    said = json.dumps(filled(call.arguments, known), ensure_ascii=False)
    lines = [line[:300] for line in answer.splitlines()]
    if len(lines) > LONGEST:
        lines = [*lines[:LONGEST], f"... {len(lines) - LONGEST} lines more"]
    text = "\n".join([f"{call.tool} {said}", "", *lines])
    return text.replace(here, "/home/ann/Pictures").replace(novita, "https://novita.example").replace("```", "'''")


def page(examples: dict[str, str]) -> str:
    """All of it, in the order in which a host lists the tools."""
    described = {each.name: each for each in surface().tools}
    parts = [HEAD]
    for toolset in TOOLSETS:
        parts += [f"## {toolset.name}", toolset.description]
        for spec in toolset.tools:
            listing = described[spec.name].listing
            parts += [f"### {spec.name}", listing["description"], arguments(spec.name)]
            parts.append(f"```text\n{examples[spec.name]}\n```" if spec.name in examples else WITHOUT[spec.name])
    return "\n\n".join(part for part in parts if part) + "\n"


def arguments(tool: str) -> str:
    """The table of what a tool takes; what is taken without being listed is marked."""
    spec = next(spec for toolset in TOOLSETS for spec in toolset.tools if spec.name == tool)
    built = spec.build()
    listed = built.parameters.get("properties", {})
    lines = ["| argument | type | what it is |", "| --- | --- | --- |"]
    for name, schema in built.taken["properties"].items():
        required = " (required)" if name in built.taken.get("required", ()) else ""
        seldom = "" if name in listed else " Not listed to agents."
        told = " ".join(str(schema.get("description", "")).split()).replace("|", "\\|")
        lines.append(f"| `{name}`{required} | {kind(schema)} | {told}{seldom} |")
    return "\n".join(lines) if len(lines) > 2 else "It takes nothing."


def kind(schema: Json) -> str:
    """The type of an argument in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"] if each is not None)
    if "type" in schema:
        return str(schema["type"])
    return " or ".join(sorted({str(each.get("type", "any")) for each in schema.get("anyOf", [])} - {"null"}))


HEAD = """# Every tool

What each tool takes, a call of it, and its answer as a model reads it. Written by `pytest --update-surface` from the
code and from one session on the [simulator](../simulator/README.md); ids, times and prices are of that session."""


def test_the_page_has_every_tool_with_its_arguments_of_today() -> None:
    text = PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    every = {spec.name for toolset in TOOLSETS for spec in toolset.tools}
    assert sections.keys() == every
    assert every - {call.tool for call in CALLS} == WITHOUT.keys()
    for name, section in sections.items():
        described = next(each for each in surface().tools if each.name == name).listing["description"]
        assert described in section and arguments(name) in section, f"{name}: {UPDATE}"
        assert name in WITHOUT or f"```text\n{name} " in section


def test_the_page_about_the_journal_is_fresh() -> None:
    script = PAGE.parents[1] / "scripts" / "journal_page.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
