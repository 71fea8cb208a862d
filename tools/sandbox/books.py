"""Looks at sandboxes. Each look updates the journal's rows to what it showed; marks tell which sandboxes are ours."""

from collections.abc import Sequence
from datetime import datetime

from ...novita.core.errors import NovitaError
from ...novita.journal.journal import JobState
from ...novita.sandbox.hosts import DOMAIN
from ...novita.sandbox.inside import Inside
from ...novita.sandbox.looking import look_at_all, note_all, note_over
from ...novita.sandbox.rows import KIND, OWNER, adopt_lost, note_seen
from ...novita.sandbox.sandboxes import Sandboxes, SandboxGoneError
from ...novita.sandbox.shapes import Sandbox
from ..kit.context import Caller

_DOUBT_LASTS = 86_400.0
"""For so many seconds after a create whose answer was lost, each new create first looks for that sandbox."""


def plane_of(caller: Caller) -> Sandboxes:
    """The sandboxes of this caller's key."""
    return Sandboxes.of(caller.novita, caller.app.settings.sandbox_domain or DOMAIN)


def without_strangers(caller: Caller, there: Sequence[Sandbox]) -> list[Sandbox]:
    """The account's sandboxes without those that, by their marks, other people made who signed in."""
    if caller.signed_in is None:
        return list(there)
    return [each for each in there if each.metadata.get(OWNER, caller.owner) == caller.owner]


async def find_sandbox(caller: Caller, sandbox_id: str) -> Sandbox:
    """A sandbox of the account in its present state.

    Raises:
        SandboxGoneError: There is no sandbox of this id. The text names those there are.
    """
    plane = plane_of(caller)
    try:
        found = await plane.get(sandbox_id)
        if not without_strangers(caller, [found]):
            raise SandboxGoneError(f"There is no sandbox {sandbox_id[:80]!r}")
    except SandboxGoneError as error:
        await note_over(plane, caller.app.journal, caller.owner, sandbox_id)
        error.next_step = " ".join(filter(None, (error.next_step, await _known_ids(caller, plane))))
        raise
    await note_seen(caller.app.journal, caller.owner, found)
    return found


async def enter(caller: Caller, sandbox_id: str) -> Inside:
    """The way into a running sandbox.

    Raises:
        SandboxGoneError: The sandbox is not running.
    """
    found = await find_sandbox(caller, sandbox_id)
    return await Inside.enter(plane_of(caller), sandbox_id, known=found)


async def settle(caller: Caller, there: Sequence[Sandbox]) -> None:
    """Note the states of the account's sandboxes, and which of ours are gone.

    Args:
        there: All sandboxes of the account, running and paused.
    """
    await note_all(plane_of(caller), caller.app.journal, caller.owner, there)


async def settle_sandboxes(caller: Caller) -> None:
    """Look at all sandboxes once, if the journal has any that may still exist, or if the sandbox tools are on.

    Raises:
        NovitaError: The sandboxes cannot be listed, or the journal cannot be used.
    """
    always = caller.app.settings.sandboxes
    await look_at_all(plane_of(caller), caller.app.journal, caller.owner, always=always)


async def find_lost(caller: Caller) -> None:
    """For creates whose answer was lost, find the sandbox that carries their mark, so that no second one is made.

    Raises:
        NovitaError: The sandboxes cannot be listed.
    """
    journal, owner = caller.app.journal, caller.owner
    newest = await journal.recent(owner, limit=1, states=(JobState.UNCONFIRMED,), kind=KIND)
    if any(journal.wall() - row.begun < _DOUBT_LASTS for row in newest):
        await adopt_lost(journal, owner, await plane_of(caller).list_all(metadata={OWNER: owner}))


async def _known_ids(caller: Caller, plane: Sandboxes) -> str:
    """The ids of the account's sandboxes in words, for errors about an unknown id."""
    try:
        found = [each.id for each in without_strangers(caller, await plane.for_looking().list_all())]
    except NovitaError:
        return ""
    return f"There are: {', '.join(found[:10])}." if found else "There is no sandbox now."


def ends_words(ends_at: datetime | None) -> str:
    """A sentence that says when the sandbox ends by itself."""
    return f"It ends at {ends_at:%H:%M} UTC." if ends_at else ""
