"""One request and its answer over HTTP, for MCP revisions before 2026-07-28.

For those revisions the SDK opens a session for each request: streams, a router and seven tasks, which cost more time
than most calls. On a server without sessions all of it ends with the answer, so it is left out here, as the SDK itself
does for newer revisions: the answer is plain JSON, unless something must be told before it is there. Then it becomes a
stream of events.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.connection import Connection
from mcp.server.runner import modern_error_data, serve_one
from mcp.server.streamable_http import check_accept_headers
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types import (
    DEFAULT_NEGOTIATED_VERSION,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from .messages import written

if TYPE_CHECKING:
    from ..app import NovitaServer

PING_EVERY = 15.0
"""Seconds of silence after which a comment is sent, because proxies close silent connections."""
_PING = b": ping\r\n\r\n"
_AS_EVENTS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Exchanges:
    """Answers the requests that need no session.

    Args:
        security: Which hosts and origins may be named in a request.
    """

    def __init__(self, server: "NovitaServer", security: TransportSecuritySettings) -> None:
        self._server = server
        self._security = TransportSecurityMiddleware(security)

    async def takes(self, message: JSONRPCRequest, scope: Scope) -> bool:
        """Whether this class answers the message. The SDK answers all others, and refuses what is wrong with a head."""
        if message.method == "initialize" or self._server.shared is None:
            return False
        if _revision(scope) not in HANDSHAKE_PROTOCOL_VERSIONS:
            return False
        request = Request(scope)
        return (
            all(check_accept_headers(request)) and await self._security.validate_request(request, is_post=True) is None
        )

    async def answer(self, message: JSONRPCRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a message that `takes` accepted. The call is cancelled if its client leaves."""
        stream = _Stream(send)
        context = _Context(message, Request(scope, receive), stream)
        answer: JSONRPCResponse | JSONRPCError | None = None

        async def watch() -> None:
            while True:
                with anyio.move_on_after(PING_EVERY) as waiting:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    group.cancel_scope.cancel()
                if not waiting.cancelled_caught:
                    return
                await stream.send(_PING)

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            answer = await self._answer(message, context, _revision(scope))
            group.cancel_scope.cancel()
        if answer is not None:
            await stream.end(answer)

    async def _answer(
        self, message: JSONRPCRequest, context: "_Context", revision: str
    ) -> JSONRPCResponse | JSONRPCError:
        shared = self._server.shared
        assert shared is not None  # else the message would not have been taken
        try:
            result = await serve_one(
                self._server.lowlevel,
                context,
                message.method,
                message.params,
                connection=Connection.from_envelope(revision, None, None),
                lifespan_state=shared,
            )
        except Exception as error:  # a fault of ours, too, is an answer; it is logged there
            return JSONRPCError(jsonrpc="2.0", id=message.id, error=modern_error_data(error))
        return JSONRPCResponse(jsonrpc="2.0", id=message.id, result=result)


def _revision(scope: Scope) -> str:
    """The revision of MCP that a request's head names."""
    name = MCP_PROTOCOL_VERSION_HEADER.encode()
    named = next((value for key, value in scope["headers"] if key == name), None)
    return DEFAULT_NEGOTIATED_VERSION if named is None else named.decode("latin-1")


class _Stream:
    """The answer's body: plain JSON if the answer comes first, otherwise events up to the answer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self._turn = anyio.Lock(fast_acquire=True)

    async def send(self, event: bytes) -> None:
        """Send an event, or a comment."""
        async with self._turn:
            if not self._begun:
                self._begun = True
                await self._send({"type": "http.response.start", "status": 200, "headers": _AS_EVENTS})
            await self._send({"type": "http.response.body", "body": event, "more_body": True})

    async def tell(self, message: JSONRPCMessage) -> None:
        """Send a message as an event."""
        if (text := written(message)) is not None:
            await self.send(b"event: message\r\ndata: " + text + b"\r\n\r\n")

    async def end(self, answer: JSONRPCResponse | JSONRPCError) -> None:
        """Send the answer, which is the last message."""
        if self._begun:
            await self.tell(answer)
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        text = written(answer) or b""
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
        await self._send({"type": "http.response.start", "status": 200, "headers": head})
        await self._send({"type": "http.response.body", "body": text, "more_body": False})


class _Context:
    """What a call knows of its request, and how it tells its client something: the SDK's `DispatchContext`."""

    can_send_request = False

    def __init__(self, message: JSONRPCRequest, request: Request, stream: _Stream) -> None:
        self.transport = TransportContext(kind="streamable-http", can_send_request=False, headers=request.headers)
        self.request_id = message.id
        self.message_metadata = ServerMessageMetadata(request_context=request)
        self.cancel_requested = anyio.Event()
        self._token = progress_token_from_params(message.params)
        self._stream = stream

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        raise NoBackChannelError(method)  # a client's reply would reach another process, or none

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        told = None if params is None else dict(params)
        await self._stream.tell(JSONRPCNotification(jsonrpc="2.0", method=method, params=told))

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        if self._token is None:
            return
        known = {"progress": progress, "total": total, "message": message}
        params = {"progressToken": self._token, **{name: value for name, value in known.items() if value is not None}}
        await self.notify("notifications/progress", params)
