"""Looking at sandboxes. Each look updates the journal's rows, and finds this server's sandboxes by their marks."""

import logging
from collections.abc import Sequence

from ..core.errors import JournalError, NovitaError
from ..journal.journal import JobState, Journal
from .rows import KIND, NEW, adopt_lost, known_sandboxes, note_gone, note_seen
from .sandboxes import Sandboxes
from .shapes import Sandbox

logger = logging.getLogger(__name__)

ENDS = ("timeout", "delete", "overdue")
"""Events in the history of a sandbox after which it no longer exists."""


async def look_at_all(plane: Sandboxes, journal: Journal, owner: str, *, always: bool) -> None:
    """List an owner's sandboxes, once, and note how they stand.

    Args:
        always: Also where the journal has none that may be there: one that it has lost is found by its mark.

    Raises:
        NovitaError: They cannot be listed, or the journal cannot be used.
    """
    lost = await journal.recent(owner, limit=1, states=(JobState.UNCONFIRMED,), kind=KIND)
    if always or lost or await known_sandboxes(journal, owner):
        await note_all(plane, journal, owner, await plane.for_looking().list_all())


async def note_all(plane: Sandboxes, journal: Journal, owner: str, there: Sequence[Sandbox]) -> None:
    """Note how the account's sandboxes stand, and which of ours are gone.

    Args:
        there: All of them, running and paused.
    """
    await adopt_lost(journal, owner, there)
    for sandbox in there:
        await note_seen(journal, owner, sandbox)
    listed = {sandbox.id for sandbox in there}
    for known in await known_sandboxes(journal, owner):
        if known.id not in listed and journal.wall() - known.begun > NEW:
            await note_over(plane, journal, owner, known.id)


async def note_over(plane: Sandboxes, journal: Journal, owner: str, sandbox_id: str) -> None:
    """Note that a sandbox is gone. Its time counts until its end, which Novita's history tells, if anything does."""
    at: float | None = None
    try:
        ends = [each for each in await plane.for_looking().events(sandbox_id) if each.name in ENDS]
        at = ends[0].at.timestamp() if ends and ends[0].at else None
    except JournalError:
        raise
    except NovitaError as error:  # without the history it counts as ended at its time limit, or now
        logger.warning("the history of sandbox %s could not be read: %s", sandbox_id[:60], error)
    await note_gone(journal, owner, sandbox_id, at)
