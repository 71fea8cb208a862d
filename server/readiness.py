"""Whether the journal answers: without it nothing paid may be sent, so a copy without it is not ready."""

import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import anyio

from ..novita.core.errors import JournalError

if TYPE_CHECKING:
    from ..novita.journal.journal import Journal

PATIENCE = 2.0
"""Seconds within which a database that is well has answered."""
FRESH = 1.0
"""Seconds for which an answer holds: anybody may ask, and the database has other work."""


class Heartbeat:
    """Asks the journal, one question at a time, whoever wants to know.

    Args:
        start_soon: Runs a question on, though nobody waits any longer: one to a dead database takes a while.
    """

    def __init__(self, start_soon: Callable[[Callable[[], Coroutine[Any, Any, None]]], object]) -> None:
        self._start_soon = start_soon
        self._asking: anyio.Event | None = None
        self._well = False
        self._at = -FRESH

    async def journal_answers(self, journal: "Journal") -> bool:
        """Whether it did within a moment."""
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
