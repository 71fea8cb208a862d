"""Where sandboxes are: one domain, the control plane at `api.` below it, every port of a sandbox at a host of its own.

The domain of a sandbox also comes with the answers, from outside. A sandbox's token is sent only to the configured
domain or below it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..core.errors import InputError, NovitaConnectionError

DOMAIN = "us-phx-1.sandbox.novita.ai"
LEGACY = frozenset(
    {
        "sandbox.novita.ai",
        "us-01.sandbox.novita.ai",
        "us-ga-01.sandbox.novita.ai",
        "us-ga-1.sandbox.novita.ai",
        "sandbox-dev.novita.ai",
        "us-01.sandbox-dev.novita.ai",
        "us-ga-01.sandbox-dev.novita.ai",
        "us-ca-1.sandbox-dev.novita.ai",
    }
)
"""Domains of the first generation: no `secure`, no quota, no snapshots, other units."""
DAEMON, INTERPRETER = 49983, 49999
_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def check_id(sandbox_id: str) -> str:
    """The id, if it can be one, because it becomes part of a host name.

    Raises:
        InputError: It cannot.
    """
    if not _ID.fullmatch(sandbox_id):
        raise InputError("That is no sandbox id", next_step="Take one from list_sandboxes.")
    return sandbox_id


@dataclass(frozen=True)
class Hosts:
    """The addresses of one domain.

    Args:
        moved: One address for everything, in place of the domain's: the simulator's.

    Raises:
        InputError: The domain is none, or one of the first generation.
    """

    domain: str = DOMAIN
    moved: str = ""

    def __post_init__(self) -> None:
        if self.domain in LEGACY:
            raise InputError(
                f"{self.domain} is a sandbox domain of the first generation, without tokens, quota and snapshots",
                next_step=f"Have the user set NOVITA_MCP_SANDBOX_DOMAIN to {DOMAIN} or another one of the second.",
            )
        if not _DOMAIN.fullmatch(self.domain):
            raise InputError("NOVITA_MCP_SANDBOX_DOMAIN is no domain", next_step=f"It is {DOMAIN} unless set.")

    @property
    def plane(self) -> str:
        """The control plane, without a trailing slash."""
        return f"https://api.{self.domain}"

    def check(self, domain: str | None) -> str:
        """The domain that an answer names, if the token may be sent there; the configured one if it names none.

        Raises:
            NovitaConnectionError: It may not. Nothing was sent there.
        """
        if self.moved or not domain:
            return self.domain
        named = domain.strip().lower().rstrip(".")
        if _DOMAIN.fullmatch(named) and (named == self.domain or named.endswith(f".{self.domain}")):
            return named
        raise NovitaConnectionError(
            f"Novita's answer places the sandbox outside of {self.domain}, so nothing was sent there",
            next_step="If that place is right, have the user set NOVITA_MCP_SANDBOX_DOMAIN to its domain.",
        )

    def port(self, sandbox_id: str, port: int, domain: str | None = None) -> str:
        """The public address of a port of a sandbox."""
        return f"https://{port}-{check_id(sandbox_id)}.{self.check(domain)}"

    def inside(self, sandbox_id: str, port: int) -> Mapping[str, str]:
        """Headers that name a port of a sandbox, for an address that does not."""
        return {"Novita-Sandbox-Id": check_id(sandbox_id), "Novita-Sandbox-Port": str(port)}
