"""The list of tools, resources and prompts for hosts, read from surface.json, so that listing them imports no tool.

`pytest --update-surface` writes the file. A test compares it with the code, so whoever changes what hosts see must
commit a change of this file, which reviewers read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("surface.json")

Listing = Mapping[str, Any]
"""A tool, resource, template or prompt in the form in which MCP lists it."""


@dataclass(frozen=True)
class OfferedTool:
    """A tool in its listed form, and its toolset."""

    toolset: str
    listing: Listing

    @property
    def name(self) -> str:
        return self.listing["name"]

    @property
    def read_only(self) -> bool:
        return self.listing["annotations"]["readOnlyHint"]


@dataclass(frozen=True)
class Surface:
    """Everything that can be listed, each kind in the order of its list."""

    tools: tuple[OfferedTool, ...]
    resources: tuple[Listing, ...]
    templates: tuple[Listing, ...]
    prompts: tuple[Listing, ...]


@cache
def toolset_of(tool: str) -> str:
    """The name of the toolset that a tool is of."""
    return next(offered.toolset for offered in surface().tools if offered.name == tool)


@cache
def surface() -> Surface:
    """The surface stored in surface.json."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    return Surface(
        tools=tuple(OfferedTool(toolset, tool) for toolset, tools in stored["tools"].items() for tool in tools),
        resources=tuple(stored["resources"]),
        templates=tuple(stored["templates"]),
        prompts=tuple(stored["prompts"]),
    )
