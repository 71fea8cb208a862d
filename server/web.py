"""Streamable HTTP: many callers, each with its own key, in as many copies as wanted. Imported to serve it only."""

import contextlib
import signal
import socket
import sys
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from anyio.abc import TaskGroup
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .app import NovitaServer, create_app
from .settings import SettingError, Settings, parts
from .transports import exit_soon

if TYPE_CHECKING:
    from ..tools.context import App

LARGEST_EVENT = 4 * 2**20
"""Bytes of a webhook's body; an event carries links, or small pictures in base64."""
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


def web_server(settings: Settings) -> NovitaServer:
    """The server for many callers. The process's own key is put aside: each caller pays with the key it sends."""

    def build(settings: Settings, background: TaskGroup) -> "App":
        from .building import build_app

        return build_app(settings, background, http=True)

    return create_app(replace(settings, api_key=None), build=build)


def http_app(server: NovitaServer, settings: Settings) -> ASGIApp:
    """The ASGI app: MCP at /mcp for callers with a bearer key, /webhooks for Novita, health checks for operators."""

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ready", "tools": len(await server.list_tools())})

    server.custom_route("/healthz", methods=["GET"])(healthz)
    server.custom_route("/readyz", methods=["GET"])(readyz)
    if settings.public_url:
        server.custom_route("/webhooks/{token}", methods=["POST"])(partial(_webhook, server))
    security = TransportSecuritySettings(
        allowed_hosts=[f"{name}{port}" for name in _LOCAL for port in ("", ":*")] + parts(settings.allowed_hosts),
        allowed_origins=[f"http://{name}{port}" for name in _LOCAL for port in ("", ":*")]
        + parts(settings.allowed_origins),
    )
    return RequireBearer(
        server.streamable_http_app(stateless_http=True, host=settings.host, transport_security=security)
    )


async def _webhook(server: NovitaServer, request: Request) -> Response:
    """Novita says that a task ended. Nothing it sends is believed or kept; the address alone says which task."""
    app = server.shared.built if server.shared else None
    token = request.path_params["token"]
    if app is None or app.webhooks is None or not app.webhooks.knows(token):
        return Response(status_code=404)
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > LARGEST_EVENT:
            return Response(status_code=413)
    app.webhooks.called(token)
    return Response(status_code=204)


class RequireBearer:
    """ASGI middleware: whoever speaks MCP brings a Novita key. Health checks need none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/mcp") or bearer(scope):
            await self._app(scope, receive, send)
            return
        refusal = JSONResponse(
            {
                "error": "invalid_token",
                "error_description": "Send your Novita API key as 'Authorization: Bearer <key>'. "
                "Keys are made at https://novita.ai/settings/key-management.",
            },
            status_code=401,
            headers={"WWW-Authenticate": 'Bearer realm="novita", error="invalid_token"'},
        )
        await refusal(scope, receive, send)


def bearer(scope: Scope) -> str:
    """The bearer token of a request, or an empty string."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""


class _Server(uvicorn.Server):
    """A uvicorn server that notes the signal instead of raising it again, and is gone within a second."""

    signal_seen = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.signal_seen = int(sig)
        exit_soon(128 + int(sig))
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
    """Serve until told to stop; the exit code. Port 0 lets the system pick one.

    Raises:
        SettingError: Nobody may listen there.
    """
    config = uvicorn.Config(http_app(server, settings), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    runner = _Server(config)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        # Listens before the address is said: whoever reads it may connect at once.
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise SettingError(f"cannot listen on {settings.host}:{settings.port}: {error}") from error
    with listener:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        sys.stderr.write(f"novita-mcp listens on http://{host}:{listener.getsockname()[1]}/mcp\n")
        sys.stderr.flush()
        runner.run(sockets=[listener])
    return 128 + runner.signal_seen if runner.signal_seen else 0
