"""The settings of the sign-in, checked once: which tokens are accepted, and how keys are kept."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ...novita.core.client import sendable
from ...novita.core.errors import MissingKeyError
from ..settings import SettingError, Settings, long_secrets, parts

KEY_BEGINNINGS = ("sk_", "sk-", "nvta_")
"""The beginnings of Novita's keys, by its documentation. Every other bearer token is a sign-in token."""


def is_novita_key(token: str) -> bool:
    """Whether a bearer token is a caller's own Novita key. Only such a token is ever sent to Novita."""
    return token.startswith(KEY_BEGINNINGS)


@dataclass(frozen=True)
class Terms:
    """What a token must have to be accepted, and how the Novita keys are kept.

    Args:
        issuer: The authorization server's address, as its tokens and metadata give it.
        public_url: The address at which clients reach this server, without a slash at the end.
        audiences: A token must name one of these.
        scopes: A token must have all of these.
        client_id: This server's own client at the issuer. If set, the issuer is asked about each token.
        vault_keys: The secrets that encrypt the subjects' keys.
        team_key: If set, the one Novita key that pays for all subjects.
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
        """The address that people enter in their host. It identifies this server in the metadata (RFC 9728)."""
        return f"{self.public_url}/mcp"


def terms_of(settings: Settings) -> Terms:
    """The terms in these settings.

    Raises:
        SettingError: The settings of the sign-in contradict each other, or one is missing.
    """
    issuer, public_url = settings.oauth_issuer, settings.public_url.rstrip("/")
    if not public_url:
        raise SettingError("NOVITA_MCP_OAUTH_ISSUER needs NOVITA_MCP_PUBLIC_URL: tokens name that address")
    for name, address in (("NOVITA_MCP_OAUTH_ISSUER", issuer), ("NOVITA_MCP_PUBLIC_URL", public_url)):
        url = urlsplit(address)
        if url.query or url.fragment or "@" in url.netloc:
            raise SettingError(f"{name} must have no user, query or fragment")
        if url.scheme != "https" and url.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise SettingError(f"{name} must begin with https:// where people sign in")
    vault_keys = tuple(long_secrets(settings.vault_keys, "NOVITA_MCP_VAULT_KEYS"))
    if not vault_keys and not settings.team_key:
        raise SettingError(
            "NOVITA_MCP_OAUTH_ISSUER needs NOVITA_MCP_VAULT_KEYS, to encrypt the Novita keys of people who sign in, "
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
