"""How jobs handed over as MCP tasks are followed: one follower per kind of job, by the kind's name.

A toolset with slow tools adds its own: `FOLLOWERS["batch"] = ...`.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from mcp_types import CallToolResult

from ....novita.journal.journal import FINAL_STATES
from ...media.results import answer
from ..context import Caller

Status = Literal["working", "completed", "cancelled"]


@dataclass(frozen=True)
class Followed:
    """How a job stands. `result` is the tool's own answer, once completed."""

    status: Status
    result: CallToolResult | None = None
    note: str = ""


class Follower(Protocol):
    """Looks at one kind of job."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        """One look; finishes the job (fetches its files) if it is done. Errors of the job are raised."""
        ...

    async def cancel(self, caller: Caller, job_id: str) -> None:
        """Cancel upstream where that can be done; otherwise do nothing."""
        ...


class MediaFollower:
    """Media tasks. Novita has no way to cancel one."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        delivery = await caller.app.media.bring(caller.novita, job_id, budget=0)
        if delivery.job.state not in FINAL_STATES:
            percent = f", {delivery.progress:.0f} %" if delivery.progress else ""
            return Followed("working", note=f"{delivery.job.model or 'task'} {job_id} is running{percent}")
        result = await answer(caller, delivery)
        return Followed("completed", result.to_mcp())

    async def cancel(self, caller: Caller, job_id: str) -> None:
        return None


FOLLOWERS: dict[str, Follower] = {"media": MediaFollower()}
