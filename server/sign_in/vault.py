"""The Novita keys of who signs in: encrypted before they reach the journal, and open only while a call is made."""

import base64
import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

logger = logging.getLogger(__name__)


class Vault:
    """Encrypts for an owner; what was encrypted for another opens nothing.

    Args:
        secrets: The first encrypts, all open.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._all = [Fernet(derived(secret)) for secret in secrets]

    def seal(self, owner: str, api_key: str) -> str:
        return self._all[0].encrypt(json.dumps([owner, api_key]).encode()).decode()

    def open(self, owner: str, sealed: str) -> str | None:
        """The key; None where none of the secrets opens it for this owner."""
        try:
            sealed_for, api_key = json.loads(MultiFernet(self._all).decrypt(sealed))
        except InvalidToken:
            logger.warning("a kept key cannot be opened: its secret is not among NOVITA_MCP_VAULT_KEYS")
            return None
        return api_key if sealed_for == owner else None

    def resealed(self, sealed: str) -> str | None:
        """The same by the first secret; None where it is so already, or cannot be opened."""
        try:
            self._all[0].decrypt(sealed)
        except InvalidToken:
            try:
                return MultiFernet(self._all).rotate(sealed).decode()
            except InvalidToken:
                return None
        return None

    def note(self, what: str, told: Any) -> str:
        """A sealed text for a link or a cookie; `what` it is for keeps one from being taken for the other."""
        return self._all[0].encrypt(json.dumps([what, told]).encode()).decode()

    def read(self, what: str, note: str, within: int) -> Any:
        """What a note says that is no older than so many seconds; None for any other text."""
        try:
            kind, told = json.loads(MultiFernet(self._all).decrypt(note, ttl=within))
        except InvalidToken:
            return None
        return told if kind == what else None


def derived(secret: bytes) -> bytes:
    """A key as Fernet takes it."""
    return base64.urlsafe_b64encode(hashlib.sha256(b"novita-mcp vault\0" + secret).digest())
