"""Asks the authorization server for its metadata, for its public keys, and whether a token is active.

People who send tokens cannot make this server ask often. For an unknown key it fetches the keys again at most every
`REFETCH_PAUSE` seconds, after a failure it waits `FAILED_PAUSE` seconds, and all callers share one request. Keys that
were fetched stay in use while the authorization server is down.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote, urlsplit

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
"""Seconds for which fetched keys and metadata are used before they are fetched again."""
REFETCH_PAUSE = 30.0
"""Seconds after a fetch in which an unknown key causes no new fetch."""
FAILED_PAUSE = 5.0
"""Seconds after a failed fetch in which no other is tried."""
PATIENCE = 5.0
"""Seconds that the authorization server has for each answer."""
_MOST = 2**20
_MOST_KEYS = 100

ALGORITHMS: Mapping[str, str] = {
    **{f"RS{bits}": "RSA" for bits in (256, 384, 512)},
    **{f"PS{bits}": "RSA" for bits in (256, 384, 512)},
    **{f"ES{bits}": "EC" for bits in (256, 384, 512)},
    "EdDSA": "OKP",
    "Ed25519": "OKP",
}
"""The algorithms with which a token may be signed -> the type of key. All use a private and a public key: with a shared
secret anybody who can check a token could also make one."""


class AuthorityError(Exception):
    """The authorization server did not give an answer that was needed, so the token could be neither accepted nor
    refused."""


class Metadata(BaseModel):
    """The fields that metadata by RFC 8414 and by OpenID Connect Discovery have in common."""

    issuer: str
    jwks_uri: str | None = None
    introspection_endpoint: str | None = None
    introspection_endpoint_auth_methods_supported: list[str] | None = None


@dataclass
class _NowAndThen(Generic[T]):
    """A value that is fetched from time to time, by one request for all who need it."""

    fetch: Callable[[], Awaitable[T]]
    now: Callable[[], float]
    value: T | None = None
    at: float = float("-inf")
    failed_at: float = float("-inf")
    trouble: str = ""
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def get(self, *, older_than: float = FRESH) -> T:
        """The value, fetched again if it is older than `older_than` seconds; if the fetch fails, the old value.

        Raises:
            AuthorityError: The fetch failed, and there is no old value.
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
        issuer: Its issuer address. Its metadata must name the same one.
    """

    def __init__(self, issuer: str, http: httpx.AsyncClient, *, now: Callable[[], float] = monotonic) -> None:
        self.issuer = issuer
        self.http = http
        self._now = now
        self._metadata = _NowAndThen(self._fetch_metadata, now)
        self._keys = _NowAndThen(self._fetch_keys, now)
        self._room = anyio.CapacityLimiter(16)

    async def keys_for(self, kid: str | None, algorithm: str) -> list[Any]:
        """The public keys with which a token with this header may be signed; empty if there are none.

        Raises:
            AuthorityError: No keys could be fetched yet.
        """
        found = _fitting(await self._keys.get(), kid, algorithm)
        return found or _fitting(await self._keys.get(older_than=REFETCH_PAUSE), kid, algorithm)

    async def introspect(self, token: str, client_id: str, client_secret: str) -> Mapping[str, Any]:
        """The authorization server's answer about a token (RFC 7662), with the field `active`.

        Raises:
            AuthorityError: There is no answer, or it cannot be read.
        """
        metadata = await self._metadata.get()
        if not metadata.introspection_endpoint:
            raise AuthorityError(f"{self.issuer} names no introspection endpoint")
        form, auth = {"token": token, "token_type_hint": "access_token"}, None
        methods = metadata.introspection_endpoint_auth_methods_supported or ["client_secret_basic"]
        if not client_secret:
            form["client_id"] = client_id
        elif "client_secret_basic" in methods:
            auth = httpx.BasicAuth(_as_form(client_id), _as_form(client_secret))
        else:
            form |= {"client_id": client_id, "client_secret": client_secret}
        request = self.http.build_request("POST", metadata.introspection_endpoint, data=form)
        try:
            with anyio.fail_after(PATIENCE):  # the wait for room is part of it, or many slow answers would add up
                async with self._room:
                    return await self._ask(request, auth)
        except TimeoutError as error:
            raise AuthorityError(f"{self.issuer} does not say in time what tokens are worth") from error
        except AuthorityError as error:  # a wrong secret, say, which whoever runs this server has to hear of
            logger.warning("sign-in: %s", error)
            raise

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
    """The keys that fit the algorithm and have this id; of any id if the token names none."""
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


def _as_form(text: str) -> str:
    """Text as RFC 6749 (2.3.1) wants it in a client's header. A blank is %20, because some servers read no plus."""
    return quote(text, safe="")
