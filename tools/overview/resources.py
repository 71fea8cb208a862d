"""All MCP resources: models, tasks, costs and more. Tools give access to everything here, too.

A resource is a row of a table: its address (a template if it has parameters), its description, and the function that
reads it. Each family has its own table; they are joined here.
"""

from datetime import timedelta

from ...novita.core.periods import Period
from ...novita.journal.ledger import read_ledger, report
from ..account.balance_and_bills import by_the_bill, today
from ..account.resources import ACCOUNT_RESOURCES
from ..batches.resources import BATCH_RESOURCES
from ..gpu.resources import GPU_RESOURCES
from ..kit.context import Caller
from ..kit.resources import ResourceSpec, as_json
from ..media.resources import MEDIA_RESOURCES
from ..serverless.resources import SERVERLESS_RESOURCES
from ..text.resources import TEXT_RESOURCES
from .running_costs import what_runs
from .tasks import list_tasks

_DAYS = 31
_ROWS = 120


async def _tasks(caller: Caller) -> str:
    return as_json((await list_tasks(caller, limit=50)).model_dump(mode="json", exclude_none=True))


async def _spend(caller: Caller) -> str:
    last = today(caller)
    span = Period(last - timedelta(days=_DAYS - 1), last)
    running = await what_runs(caller)  # first, since a thing that is seen to have ended stops counting its time
    corrected = await by_the_bill(caller)
    rows = await read_ledger(caller.app.journal, span, owner=caller.owner)
    return as_json(report(span, rows, most=_ROWS, note=corrected) | running.as_data())


RESOURCES = (
    *MEDIA_RESOURCES,
    ResourceSpec("novita://tasks", "Tasks", "What was started through this server.", _tasks),
    *GPU_RESOURCES,
    *SERVERLESS_RESOURCES,
    *ACCOUNT_RESOURCES,
    ResourceSpec(
        "novita://spend",
        "Spend",
        f"What was asked for through this server in the last {_DAYS} days, by day, tool and model, and what goes on "
        "costing, paused sandboxes too. In USD.",
        _spend,
    ),
    *TEXT_RESOURCES,
    *BATCH_RESOURCES,
)
"""All resources in the order in which a host lists them."""
