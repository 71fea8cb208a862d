"""Declares extensions in the handshake of earlier MCP revisions, where the SDK leaves them out."""

from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.extension import Extension


def declared_in_handshake(*extensions: Extension) -> ServerMiddleware[Any]:
    """Middleware that adds these extensions to the answer to `initialize`."""

    async def declare(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method == "initialize" and isinstance(result, dict):
            named = result["capabilities"].setdefault("extensions", {})
            named.update({extension.identifier: extension.settings() for extension in extensions})
        return result

    return declare
