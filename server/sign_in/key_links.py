"""Links to the page where a subject's Novita key is entered: each for one subject, good once and for ten minutes."""

import secrets
from dataclasses import asdict, dataclass

from ...novita.core.redaction import redact
from .terms import Terms
from .vault import Vault

LINK_LIVES = 600
"""Seconds."""


@dataclass(frozen=True)
class Subject:
    """Somebody who signed in.

    Args:
        owner: Stands for the subject wherever things are kept apart.
        subject: As the authorization server names him.
        name: As people know him.
    """

    owner: str
    subject: str
    name: str


@dataclass(frozen=True)
class Link:
    """What a link says."""

    to: Subject
    nonce: str


class KeyLinks:
    """Makes links and reads them. Nothing is kept of one until it is used."""

    def __init__(self, vault: Vault, terms: Terms) -> None:
        self._vault = vault
        self._terms = terms

    def link(self, subject: Subject) -> str:
        while True:
            note = self._vault.note("link", [asdict(subject), secrets.token_hex(16)])
            link = f"{self._terms.public_url}/key?link={note}"
            if redact(link) == link:  # by chance a part of it may look like a key, which answers hide
                return link

    def read(self, note: str) -> Link | None:
        """Whose link it is; None where it is none, or is too old."""
        told = self._vault.read("link", note, LINK_LIVES)
        return None if told is None else Link(Subject(**told[0]), told[1])
