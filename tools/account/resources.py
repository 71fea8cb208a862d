"""Read-only addresses about money."""

from datetime import timedelta

from ...novita.account.balance import get_balance
from ...novita.core.periods import Period
from ...novita.journal.ledger import read_ledger, report
from ..kit.context import Caller
from ..kit.resources import ResourceSpec, as_json
from .balance_and_bills import by_the_bill, today

_DAYS = 31
_ROWS = 120


async def _spend(caller: Caller) -> str:
    last = today(caller)
    span = Period(last - timedelta(days=_DAYS - 1), last)
    corrected = await by_the_bill(caller)
    rows = await read_ledger(caller.app.journal, span, owner=caller.owner)
    return as_json(report(span, rows, most=_ROWS, note=corrected))


async def _balance(caller: Caller) -> str:
    return as_json((await get_balance(caller.novita)).model_dump(mode="json"))


ACCOUNT_RESOURCES = (
    ResourceSpec("novita://balance", "Balance", "What credit is left, in USD.", _balance),
    ResourceSpec(
        "novita://spend",
        "Spend",
        f"What was asked for through this server in the last {_DAYS} days, by day, tool and model, in USD.",
        _spend,
    ),
)
