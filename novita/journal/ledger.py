"""The ledger: what was spent through this journal, by day, tool and model.

What a row counts:

- its real cost, if that is known (language models report it);
- nothing, if Novita refused it or it was never sent;
- otherwise its estimate, or, without a known price, the amount that the user set for such calls.

If it is unknown whether Novita billed a call (no answer came, or the job failed and Novita does not say whether failed
jobs are billed), it counts in full and is shown as doubtful. Machines, volumes, endpoints and sandboxes are listed
under the day they were asked for. They count the time for which they were seen running, at that time's price, until
Novita's bill settles them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from ..core.money import MICRO, say_usd, show_usd
from ..core.periods import Period
from ..core.words import counted
from .databases import Db
from .journal import Journal
from .segments import cost_at

LedgerGrouping = Literal["day", "tool", "model"]


@dataclass(frozen=True)
class Spent:
    """Calls of one group. Money is USD.

    Args:
        counted: Their cost as far as it is known; this is what the caps count.
        estimated: The sum of the estimates made before they were sent.
        known: The part of `counted` that is not an estimate.
        doubtful: The part of `counted` that may not have been billed, for `doubtful_calls` calls.
        unpriced: The part of `counted` that was assumed for `unpriced_calls` calls without a known price.
        free_calls: Calls that were refused or never sent, so that nothing was billed.
    """

    day: date | None
    tool: str
    model: str
    calls: int
    counted: Decimal
    estimated: Decimal
    known: Decimal
    doubtful: Decimal
    doubtful_calls: int
    unpriced: Decimal
    unpriced_calls: int
    free_calls: int


# Rows of tasks started elsewhere have nothing but the task's id: nothing was spent through this journal.
_GROUPS = """
    WITH costs AS (
        SELECT {day} AS day, tool, model, owner, state, {cost} AS counted,
            COALESCE(estimate_micro, 0) AS estimated,
            {usd} IS NOT NULL AS known,
            estimate_micro IS NULL AS unpriced,
            counts <> 'counted'
                AND EXISTS (SELECT 1 FROM segments WHERE job = key AND until IS NOT NULL) AS metered
        FROM jobs
        WHERE created >= ? AND created < ?
            AND NOT (model = '' AND estimate_micro = 0 AND counted_micro = 0 AND title = COALESCE(task_id, ''))
    ), jobs_told AS (
        SELECT day, tool, model, owner, counted, estimated, known, unpriced,
            state = 'refused' OR (state = 'cancelled' AND counted = 0) AS free,
            state IN ('submitting', 'unconfirmed', 'failed', 'cancelled') AND NOT metered AS unclear
        FROM costs
    )
    SELECT day, tool, model, COUNT(*), SUM(counted), SUM(estimated),
        SUM(CASE WHEN known OR free THEN counted ELSE 0 END),
        SUM(CASE WHEN unclear AND NOT known AND NOT free THEN counted ELSE 0 END),
        SUM(CASE WHEN unclear AND NOT known AND NOT free THEN 1 ELSE 0 END),
        SUM(CASE WHEN unpriced AND NOT known AND NOT free THEN counted ELSE 0 END),
        SUM(CASE WHEN unpriced AND NOT known AND NOT free THEN 1 ELSE 0 END),
        SUM(CASE WHEN free THEN 1 ELSE 0 END)
    FROM jobs_told WHERE CAST(? AS TEXT) IS NULL OR owner = ?
    GROUP BY day, tool, model ORDER BY day, tool, model
"""


async def read_ledger(journal: Journal, period: Period, *, owner: str | None = None) -> list[Spent]:
    """One row for each day, tool and model, oldest first; of one owner, or (None) of all owners.

    Raises:
        JournalError: The journal cannot be read.
    """

    def read(db: Db) -> list[Spent]:
        groups = _GROUPS.format(cost=cost_at(journal.wall()), day=db.day_of("created"), usd=db.fact("facts", "usd"))
        rows = db.execute(groups, (period.start, period.end, owner, owner)).fetchall()
        return [
            Spent(
                day=date.fromisoformat(day),
                tool=tool,
                model=model,
                calls=calls,
                counted=_usd(counted),
                estimated=_usd(estimated),
                known=_usd(known),
                doubtful=_usd(doubtful),
                doubtful_calls=doubtful_calls,
                unpriced=_usd(unpriced),
                unpriced_calls=unpriced_calls,
                free_calls=free_calls,
            )
            for (
                day,
                tool,
                model,
                calls,
                counted,
                estimated,
                known,
                doubtful,
                doubtful_calls,
                unpriced,
                unpriced_calls,
                free_calls,
            ) in rows
        ]

    return await journal.transact(read)


def regroup(rows: Iterable[Spent], by: Sequence[LedgerGrouping]) -> list[Spent]:
    """Group the rows by fewer fields; fields not in `by` are empty. An empty `by` gives the total."""
    groups: dict[tuple[date | None, str, str], list[Spent]] = {}
    for row in rows:
        mark = (
            row.day if "day" in by else None,
            row.tool if "tool" in by else "",
            row.model if "model" in by else "",
        )
        groups.setdefault(mark, []).append(row)
    made = [_sum(mark, members) for mark, members in groups.items()]
    return sorted(made, key=lambda row: (row.day or date.min, -row.counted, row.tool, row.model))


def total(rows: Iterable[Spent]) -> Spent:
    """The sum of all rows."""
    return _sum((None, "", ""), list(rows))


def report(period: Period, rows: Sequence[Spent], *, most: int | None = None, note: str = "") -> dict[str, Any]:
    """Rows as plain data, with amounts as text; fields that are zero are left out.

    Args:
        most: The number of rows shown, newest first to be kept; the total includes all rows.
        note: One more remark for the reader.
    """
    shown = rows if most is None else rows[-most:]
    made: dict[str, Any] = {
        "first_day": str(period.first),
        "last_day": str(period.last),
        "total": _plain(total(rows)),
        "notes": [*notes(rows), *([note] if note else [])],
        "rows": [_plain(row) for row in shown],
    }
    if len(shown) < len(rows):
        made["rows_left_out"] = len(rows) - len(shown)
    return made


def notes(rows: Iterable[Spent]) -> list[str]:
    """What a reader of the sums should know about them."""
    rows = list(rows)
    whole = total(rows)
    remarks = (
        ["Estimates, except where the cost is known: real usage of text, 0 for refused calls, the bill."]
        if whole.calls
        else []
    )
    if whole.doubtful_calls:
        remarks.append(
            "Counted, but may not have been billed, because they failed or got no answer: "
            f"{counted(whole.doubtful_calls, 'call')} ({say_usd(whole.doubtful)})."
        )
    if whole.unpriced_calls:
        remarks.append(
            f"With no known price: {counted(whole.unpriced_calls, 'call')}, counted as {say_usd(whole.unpriced)} in all"
            " (the highest price of their kind, or NOVITA_MCP_UNKNOWN_PRICE_USD for each thing they buy)."
        )
    if any(row.tool in BY_TIME for row in rows):
        remarks.append(
            "Machines, volumes, endpoints and sandboxes are listed under the day of the call. At first they count at "
            "least an hour (or the term paid for, or a sandbox's longest life), then the time they were seen to run, "
            "and in the end what the bill says."
        )
    return remarks


BY_TIME = frozenset(
    {
        "create_gpu_instance",
        "start_gpu_instance",
        "save_gpu_volume",
        "create_endpoint",
        "update_endpoint",
        "create_sandbox",
        "run_code",
        "change_sandbox",
    }
)
"""Tools whose jobs are billed by time."""


def _plain(row: Spent) -> dict[str, Any]:
    shown: dict[str, Any] = {"day": row.day and str(row.day), "tool": row.tool, "model": row.model}
    shown = {name: value for name, value in shown.items() if value}
    shown |= {"calls": row.calls, "usd": show_usd(row.counted), "estimated_usd": show_usd(row.estimated)}
    for name, amount in (("known_usd", row.known), ("doubtful_usd", row.doubtful), ("unpriced_usd", row.unpriced)):
        if amount:
            shown[name] = show_usd(amount)
    for name in ("doubtful_calls", "unpriced_calls", "free_calls"):
        if count := getattr(row, name):
            shown[name] = count
    return shown


def _sum(mark: tuple[date | None, str, str], rows: Sequence[Spent]) -> Spent:
    nothing = Decimal(0)
    return Spent(
        *mark,
        calls=sum(row.calls for row in rows),
        counted=sum((row.counted for row in rows), nothing),
        estimated=sum((row.estimated for row in rows), nothing),
        known=sum((row.known for row in rows), nothing),
        doubtful=sum((row.doubtful for row in rows), nothing),
        doubtful_calls=sum(row.doubtful_calls for row in rows),
        unpriced=sum((row.unpriced for row in rows), nothing),
        unpriced_calls=sum(row.unpriced_calls for row in rows),
        free_calls=sum(row.free_calls for row in rows),
    )


def _usd(micro: int) -> Decimal:
    return Decimal(micro) / MICRO
