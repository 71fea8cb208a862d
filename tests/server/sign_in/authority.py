"""An authorization server of the tests' own: the SDK's routes and a provider that signs JWTs, with a world to hold."""

import base64
import json
import secrets
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.routes import create_auth_routes
from mcp.server.auth.settings import ClientRegistrationOptions
from mcp.shared.auth import OAuthClientInformationFull, OAuthMetadata, OAuthToken
from pydantic import AnyHttpUrl, TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...serving import serve_asgi

SIGNING = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ANOTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
CLIENT, SECRET = "the resource server", "its own secret/:"


def public(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    """A key as a key set has it."""
    kind: Any = ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
    shown: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))
    return {**shown, "kid": kid, "use": "sig", **more}


@dataclass
class Authorities:
    """What the authorization server knows, and what it is asked.

    Args:
        keys: Its key set, as it is given out.
        user: Who signs in next; the page that would ask is skipped.
        down: Whether it answers 503 to everything.
        asked: Paths of all requests, in order.
    """

    issuer: str
    keys: list[dict[str, Any]] = field(default_factory=lambda: [public(SIGNING, "one")])
    user: str = "alice"
    scope: str = "novita"
    down: bool = False
    asked: list[str] = field(default_factory=list[str])
    clients: dict[str, OAuthClientInformationFull] = field(default_factory=dict[str, OAuthClientInformationFull])
    codes: dict[str, AuthorizationCode] = field(default_factory=dict[str, AuthorizationCode])
    taken_back: set[str] = field(default_factory=set[str])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    """Replaces parts of its metadata."""
    introspection: dict[str, Any] = field(default_factory=dict[str, Any])
    """Replaces parts of what it says of tokens."""

    def token(
        self,
        audience: Any,
        subject: str | None = "alice",
        *,
        key: Any = SIGNING,
        kid: str | None = "one",
        algorithm: str = "RS256",
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token as it signs them; what is None is left out."""
        now = int(time.time())
        told = {
            "iss": self.issuer,
            "aud": audience,
            "sub": subject,
            "exp": now + 300,
            "iat": now,
            "scope": self.scope,
            "email": f"{subject}@example.com",
            "client_id": "a-host",
            **claims,
        }
        given = {name: value for name, value in told.items() if value is not None}
        more = {"typ": "at+jwt", **({"kid": kid} if kid else {}), **(headers or {})}
        return jwt.encode(given, key, algorithm, headers=more)


class Provider(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """Lets everybody in as whom the test says, and signs what it gives out."""

    def __init__(self, held: Authorities) -> None:
        self.held = held

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.held.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        assert client_info.client_id
        self.held.clients[client_info.client_id] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        code = AuthorizationCode(
            code=secrets.token_hex(20),
            scopes=params.scopes or [self.held.scope],
            expires_at=time.time() + 60,
            client_id=client.client_id or "",
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
            subject=self.held.user,
        )
        self.held.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.held.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        code = self.held.codes.pop(authorization_code.code)
        token = self.held.token(code.resource, code.subject, scope=" ".join(code.scopes))
        return OAuthToken(access_token=token, expires_in=300, scope=" ".join(code.scopes))

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        return None

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        raise NotImplementedError  # it gives out none

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        raise NotImplementedError

    async def load_access_token(self, token: str) -> AccessToken | None:
        return None


@contextmanager
def authorization_server(path: str = "") -> Generator[Authorities]:
    """One that runs until the block ends; `path` is what its issuer address has besides the host."""
    listener = socket.create_server(("127.0.0.1", 0))
    held = Authorities(f"http://127.0.0.1:{listener.getsockname()[1]}{path}")
    issuer = held.issuer

    async def metadata(request: Request) -> Response:
        told = OAuthMetadata.model_validate(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "registration_endpoint": f"{issuer}/register",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
            }
        ).model_dump(mode="json", exclude_none=True)
        own = {"jwks_uri": f"{issuer}/jwks", "introspection_endpoint": f"{issuer}/introspect"}
        return JSONResponse({**told, **own, **held.metadata})

    async def jwks(_: Request) -> Response:
        return JSONResponse({"keys": held.keys})

    async def introspect(request: Request) -> Response:
        sent = base64.b64decode(request.headers.get("authorization", "").removeprefix("Basic ")).decode()
        # As Authlib, and with it canaille, reads them: a plus is no blank.
        if [unquote(each) for each in sent.split(":")] != [CLIENT, SECRET]:
            return JSONResponse({"error": "invalid_client"}, 401)
        token = str((await request.form())["token"])
        if token in held.taken_back or not token.startswith("opaque-"):
            return JSONResponse({"active": False})
        subject, audience = token.removeprefix("opaque-").split("@", 1)
        told = {"active": True, "sub": subject, "aud": audience, "exp": int(time.time()) + 300, "scope": held.scope}
        return JSONResponse({**told, **held.introspection})

    routes = create_auth_routes(
        Provider(held),
        TypeAdapter(AnyHttpUrl).validate_python(issuer),
        client_registration_options=ClientRegistrationOptions(
            enabled=True, valid_scopes=[held.scope], default_scopes=[held.scope]
        ),
    )
    known = "oauth-authorization-server" if not path else "openid-configuration"
    app = Starlette(
        routes=[
            Route(f"/.well-known/{known}" if not path else f"{path}/.well-known/{known}", metadata),
            Route(f"{path}/jwks", jwks),
            Route(f"{path}/introspect", introspect, methods=["POST"]),
            *(Route(f"{path}{route.path}", route.endpoint, methods=list(route.methods or ())) for route in routes[1:]),
        ]
    )

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            held.asked.append(scope["path"])
            if held.down:
                await Response(status_code=503)(scope, receive, send)
                return
        await app(scope, receive, send)

    with serve_asgi(watched, listener):
        yield held
