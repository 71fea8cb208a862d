"""Links to the page where a subject enters a Novita key. Each is for one subject, and works once, for ten minutes."""

import secrets
from dataclasses import asdict, dataclass

from ...novita.core.redaction import redact
from .terms import Terms
from .vault import Vault

LINK_LIVES = 600
"""Seconds for which a link works."""


@dataclass(frozen=True)
class Subject:
    """Somebody who signed in.

    Args:
        owner: The hash under which everything of this subject is stored.
        subject: The name that the authorization server gives (`sub`).
        name: The name by which people know the subject, such as an e-mail address.
    """

    owner: str
    subject: str
    name: str


@dataclass(frozen=True)
class Link:
    """The content of a link."""

    to: Subject
    nonce: str


class KeyLinks:
    """Makes links and reads them. A link is encrypted text, so nothing is stored about it until it is used."""

    def __init__(self, vault: Vault, terms: Terms) -> None:
        self._vault = vault
        self._terms = terms

    def link(self, subject: Subject) -> str:
        while True:
            note = self._vault.note("link", [asdict(subject), secrets.token_hex(16)])
            link = f"{self._terms.public_url}/key?link={note}"
            if redact(link) == link:  # a part of it may look like a key by chance, and answers would hide that part
                return link

    def read(self, note: str) -> Link | None:
        """The content of a link; None if it is not one of ours, or is too old."""
        told = self._vault.read("link", note, LINK_LIVES)
        return None if told is None else Link(Subject(**told[0]), told[1])
