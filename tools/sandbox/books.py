"""Looking at sandboxes: each look brings the journal's rows up to what was seen, and finds ours by their marks."""

import logging
from collections.abc import Sequence
from datetime import datetime

from ...novita.core.errors import JournalError, NovitaError
from ...novita.journal.journal import JobState
from ...novita.sandbox.hosts import DOMAIN
from ...novita.sandbox.inside import Inside
from ...novita.sandbox.rows import KIND, NEW, adopt_lost, known_sandboxes, note_gone, note_seen
from ...novita.sandbox.sandboxes import Sandboxes, SandboxGoneError
from ...novita.sandbox.shapes import Sandbox
from ..kit.context import Caller

logger = logging.getLogger(__name__)


def plane_of(caller: Caller) -> Sandboxes:
    """The sandboxes of this caller's key."""
    return Sandboxes.of(caller.novita, caller.app.settings.sandbox_domain or DOMAIN)


async def find_sandbox(caller: Caller, sandbox_id: str) -> Sandbox:
    """A sandbox of the account as it stands.

    Raises:
        SandboxGoneError: There is none of this id; names those there are.
    """
    plane = plane_of(caller)
    try:
        found = await plane.get(sandbox_id)
    except SandboxGoneError as error:
        await over(caller, sandbox_id)
        error.next_step = " ".join(filter(None, (error.next_step, await _known_ids(plane))))
        raise
    await note_seen(caller.app.journal, caller.owner, found)
    return found


async def enter(caller: Caller, sandbox_id: str) -> Inside:
    """The way into a running sandbox.

    Raises:
        SandboxGoneError: It does not run.
    """
    found = await find_sandbox(caller, sandbox_id)
    return await Inside.enter(plane_of(caller), sandbox_id, known=found)


async def settle(caller: Caller, there: Sequence[Sandbox]) -> None:
    """Note how the account's sandboxes stand, and which of ours are gone.

    Args:
        there: All of them, running and paused.
    """
    journal, owner = caller.app.journal, caller.owner
    await adopt_lost(journal, owner, there)
    for sandbox in there:
        await note_seen(journal, owner, sandbox)
    listed = {sandbox.id for sandbox in there}
    for known in await known_sandboxes(journal, owner):
        if known.id not in listed and journal.wall() - known.begun > NEW:
            await over(caller, known.id)


async def settle_sandboxes(caller: Caller) -> None:
    """Look at all sandboxes, once, where the journal has any that may be there or the sandbox tools are on: one that
    the journal has lost is found by its mark.

    Raises:
        NovitaError: They cannot be listed, or the journal cannot be used.
    """
    journal, owner = caller.app.journal, caller.owner
    lost = await journal.recent(owner, limit=1, states=(JobState.UNCONFIRMED,), kind=KIND)
    if caller.app.settings.sandboxes or lost or await known_sandboxes(journal, owner):
        await settle(caller, await plane_of(caller).for_looking().list_all())


async def over(caller: Caller, sandbox_id: str) -> None:
    """A sandbox was found gone: its time counts until it ended, by Novita's history where that tells."""
    at: float | None = None
    try:
        ends = [each for each in await plane_of(caller).for_looking().events(sandbox_id) if each.name in _ENDS]
        at = ends[0].at.timestamp() if ends and ends[0].at else None
    except JournalError:
        raise
    except NovitaError as error:  # without the history it ended at its time, or now
        logger.warning("the history of sandbox %s could not be read: %s", sandbox_id[:60], error)
    await note_gone(caller.app.journal, caller.owner, sandbox_id, at)


_ENDS = ("timeout", "delete", "overdue")


async def _known_ids(plane: Sandboxes) -> str:
    """The ids the account has, for errors about one that it does not have."""
    try:
        found = [each.id for each in await plane.for_looking().list_all()]
    except NovitaError:
        return ""
    return f"There are: {', '.join(found[:10])}." if found else "There is no sandbox now."


def ends_words(ends_at: datetime | None) -> str:
    """When it ends by itself, as a sentence."""
    return f"It ends at {ends_at:%H:%M} UTC." if ends_at else ""
