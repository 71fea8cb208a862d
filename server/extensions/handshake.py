"""What the SDK leaves out of the handshake of earlier revisions: the extensions that mean something there too."""

from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.extension import Extension


def declared_in_handshake(*extensions: Extension) -> ServerMiddleware[Any]:
    """Middleware: what answers `initialize` names these extensions."""

    async def declare(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method == "initialize" and isinstance(result, dict):
            named = result["capabilities"].setdefault("extensions", {})
            named.update({extension.identifier: extension.settings() for extension in extensions})
        return result

    return declare
