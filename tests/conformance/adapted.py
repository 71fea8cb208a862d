"""Our HTTP server as the official conformance suite can test it.

The suite sends no bearer token, so one is added. Its scenarios of MCP tasks call tools of a fixture server; those calls
become calls of real tools of ours that do the like. Nothing else is touched, and no answer is.
"""

import json
from collections.abc import Callable
from typing import Any, cast

from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Call = tuple[str, dict[str, Any]]


class Adapted:
    """ASGI middleware: brings a key, and translates the names of the suite's own tools.

    Args:
        world: Novita, told how long a task is to take, or that it is to fail.
    """

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world
        self._translations: dict[str, Callable[[dict[str, Any]], Call]] = {
            "greet": lambda _: ("list_tasks", {}),
            "slow_compute": self._slow,
            "failing_job": self._failing,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/mcp":
            await self._app(scope, receive, send)
            return
        headers = {**dict(scope["headers"]), b"authorization": f"Bearer {DEFAULT_KEY}".encode()}
        body = await _whole(receive)
        if (call := self._translated(body)) is not None:
            name, body = call
            headers[b"content-length"] = str(len(body)).encode()
            if b"mcp-name" in headers:
                headers[b"mcp-name"] = name.encode()
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app({**scope, "headers": [*headers.items()]}, again, send)

    def _translated(self, body: bytes) -> tuple[str, bytes] | None:
        """The name and the body of a call that is to be made instead."""
        try:
            found = json.loads(body)
        except ValueError:
            return None
        message = cast(dict[str, Any], found if isinstance(found, dict) else {})
        if message.get("method") != "tools/call":
            return None
        params: dict[str, Any] = message["params"]
        translate = self._translations.get(params.get("name", ""))
        if translate is None:
            return None
        name, arguments = translate(params.get("arguments") or {})
        return name, json.dumps({**message, "params": {**params, "name": name, "arguments": arguments}}).encode()

    def _slow(self, asked: dict[str, Any]) -> Call:
        self._world.set(task_seconds=float(asked.get("seconds", 0)))
        return _clip(asked)

    def _failing(self, asked: dict[str, Any]) -> Call:
        self._world.set(task_seconds=0.0)
        self._world.fail_next_task()
        return _clip(asked)


def _clip(asked: dict[str, Any]) -> Call:
    return "generate_video", {"prompt": str(asked.get("label") or "a fox"), "confirm": True, "again": True}


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    return body
