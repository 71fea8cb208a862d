"""Voices that were cloned or designed: which model made one, so that speech goes where it is known."""

import json
from typing import Any

from .databases import Db
from .journal import Journal

_MOST = 2_000
"""Jobs that made a voice, the newest first, among which one is sought."""


async def maker_of_voice(journal: Journal, owner: str, voice_id: str) -> str | None:
    """The model that made a voice of this caller; None where the journal knows no such voice.

    Raises:
        JournalError: The journal cannot be used.
    """

    def read(db: Db) -> str | None:
        made = "SELECT model, facts FROM jobs WHERE owner = ? AND facts LIKE ? ORDER BY created DESC LIMIT ?"
        rows = db.execute(made, (owner, '%"voice_id"%', _MOST))
        for row in rows:
            values: Any = json.loads(row["facts"]).get("values")
            if isinstance(values, dict) and values.get("voice_id") == voice_id:  # pyright: ignore[reportUnknownMemberType]
                return str(row["model"])
        return None

    return await journal.transact(read)
