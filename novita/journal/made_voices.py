"""Which model cloned or designed a voice, so that speech with it is sent to a model that knows the voice."""

import json
from typing import Any

from .databases import Db
from .journal import Journal

_MOST = 2_000
"""How many jobs that made a voice are searched, newest first."""


async def maker_of_voice(journal: Journal, owner: str, voice_id: str) -> str | None:
    """The model that made a voice of this caller; None if the journal has no such voice.

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
