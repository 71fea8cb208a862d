"""Renders the operator's overview as an HTML page of tables. It has no script and loads nothing."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape

from ...novita.journal.team.audit import AuditEntry
from ...novita.journal.team.overview import TeamOverview
from ..browsers import allowed

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
:root { color-scheme: light dark }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 2rem }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
code { font-size: .9em }
"""
POLICY = f"default-src 'none'; style-src {allowed(_STYLE)}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The page's Content-Security-Policy, which allows its own style and nothing else."""


def page(overview: TeamOverview, errors: Sequence[AuditEntry]) -> str:
    """The overview as HTML.

    Args:
        errors: The latest calls that failed.
    """
    ended = ", ".join(f"{count} {state}" for state, count in overview.failed.items()) or "none"
    more = ", the newest of more" if overview.more_running else ""
    day = sum((job.usd_per_day for job in overview.running), Decimal(0))
    sections = (
        f"<h2>Running ({len(overview.running)}{more}; {_usd(day)} a day)</h2>",
        _table(
            ("Caller", "Tool", "Model", "State", "Since", "USD", "USD a day"),
            (
                (job.owner, job.tool, job.model, job.state, _time(job.since), _usd(job.usd), _usd(job.usd_per_day))
                for job in overview.running
            ),
        ),
        "<h2>Spending by caller, USD</h2>",
        _table(
            ("Caller", "Today", "7 days", "30 days", "Jobs"),
            (
                (each.owner, _usd(each.today), _usd(each.week), _usd(each.month), str(each.jobs))
                for each in overview.spending
            ),
        ),
        "<h2>Calls of a day</h2>",
        _table(
            ("Tool", "Calls", "Errors"), ((each.tool, str(each.calls), str(each.errors)) for each in overview.tools)
        ),
        f"<p>Jobs of a day that brought nothing: {escape(ended)}.</p>",
        "<h2>Calls that failed last</h2>",
        _table(
            ("At", "Caller", "Tool", "Model", "USD", "Seconds"),
            (
                (_time(each.at), each.owner, each.tool, each.model, _usd(each.usd), f"{each.seconds:.1f}")
                for each in errors
            ),
        ),
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>novita-mcp: operator</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>novita-mcp</h1><p>{_time(overview.at)}, all copies on this journal. As JSON: "
        "<code>/operator/overview.json</code>, <code>/operator/audit.json</code>.</p>" + "".join(sections) + "</html>"
    )


_NUMBERS = frozenset({"USD", "USD a day", "Today", "7 days", "30 days", "Jobs", "Calls", "Errors", "Seconds"})


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    kinds = [' class="n"' if head in _NUMBERS else "" for head in heads]

    def row(tag: str, cells: Sequence[str]) -> str:
        shown = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(shown)}</tr>"

    body = "".join(row("td", cells) for cells in rows)
    return f"<table>{row('th', heads)}{body}</table>" if body else "<p>None.</p>"


def _usd(amount: Decimal) -> str:
    return f"{amount:.4f}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
