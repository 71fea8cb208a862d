"""Admits requests with a valid sign-in token, and tells all others where to get one (RFC 6750, RFC 9728)."""

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from mcp.shared.auth import ProtectedResourceMetadata
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...novita.core.client import new_http
from ...novita.core.errors import JournalError
from ...novita.core.redaction import learn, owner_of_subject
from ...novita.journal.subjects.kept_keys import kept_key, reseal
from ...tools.kit.context import App, SignedIn
from ..settings import Settings
from .authority import PATIENCE, Authority, AuthorityError
from .key_links import KeyLinks, Subject
from .key_page import KeyPage
from .terms import Terms, is_novita_key, terms_of
from .tokens import Verifier, name_of
from .vault import Vault

logger = logging.getLogger(__name__)

SOON = "5"
"""The `Retry-After` header, in seconds, if the authorization server or the journal does not answer."""


class Gate:
    """The sign-in of one process.

    Args:
        app: Returns the parts that calls share, such as the journal with the kept keys. Called at the first token.
    """

    def __init__(self, terms: Terms, app: Callable[[], App]) -> None:
        self.terms = terms
        self.app = app
        self._http = new_http(timeouts=httpx.Timeout(PATIENCE))
        self.vault = Vault(terms.vault_keys) if terms.vault_keys else None
        self.links = KeyLinks(self.vault, terms) if self.vault is not None and not terms.team_key else None
        self._verifier = Verifier(terms, Authority(terms.issuer, self._http))
        self._resealed = False
        self._metadata = ProtectedResourceMetadata.model_validate(
            {
                "resource": terms.resource,
                "authorization_servers": [terms.issuer],
                "scopes_supported": terms.scopes or None,
                "resource_name": "Novita AI",
            }
        )
        self._metadata_url = str(build_resource_metadata_url(self._metadata.resource))

    def is_key(self, token: str) -> bool:
        """Whether this bearer token is a caller's own Novita key rather than a sign-in token."""
        return is_novita_key(token)

    async def admit(self, token: str) -> SignedIn | Response:
        """The subject of this token, or the answer that refuses the request."""
        try:
            found = await self._verifier.verify_token(token)
        except AuthorityError:
            return _later("The sign-in cannot be checked now: its server does not answer. Nothing was sent or billed.")
        if found is None or not found.subject:
            return self.turned_away(sent=True)
        if not set(self.terms.scopes) <= set(found.scopes):
            return self._more_scopes()
        subject = Subject(owner_of_subject(self.terms.issuer, found.subject), found.subject, name_of(found))
        try:
            key = await self._key_of(subject.owner)
        except JournalError:
            return _later("The journal does not answer now. Nothing was sent or billed.")
        links = self.links
        page = None if links is None else lambda: links.link(subject)
        return SignedIn(subject.owner, key, page)

    async def _key_of(self, owner: str) -> str | None:
        if self.terms.team_key:
            return self.terms.team_key
        journal, vault = self.app().journal, self.vault
        assert vault is not None  # `terms_of` refuses settings with neither a team's key nor vault keys
        if not self._resealed:
            await reseal(journal, vault.resealed)
            self._resealed = True  # not before: if the database did not answer, the next call tries again
        sealed = await kept_key(journal, owner)
        key = vault.open(owner, sealed) if sealed else None
        learn(key, "key")
        return key

    def turned_away(self, *, sent: bool) -> Response:
        """The 401 answer that says how to get a token.

        Args:
            sent: Whether the request had a token. Only then may the answer say `invalid_token` (RFC 6750, 3.1).
        """
        told = (
            f"Sign in at {self.terms.issuer}; a host that can does it by itself. "
            "Or send your own Novita API key as 'Authorization: Bearer <key>'."
        )
        return self._challenge(401, "invalid_token" if sent else "", told)

    def _more_scopes(self) -> Response:
        return self._challenge(
            403, "insufficient_scope", f"The token needs these scopes: {' '.join(self.terms.scopes)}"
        )

    def _challenge(self, status: int, error: str, told: str) -> Response:
        said = [f'error="{error}"'] if error else []
        said.append(f'resource_metadata="{self._metadata_url}"')
        if self.terms.scopes:
            said.append(f'scope="{" ".join(self.terms.scopes)}"')
        body = {**({"error": error} if error else {}), "error_description": told}
        return JSONResponse(body, status, headers={"WWW-Authenticate": f"Bearer {', '.join(said)}"})

    async def close(self) -> None:
        """Close the connections to the authorization server."""
        await self._http.aclose()

    def routes(self) -> list[Route]:
        """Routes for the key page, and for this server's metadata as a protected resource: at the path where the SDK
        puts it, and at the two paths where clients usually look."""
        metadata = self._metadata
        (route,) = create_protected_resource_routes(
            metadata.resource, metadata.authorization_servers, metadata.scopes_supported, metadata.resource_name
        )
        begin = "/.well-known/oauth-protected-resource"
        paths = dict.fromkeys((urlsplit(self._metadata_url).path, begin, f"{begin}/mcp"))
        found = [Route(path, endpoint=route.endpoint, methods=["GET", "OPTIONS"]) for path in paths]
        if self.vault is None or self.links is None:
            return found
        page = KeyPage(self.terms, self.vault, self.links)

        async def show(request: Request) -> Response:
            return await page.show(self.app(), request)

        async def take(request: Request) -> Response:
            return await page.take(self.app(), request)

        return [*found, Route("/key", show, methods=["GET"]), Route("/key", take, methods=["POST"])]

    def elsewhere(self) -> Response:
        """The answer to a client that looks here for something that only the authorization server has."""
        told = f"The sign-in is not here but at {self.terms.issuer}; {self._metadata_url} says so for programs."
        return JSONResponse({"error": "invalid_request", "error_description": told}, status_code=404)


def gate_of(settings: Settings, app: Callable[[], App]) -> Gate:
    """The gate for these settings.

    Raises:
        SettingError: The settings of the sign-in contradict each other, or one is missing.
    """
    return Gate(terms_of(settings), app)


def _later(told: str) -> Response:
    body = {"error": "temporarily_unavailable", "error_description": told}
    return JSONResponse(body, 503, headers={"Retry-After": SOON})
