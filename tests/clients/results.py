"""What was seen of other people's clients, and the part of docs/hosts.md that is made of it."""

import json
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "docs" / "hosts.md"
CONFORMANCE = Path(__file__).parents[1] / "conformance" / "expected.json"


class Seen(BaseModel):
    """What a client saw over one transport.

    Args:
        tools: Whether it listed all. converted: Whether all of them became tools of a language model.
        picture: Whether the bytes of a picture reached its caller.
        video: Whether a slow video was `working` at first and then ended through get_task.
        error: Whether the words of an error could be read.
        nulls: Whether optional arguments may be sent as null.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tools: bool
    converted: bool
    picture: bool
    video: bool
    error: bool
    nulls: bool


class Row(BaseModel):
    """One client: the package that was run, and what was seen by transport."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    seen: dict[str, Seen]


def stored() -> dict[str, Row]:
    """By name of client."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else ""
    return {name: Row.model_validate(row) for name, row in json.loads(text or "{}").items()}


def client_table() -> str:
    """One row a client."""
    heads = ["client", "run as", "over", "all tools", "a picture", "a slow video ends", "an error can be read", "nulls"]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in stored().items():
        for transport, seen in sorted(row.seen.items(), reverse=True):
            marks = [seen.tools and seen.converted, seen.picture, seen.video, seen.error, seen.nulls]
            cells = [name, f"`{row.version}`", transport, *("yes" if mark else "no" for mark in marks)]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def conformance_table() -> str:
    """One row a run of the suite."""
    rows = ["| run of the suite | checks passed | not passed, and why |", "|---|---|---|"]
    for name, run in json.loads(CONFORMANCE.read_text(encoding="utf-8")).items():
        passed = sum(len(checks) for checks in run["passed"].values())
        why = "; ".join(f"{len(checks)}: {reason}" for reason, checks in run["not"].items())
        rows.append(f"| {name} | {passed} | {why} |")
    return "\n".join(rows)


TABLES = {"clients": client_table, "conformance": conformance_table}


def between(name: str) -> re.Pattern[str]:
    """A part of the page that is generated."""
    return re.compile(rf"(<!-- {name} -->)(.*?)(<!-- /{name} -->)", re.DOTALL)


def write_page() -> None:
    """Put the tables into docs/hosts.md."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        made = table().replace("\\", r"\\")
        text = between(name).sub(rf"\1\n{made}\n\3", text)
    PAGE.write_text(text, encoding="utf-8")
