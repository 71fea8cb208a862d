"""Notes whether a job's result reached its caller. Only then does the same call begin a new job."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import anyio
from mcp_types import CallToolResult

from ...novita.core.errors import JournalError
from ...novita.journal.joining import DELIVERED_WITHIN
from ...novita.journal.journal import JobState, Journal
from .context import Caller

logger = logging.getLogger(__name__)

_NO_DELIVERY = frozenset({"working", "needs_confirmation", "dry_run"})
"""Statuses of answers that do not deliver a result."""
_OVER = (JobState.UNCONFIRMED, JobState.SUCCEEDED, JobState.FAILED)


async def note_delivery(caller: Caller, answer: Callable[[], Awaitable[Any]]) -> Any:
    """Answer a call, and note that it delivered the result of the job that it began, joined or fetched.

    A call that is cancelled or disconnected never reaches the note. If a call began or joined a job and took longer
    than hosts wait, nothing is noted either, because its host may have given it up silently.
    """
    clock = caller.app.jobs.clock
    began = clock.now()
    answered = await answer()
    key = caller.asks_after
    if not key and caller.same is not None and clock.now() - began < DELIVERED_WITHIN:
        key = caller.same.job_key
    if key and isinstance(answered, CallToolResult):
        await note_given(caller, key, answered)
    if caller.told_of and isinstance(answered, CallToolResult) and not answered.is_error:
        _note(caller, caller.told_of)
    return answered


async def note_given(caller: Caller, key: str, answered: CallToolResult) -> None:
    """Note that an answer delivers a job's result, if it does."""
    if answered.is_error:
        # An error is the job's result only if the job has ended; otherwise it may concern this look alone.
        job = await caller.app.journal.row(key)
        over = job is not None and job.state in _OVER
    else:
        fields: Mapping[str, Any] = answered.structured_content or {}
        over = fields.get("status") not in _NO_DELIVERY
    if over:
        _note(caller, [key])


def _note(caller: Caller, keys: Collection[str]) -> None:
    for key in keys:
        caller.app.journal.given.add(key)
    caller.app.jobs.background.start_soon(_written_down, caller.app.journal)


async def _written_down(journal: Journal) -> None:
    # The caller does not wait for the note, but a process that is shutting down does.
    with anyio.CancelScope(shield=True):
        try:
            await journal.note_given()
        except JournalError as error:
            logger.warning("the delivery of an answer could not be noted yet: %s", error)
