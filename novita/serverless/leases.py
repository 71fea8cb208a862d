"""Ends an endpoint's lease: it sets the number of workers that are kept alive to 0.

An endpoint cannot be stopped as an instance can. Without workers kept alive it costs nothing until it is called. Only
deleting it would prevent calls as well, and people should decide that.
"""

from datetime import datetime

from ..core.answers import may_come_of
from ..core.client import NovitaClient
from ..core.errors import NotFoundError
from ..journal.journal import Journal
from ..journal.leases import ENDERS
from .endpoints import get_endpoint, list_endpoints, update_endpoint
from .plans import EndpointPlan
from .rows import note_gone, note_seen

ENDPOINT = "endpoint"
"""The kind that marks a lease as that of an endpoint."""


class EndpointEnder:
    """Makes sure that no worker of an endpoint is kept alive."""

    async def end(self, client: NovitaClient, thing_id: str, *, again: bool, journal: Journal) -> tuple[bool, str]:
        try:
            endpoint = await get_endpoint(client, thing_id)
        except NotFoundError:
            await note_gone(journal, client.owner, thing_id)
            return True, "the endpoint is gone"
        await note_seen(journal, client.owner, [endpoint])
        if not endpoint.worker_config.min_num:
            return True, "idles since the end of its lease" if again else "idled already"
        await update_endpoint(client, endpoint, EndpointPlan.of(endpoint).changed(min_workers=0))
        idle = endpoint.worker_config.model_copy(update={"min_num": 0})
        await note_seen(journal, client.owner, [endpoint.model_copy(update={"worker_config": idle})])
        return False, "asked to idle"

    async def created_since(self, client: NovitaClient, name: str, since: datetime) -> str | None:
        for endpoint in await list_endpoints(client):
            if endpoint.name == name and may_come_of(endpoint.created_at, since):
                return endpoint.id
        return None


ENDERS[ENDPOINT] = EndpointEnder()
