"""The authorization server, as far as this server asks it: its metadata, its public keys, and what a token is worth.

Whoever sends tokens can make us ask only so often: its keys are fetched again for a key nobody knows at most every
`REFETCH_PAUSE` seconds, what failed is not tried again for `FAILED_PAUSE`, and all wait for one and the same request.
Keys that were fetched go on to hold while it is down.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote_plus, urlsplit

import anyio
import httpx
import jwt
from mcp.client.auth.utils import build_oauth_authorization_server_metadata_discovery_urls
from pydantic import BaseModel, ValidationError

from ...novita.core.bodies import BodyError, read_body
from ...novita.core.json_text import load_json

T = TypeVar("T")
logger = logging.getLogger(__name__)

FRESH = 600.0
"""Seconds for which keys and metadata hold before they are fetched again."""
REFETCH_PAUSE = 30.0
"""Seconds after a fetch in which no unknown key brings another one."""
FAILED_PAUSE = 5.0
"""Seconds after a fetch that failed in which none is tried."""
PATIENCE = 5.0
"""Seconds for each answer."""
_MOST = 2**20
_MOST_KEYS = 100

ALGORITHMS: Mapping[str, str] = {
    **{f"RS{bits}": "RSA" for bits in (256, 384, 512)},
    **{f"PS{bits}": "RSA" for bits in (256, 384, 512)},
    **{f"ES{bits}": "EC" for bits in (256, 384, 512)},
    "EdDSA": "OKP",
    "Ed25519": "OKP",
}
"""Algorithms a token may be signed with, all with a key of two halves, and the type of key each takes."""


class AuthorityError(Exception):
    """The authorization server did not say what had to be known. Without it nobody is let in or turned away."""


class Metadata(BaseModel):
    """What RFC 8414 and OpenID Connect Discovery name alike."""

    issuer: str
    jwks_uri: str | None = None
    introspection_endpoint: str | None = None
    introspection_endpoint_auth_methods_supported: list[str] | None = None


@dataclass
class _NowAndThen(Generic[T]):
    """Something fetched now and then, by one request at a time."""

    fetch: Callable[[], Awaitable[T]]
    now: Callable[[], float]
    value: T | None = None
    at: float = float("-inf")
    failed_at: float = float("-inf")
    trouble: str = ""
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def get(self, *, older_than: float = FRESH) -> T:
        """The value, fetched again where it is older than so many seconds; the old one where that fails.

        Raises:
            AuthorityError: There is none.
        """
        if (value := self._fresh(older_than)) is not None:
            return value
        async with self.lock:
            if (value := self._fresh(older_than)) is not None:
                return value
            if self.now() - self.failed_at >= FAILED_PAUSE:
                try:
                    self.value = await self.fetch()
                    self.at = self.now()
                except AuthorityError as error:
                    self.failed_at, self.trouble = self.now(), str(error)
                    logger.warning("sign-in: %s", error)
            if self.value is None:
                raise AuthorityError(self.trouble)
            return self.value

    def _fresh(self, older_than: float) -> T | None:
        return self.value if self.now() - self.at < older_than else None


class Authority:
    """One authorization server.

    Args:
        issuer: Its issuer address; what it says of itself must name the very same.
    """

    def __init__(self, issuer: str, http: httpx.AsyncClient, *, now: Callable[[], float] = monotonic) -> None:
        self.issuer = issuer
        self.http = http
        self._now = now
        self._metadata = _NowAndThen(self._fetch_metadata, now)
        self._keys = _NowAndThen(self._fetch_keys, now)
        self._room = anyio.CapacityLimiter(16)

    async def keys_for(self, kid: str | None, algorithm: str) -> list[Any]:
        """Public keys that a token with this header may be signed with; none where there are none.

        Raises:
            AuthorityError: No keys could be fetched yet.
        """
        found = _fitting(await self._keys.get(), kid, algorithm)
        return found or _fitting(await self._keys.get(older_than=REFETCH_PAUSE), kid, algorithm)

    async def introspect(self, token: str, client_id: str, client_secret: str) -> Mapping[str, Any]:
        """What it says of a token (RFC 7662); `active` among it.

        Raises:
            AuthorityError: It says nothing that can be read.
        """
        metadata = await self._metadata.get()
        if not metadata.introspection_endpoint:
            raise AuthorityError(f"{self.issuer} names no introspection endpoint")
        form, auth = {"token": token, "token_type_hint": "access_token"}, None
        methods = metadata.introspection_endpoint_auth_methods_supported or ["client_secret_basic"]
        if not client_secret:
            form["client_id"] = client_id
        elif "client_secret_basic" in methods:
            auth = httpx.BasicAuth(quote_plus(client_id), quote_plus(client_secret))  # RFC 6749, 2.3.1
        else:
            form |= {"client_id": client_id, "client_secret": client_secret}
        request = self.http.build_request("POST", metadata.introspection_endpoint, data=form)
        async with self._room:
            return await self._ask(request, auth)

    async def _fetch_metadata(self) -> Metadata:
        last = AuthorityError("it was not asked")
        for url in build_oauth_authorization_server_metadata_discovery_urls(self.issuer, self.issuer):
            try:
                told = Metadata.model_validate(await self._ask(self.http.build_request("GET", url)))
            except AuthorityError as error:
                last = error
                continue
            except ValidationError:
                last = AuthorityError(f"what is at {url} is no metadata")
                continue
            if told.issuer.rstrip("/") != self.issuer.rstrip("/"):
                last = AuthorityError(f"{url} speaks for another issuer")
                continue
            for address in (told.jwks_uri, told.introspection_endpoint):
                if address and urlsplit(address).scheme != urlsplit(self.issuer).scheme:
                    raise AuthorityError(f"{url} names an address that is not {urlsplit(self.issuer).scheme}")
            return told
        raise last

    async def _fetch_keys(self) -> list[dict[str, Any]]:
        metadata = await self._metadata.get()
        if not metadata.jwks_uri:
            raise AuthorityError(
                f"{self.issuer} names no jwks_uri; with a client of its own this server asks about tokens"
            )
        told = await self._ask(self.http.build_request("GET", metadata.jwks_uri))
        keys: object = told.get("keys")
        if not isinstance(keys, list):
            raise AuthorityError("its key set has no keys")
        many = cast(list[object], keys)[:_MOST_KEYS]
        return [cast(dict[str, Any], key) for key in many if isinstance(key, dict)]

    async def _ask(self, request: httpx.Request, auth: httpx.Auth | None = None) -> Mapping[str, Any]:
        where = f"{request.url.host}{request.url.path}"
        try:
            with anyio.fail_after(PATIENCE):
                response = await self.http.send(request, stream=True, auth=auth)
                try:
                    body = await read_body(response, most=_MOST)
                finally:
                    await response.aclose()
        except (httpx.RequestError, httpx.InvalidURL, TimeoutError, BodyError) as error:
            raise AuthorityError(
                f"the authorization server does not answer at {where}: {type(error).__name__}"
            ) from error
        if response.status_code != 200:
            raise AuthorityError(f"the authorization server answers {response.status_code} at {where}")
        try:
            told = load_json(body)
        except ValueError as error:
            raise AuthorityError(f"the authorization server's answer at {where} is no JSON") from error
        if not isinstance(told, dict):
            raise AuthorityError(f"the authorization server's answer at {where} is no object")
        return cast(dict[str, Any], told)


def _fitting(keys: list[dict[str, Any]], kid: str | None, algorithm: str) -> list[Any]:
    """The keys of that name, or all where the token names none, that the algorithm takes."""
    found: list[Any] = []
    for key in keys:
        if kid is not None and key.get("kid") != kid:
            continue
        if key.get("kty") != ALGORITHMS[algorithm] or key.get("use", "sig") != "sig":
            continue
        if key.get("alg", algorithm) != algorithm:
            continue
        try:
            found.append(jwt.PyJWK(key, algorithm).key)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            logger.warning("sign-in: a key of the authorization server cannot be read")
    return found
