"""Webhook addresses of this server that Novita calls when a task ends. Each task has an address that cannot be guessed.

Addresses are kept in memory. If several processes share a PostgreSQL journal, it keeps hashes of them, so that Novita
may call any of the processes.

A call only means that somebody should look at the task now. Its content is ignored, and the task's state is asked of
Novita with the caller's own key. So a forged or repeated call can cost no more than a few looks.
"""

import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from ..core.errors import JournalError, NovitaError
from ..core.redaction import Known, learn
from ..journal.team.hooks import CalledTask, call_hook, hear_calls, knows_hook, share_hook, take_called

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from ..core.client import NovitaClient
    from ..journal.journal import Journal
    from .jobs import MediaJobs

logger = logging.getLogger(__name__)

MOST = 4_096
"""How many addresses are kept. If there are more, the oldest are forgotten."""
MOST_CALLS = 8
"""How many calls of one address lead to a look. Novita itself sends an event at most six times."""
_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)
_FIRST = 1.0
"""Seconds that a process waits before it looks, so that one whose caller waits for the task can look first."""
_GLANCE = 15.0
"""Seconds between two checks for calls that reached other processes while this one was not listening."""


@dataclass
class _HookAddress:
    client: "NovitaClient"
    known: Known | None
    task_id: str | None = None
    called: int = 0


class Webhooks:
    """The webhook addresses of one process.

    Args:
        background: Runs looks that no caller waits for.
        public_url: The address at which this server is reached from outside.
        shared: The PostgreSQL journal that the processes share; None if there is only one process.
    """

    def __init__(
        self, media: "MediaJobs", background: "TaskGroup", public_url: str, shared: "Journal | None" = None
    ) -> None:
        self._media, self._background, self._shared = media, background, shared
        self._clients: OrderedDict[str, NovitaClient] = OrderedDict()
        self._base = public_url.rstrip("/")
        self._known: OrderedDict[str, _HookAddress] = OrderedDict()

    def open(self, client: "NovitaClient") -> tuple[str, str]:
        """Make an address for a task that `client` is about to submit. Returns its token and the whole URL."""
        token = secrets.token_urlsafe(32)
        self._clients[client.owner] = client
        self._known[token] = _HookAddress(client, learn(token))
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        while len(self._clients) > MOST:
            self._clients.popitem(last=False)
        return token, f"{self._base}/webhooks/{token}"

    def accepted(self, token: str, task_id: str) -> None:
        """Note which task an address belongs to. Novita may already have called the address."""
        address = self._known.get(token)
        if address is None:
            return
        address.task_id = task_id
        if address.called:
            self._look(address.client, task_id)
        if self._shared is not None:
            self._background.start_soon(self._share, self._shared, token, address, task_id)

    async def knows(self, token: str) -> bool:
        """Whether there is such an address.

        Raises:
            JournalError: It is none of this process, and the others' cannot be read now.
        """
        if token in self._known:
            return True
        if self._shared is None or not _TOKEN.fullmatch(token):
            return False
        return await knows_hook(self._shared, token, most=MOST_CALLS)

    async def called(self, token: str) -> bool:
        """Look at the task whose address was called. Returns whether there is such an address.

        Raises:
            JournalError: It is none of this process, and the others' cannot be read now.
        """
        address = self._known.get(token)
        if address is None:
            if self._shared is None or not _TOKEN.fullmatch(token):
                return False
            return await call_hook(self._shared, token, most=MOST_CALLS)
        address.called += 1
        if address.called >= MOST_CALLS:
            del self._known[token]
        if address.task_id is None:
            return True  # the look follows once the task's id is known
        if self._shared is not None and not self._media.nudge(address.client.owner, address.task_id):
            try:
                await call_hook(self._shared, token, most=MOST_CALLS)  # a caller of another process may be waiting
            except JournalError as error:
                logger.warning("other copies were not told of a webhook's call: %s", error)
            else:
                return True
        self._look(address.client, address.task_id)
        return True

    async def listen(self, url: str) -> None:
        """Listen for calls that reach other processes, until this process ends.

        Args:
            url: The database of the shared journal.
        """
        import psycopg  # only a team's server needs it

        if (shared := self._shared) is None:
            return
        while True:
            try:
                async with aclosing(hear_calls(url, pause=_GLANCE)) as calls:
                    async for heard in calls:
                        await self._hear(shared, heard)
            except (psycopg.Error, JournalError) as error:
                logger.warning("calls of webhooks at other copies cannot be heard: %s", type(error).__name__)
            await anyio.sleep(_GLANCE)

    async def _hear(self, shared: "Journal", heard: CalledTask | None) -> None:
        if heard is None:
            await self._take(shared, list(self._clients))
        elif self._media.nudge(heard.owner, heard.task_id):
            await take_called(shared, [heard.owner], heard)  # the waiting caller looks
        elif heard.owner in self._clients:
            self._background.start_soon(self._take_later, shared, heard)

    async def _take_later(self, shared: "Journal", heard: CalledTask) -> None:
        await anyio.sleep(_FIRST)
        try:
            await self._take(shared, [heard.owner], heard)
        except JournalError as error:
            logger.warning("a task that a webhook told of could not be taken over: %s", error)

    async def _take(self, shared: "Journal", owners: Sequence[str], task: CalledTask | None = None) -> None:
        """Look at tasks that were called for and that no process has looked at yet, for owners whose keys are known."""
        for found in await take_called(shared, owners, task):
            if client := self._clients.get(found.owner):
                self._look(client, found.task_id)

    async def _share(self, journal: "Journal", token: str, address: _HookAddress, task_id: str) -> None:
        try:
            await share_hook(journal, token, address.client.owner, task_id, called=address.called)
        except JournalError as error:
            logger.warning("an address for Novita to call is known to this copy alone: %s", error)

    def _look(self, client: "NovitaClient", task_id: str) -> None:
        if not self._media.nudge(client.owner, task_id):
            self._background.start_soon(self._look_once, client, task_id)

    async def _look_once(self, client: "NovitaClient", task_id: str) -> None:
        """Update the journal although no caller waits, so that the next question is answered at once."""
        try:
            await self._media.bring(client, task_id, budget=0)
        except NovitaError as error:
            logger.warning("a look that a webhook asked for failed: %s", error)
