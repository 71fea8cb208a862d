"""What the end of a lease does to an instance: it is stopped."""

from datetime import datetime

from ..core.answers import may_come_of
from ..core.client import NovitaClient
from ..core.errors import NotFoundError
from ..journal.journal import Journal
from ..journal.leases import ENDERS
from .instances import get_instance, list_instances, stop_instance
from .meters import follow_gone, follow_instance

INSTANCE = "instance"
"""The kind that marks a lease as that of an instance."""


class InstanceEnder:
    """Stops an instance. Its disk is kept, so that it can be started again."""

    async def end(self, client: NovitaClient, thing_id: str, *, again: bool, journal: Journal) -> tuple[bool, str]:
        try:
            instance = await get_instance(client, thing_id)
        except NotFoundError:
            await follow_gone(journal, client.owner, thing_id)
            return True, "the instance is gone"
        settled = instance.gone or instance.status == "exited"
        asks = not settled and instance.status not in ("toStop", "stopping")
        if asks:
            await stop_instance(client, thing_id)
        await follow_instance(journal, client.owner, instance)
        if settled:
            return True, "stopped at the end of its lease" if again else "was stopped already"
        return False, "asked to stop" if asks else "stopping"

    async def created_since(self, client: NovitaClient, name: str, since: datetime) -> str | None:
        for instance in await list_instances(client, name=name):
            if instance.name == name and may_come_of(instance.created_at, since):
                return instance.id
        return None


ENDERS[INSTANCE] = InstanceEnder()
