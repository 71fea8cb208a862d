"""The last reading of Novita's lists of models and prices, shared by every process that uses this journal.

One process at a time reads them, at most once a day; a reading that failed is repeated after an hour.
"""

from dataclasses import dataclass

from .databases import Db
from .journal import Journal

A_DAY = 86_400.0
AGAIN_AFTER = 3_600.0
"""Seconds after which another reading may begin if one was begun and never finished."""
_KEPT = 30 * A_DAY
"""Seconds for which the reading of another address is kept."""


@dataclass(frozen=True)
class KeptNews:
    """The text of a reading, and when it was made (Unix seconds)."""

    text: str
    at: float


async def kept_news(journal: Journal, *, base: str) -> KeptNews | None:
    """The newest reading for an address of Novita; None if there is none.

    Raises:
        JournalError: The journal cannot be used.
    """

    def read(db: Db) -> KeptNews | None:
        row = db.execute("SELECT text, at FROM news WHERE base = ? AND at > 0", (base,)).fetchone()
        return KeptNews(row["text"], row["at"]) if row else None

    return await journal.transact(read)


async def claim_news(journal: Journal, *, base: str) -> bool:
    """Claim the next reading. True if this process is to read now; no other process does until that has failed.

    Raises:
        JournalError: The journal cannot be used.
    """

    def claim(db: Db) -> bool:
        now = journal.wall()
        db.lock(f"news {base}")
        row = db.execute("SELECT at, begun FROM news WHERE base = ?", (base,)).fetchone()
        if row is None:
            db.execute("INSERT INTO news (base, text, at, begun) VALUES (?, ?, ?, ?)", (base, "", 0.0, now))
            return True
        # A time in the future was written by a clock that was wrong.
        if 0 <= now - row["at"] < A_DAY or 0 <= now - row["begun"] < AGAIN_AFTER:
            return False
        db.execute("UPDATE news SET begun = ? WHERE base = ?", (now, base))
        return True

    return await journal.transact(claim)


async def keep_news(journal: Journal, text: str, *, base: str) -> None:
    """Keep the text that was just read.

    Raises:
        JournalError: The journal cannot be used.
    """

    def write(db: Db) -> None:
        now = journal.wall()
        db.lock(f"news {base}")
        db.execute("DELETE FROM news WHERE base = ? OR begun < ?", (base, now - _KEPT))
        db.execute("INSERT INTO news (base, text, at, begun) VALUES (?, ?, ?, ?)", (base, text, now, now))

    await journal.transact(write)
