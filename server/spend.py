"""`novita-mcp spend`: what was asked for through this machine's journal, by day, tool and model, whoever's key paid."""

import json
import sys
from datetime import UTC, datetime
from typing import cast, get_args

import anyio
from rich.console import Console
from rich.table import Table

from ..novita.errors import NovitaError
from ..novita.journal import Journal
from ..novita.ledger import LedgerGrouping, Spent, notes, read_ledger, regroup, report, total
from ..novita.money import show_usd
from ..novita.periods import Period, read_period
from .building import journal_file
from .settings import SettingError, Settings, parts

_COLUMNS = ("calls", "usd", "estimated", "known", "doubtful", "no price")


def run_spend(settings: Settings, period: str, *, by: str, as_json: bool) -> int:
    """Show it on stdout; 1 if the journal cannot be read.

    Raises:
        SettingError: The period or the grouping is not known, or there is no journal on disk.
    """
    marks = _marks(by)
    try:
        span = read_period(period, datetime.now(UTC).date())
    except NovitaError as error:
        raise SettingError(f"{error.what}. {error.next_step}".strip()) from error
    try:
        rows = regroup(anyio.run(_read, settings, span), marks)
    except NovitaError as error:
        sys.stderr.write(f"novita-mcp: {error}\n")
        return 1
    if as_json:
        sys.stdout.write(json.dumps(report(span, rows), indent=2) + "\n")
    else:
        _show(span, rows, marks)
    return 0


def _marks(by: str) -> tuple[LedgerGrouping, ...]:
    known = get_args(LedgerGrouping)
    wanted = parts(by)
    for name in wanted:
        if name not in known:
            raise SettingError(f"--by takes {', '.join(known)}, not {name!r}")
    return tuple(cast(LedgerGrouping, name) for name in known if name in wanted)


async def _read(settings: Settings, span: Period) -> list[Spent]:
    place = journal_file(settings)
    if place is None:
        raise SettingError("the journal is off (NOVITA_MCP_JOURNAL), so nothing is remembered")
    if not place.exists():  # looking must not make one
        return []
    journal = Journal(place)
    try:
        return await read_ledger(journal, span)
    finally:
        await journal.close()


def _show(span: Period, rows: list[Spent], marks: tuple[LedgerGrouping, ...]) -> None:
    console = Console(highlight=False)
    whole = total(rows)
    console.print(f"${show_usd(whole.counted)} in {whole.calls} calls, {span}", style="bold")
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for name in marks:
        table.add_column(name, overflow="fold")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(str(getattr(row, name)) for name in marks), *_cells(row))
    if len(rows) > 1 and marks:
        table.add_section()
        table.add_row("total", *[""] * (len(marks) - 1), *_cells(whole), style="bold")
    console.print(table)
    for note in notes(rows):
        console.print(note, style="dim", soft_wrap=True)


def _cells(row: Spent) -> list[str]:
    amounts = (row.counted, row.estimated, row.known, row.doubtful, row.unpriced)
    return [str(row.calls), *(show_usd(amount) if amount else "-" for amount in amounts)]
