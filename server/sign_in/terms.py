"""Whose tokens are taken, and what for: the settings of the sign-in, read once."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ...novita.core.client import sendable
from ...novita.core.errors import MissingKeyError
from ..settings import SettingError, Settings, long_secrets, parts

KEY_BEGINNINGS = ("sk_", "sk-", "nvta_")
"""How keys of Novita begin, by its documentation; every other bearer token is one of the sign-in."""


def is_novita_key(token: str) -> bool:
    """Whether a bearer token is a caller's own key, which goes to Novita. What is not never goes there."""
    return token.startswith(KEY_BEGINNINGS)


@dataclass(frozen=True)
class Terms:
    """What a token must be.

    Args:
        issuer: The authorization server, as its tokens and metadata name it.
        public_url: Where the world reaches this server, without a slash at the end.
        audiences: Whom a token may be for.
        scopes: All of them a token must have.
        client_id: This server's own client there; tokens are asked about where it is set.
        vault_keys: Encrypt the keys of subjects.
        team_key: Pays for all of them, where set.
    """

    issuer: str
    public_url: str
    audiences: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    vault_keys: tuple[bytes, ...] = field(default=(), repr=False)
    team_key: str = field(default="", repr=False)

    @property
    def resource(self) -> str:
        """The address that hosts enter, which names this server in the metadata (RFC 9728)."""
        return f"{self.public_url}/mcp"


def terms_of(settings: Settings) -> Terms:
    """The terms that the settings set.

    Raises:
        SettingError: They cannot hold.
    """
    issuer, public_url = settings.oauth_issuer, settings.public_url.rstrip("/")
    if not public_url:
        raise SettingError("NOVITA_MCP_OAUTH_ISSUER needs NOVITA_MCP_PUBLIC_URL: tokens are for an address")
    for name, address in (("NOVITA_MCP_OAUTH_ISSUER", issuer), ("NOVITA_MCP_PUBLIC_URL", public_url)):
        url = urlsplit(address)
        if url.query or url.fragment or "@" in url.netloc:
            raise SettingError(f"{name} must have no user, query or fragment")
        if url.scheme != "https" and url.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise SettingError(f"{name} must begin with https:// where people sign in")
    vault_keys = tuple(long_secrets(settings.vault_keys, "NOVITA_MCP_VAULT_KEYS"))
    if not vault_keys and not settings.team_key:
        raise SettingError(
            "NOVITA_MCP_OAUTH_ISSUER needs NOVITA_MCP_VAULT_KEYS, to encrypt the Novita keys of who signs in, "
            "or NOVITA_MCP_TEAM_KEY, which pays for all of them"
        )
    if settings.team_limit_usd is not None and not settings.team_key:
        raise SettingError("NOVITA_MCP_TEAM_LIMIT_USD needs NOVITA_MCP_TEAM_KEY: it limits what that key pays")
    if settings.oauth_client_secret and not settings.oauth_client_id:
        raise SettingError("NOVITA_MCP_OAUTH_CLIENT_SECRET needs NOVITA_MCP_OAUTH_CLIENT_ID")
    if settings.team_key:
        try:
            sendable(settings.team_key)
        except MissingKeyError as error:
            raise SettingError(f"NOVITA_MCP_TEAM_KEY cannot be used: {error.what}") from error
    resource = f"{public_url}/mcp"
    return Terms(
        issuer=issuer,
        public_url=public_url,
        audiences=tuple(parts(settings.oauth_audience)) or (resource, f"{resource}/"),
        scopes=tuple(parts(settings.oauth_scopes.replace(" ", ","))),
        client_id=settings.oauth_client_id,
        client_secret=settings.oauth_client_secret,
        vault_keys=vault_keys,
        team_key=settings.team_key,
    )
