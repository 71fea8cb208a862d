"""Tells browsers which web pages may call this server (CORS), and what may run in its own.

A browser's preflight request carries no key, so this middleware runs before the key is checked. Answers to any other
page lack the header that would let it read them.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = "POST, GET, DELETE, OPTIONS"
_EXPOSED = "WWW-Authenticate, Retry-After, Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name"
_REMEMBERED = "600"
"""Seconds for which a browser may cache the answer to a preflight."""
DOOR = re.compile(r"/mcp(?:/.*)?")
"""The paths of MCP. A path such as /mcpx is not one of them."""
_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~,\- ]{0,2000}")


def as_browsers_write(origin: str) -> str:
    """An origin in the form that browsers send, in lower case and without a path, from one that a person copied."""
    return origin.rstrip("/").lower()


def allowed(text: str) -> str:
    """How a Content-Security-Policy names the one inline style or script that it allows, quotes included."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


class Browsers:
    """ASGI middleware: CORS for pages of the origins given.

    Args:
        origins: Each `scheme://host[:port]`, or with `:*` for every port.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = tuple(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin")
        if origin is None:
            await self._app(scope, receive, send)
            return
        allowed = self._allows(origin)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            answer = _preflight(origin, headers) if allowed else Response(status_code=403, headers={"Vary": "Origin"})
            await answer(scope, receive, send)
            return
        if not allowed and DOOR.fullmatch(scope["path"]):
            await Response("Invalid Origin header", status_code=403, headers={"Vary": "Origin"})(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered.add_vary_header("Origin")
                if allowed:
                    answered["Access-Control-Allow-Origin"] = origin
                    answered["Access-Control-Expose-Headers"] = _EXPOSED
            await send(message)

        await self._app(scope, receive, told)

    def _allows(self, origin: str) -> bool:
        for each in self._origins:
            if each.endswith(":*"):
                base, port = each[:-2], origin.removeprefix(each[:-1])
                if origin == base or (port != origin and port.isdecimal()):
                    return True
            elif origin == each:
                return True
        return False


def _preflight(origin: str, asked: Headers) -> Response:
    names = asked.get("access-control-request-headers", "")
    headers = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": _METHODS,
        # Any header is allowed here; the request itself is checked when it comes.
        "Access-Control-Allow-Headers": names if _NAMES.fullmatch(names) else "",
        "Access-Control-Max-Age": _REMEMBERED,
        "Vary": "Origin, Access-Control-Request-Headers",
    }
    if asked.get("access-control-request-private-network") == "true":  # a page of the net, a server of this machine
        headers["Access-Control-Allow-Private-Network"] = "true"
    return Response(status_code=204, headers=headers)
