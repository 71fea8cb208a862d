"""How jobs handed over as MCP tasks are followed: one follower per kind of job, by the kind's name.

A toolset with slow tools adds its own: `FOLLOWERS["batch"] = ...`.
"""

import logging
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult

from ....novita.core.errors import NotFoundError, NovitaAPIError, NovitaConnectionError, NovitaError
from ....novita.core.waiting import SETTLING
from ..context import Caller, open_call
from ..delivery import note_given
from ..toolset import error_result
from .handles import Handle

logger = logging.getLogger(__name__)

Status = Literal["working", "completed", "cancelled"]


@dataclass(frozen=True)
class Followed:
    """The state of a job. `result` is the tool's own answer, once the job is completed."""

    status: Status
    result: CallToolResult | None = None
    note: str = ""


class Follower(Protocol):
    """Looks at one kind of job."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        """Look at the job once; if it is done, fetch its files. A failed job raises its error."""
        ...

    async def cancel(self, caller: Caller, job_id: str) -> None:
        """Cancel upstream where that can be done; otherwise do nothing."""
        ...


FOLLOWERS: dict[str, Follower] = {}
"""Kind of job -> its follower. Each family adds its own."""


def caller_of(ctx: ServerRequestContext[Any, Any]) -> Caller:
    """The caller of a request that did not come through a tool."""
    return open_call(Context(request_context=ctx))


async def follow(follower: Follower, caller: Caller, handle: Handle) -> Followed:
    """The state of the job. If the tool fails, MCP wants a completed task whose result is an error."""
    followed = await _looked(follower, caller, handle)
    if followed.status == "completed" and followed.result is not None:
        job = await caller.app.journal.find(caller.owner, handle.job_id)
        if job is not None:
            await note_given(caller, job.key, followed.result)
    return followed


async def _looked(follower: Follower, caller: Caller, handle: Handle) -> Followed:
    try:
        return await follower.follow(caller, handle.job_id, handle.tool)
    except NovitaConnectionError:
        return Followed("working", note="Novita could not be reached; still trying")
    except NovitaError as error:
        # This copy's journal may not know the job, so its age is taken from the handle.
        if isinstance(error, NotFoundError) and caller.app.client.clock.wall() - handle.created < SETTLING:
            return Followed("working", note="not visible yet")
        if isinstance(error, NovitaAPIError) and error.transient:
            return Followed("working", note="Novita did not answer properly; still trying")
        return Followed("completed", error_result(str(error)))


async def cancel(follower: Follower, caller: Caller, handle: Handle) -> None:
    """Cancel the job if its kind allows that. A later look shows whether it still runs."""
    try:
        await follower.cancel(caller, handle.job_id)
    except NovitaError as error:
        logger.warning("cancelling %s %s: %s", handle.kind, handle.job_id, error)
