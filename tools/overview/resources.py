"""Read-only addresses: what there is, what was made, what it costs. Everything here can be had through tools too.

A resource is a row of a table: its address (a template where it has parameters), what it is, and the function that
reads it. Each family brings its own table; they are joined here.
"""

from ..account.resources import ACCOUNT_RESOURCES
from ..batches.resources import BATCH_RESOURCES
from ..gpu.resources import GPU_RESOURCES
from ..kit.context import Caller
from ..kit.resources import ResourceSpec, as_json
from ..media.resources import MEDIA_RESOURCES
from ..serverless.resources import SERVERLESS_RESOURCES
from ..text.resources import TEXT_RESOURCES
from .tasks import list_tasks


async def _tasks(caller: Caller) -> str:
    return as_json((await list_tasks(caller, limit=50)).model_dump(mode="json", exclude_none=True))


RESOURCES = (
    *MEDIA_RESOURCES,
    ResourceSpec("novita://tasks", "Tasks", "What was started through this server.", _tasks),
    *GPU_RESOURCES,
    *SERVERLESS_RESOURCES,
    *ACCOUNT_RESOURCES,
    *TEXT_RESOURCES,
    *BATCH_RESOURCES,
)
"""All of them, in the order a host lists them."""
