"""Trouble on order: which requests are disturbed, and how.

An effect is one of
  {"error": NAME, "group": "media|llm|gpu|billing", "retry_after": s?}   a row of the error tables
  {"status": n, "body": "...", "content_type": "...", "headers": {}}     any answer
  {"garbage": true} {"html": true} {"empty": true}                       200 with half a JSON, a page, nothing
  {"reset": "before"|"after"}                                            TCP reset before handling, or after it
  {"cut": n}                                                             full length declared, n bytes sent, closed
  {"delay": seconds}                                                     then as usual
  {"hang": true}                                                         no answer, ever
With {"handled": true} beside it, an answer made up here comes after the request took effect (and was charged).
"""

import asyncio
import fnmatch
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .answers import answer
from .facts import error_row
from .faults import Fault

KINDS = frozenset(["error", "status", "garbage", "html", "empty", "reset", "cut", "delay", "hang"])
MOST_RULES = 1000
"""Above that those that are used up are let go."""

connections: dict[tuple[Any, Any], asyncio.Transport] = {}
"""Open connections by (server, client) address, filled by serving.py: ASGI itself has no way to drop one."""


@dataclass
class TroubleRule:
    """What to disturb, and what is left of it."""

    effect: Mapping[str, Any]
    operation: str | None
    path: str | None
    method: str | None
    skip: int
    times: int
    """How often more; -1 for ever."""
    hits: int = 0

    def covers(self, operation: str | None, method: str, path: str) -> bool:
        return (
            (self.operation is None or self.operation == operation)
            and (self.method is None or self.method.upper() == method)
            and (self.path is None or fnmatch.fnmatchcase(path, self.path))
        )


class Troubles:
    """The rules of a world, oldest first."""

    def __init__(self) -> None:
        self.rules: list[TroubleRule] = []

    def add(
        self,
        effect: Mapping[str, Any],
        *,
        operation: str | None = None,
        path: str | None = None,
        method: str | None = None,
        skip: int = 0,
        times: int = 1,
    ) -> TroubleRule:
        """ValueError for an effect that is none, KeyError for an error the tables do not have."""
        if len(KINDS & effect.keys()) != 1:
            raise ValueError(f"an effect has exactly one of {sorted(KINDS)}, not {dict(effect)}")
        if "error" in effect:
            error_row(effect.get("group", "media"), effect["error"])
        rule = TroubleRule(dict(effect), operation, path, method, skip, times)
        if len(self.rules) >= MOST_RULES:
            self.rules = [each for each in self.rules if each.times != 0]
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        self.rules.clear()

    def take(self, operation: str | None, method: str, path: str) -> Mapping[str, Any] | None:
        """The effect for this request, if any; uses it up."""
        for rule in self.rules:
            if rule.times == 0 or not rule.covers(operation, method, path):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.times > 0:
                rule.times -= 1
            rule.hits += 1
            return rule.effect
        return None


async def disturb(effect: Mapping[str, Any], app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as the effect says. `app` is the undisturbed way."""
    if "delay" in effect:
        await asyncio.sleep(effect["delay"])
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
        _drop(scope, reset=True)
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


def envelope(group: str, fault: Fault) -> Response:
    """The error answer of a group: flat {code, reason, message}, with metadata except on the GPU routes."""
    body: dict[str, Any] = {"code": fault.status, "reason": fault.reason, "message": fault.message}
    if group != "gpu":
        body["metadata"] = {}
    return answer(body | fault.extra, fault.status, fault.headers)


async def _gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _swallow(message: Message) -> None:
    """An answer nobody gets."""


class _Scissors:
    """A `send` that passes the headers and so many bytes, then closes the connection."""

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
        _drop(self._scope, reset=False)


def _drop(scope: Scope, *, reset: bool) -> None:
    """End the connection: `reset` as an abort (RST), else closed after what was sent."""
    transport = connections.get((tuple(scope["server"]), tuple(scope["client"])))
    if transport is None:
        raise RuntimeError("connections can be dropped only under simulator.serve")
    if reset:
        plug: socket.socket = transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
