"""Disturbs requests over HTTP, as the rules in trouble.py order it."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .answers import envelope
from .faults import Fault
from .trouble import Troubles

_LOOKS = 0.005
"""Seconds between two looks whether a held request may go on."""

connections: dict[tuple[Any, Any], asyncio.Transport] = {}
"""Open connections by (server, client) address. serving.py keeps it, because ASGI has no way to drop a connection."""


def connection_of(scope: Scope) -> asyncio.Transport | None:
    """The connection of a request. None if it is closed already, or if serving.py does not serve the application."""
    return connections.get((tuple(scope["server"]), tuple(scope["client"])))


async def disturb(
    troubles: Troubles, effect: Mapping[str, Any], app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer as the effect, one of these troubles, says. `app` gives the undisturbed answer."""
    if "delay" in effect:
        await asyncio.sleep(effect["delay"])
        await app(scope, receive, send)
    elif "held" in effect:
        while troubles.hold(effect):  # noqa: ASYNC110
            await asyncio.sleep(_LOOKS)  # a test's thread may clear them, which no event of this loop would tell
        await app(scope, receive, send)
    elif "hang" in effect:
        await _gone(receive)
    elif "cut" in effect:
        scissors = _Scissors(effect["cut"], scope, send)
        await app(scope, receive, scissors)
        if scissors.done:
            await _gone(receive)
    elif "reset" in effect:
        if effect["reset"] == "after":
            await app(scope, receive, _swallow)
        drop(scope, reset=True)
        await _gone(receive)
    else:
        if effect.get("handled"):
            await app(scope, receive, _swallow)
        await _made_up(effect)(scope, receive, send)


def _made_up(effect: Mapping[str, Any]) -> Response:
    if "garbage" in effect:
        return Response(b'{"task_id": "3f9a', media_type="application/json")
    if "html" in effect:
        page = (
            "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad gateway</h1></body></html>"
        )
        return Response(page, media_type="text/html")
    if "empty" in effect:
        return Response(b"", media_type="application/json")
    if "error" in effect:
        group = effect.get("group", "media")
        headers = {"Retry-After": str(effect["retry_after"])} if "retry_after" in effect else {}
        return envelope(group, Fault.named(group, effect["error"], effect.get("message", ""), headers=headers))
    return Response(
        effect.get("body", ""),
        effect["status"],
        dict(effect.get("headers", {})),
        effect.get("content_type", "application/json"),
    )


async def _gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _swallow(message: Message) -> None:
    """A `send` that throws the answer away."""


class _Scissors:
    """A `send` that lets the headers and `count` bytes pass, and then closes the connection."""

    def __init__(self, count: int, scope: Scope, send: Send) -> None:
        self._left, self._scope, self._send, self.done = count, scope, send, False

    async def __call__(self, message: Message) -> None:
        if self.done:
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body: bytes = message.get("body", b"")
        if len(body) < self._left or (len(body) == self._left and message.get("more_body")):
            self._left -= len(body)
            await self._send(message)
            return
        self.done = True
        await self._send({"type": "http.response.body", "body": body[: self._left], "more_body": True})
        drop(self._scope)


def drop(scope: Scope, *, reset: bool = False) -> None:
    """End the connection: with a reset (RST), or else by closing it after what was sent."""
    transport = connection_of(scope)
    if transport is None:
        raise RuntimeError("connections can be dropped only under simulator.serve")
    if reset:
        plug: socket.socket = transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
