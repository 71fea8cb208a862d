"""`novita-mcp spend`: shows the spending in this machine's journal by day, tool and model, for all keys together, and
what goes on costing.
"""

import json
import sys
from datetime import UTC, datetime
from typing import cast, get_args

import anyio

from ...novita.account.bills import OwnBill
from ...novita.core.client import NovitaClient, new_http
from ...novita.core.errors import JournalError, NovitaError
from ...novita.core.money import say_usd, show_usd
from ...novita.core.periods import Period, read_period
from ...novita.core.words import counted
from ...novita.journal.bill_settlement import settle_by_bill
from ...novita.journal.journal import Journal
from ...novita.journal.ledger import LedgerGrouping, Spent, notes, read_ledger, regroup, report, total
from ...novita.sandbox.hosts import DOMAIN
from ...novita.sandbox.looking import look_at_all
from ...novita.sandbox.sandboxes import Sandboxes
from ...tools.overview.running_costs import RunningCosts, RunningLine, known_costs
from ..building import open_journal
from ..config.places import journal_file
from ..settings import SettingError, Settings, parts
from .layout import columns, table, wrapped

_COLUMNS = ("calls", "usd", "estimated", "known", "doubtful", "no price")


def run_spend(settings: Settings, period: str, *, by: str, as_json: bool) -> int:
    """Print the spending. Returns the exit code: 1 if the journal cannot be read.

    Raises:
        SettingError: The period or the grouping is not known, or there is no journal on disk.
    """
    marks = _marks(by)
    try:
        span = read_period(period, datetime.now(UTC).date())
    except NovitaError as error:
        raise SettingError(f"{error.what}. {error.next_step}".strip()) from error
    try:
        found, corrected, running = anyio.run(_read, settings, span)
    except NovitaError as error:
        sys.stderr.write(f"novita-mcp: {error}\n")
        return 1
    rows = regroup(found, marks)
    if as_json:
        sys.stdout.write(json.dumps(report(span, rows, note=corrected) | running.as_data(), indent=2) + "\n")
    else:
        _show(span, rows, marks, corrected, running)
    return 0


def _marks(by: str) -> tuple[LedgerGrouping, ...]:
    known = get_args(LedgerGrouping)
    wanted = parts(by)
    for name in wanted:
        if name not in known:
            raise SettingError(f"--by takes {', '.join(known)}, not {name!r}")
    return tuple(cast(LedgerGrouping, name) for name in known if name in wanted)


async def _read(settings: Settings, span: Period) -> tuple[list[Spent], str, RunningCosts]:
    """The rows of the ledger, a sentence about what Novita's bill just corrected in it, and what goes on costing."""
    journal, place = open_journal(settings), journal_file(settings)
    if not journal.lasting:
        raise SettingError("the journal is off (NOVITA_MCP_JOURNAL), so nothing is remembered")
    if place is not None and not place.exists():  # reading must not create a journal
        return [], "", RunningCosts((), "0")
    try:
        corrected = await _brought_up(settings, journal) if settings.api_key else ""
        return await read_ledger(journal, span), corrected, await known_costs(journal, None)
    finally:
        await journal.close()


async def _brought_up(settings: Settings, journal: Journal) -> str:
    """Read the state of this key's sandboxes, which end by themselves, and let Novita's bill correct what has ended.

    If Novita does not answer, the journal keeps the state that was seen last, and the next run of the command tries
    again.
    """
    async with new_http() as http:
        client = NovitaClient(http, settings.api_key, settings.base_url).for_looking()
        try:
            plane = Sandboxes.of(client, settings.sandbox_domain or DOMAIN)
            await look_at_all(plane, journal, client.owner, always=settings.sandboxes)
        except JournalError:
            raise
        except NovitaError as error:
            _could_not("the state of sandboxes could not be read", error)
        try:
            return (await settle_by_bill(OwnBill(client), journal, client.owner)).words()
        except JournalError:
            raise
        except NovitaError as error:
            _could_not("not corrected by Novita's bill", error)
            return ""


def _could_not(what: str, error: NovitaError) -> None:
    sys.stderr.write(f"novita-mcp: {what}: {' '.join(str(error).split())}\n")


def _show(
    span: Period, rows: list[Spent], marks: tuple[LedgerGrouping, ...], corrected: str, running: RunningCosts
) -> None:
    width = columns()
    whole = total(rows)
    calls = counted(whole.calls, "call")
    lines = wrapped(f"{say_usd(whole.counted)} in {calls}, {span}", width)
    cells = [[*marks, *_COLUMNS], *([*(str(getattr(row, name)) for name in marks), *_cells(row)] for row in rows)]
    if len(rows) > 1 and marks:
        cells.append(["total", *[""] * (len(marks) - 1), *_cells(whole)])
    if rows:
        lines += ["", *table(cells, width, names=len(marks)), ""]
    for note in (*notes(rows), *([corrected] if corrected else [])):
        lines += wrapped(note, width)
    if running.lines:
        lines += ["", f"Going on now, about {say_usd(running.usd_per_hour)} per hour:", ""]
        head = ("kind", "id", "name", "usd/h", "usd so far")
        lines += table([[*head], *(_running_cells(line) for line in running.lines)], width, names=3)
        lines.append("")
        for note in dict.fromkeys(f"{line.id}: {line.note}" for line in running.lines if line.note):
            lines += wrapped(note, width)
    sys.stdout.write("\n".join(lines) + "\n")


def _running_cells(line: RunningLine) -> list[str]:
    return [line.kind, line.id, line.name, line.usd_per_hour or "-", line.cost_so_far_usd or "-"]


def _cells(row: Spent) -> list[str]:
    amounts = (row.counted, row.estimated, row.known, row.doubtful, row.unpriced)
    return [str(row.calls), *(show_usd(amount) if amount else "-" for amount in amounts)]
