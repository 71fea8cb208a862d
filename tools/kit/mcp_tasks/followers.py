"""How jobs handed over as MCP tasks are followed: one follower per kind of job, by the kind's name.

A toolset with slow tools adds its own: `FOLLOWERS["batch"] = ...`.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from mcp_types import CallToolResult

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


FOLLOWERS: dict[str, Follower] = {}
"""By kind of job. Each family adds its own."""
