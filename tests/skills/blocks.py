"""Skills as they stand in skills/, and the calls that each lists."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "skills"
Json = dict[str, Any]


@dataclass(frozen=True)
class Skill:
    """A folder of skills/. `calls` are tool and arguments, with `$name` where something is to be filled in."""

    folder: str
    front: Json
    text: str
    calls: tuple[tuple[str, Json], ...]


def read(path: Path) -> Skill:
    """A SKILL.md."""
    whole = path.read_text(encoding="utf-8")
    found = re.fullmatch(r"---\n(.*?)\n---\n(.*)", whole, re.DOTALL)
    assert found is not None, f"{path}: no front matter"
    (block,) = re.findall(r"```tool-calls\n(.*?)```", found[2], re.DOTALL)
    calls: list[tuple[str, Json]] = []
    for line in block.splitlines():
        tool, _, arguments = line.partition(" ")
        calls.append((tool, json.loads(arguments or "{}")))
    return Skill(path.parent.name, yaml.safe_load(found[1]), found[2], tuple(calls))


def skills() -> list[Skill]:
    return [read(path) for path in sorted(FOLDER.glob("*/SKILL.md"))]


def filled(value: Any, known: Json) -> Any:
    """Arguments with what is known in place of its name."""
    if isinstance(value, str):
        return re.sub(r"\$([a-z_]+)", lambda name: str(known[name[1]]), value)
    if isinstance(value, dict):
        return {name: filled(each, known) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return [filled(each, known) for each in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]
