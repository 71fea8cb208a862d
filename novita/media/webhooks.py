"""Our own addresses for Novita to call when a task ends: one per task, unguessable, kept in memory only.

A call means "look now" and nothing else: whatever it carries is thrown away, and what is true is asked of Novita with
the caller's own key. So a forged or repeated call costs a look at most, and few of those.
"""

import logging
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import NovitaError
from ..core.redaction import Known, learn

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from ..core.client import NovitaClient
    from .jobs import MediaJobs

logger = logging.getLogger(__name__)

MOST = 4_096
"""Addresses kept at a time; the oldest is forgotten first."""
MOST_CALLS = 8
"""Calls that one address answers with a look; Novita itself sends an event six times at most."""


@dataclass
class _HookAddress:
    client: "NovitaClient"
    known: Known | None
    task_id: str | None = None
    called: int = 0


class Webhooks:
    """The addresses of one process.

    Args:
        background: Where looks run that nobody waits for.
        public_url: Where the world reaches this server.
    """

    def __init__(self, media: "MediaJobs", background: "TaskGroup", public_url: str) -> None:
        self._media, self._background = media, background
        self._base = public_url.rstrip("/")
        self._known: OrderedDict[str, _HookAddress] = OrderedDict()

    def open(self, client: "NovitaClient") -> tuple[str, str]:
        """A new address for a task that `client` is about to submit: its token, and the whole URL."""
        token = secrets.token_urlsafe(32)
        self._known[token] = _HookAddress(client, learn(token))
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return token, f"{self._base}/webhooks/{token}"

    def accepted(self, token: str, task_id: str) -> None:
        """Say which task an address belongs to. Its end may have been called in already."""
        address = self._known.get(token)
        if address is None:
            return
        address.task_id = task_id
        if address.called:
            self._look(address.client, task_id)

    def knows(self, token: str) -> bool:
        """Whether there is such an address."""
        return token in self._known

    def called(self, token: str) -> None:
        """Somebody called an address: have its task looked at."""
        address = self._known.get(token)
        if address is None:
            return
        address.called += 1
        if address.called >= MOST_CALLS:
            del self._known[token]
        if address.task_id is not None:
            self._look(address.client, address.task_id)

    def _look(self, client: "NovitaClient", task_id: str) -> None:
        if not self._media.nudge(client.owner, task_id):
            self._background.start_soon(self._look_once, client, task_id)

    async def _look_once(self, client: "NovitaClient", task_id: str) -> None:
        """Nobody waits: bring the journal up to date, so that the next question is answered at once."""
        try:
            await self._media.bring(client, task_id, budget=0)
        except NovitaError as error:
            logger.warning("a look that a webhook asked for failed: %s", error)
