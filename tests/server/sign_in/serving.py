"""A server of ours whose callers sign in."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from novita_mcp.server.app import NovitaServer
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings

from ...serving import serve_asgi
from .authority import Authorities

VAULT_KEY = "a vault key of at least thirty-two characters"


@dataclass(frozen=True)
class SignInServer:
    """One that runs.

    Args:
        resource: Its address as hosts enter it, whom tokens are for.
    """

    url: str
    authority: Authorities
    server: NovitaServer

    @property
    def resource(self) -> str:
        return f"{self.url}/mcp"

    def token(self, subject: str = "alice", **more: Any) -> str:
        return self.authority.token(self.resource, subject, **more)


@contextmanager
def signing_in(settings: Settings, authority: Authorities, **changes: Any) -> Generator[SignInServer]:
    """A server whose callers sign in at `authority`, until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    chosen = replace(
        settings, **{"oauth_issuer": authority.issuer, "public_url": url, "vault_keys": VAULT_KEY, **changes}
    )
    server = web_server(chosen)
    with serve_asgi(http_app(server, chosen), listener):
        yield SignInServer(url, authority, server)
