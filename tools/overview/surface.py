"""What a host sees, from surface.json: listing it imports no tool. `pytest --update-surface` writes the file.

A test makes the same of the code and compares, so a changed promise is a diff that somebody reads.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("surface.json")

Listing = Mapping[str, Any]
"""A tool, resource, template or prompt as it goes over the wire."""


@dataclass(frozen=True)
class OfferedTool:
    """A tool as it is listed, and the toolset it is of."""

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
    """All there is to list, each in the order of the list."""

    tools: tuple[OfferedTool, ...]
    resources: tuple[Listing, ...]
    templates: tuple[Listing, ...]
    prompts: tuple[Listing, ...]


@cache
def surface() -> Surface:
    """The stored surface."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    return Surface(
        tools=tuple(OfferedTool(toolset, tool) for toolset, tools in stored["tools"].items() for tool in tools),
        resources=tuple(stored["resources"]),
        templates=tuple(stored["templates"]),
        prompts=tuple(stored["prompts"]),
    )
