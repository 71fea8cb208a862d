"""Skills as they stand in skills/, and the calls that each lists."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..tool_calls import ToolCall, calls_in

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "skills"
Json = dict[str, Any]


@dataclass(frozen=True)
class Skill:
    """A folder of skills/."""

    folder: str
    front: Json
    text: str
    calls: tuple[ToolCall, ...]


def read(path: Path) -> Skill:
    """A SKILL.md."""
    whole = path.read_text(encoding="utf-8")
    found = re.fullmatch(r"---\n(.*?)\n---\n(.*)", whole, re.DOTALL)
    assert found is not None, f"{path}: no front matter"
    return Skill(path.parent.name, yaml.safe_load(found[1]), found[2], calls_in(found[2]))


def skills() -> list[Skill]:
    return [read(path) for path in sorted(FOLDER.glob("*/SKILL.md"))]
