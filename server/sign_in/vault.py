"""Encrypts the Novita keys of people who sign in, and decrypts one only when a call or a lease needs it."""

import base64
import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

logger = logging.getLogger(__name__)


class Vault:
    """Encrypts a key together with its owner, so that it cannot be decrypted for another owner.

    Args:
        secrets: The first one encrypts, and all of them decrypt.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._all = [Fernet(derived(secret)) for secret in secrets]

    def seal(self, owner: str, api_key: str) -> str:
        return self._all[0].encrypt(json.dumps([owner, api_key]).encode()).decode()

    def open(self, owner: str, sealed: str) -> str | None:
        """The key; None if no secret decrypts it, or it belongs to another owner."""
        try:
            sealed_for, api_key = json.loads(MultiFernet(self._all).decrypt(sealed))
        except InvalidToken:
            logger.warning("a kept key cannot be opened: its secret is not among NOVITA_MCP_VAULT_KEYS")
            return None
        return api_key if sealed_for == owner else None

    def resealed(self, sealed: str) -> str | None:
        """The text encrypted anew with the first secret; None if it is so already, or cannot be decrypted."""
        try:
            self._all[0].decrypt(sealed)
        except InvalidToken:
            try:
                return MultiFernet(self._all).rotate(sealed).decode()
            except InvalidToken:
                return None
        return None

    def note(self, what: str, told: Any) -> str:
        """Encrypt a value for a link or a form. `what` says for which, so that one cannot be used as the other."""
        return self._all[0].encrypt(json.dumps([what, told]).encode()).decode()

    def read(self, what: str, note: str, within: int) -> Any:
        """The value in an encrypted note that is at most `within` seconds old; None for any other text."""
        try:
            kind, told = json.loads(MultiFernet(self._all).decrypt(note, ttl=within))
        except InvalidToken:
            return None
        return told if kind == what else None


def derived(secret: bytes) -> bytes:
    """A secret in the form of a key that Fernet accepts."""
    return base64.urlsafe_b64encode(hashlib.sha256(b"novita-mcp vault\0" + secret).digest())
