"""A web server on this machine that shows the pages in one browser, for people whose host shows no pages.

The link to it holds a token that works once and for a short time. The token comes after the `#`, which browsers do not
send, so no log contains it. The page exchanges it for a cookie. Every request must name this address as its host (a
foreign name may resolve to this machine), and a request that does something must come from a page of this address.
The server gives out only files that its own answers named. Their addresses cannot be guessed, because the frames that
load them send no cookie.
"""

import hmac
import json
import secrets
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Protocol, cast

import anyio
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .pages import PAGES, closed, html_of

Json = dict[str, Any]

TOKEN_LASTS = 300.0
"""Seconds within which the link must be opened."""
_LARGEST_BODY = 65_536
_ARTIFACTS = "novita://artifacts/"
_SHOWN = ("image/", "video/", "audio/")

LOOKS: Mapping[str, frozenset[str]] = {
    "get_task": frozenset({"task_id", "wait_seconds"}),
    "list_tasks": frozenset({"limit", "offset"}),
    "get_balance": frozenset(),
    "get_bill": frozenset({"period", "by", "limit", "offset"}),
    "list_gpu_instances": frozenset(),
}
"""The tools that pages may call to read, each with the arguments it may get."""
STOPS: Mapping[str, frozenset[str]] = {
    "stop_everything": frozenset(),
    "stop_gpu_instance": frozenset({"instance_id"}),
    "update_endpoint": frozenset({"endpoint_id", "min_workers"}),
    "delete_sandbox": frozenset({"sandbox_id"}),
}
"""The tools that pages may call to stop what costs. `confirm` is accepted only after the tool has asked its question
through this server."""


class Mcp(Protocol):
    """The MCP server that answers the pages."""

    async def call(self, name: str, arguments: Json) -> Json:
        """A tool's answer in MCP's form."""
        ...

    async def read(self, uri: str) -> Json:
        """A resource in MCP's form. Raises ValueError if there is none."""
        ...


@dataclass
class Visit:
    """The session of the one browser that may use the pages.

    Args:
        idle_ends: Seconds without a request after which the session is over.
        clock: A monotonic clock, in seconds.
    """

    idle_ends: float
    clock: Callable[[], float] = time.monotonic
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    came: anyio.Event = field(default_factory=anyio.Event)
    _cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    _seen: float = 0.0
    _answering: int = 0

    def __post_init__(self) -> None:
        self._seen = self.clock()

    @property
    def left(self) -> float:
        """Seconds until the session ends unless a request comes; before that, seconds until the token expires."""
        if self._answering:
            return self.idle_ends
        return self._seen + (self.idle_ends if self.came.is_set() else TOKEN_LASTS) - self.clock()

    @property
    def over(self) -> bool:
        """Whether the token has expired unused, or no request came for too long."""
        return self.left <= 0

    def enter(self, token: str) -> str | None:
        """The session's cookie in exchange for the token, which then works no more; None for a wrong token."""
        if self.came.is_set() or self.over or not hmac.compare_digest(token.encode(), self.token.encode()):
            return None
        self.came.set()
        self._seen = self.clock()
        return self._cookie

    def holds(self, cookie: str) -> bool:
        """Whether this cookie belongs to the running session. If so, the session's idle time starts again."""
        if not self.came.is_set() or self.over or not hmac.compare_digest(cookie.encode(), self._cookie.encode()):
            return False
        self._seen = self.clock()
        return True

    @contextmanager
    def answering(self) -> Generator[None]:
        """Keep the session alive while an answer is being made, however long that takes."""
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            self._seen = self.clock()


class Loopback:
    """The ASGI app of this web server.

    Args:
        port: The port on 127.0.0.1 at which it listens.
    """

    def __init__(self, mcp: Mcp, visit: Visit, port: int) -> None:
        self._mcp, self._visit = mcp, visit
        self._host, self._origin = f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"
        self._cookie = f"novita_gallery_{port}"  # browsers do not separate cookies by port, so the name does
        self._files: dict[str, Path] = {}
        self._names: dict[Path, str] = {}
        self._asked: set[str] = set()
        self._app = Starlette(
            routes=[
                Route("/", self._home),
                Route("/pages/{name}", self._page),
                Route("/files/{name}", self._file),
                Route("/enter", self._enter, methods=["POST"]),
                Route("/call", self._call, methods=["POST"]),
                Route("/read", self._read, methods=["POST"]),
            ]
        )
        self._app.router.redirect_slashes = False

    @property
    def link(self) -> str:
        """The link that opens the pages; it works once."""
        return f"{self._origin}/#{self._visit.token}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":
            raise ValueError(f"no {scope['type']} here")
        app = self._refusal(Headers(scope=scope), str(scope["method"])) or self._app
        await app(scope, receive, told)

    def _refusal(self, headers: Headers, method: str) -> ASGIApp | None:
        """The refusal of a request that does not come from a page of this address; None if it does."""
        if headers.getlist("host") != [self._host]:
            return PlainTextResponse("This server answers only under its own address.", 421)
        if method not in ("GET", "HEAD"):
            if headers.getlist("origin") != [self._origin]:
                return PlainTextResponse("This request comes from another page.", 403)
            if headers.get("content-type") != "application/json":
                return PlainTextResponse("Send JSON.", 415)
            size = headers.get("content-length", "")
            if not size.isdecimal() or int(size) > _LARGEST_BODY:
                return PlainTextResponse("The request is too long.", 413)
        return None

    def _may(self, request: Request) -> bool:
        return self._visit.holds(request.cookies.get(self._cookie, ""))

    async def _home(self, _: Request) -> Response:
        """The outer page, which takes the host's place. It needs no cookie, because it contains no data."""
        return _page(home_page(), "frame-ancestors 'none'")

    async def _page(self, request: Request) -> Response:
        if not self._may(request):
            return _CLOSED
        for page in PAGES:
            if page.body == request.path_params["name"]:
                return _page(html_of(page, (self._origin,)), "sandbox allow-scripts; frame-ancestors 'self'")
        return PlainTextResponse("There is no such page.", 404)

    async def _file(self, request: Request) -> Response:
        """A file that an answer named, or the part of it that the request asks for."""
        path = self._files.get(request.path_params["name"])
        if self._visit.over or path is None or not path.is_file():
            return PlainTextResponse("There is no such file.", 404)
        kind = guess_type(path.name)[0] or ""
        shown = kind.startswith(_SHOWN)
        headers = {"Content-Security-Policy": "default-src 'none'; sandbox"}
        return FileResponse(
            path,
            media_type=kind if shown else "application/octet-stream",
            headers=headers if shown else {**headers, "Content-Disposition": "attachment"},
        )

    async def _enter(self, request: Request) -> Response:
        cookie = self._visit.enter(str((await _body(request)).get("token", "")))
        if cookie is None:
            return PlainTextResponse("This link was used, or is too old.", 403)
        answer = Response(status_code=204)
        answer.set_cookie(self._cookie, cookie, httponly=True, samesite="strict", path="/")
        return answer

    async def _call(self, request: Request) -> Response:
        if not self._may(request):
            return _CLOSED
        body = await _body(request)
        name, given = body.get("name"), body.get("arguments")
        if not isinstance(name, str) or not isinstance(given, dict):
            return PlainTextResponse("This is not a call of a tool.", 400)
        arguments = cast(Json, given)
        yes = arguments.get("confirm")
        wanted = {key: value for key, value in arguments.items() if key != "confirm"}
        question = json.dumps([name, wanted], sort_keys=True)
        allowed = {**LOOKS, **STOPS}.get(name)
        if allowed is None or not wanted.keys() <= allowed or wanted.get("min_workers", 0) != 0:
            return PlainTextResponse("A page may only read, and stop what costs.", 403)
        if yes is not None and (name not in STOPS or yes is not True or question not in self._asked):
            return PlainTextResponse("The tool has not asked this question.", 403)
        self._asked.discard(question)
        with self._visit.answering():
            answer = await self._mcp.call(name, arguments)
        structured: Json = answer.get("structuredContent") or {}
        if name in STOPS and structured.get("status") == "needs_confirmation":
            self._asked.add(question)
        for artifact in structured.get("artifacts") or ():
            self._link(artifact)
        return JSONResponse(answer)

    def _link(self, artifact: Json) -> None:
        """Replace Novita's link in an artifact by one of this server, and its size by the size of the saved file."""
        path = Path(artifact.get("path") or "")
        if not path.is_absolute() or not path.is_file():
            return
        name = self._names.setdefault(path, secrets.token_urlsafe(24))
        self._files[name] = path
        artifact["url"], artifact["bytes"] = f"{self._origin}/files/{name}", path.stat().st_size
        artifact.pop("expires_at", None)

    async def _read(self, request: Request) -> Response:
        if not self._may(request):
            return _CLOSED
        uri = (await _body(request)).get("uri")
        if not isinstance(uri, str) or not uri.startswith(_ARTIFACTS):
            return PlainTextResponse("A page may read only finished files.", 403)
        try:
            with self._visit.answering():
                return JSONResponse(await self._mcp.read(uri))
        except ValueError as error:
            return PlainTextResponse(str(error), 404)


_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CLOSED = PlainTextResponse("Open the link that novita-mcp gallery gave.", 401)


def home_page() -> str:
    """The outer page around the pages: a minimal host of MCP Apps."""
    rules = ("connect-src 'self'", "frame-src 'self'")
    return closed("host.html", ("page.css", "host.css"), ("page.js", "host.js"), rules, {})


def _page(html: str, policy: str) -> Response:
    return Response(html, media_type="text/html", headers={"Content-Security-Policy": policy})


async def _body(request: Request) -> Json:
    """The JSON object in a request's body; empty if the body is anything else."""
    try:
        sent = json.loads(await request.body())
    except ValueError:
        return {}
    return cast(Json, sent) if isinstance(sent, dict) else {}
