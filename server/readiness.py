"""Checks whether the journal answers. Without the journal no paid request may be sent, so the copy is not ready."""

import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import anyio

from ..novita.core.errors import JournalError

if TYPE_CHECKING:
    from ..novita.journal.journal import Journal

PATIENCE = 2.0
"""Seconds within which a healthy database answers."""
FRESH = 1.0
"""Seconds for which a result is reused. Anybody may ask for it, and the database has other work."""


class Heartbeat:
    """Asks the journal, one query at a time; all who ask meanwhile share its result.

    Args:
        start_soon: Runs a query in the background. It goes on after its caller has given up, because a database that
            is down may take long to fail.
    """

    def __init__(self, start_soon: Callable[[Callable[[], Coroutine[Any, Any, None]]], object]) -> None:
        self._start_soon = start_soon
        self._asking: anyio.Event | None = None
        self._well = False
        self._at = -FRESH

    async def journal_answers(self, journal: "Journal") -> bool:
        """Whether the journal answered within `PATIENCE` seconds."""
        if time.monotonic() - self._at < FRESH:
            return self._well
        if self._asking is None:
            self._asking = asked = anyio.Event()

            async def ask() -> None:
                try:
                    await journal.transact(lambda db: db.execute("SELECT 1").fetchone())
                    self._well = True
                except JournalError:
                    self._well = False
                finally:
                    self._at, self._asking = time.monotonic(), None
                    asked.set()

            self._start_soon(ask)
        asking = self._asking
        with anyio.move_on_after(PATIENCE):
            await asking.wait()
            return self._well
        return False
