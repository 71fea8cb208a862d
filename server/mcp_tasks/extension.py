"""MCP tasks (extension io.modelcontextprotocol/tasks): a host that takes tasks gets one instead of a wait.

The task id is a sealed handle of the job at Novita, so nothing is stored here: `tasks/get` opens the handle and
looks. Only modern clients that declare the extension in the request itself may get a task.
tools/ and novita/ are imported where a call needs them: start-up does without.
"""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, RequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ConfigDict, Field

from ...novita.core.redaction import without_secrets
from ...tools.kit.mcp_tasks.handoff import open_handoff
from .handles import BadHandleError, Handle, Sealer

if TYPE_CHECKING:
    from ...tools.kit.context import Caller
    from ...tools.kit.mcp_tasks.followers import Followed

logger = logging.getLogger(__name__)

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
    """Hands slow jobs over as MCP tasks and answers for them."""

    identifier = IDENTIFIER

    def __init__(self, keys: list[bytes]) -> None:
        self._sealer = Sealer(keys)

    def methods(self) -> list[MethodBinding]:
        return [
            MethodBinding("tasks/get", TaskParams, self._get, MODERN),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, MODERN),
            MethodBinding("tasks/update", TaskUpdateParams, self._update, MODERN),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Let a slow tool submit and return; if it left a job behind, answer with a task."""
        if not declares_tasks(ctx):
            return await call_next(ctx)
        with open_handoff() as handoff:
            result = await call_next(ctx)
        if handoff.job is None:
            return result
        kind, job_id = handoff.job
        caller = caller_of(ctx)
        now = caller.app.client.clock.wall()
        handle = Handle(kind, job_id, params.name, caller.owner, now)
        return {"resultType": "task", **self._wire(self._sealer.seal(handle), handle, "working", updated=now)}

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        caller, handle = self._open(ctx, params.task_id)
        followed = await self._follow(caller, handle)
        updated = caller.app.client.clock.wall()
        wire = self._wire(params.task_id, handle, followed.status, updated=updated, note=followed.note)
        if followed.status == "completed" and followed.result is not None:
            wire["result"] = followed.result.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"resultType": "complete", **wire}

    async def _follow(self, caller: "Caller", handle: Handle) -> "Followed":
        """How the job stands. A tool's error is a completed task whose result is an error."""
        from ...novita.core.errors import NotFoundError, NovitaAPIError, NovitaConnectionError, NovitaError
        from ...novita.core.waiting import SETTLING
        from ...tools.kit.mcp_tasks.followers import FOLLOWERS, Followed
        from ...tools.kit.toolset import error_result

        try:
            return await FOLLOWERS[handle.kind].follow(caller, handle.job_id, handle.tool)
        except NovitaConnectionError:
            return Followed("working", note="Novita could not be reached; still trying")
        except NovitaError as error:
            # The journal that knows how young the job is may be another copy's; the handle knows too.
            if isinstance(error, NotFoundError) and caller.app.client.clock.wall() - handle.created < SETTLING:
                return Followed("working", note="not visible yet")
            if isinstance(error, NovitaAPIError) and error.transient:
                return Followed("working", note="Novita did not answer properly; still trying")
            return Followed("completed", error_result(str(error)))

    async def _cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        """Acknowledge. What upstream cannot cancel goes on, and a later tasks/get says so honestly."""
        from ...novita.core.errors import NovitaError
        from ...tools.kit.mcp_tasks.followers import FOLLOWERS

        caller, handle = self._open(ctx, params.task_id)
        try:
            await FOLLOWERS[handle.kind].cancel(caller, handle.job_id)
        except NovitaError as error:
            logger.warning("cancelling %s %s: %s", handle.kind, handle.job_id, error)
        return {"resultType": "complete"}

    async def _update(self, ctx: ServerRequestContext[Any, Any], params: TaskUpdateParams) -> HandlerResult:
        self._open(ctx, params.task_id)
        return {"resultType": "complete"}

    def _open(self, ctx: ServerRequestContext[Any, Any], task_id: str) -> "tuple[Caller, Handle]":
        from ...tools import TOOLSETS
        from ...tools.kit.mcp_tasks.followers import FOLLOWERS

        assert TOOLSETS  # toolsets bring their followers; after a restart this may be the first request
        if not declares_tasks(ctx):
            raise MCPError(code=MISSING_CAPABILITY, message=f"This needs the client capability {IDENTIFIER}")
        named = getattr(ctx.request, "headers", {}).get("mcp-name") if ctx.request is not None else None
        if named is not None and named != task_id:
            raise MCPError(code=HEADER_MISMATCH, message="The Mcp-Name header does not equal the task id")
        caller = caller_of(ctx)
        try:
            handle = self._sealer.open(task_id, owner=caller.owner)
        except BadHandleError as error:
            raise MCPError(code=INVALID_PARAMS, message="Unknown task") from error
        if handle.kind not in FOLLOWERS:
            raise MCPError(code=INVALID_PARAMS, message="Unknown task")
        return caller, handle

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
    """Whether this very request says that its client takes tasks. Earlier revisions meant something else by it."""
    if ctx.protocol_version not in MODERN:
        return False
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and IDENTIFIER in (capabilities.extensions or {})


def caller_of(ctx: ServerRequestContext[Any, Any]) -> "Caller":
    """The caller of a request that did not come through a tool."""
    from ...tools.kit.context import open_call

    return open_call(Context(request_context=ctx))


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
