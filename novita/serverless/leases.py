"""What the end of a lease does to an endpoint: no worker is kept alive any more.

An endpoint cannot be stopped as an instance can. With nobody kept alive it costs nothing until it is called; only
deleting it would end calls as well, and that is for people to decide.
"""

from datetime import datetime

from ..core.answers import may_come_of
from ..core.client import NovitaClient
from ..core.errors import NotFoundError
from ..journal.journal import Journal
from .endpoints import get_endpoint, list_endpoints, update_endpoint
from .plans import EndpointPlan
from .rows import note_gone, note_seen
from .shapes import Endpoint

PREFIX = "endpoint:"
"""Marks endpoints where leases name instances."""


async def let_idle(client: NovitaClient, endpoint_id: str, *, again: bool, journal: Journal) -> tuple[bool, str]:
    """See that no worker is kept alive; whether that is so, and what was done in words.

    Args:
        again: It was asked for before.
        journal: Its rows about the endpoint are brought up to what is seen.
    """
    try:
        endpoint = await get_endpoint(client, endpoint_id)
    except NotFoundError:
        await note_gone(journal, client.owner, endpoint_id)
        return True, "the endpoint is gone"
    await note_seen(journal, client.owner, [endpoint])
    if not endpoint.worker_config.min_num:
        return True, "idles since the end of its lease" if again else "idled already"
    await update_endpoint(client, endpoint, EndpointPlan.of(endpoint).changed(min_workers=0))
    idle = endpoint.worker_config.model_copy(update={"min_num": 0})
    await note_seen(journal, client.owner, [endpoint.model_copy(update={"worker_config": idle})])
    return False, "asked to idle"


async def created_since(client: NovitaClient, name: str, since: datetime) -> Endpoint | None:
    """The endpoint of a create whose answer was lost: of that name, and not older than the lease."""
    for endpoint in await list_endpoints(client):
        fresh = may_come_of(endpoint.created_at, since)
        if endpoint.name == name and fresh:
            return endpoint
    return None
