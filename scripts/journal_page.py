"""Write docs/journal.md: the tables of the journal, and the facts of each kind of job.

python scripts/journal_page.py            write
python scripts/journal_page.py --check    exit 1 if the page is stale
"""

import asyncio
import inspect
import re
import sqlite3
import sys
import tempfile
from pathlib import Path

from novita_mcp.novita.journal.facts import FACTS, Facts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState
from written_page import write_or_check

PAGE = Path(__file__).resolve().parent.parent / "docs" / "journal.md"

HEAD = """\
# The journal

Made by `python scripts/journal_page.py` from the code; do not edit.

The journal is where nothing that was paid for gets lost: one SQLite file of a user, or a PostgreSQL database of a team.
A row is written *before* a paid request is sent, and says afterwards what came of it. Spending limits, `list_tasks`,
`get_task` and the joining of equal calls read it. [Money](money.md) and [waiting](waiting.md) say how it is used;
`novita/journal/schema.py` has the steps from one version to the next.

Times are Unix seconds, amounts whole micro dollars (`..._micro`). `owner` stands for who pays: a hash of the API key,
or of the person who signed in. No key is in it, unless people entered theirs; those are encrypted.
"""

TABLES = {
    "jobs": "A paid job: a picture, a chat, a machine, a batch. `facts` holds what only its kind has (below).",
    "artifacts": "Files that a job made, as JSON: their link, the path they were saved to, kind, size.",
    "segments": "Times in which something cost by the day: when, how much, and who said so. What a machine, an "
    "endpoint or a sandbox costs is added up from these.",
    "totals": "What was counted against limits in a run and on a day, so that no limit reads every row.",
    "kept_leases": "What is stopped at a set time, though nobody asks: `stop_after_hours`.",
    "leases": "The same as version 0.1.0 kept it; carried over at the first start.",
    "gone": "Models that this Novita was seen not to serve any more.",
    "news": "What happened to the journal itself, and is told to the user once.",
    "answers": "Answers of calls that are awaited, kept for a while: the same call again has the same answer.",
    "allowances": "When a caller, or Novita's own limit, has room for the next call. PostgreSQL: over all copies.",
    "audit": "A line for each call of a team's server: who, which tool, what it cost, how it ended.",
    "hooks": "Addresses that Novita was told to call when a task ends.",
    "kept_keys": "API keys that people entered on the key page, encrypted.",
    "lanes": "When a limit of Novita's own has room again.",
    "turns": "Who waits for such a limit, in the order in which all copies let them go.",
    "sendings": "What was sent under such a limit within its minute.",
    "used_notes": "Links to the key page that were used, until they would have ended by themselves.",
}
"""What each table is for. The script refuses a table that has no text here."""
OF_THE_DATABASE = {"sqlite_sequence"}

STATES = {
    JobState.SUBMITTING: "written down, and about to be sent",
    JobState.UNCONFIRMED: "sent, and nobody knows whether Novita took it: it counts as paid",
    JobState.WORKING: "accepted: Novita works, and bills",
    JobState.SUCCEEDED: "done",
    JobState.FAILED: "ended without a result; it may have been billed",
    JobState.REFUSED: "Novita said no: nothing was billed",
    JobState.CANCELLED: "ended at the user's wish",
}


def tables() -> dict[str, list[tuple[str, str]]]:
    """The tables of a new journal, each with its columns and their types."""

    async def make(path: Path) -> None:
        journal = Journal(path)
        await journal.row("none")
        await journal.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite3"
        asyncio.run(make(path))
        with sqlite3.connect(path) as db:
            names = [
                name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
            ]
            found = {name: [(row[1], row[2]) for row in db.execute(f"PRAGMA table_info({name})")] for name in names}
    return {name: columns for name, columns in found.items() if name not in OF_THE_DATABASE}


def said_of(kind: type[Facts]) -> tuple[str, dict[str, str]]:
    """The first sentence of a type's docstring, and the docstring's text about each field."""
    text = inspect.getdoc(kind) or ""
    about, _, arguments = text.partition("\n\nArgs:\n")
    told: dict[str, str] = {}
    for line in arguments.splitlines():
        if found := re.fullmatch(r" {4}(\w+): (.*)", line):
            told[found[1]] = found[2]
        elif told and line.strip():
            told[next(reversed(told))] += " " + line.strip()
    return " ".join(about.split()), told


def page() -> str:
    parts = [HEAD, "## Tables\n"]
    for name, columns in tables().items():
        parts += [f"**{name}**. {TABLES[name]}\n", ", ".join(f"`{column}` {kind}" for column, kind in columns) + ".\n"]
    parts += ["## States of a job\n", "| state | what it means |", "| --- | --- |"]
    parts += [f"| `{state}` | {words} |" for state, words in STATES.items()]
    parts += ["\n## Facts of each kind of job\n"]
    kinds: dict[type[Facts], list[str]] = {Facts: ["any"]}
    for kind, facts in FACTS.items():
        kinds.setdefault(facts, []).append(kind)
    for facts, names in kinds.items():
        about, told = said_of(facts)
        own = {
            name: field
            for name, field in facts.model_fields.items()
            if facts is Facts or name not in Facts.model_fields
        }
        parts += [f"### {', '.join(f'`{name}`' for name in names)}\n", f"{about}\n", "| fact | type | what it says |"]
        parts += ["| --- | --- | --- |"]
        for name, field in own.items():
            kind = str(field.annotation).replace("decimal.", "").removesuffix(" | None")
            parts.append(f"| `{name}` | {kind} | {told.get(name, '')} |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page, __doc__))
