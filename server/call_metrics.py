"""Counts, logs and limits the tool calls of a server that several people share, and knows when none is running."""

import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

import anyio
import httpx
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, InputRequiredResult

from ..novita.core.words import counted
from ..novita.journal.journal import Journal
from ..novita.journal.team.audit import AuditLog
from ..novita.journal.team.begun import watch_begun
from ..tools.kit.context import owner_in
from ..tools.kit.toolset import error_result
from .metrics import Metrics
from .rate_limit import SharedRateLimit
from .settings import Settings

logger = logging.getLogger(__name__)

_FLOOD = 10
"""How many requests of any kind (tasks, lists, resources) a caller may send for each tool call that it may make."""

_MOST_KEPT = 10_000
"""The most characters of a call's arguments that the audit log keeps, if it keeps them."""

Answer = CallToolResult | InputRequiredResult


def nobody_shares() -> Journal | None:
    """The default for `Watch.shared`: there is no PostgreSQL journal that several copies of the server share."""
    return None


class Watch:
    """Wraps every tool call of this process."""

    def __init__(self, settings: Settings, *, now: Callable[[], float] = monotonic) -> None:
        self.metrics = Metrics()
        self.shared: Callable[[], Journal | None] = nobody_shares
        """Returns the journal that all copies of the server share; None if there is none."""
        self.calls = SharedRateLimit("calls", settings.rate_limit, lambda: self.shared(), now=now)
        self.requests = SharedRateLimit("requests", settings.rate_limit * _FLOOD, lambda: self.shared(), now=now)
        self.audit = AuditLog(settings.audit_days)
        self._keeps_arguments = settings.audit_arguments
        self.running = 0
        self.draining = False
        """True once the process was told to end. The readiness check then fails, but calls are still served."""
        self.told = False
        """Whether a readiness check has answered "not ready" since, so that the load balancer can know."""
        self._now = now

    async def around(
        self,
        tool: str,
        context: Context[Any, Any] | None,
        go: Callable[[], Awaitable[Answer]],
        arguments: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Run a call, or refuse it and say when it may be repeated.

        Every call that runs is in the audit log: one that began something before it is answered, others a moment later.
        """
        owner = owner_in(context) if context else "anonymous"
        wait = await self.calls.take(owner)
        if wait:
            self._end(tool, owner, "limited", 0)
            return _limited(wait, self.calls.per_minute)
        began, outcome, begun = self._now(), "cancelled", list[str]()
        self._run(1)
        try:
            with watch_begun() as begun:
                answer = await go()
            outcome = "error" if isinstance(answer, CallToolResult) and answer.is_error else "ok"
        except Exception:
            outcome = "error"
            raise
        else:
            return answer
        finally:
            self._run(-1)
            seconds = self._now() - began
            self._end(tool, owner, outcome, seconds)
            if context is not None and self.audit.days:
                asked = json.dumps(arguments)[:_MOST_KEPT] if self._keeps_arguments else None
                parts = context.request_context.lifespan_context
                self.audit.note(
                    parts.app.journal,
                    owner=owner,
                    tool=tool,
                    outcome=outcome,
                    seconds=seconds,
                    begun=begun,
                    arguments=asked,
                )
                if begun:
                    with anyio.CancelScope(shield=True):  # a call whose client has left is logged as well
                        await self.audit.write(parts.app.journal)
                else:
                    self.audit.write_soon(parts.app.journal, parts.start_soon)

    def _run(self, more: int) -> None:
        self.running += more
        self.metrics.add("novita_mcp_calls_running", more)

    def _end(self, tool: str, owner: str, outcome: str, seconds: float) -> None:
        self.metrics.add("novita_mcp_calls_total", tool=tool, outcome=outcome)
        self.metrics.add("novita_mcp_call_seconds_total", seconds, tool=tool)
        logger.info(
            "%s: %s",
            tool,
            outcome,
            extra={"tool": tool, "owner": owner, "outcome": outcome, "seconds": round(seconds, 3)},
        )

    def watch_upstream(self, http: httpx.AsyncClient, novita: str) -> None:
        """Count the requests to Novita (`novita` is its hostname) and to the hosts of its files."""

        async def asked(request: httpx.Request) -> None:
            self.metrics.add("novita_mcp_upstream_requests_total", kind=_kind(request, novita))

        async def answered(response: httpx.Response) -> None:
            kind, status = _kind(response.request, novita), f"{response.status_code // 100}xx"
            self.metrics.add("novita_mcp_upstream_responses_total", kind=kind, status=status)

        http.event_hooks = {"request": [asked], "response": [answered]}


def _kind(request: httpx.Request, novita: str) -> str:
    if request.url.path.endswith("/task-result"):
        return "look"
    if "authorization" not in request.headers and request.url.host != novita:
        return "file"
    return "read" if request.method in ("GET", "HEAD") else "submit"


def _limited(wait: float, per_minute: int) -> CallToolResult:
    text = (
        f"Too many calls: this server takes {per_minute} a minute from one caller. Nothing was sent or billed. "
        f"Call again in {counted(math.ceil(wait), 'second')}."
    )
    return error_result(text)
