"""MCP tasks (extension io.modelcontextprotocol/tasks): a host that takes tasks gets one instead of a wait.

The task id is a sealed handle of the job at Novita, so nothing is stored here: `tasks/get` opens the handle and
looks. Only modern clients that declare the extension in the request itself may get a task.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, RequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ConfigDict, Field

from ....novita.core.redaction import without_secrets
from .. import mcp_tasks
from .handles import BadHandleError, Handle, Sealer
from .handoff import open_handoff

if TYPE_CHECKING:
    from ..context import Caller
    from .followers import Follower

IDENTIFIER = "io.modelcontextprotocol/tasks"
MODERN = frozenset(MODERN_PROTOCOL_VERSIONS)
MISSING_CAPABILITY = -32021
HEADER_MISMATCH = -32020
POLL_MS = 2_000


class TaskParams(RequestParams):
    """Parameters of tasks/get and tasks/cancel."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    task_id: str = Field(alias="taskId")


class TaskUpdateParams(TaskParams):
    """Parameters of tasks/update. No task of ours asks for input."""


class NovitaTasks(Extension):
    """Hands slow jobs over as MCP tasks and answers for them.

    Args:
        keys: Seal the handles; the first makes new ones.
        followers: Returns the follower for each kind of job. It is called only when a host asks about a task, which
            after a restart may happen before any tool call.
    """

    identifier = IDENTIFIER

    def __init__(self, keys: list[bytes], followers: "Callable[[], Awaitable[Mapping[str, Follower]]]") -> None:
        self._sealer = Sealer(keys)
        self._followers = followers

    def methods(self) -> list[MethodBinding]:
        return [
            MethodBinding("tasks/get", TaskParams, self._get, MODERN),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, MODERN),
            MethodBinding("tasks/update", TaskUpdateParams, self._update, MODERN),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Let a slow tool submit its job and return. If a job runs on, answer with an MCP task."""
        if not declares_tasks(ctx):
            return await call_next(ctx)
        with open_handoff() as handoff:
            result = await call_next(ctx)
        if handoff.job is None:
            return result
        kind, job_id = handoff.job
        caller = mcp_tasks.caller_of(ctx)
        now = caller.app.client.clock.wall()
        handle = Handle(kind, job_id, params.name, caller.owner, now)
        return {"resultType": "task", **self._wire(self._sealer.seal(handle), handle, "working", updated=now)}

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        caller, handle, follower = await self._open(ctx, params.task_id)
        followed = await mcp_tasks.follow(follower, caller, handle)
        updated = caller.app.client.clock.wall()
        wire = self._wire(params.task_id, handle, followed.status, updated=updated, note=followed.note)
        if followed.status == "completed" and followed.result is not None:
            wire["result"] = followed.result.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"resultType": "complete", **wire}

    async def _cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        """Acknowledge the request. A job that Novita cannot cancel runs on, and a later tasks/get shows it running."""
        caller, handle, follower = await self._open(ctx, params.task_id)
        await mcp_tasks.cancel(follower, caller, handle)
        return {"resultType": "complete"}

    async def _update(self, ctx: ServerRequestContext[Any, Any], params: TaskUpdateParams) -> HandlerResult:
        await self._open(ctx, params.task_id)
        return {"resultType": "complete"}

    async def _open(self, ctx: ServerRequestContext[Any, Any], task_id: str) -> "tuple[Caller, Handle, Follower]":
        if not declares_tasks(ctx):
            needed: dict[str, Any] = {"requiredCapabilities": {"extensions": {IDENTIFIER: {}}}}
            text = f"This needs the client capability {IDENTIFIER}"
            raise MCPError(code=MISSING_CAPABILITY, message=text, data=needed)
        named = getattr(ctx.request, "headers", {}).get("mcp-name") if ctx.request is not None else None
        if named is not None and named != task_id:
            raise MCPError(code=HEADER_MISMATCH, message="The Mcp-Name header does not equal the task id")
        followers = await self._followers()
        caller = mcp_tasks.caller_of(ctx)
        try:
            handle = self._sealer.open(task_id, owner=caller.owner)
        except BadHandleError as error:
            raise MCPError(code=INVALID_PARAMS, message="Unknown task") from error
        follower = followers.get(handle.kind)
        if follower is None:
            raise MCPError(code=INVALID_PARAMS, message="Unknown task")
        return caller, handle, follower

    def _wire(self, task_id: str, handle: Handle, status: str, *, updated: float, note: str = "") -> dict[str, Any]:
        wire: dict[str, Any] = {
            "taskId": task_id,
            "status": status,
            "createdAt": _iso(handle.created),
            "lastUpdatedAt": _iso(updated),
            "ttlMs": None,
            "pollIntervalMs": POLL_MS,
        }
        if note:
            wire["statusMessage"] = without_secrets(note)
        return wire


def declares_tasks(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether this request itself declares the extension. In earlier protocol revisions "tasks" meant another thing."""
    if ctx.protocol_version not in MODERN:
        return False
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and IDENTIFIER in (capabilities.extensions or {})


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
