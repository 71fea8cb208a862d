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

The journal is the database that makes sure that nothing paid for is lost: an SQLite file of one user, or a PostgreSQL
database of a team. The server writes a row *before* it sends a paid request, and adds the result afterwards. Spending
limits, `list_tasks`, `get_task` and the joining of equal calls read it. [Money](money.md) and [waiting](waiting.md) say
how it is used; `novita/journal/schema.py` has the steps from one version to the next.

Times are Unix seconds, and amounts are whole micro dollars (`..._micro`). `owner` says who pays, as a hash of the API
key or of the person who signed in. The journal contains no key, except those that people entered on the key page; they
are encrypted.
"""

TABLES = {
    "jobs": "Paid jobs, such as a picture, a chat, a machine or a batch. `facts` holds what only its kind has (below).",
    "artifacts": "The files that a job made, as JSON: link, path of the saved file, kind, size.",
    "segments": "Stretches of time in which something cost by the day: from when until when, how much, and by which "
    "source. Their sum is the cost of a machine, an endpoint or a sandbox.",
    "totals": "The sums counted for the limits of a run and of a day, so that no check has to read every row.",
    "kept_leases": "Leases: what the server stops at a set time (`stop_after_hours`).",
    "leases": "Leases in the form of version 0.1.0. The first start of a newer version moves them to `kept_leases`.",
    "gone": "Models that Novita, at this address, no longer serves.",
    "news": "What the server last read of Novita's lists of models, prices and notices.",
    "answers": "Answers that Novita gives only once, kept for some minutes. If the same call is made again, it gets "
    "the same answer.",
    "allowances": "The time at which a caller may make the next call under the rate limit. With PostgreSQL all copies "
    "share it.",
    "audit": "A row for each tool call of a team's server: who, which tool, what it cost, how it ended.",
    "hooks": "The addresses that Novita shall call when a task ends.",
    "kept_keys": "The API keys that people entered on the key page, encrypted.",
    "lanes": "The time at which Novita's own limit has room again, for each key and model.",
    "turns": "The requests that wait for such a limit, in the order in which all copies send them.",
    "sendings": "The requests that were sent under such a limit within the last minute.",
    "used_notes": "Links to the key page that were used, until they would have expired.",
}
"""What each table is for. The script refuses a table that has no text here."""
OF_THE_DATABASE = {"sqlite_sequence"}

STATES = {
    JobState.SUBMITTING: "stored in the journal, and about to be sent",
    JobState.UNCONFIRMED: "sent, but it is not known whether Novita accepted it; it counts as paid",
    JobState.WORKING: "accepted; Novita works on it, and bills it",
    JobState.SUCCEEDED: "done",
    JobState.FAILED: "ended without a result; it may have been billed",
    JobState.REFUSED: "Novita refused it; nothing was billed",
    JobState.CANCELLED: "cancelled by the user",
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
