"""Streamable HTTP: a server for many callers, each with its own key. Any number of copies may run side by side."""

import asyncio
import contextlib
import gc
import math
import re
import signal
import socket
import sys
import time
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import uvicorn
from anyio.abc import TaskGroup
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE, TransportSecuritySettings
from mcp_types import JSONRPCMessage, JSONRPCRequest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..novita.core.client import owner_of
from ..novita.core.errors import JournalError
from ..novita.core.wellformed import well_formed_text_of_json
from ..novita.files.s3 import Place
from ..novita.journal.databases import is_database_url
from ..novita.journal.journal import Journal
from ..tools.kit.context import SIGNED_IN, App, token_of
from ..tools.media.parts import webhooks
from . import later
from .app import NovitaServer, create_app
from .browsers import DOOR, Browsers, as_browsers_write
from .building import build_app
from .call_metrics import Watch
from .connections import AcceptErrors, Guarded, connection_limit
from .operators.routes import operator_routes
from .readiness import Heartbeat
from .settings import SettingError, Settings, parts
from .transports import exit_soon
from .wire.exchange import Exchanges
from .wire.messages import read_message

if TYPE_CHECKING:
    from .sign_in.gate import Gate

LARGEST_EVENT = 4 * 2**20
"""The most bytes of a webhook's body; an event carries links, or small pictures in base64."""
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


def web_server(settings: Settings) -> NovitaServer:
    """The server for many callers. The process's own key is not used: each caller pays with the key it sends.

    Raises:
        SettingError: As `create_app`, or the storage for finished files cannot be used.
    """

    if settings.artifacts:
        try:
            Place.parse(settings.artifacts)
        except ValueError as error:
            raise SettingError(f"NOVITA_MCP_ARTIFACTS cannot be used: {error}") from error
    watch = Watch(settings)

    def build(settings: Settings, background: TaskGroup) -> App:
        app = build_app(settings, background, http=True)
        for http in (app.client.http, *app.pools):
            watch.watch_upstream(http, urlsplit(settings.base_url).hostname or "")
        return app

    server = create_app(replace(settings, api_key=None), build=build)
    server.watch = watch
    if settings.oauth_issuer:
        server.gate = later.gate_of(settings, lambda: _shared_app(server))
    elif settings.team_key or settings.team_limit_usd is not None:
        raise SettingError("NOVITA_MCP_TEAM_KEY and NOVITA_MCP_TEAM_LIMIT_USD need NOVITA_MCP_OAUTH_ISSUER")
    return server


def _shared_app(server: NovitaServer) -> App:
    """The parts that calls share. They exist once the server runs."""
    assert server.shared is not None  # no request comes before
    return server.shared.app


def http_app(server: NovitaServer, settings: Settings) -> ASGIApp:
    """The ASGI app: MCP at /mcp for callers with a key, /webhooks for Novita, health and counts for operators."""
    server.watch = watch = server.watch or Watch(settings)

    def journal() -> Journal | None:
        return server.shared.app.journal if server.shared else None

    if is_database_url(settings.journal):
        watch.shared = journal

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    heartbeat: Heartbeat | None = None

    async def readyz(_: Request) -> JSONResponse:
        if watch.draining:
            watch.told = True
            return JSONResponse({"status": "leaving"}, status_code=503)
        nonlocal heartbeat
        tools, shared = len(server.offered), server.shared
        if shared is not None:
            heartbeat = heartbeat or Heartbeat(shared.start_soon)
            if not await heartbeat.journal_answers(shared.app.journal):
                return JSONResponse({"status": "no journal", "tools": tools}, status_code=503)
        return JSONResponse({"status": "ready", "tools": tools})

    async def metrics(request: Request) -> Response:
        text, kind = watch.metrics.written(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": kind})

    server.custom_route("/healthz", methods=["GET"])(healthz)
    server.custom_route("/readyz", methods=["GET"])(readyz)
    if settings.metrics:
        server.custom_route("/metrics", methods=["GET"])(metrics)
    for path, route in operator_routes(settings, journal, watch.audit).items():
        server.custom_route(path, methods=["GET"])(route)
    if server.gate is not None:
        for route in server.gate.routes():
            server.custom_route(route.path, methods=sorted(route.methods or ()))(route.endpoint)
    if settings.public_url:
        server.custom_route("/webhooks/{token}", methods=["POST"])(partial(_webhook, server))
    here = [f"{name}{port}" for name in _LOCAL for port in ("", ":*")]
    origins = [f"http://{each}" for each in here] + [
        as_browsers_write(each) for each in parts(settings.allowed_origins)
    ]
    security = TransportSecuritySettings(allowed_hosts=here + parts(settings.allowed_hosts), allowed_origins=origins)
    inner = server.streamable_http_app(stateless_http=True, host=settings.host, transport_security=security)
    return Patient(Browsers(RequireKey(inner, watch, server.gate, Exchanges(server, security)), origins))


async def _webhook(server: NovitaServer, request: Request) -> Response:
    """Answer Novita's call that a task ended. The body is neither trusted nor kept; the address identifies the task."""
    hooks, token = server.shared.app.part(webhooks) if server.shared else None, request.path_params["token"]
    try:
        if hooks is None or not await hooks.knows(token):
            return Response(status_code=404)
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > LARGEST_EVENT:
                return Response(status_code=413)
        await hooks.called(token)
    except JournalError:  # the task cannot be looked up now; Novita will call again
        return Response(status_code=503)
    return Response(status_code=204)


MOST_DRAINED = 32 * 2**20
DRAINED_WITHIN = 10.0
"""The most bytes, and seconds, of a body that is read after its request was already refused."""


class Patient:
    """ASGI middleware that reads a request's body to its end, within bounds, before the answer is sent.

    A connection that is closed with unread bytes is reset, and the client never sees the refusal (413, 401).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        more, left = True, MOST_DRAINED

        async def watched_receive() -> Message:
            nonlocal more
            message = await receive()
            more = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def late_send(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start" and more:
                with anyio.move_on_after(DRAINED_WITHIN):
                    while more and left > 0:
                        left -= len((await watched_receive()).get("body", b""))
            await send(message)

        if declared(scope) > MOST_DRAINED:
            await self._app(scope, receive, send)
        else:
            await self._app(scope, watched_receive, late_send)


def declared(scope: Scope) -> int:
    """The size of a request's body by its headers; 0 if they do not say."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:18])
    return 0


class RequireKey:
    """ASGI middleware that requires a Novita key or a sign-in token for MCP, and limits how often a caller may come.

    Health checks need neither.
    """

    def __init__(self, app: ASGIApp, watch: Watch, gate: "Gate | None", exchanges: Exchanges) -> None:
        self._app = app
        self._exchanges = exchanges
        self._watch = watch
        self._gate = gate
        self._open = {route.path for route in gate.routes()} if gate is not None else set[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open and _SIGN_IN.search(scope["path"]):
            answer = _no_sign_in() if self._gate is None else self._gate.elsewhere()
            await answer(scope, receive, send)
            return
        if scope["type"] != "http" or not DOOR.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        counts = self._watch.metrics

        async def counted_receive() -> Message:
            message = await receive()
            counts.add("novita_mcp_bytes_total", len(message.get("body", b"")), direction="in")
            return message

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                counts.add("novita_mcp_requests_total", status=str(message["status"]))
            counts.add("novita_mcp_bytes_total", len(message.get("body", b"")), direction="out")
            await send(message)

        answer: ASGIApp = self._app
        receive_next: Receive = counted_receive
        scope, turned_away = await self._let_in(scope)
        if turned_away is not None:
            answer = turned_away
        elif wait := await self._watch.requests.take(_owner(scope)):
            answer = JSONResponse({"error": "too_many_requests"}, 429, headers={"Retry-After": str(math.ceil(wait))})
        elif scope["method"] != "POST":
            # The server has no sessions and no separate event stream: all events come with the answer to a call.
            answer = Response(status_code=405, headers={"Allow": "POST"})
        elif declared(scope) <= DEFAULT_MAX_REQUEST_BODY_SIZE:  # else the SDK refuses it
            found, receive_next = await _read_body(counted_receive)
            if isinstance(found, bytes):
                answer = Response(found, status_code=400, media_type="application/json")
            elif isinstance(found, JSONRPCRequest) and await self._exchanges.takes(found, scope):
                answer, receive_next = partial(self._exchanges.answer, found), counted_receive
        await answer(scope, receive_next, counted_send)

    async def _let_in(self, scope: Scope) -> tuple[Scope, Response | None]:
        """The request's scope with its caller, and the answer that refuses it, if it is refused."""
        token = bearer(scope)
        if self._gate is None:
            return scope, None if token else _no_key(sent=_tried(scope))
        if not token:
            return scope, self._gate.turned_away(sent=_tried(scope))
        if self._gate.is_key(token):
            return scope, None
        found = await self._gate.admit(token)
        return (scope, found) if isinstance(found, Response) else ({**scope, SIGNED_IN: found}, None)


async def _read_body(receive: Receive) -> tuple[JSONRPCMessage | bytes | None, Receive]:
    """Read a body. Returns what `read_message` makes of it, and a `receive` that gives the repaired body again.

    A body that is larger than the SDK accepts is not read to its end; the SDK refuses it.
    """
    body, last = bytearray(), await receive()
    while last["type"] == "http.request":
        body += last.get("body", b"")
        if not last.get("more_body") or len(body) > DEFAULT_MAX_REQUEST_BODY_SIZE:
            break
        last = await receive()
    found, waiting = None, [last]
    whole = last["type"] == "http.request" and not last.get("more_body")
    if whole:
        found = read_message(bytes(body))

    async def again() -> Message:
        if not waiting:
            return await receive()
        message, text = waiting.pop(), bytes(body)
        if message["type"] != "http.request":
            return message
        return {**message, "body": well_formed_text_of_json(text).encode() if whole else text}

    return found, again


_SIGN_IN = re.compile(
    r"/\.well-known/|/(?:register|authorize|token|revoke|introspect|device_authorization|par|jwks(?:\.json)?|userinfo)/?$"
)
"""Paths at which clients look for a sign-in (RFC 8414, 9728, OpenID), or which they call if they find none."""
_TOKEN = re.compile(rb"bearer[\s:]+\S", re.IGNORECASE)
_HOW = (
    "Send your Novita API key as 'Authorization: Bearer <key>'. "
    "Keys are made at https://novita.ai/settings/key-management."
)


def _no_key(*, sent: bool) -> JSONResponse:
    """Args: sent: Whether something was sent as a token; only then is there one to call invalid (RFC 6750, 3.1)."""
    error = {"error": "invalid_token"} if sent else {}
    challenge = 'Bearer realm="novita"' + (', error="invalid_token"' if sent else "")
    return JSONResponse({**error, "error_description": _HOW}, status_code=401, headers={"WWW-Authenticate": challenge})


def _no_sign_in() -> JSONResponse:
    """The answer that there is no sign-in, in OAuth's form, so that a client shows its sentence, not a parser error."""
    said = f"This server has no sign-in. {_HOW}"
    return JSONResponse({"error": "access_denied", "error_description": said}, status_code=404)


def _tried(scope: Scope) -> bool:
    return any(name == b"authorization" and _TOKEN.match(value) for name, value in scope["headers"])


def bearer(scope: Scope) -> str:
    """The bearer token of a request, or an empty string."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return token_of(value.decode("latin-1"))
    return ""


def _owner(scope: Scope) -> str:
    """The owner that a request counts for under the rate limit."""
    return scope[SIGNED_IN].owner if SIGNED_IN in scope else owner_of(bearer(scope))


class _HttpServer(uvicorn.Server):
    """A uvicorn server that notes a signal instead of raising it again, and then ends within a second.

    Args:
        drain: Seconds that running calls get first. The server ends sooner once no call runs and a readiness check
            was answered "not ready", and at once after a second signal.
    """

    def __init__(self, config: uvicorn.Config, watch: Watch | None, drain: float) -> None:
        super().__init__(config)
        self.signal_seen = 0
        self._watch = watch
        self._drain = drain
        self._until = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        again, self.signal_seen = self.signal_seen, int(sig)
        if self._watch is None or self._drain <= 0 or again:
            self._leave()
            return
        self._watch.draining = True
        self._until = time.monotonic() + self._drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(AcceptErrors())
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        if self._watch is not None and self._watch.draining:
            idle = self._watch.told and not self._watch.running
            if idle or time.monotonic() >= self._until:
                self._leave()
        return await super().on_tick(counter)

    def _leave(self) -> None:
        if not self.should_exit:
            exit_soon(128 + self.signal_seen)
            self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_http(server: NovitaServer, settings: Settings) -> int:
    """Serve until told to stop, and return the exit code. Port 0 lets the system choose one.

    Raises:
        SettingError: The address cannot be listened on.
    """
    Guarded.limit = connection_limit()
    server.warm_up()
    gc.freeze()  # the tools, too, stay as long as the process
    config = uvicorn.Config(
        http_app(server, settings),
        http=Guarded,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    runner = _HttpServer(config, server.watch, settings.drain_seconds)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        # Listen before the address is printed, because a reader may connect at once.
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
        # asyncio turns Nagle off only where the protocol is explicit; with it every answer waits 40 ms for an ACK.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())
    except (OSError, OverflowError) as error:
        raise SettingError(f"cannot listen on {settings.host}:{settings.port}: {error}") from error
    with listener:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        sys.stderr.write(f"novita-mcp listens on http://{host}:{listener.getsockname()[1]}/mcp\n")
        sys.stderr.flush()
        runner.run(sockets=[listener])
    return 128 + runner.signal_seen if runner.signal_seen else 0
