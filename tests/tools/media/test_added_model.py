"""docs/models.md, walked: the page's entry added to a copy of the tables, its facts to a copy of the facts, no code."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from PIL import Image

from ...copying import ROOT, Copy
from ..media_things import Json, done, refused

PAGE = ROOT / "docs" / "models.md"

pytestmark = pytest.mark.skipif(not (ROOT / "novita").is_dir(), reason="away from the source")


def entry_of_the_page() -> Json:
    """The only JSON block of the page."""
    blocks = PAGE.read_text(encoding="utf-8").split("```json")[1:]
    assert len(blocks) == 1
    return json.loads(blocks[0].partition("```")[0])


def facts_of(entry: Json) -> Json:
    """The line of the page for the simulator, with the body typed again."""
    line = PAGE.read_text(encoding="utf-8").split("```python")[1].partition("```")[0]
    return json.loads(f"{{{line.replace('BODY', json.dumps(entry['input']))}}}")[entry["operation"]]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy of the product in which the model was added."""
    copy = Copy(tmp_path, all_of_it=False)
    entry = entry_of_the_page()
    catalog = copy.root / "novita" / "media" / "catalog" / "image.json"
    table = json.loads(catalog.read_text(encoding="utf-8"))
    table["models"] = [model for model in table["models"] if model["id"] != entry["id"]] + [entry]
    catalog.write_text(json.dumps(table), encoding="utf-8")
    pages = copy.root / "simulator" / "core" / "documentation" / "image.json"
    book = json.loads(pages.read_text(encoding="utf-8"))
    book["operations"][entry["operation"]] = facts_of(entry)
    pages.write_text(json.dumps(book), encoding="utf-8")
    return copy


@asynccontextmanager
async def client_of(copy: Copy, home: Path) -> AsyncGenerator[Client]:
    """A client on the copy, in a process of its own, with the copy's simulator behind it."""
    kept = {name: copy.environment[name] for name in ("PATH", "SYSTEMROOT", "PYTHONPATH") if name in copy.environment}
    places = {"HOME": str(home), "NOVITA_MCP_OUTPUT_DIR": str(home / "out")}
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "novita_mcp.server", "--simulate"],
        env=kept | places | {"NOVITA_MCP_JOURNAL": "off"},
        cwd=str(home),
    )
    async with Client(stdio_client(command)) as client:
        yield client


async def test_the_example_of_the_page_works_without_any_code(copy: Copy, tmp_path: Path) -> None:
    async with client_of(copy, tmp_path) as client:
        wish = {"prompt": "a red fox", "model": "Aurora 1", "aspect_ratio": "3:2", "count": 2, "seed": 4}
        answer = await done(client.call_tool("generate_image", wish))

        assert answer["model"] == "aurora-1"
        assert answer["estimated_cost_usd"] == "0.04"
        assert answer["seed"] == 4
        assert len(answer["artifacts"]) == 2
        for artifact in answer["artifacts"]:
            with Image.open(artifact["path"]) as picture:
                assert picture.size == (1248, 832)

        listed: Json = (await client.call_tool("list_media_models", {"search": "aurora"})).structured_content or {}
        assert [model["id"] for model in listed["models"]] == ["aurora-1"]
        await refused(client.call_tool("generate_image", wish | {"count": 5}), "aurora-1", "1 to 4")
