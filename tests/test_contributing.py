"""CONTRIBUTING.md, done: a route of the simulator, a toolset and a tool are added to a copy, step by step."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .copying import ROOT, Copy

PAGE = ROOT / "CONTRIBUTING.md"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PAGE.is_file(), reason="away from the source")]

NOVITAS_SIDE = '''"""What Novita says in the morning."""

from pydantic import BaseModel, ConfigDict

from ..core.client import NovitaClient
from ..core.answers import an_object


class Greeting(BaseModel):
    """A greeting. Source: a route that exists in this test only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: str


async def greeting(client: NovitaClient) -> Greeting:
    """Read it."""
    answer = await client.read("GET", "/v3/greeting", doing="reading the greeting", group="billing")
    return Greeting(words=str(an_object(answer.data)["words"]))
'''

TOOLS = '''"""Greetings."""

from pydantic import Field

from ...novita.greetings.greetings import greeting
from ..kit.context import Call
from ..kit.toolset import READS, ToolResult, Toolset

greetings = Toolset("greetings", "Say hello.")


class GreetingResult(ToolResult):
    """What was said."""

    words: str = Field(description="The greeting.")

    def headline(self) -> str:
        return "Novita says hello."


@greetings.tool("Greet", READS)
async def read_greeting(call: Call) -> GreetingResult:
    """Say hello, good morning or welcome in Novita's own words, to see whether it is awake. Free; answers the words."""
    return GreetingResult(words=(await greeting(call.novita)).words)
'''

SIMULATOR = '''"""Greetings."""

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler


async def get_greeting(call: Call) -> Response:
    return answer({"words": "Good morning, fox."})


HANDLERS: dict[str, Handler] = {"get_greeting": get_greeting}
'''

FACTS: dict[str, Any] = {
    "method": "GET",
    "path": "/v3/greeting",
    "area": "account",
    "group": "billing",
    "parameters": [],
    "request": None,
    "request_required": False,
    "responses": {
        "200": {
            "application/json": {
                "type": "object",
                "properties": {"words": {"type": "string"}},
                "required": ["words"],
            }
        }
    },
    "task": "sync",
    "artifact": "none",
    "aliases": [],
    "public": False,
}


def test_a_route_a_toolset_and_a_tool_are_added_as_the_page_says(tmp_path: Path) -> None:
    copy = Copy(tmp_path)

    # A route of the simulator: facts, handler, and the test that calls every operation.
    book = copy.root / "simulator" / "core" / "documentation" / "account.json"
    told = json.loads(book.read_text(encoding="utf-8"))
    told["operations"]["get_greeting"] = FACTS
    book.write_text(json.dumps(told), encoding="utf-8")
    copy.write("simulator/greetings/routes.py", SIMULATOR)
    copy.change("simulator/app.py", '    "account.team",\n', '    "account.team",\n    "greetings.routes",\n')
    copy.run("-m", "pytest", "-q", "tests/simulator/core/test_every_operation.py", "-k", "1-0.0")

    # A toolset and its tool.
    copy.write("novita/greetings/greetings.py", NOVITAS_SIDE)
    copy.write("tools/greetings/greetings.py", TOOLS)
    copy.change(
        "tools/overview/toolset_names.py", '    "sandbox": "off",\n', '    "sandbox": "off",\n    "greetings": "off",\n'
    )
    doors = "tools/overview/each_toolset.py"
    copy.change(
        doors,
        "    from ..kit.toolset import Toolset, ToolSpec\n",
        "    from ..greetings.greetings import greetings\n    from ..kit.toolset import Toolset, ToolSpec\n",
    )
    copy.change(doors, '    "images",\n', '    "greetings",\n    "images",\n')
    copy.change(doors, '        "images": ', '        "greetings": "..greetings.greetings",\n        "images": ')
    copy.change("tests/test_layout.py", '"sandbox", "account"}', '"sandbox", "account", "greetings"}')
    copy.change("server/icon.py", '    "sandbox": ', '    "greetings": "M4 5h16v11H9l-5 4z",\n    "sandbox": ')
    copy.run("-m", "pytest", "-q", "tests/test_surface.py", "--update-surface")
    copy.run("scripts/house.py")
    copy.run("-m", "pytest", "-q", "tests/test_layout.py", "tests/test_house.py")
    said = copy.run("-m", "novita_mcp.server", "--tools", "read_greeting", "call", "read_greeting", "--simulate")
    assert "Good morning, fox." in said


def test_no_addition_takes_more_than_eight_steps() -> None:
    sections = dict(re.findall(r"^## Add (.+)\n((?:.|\n)*?)(?=^## )", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

    assert sections.keys() == {"a tool", "a toolset", "a media model", "a route to the simulator"}
    assert all(1 < len(re.findall(r"^\d+\. ", text, re.MULTILINE)) <= 8 for text in sections.values())
