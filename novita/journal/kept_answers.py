"""Answers of directly awaited calls, kept for the same call made again, because Novita gives such an answer only once.

They are deleted once they are too old for a repeated call to join.
"""

from .databases import Db
from .joining import ENDED_WITHIN


def put_answer(db: Db, key: str, text: str, now: float) -> None:
    """Keep the answer of a call, as JSON, until it is too old to be joined."""
    forget_old(db, now)
    db.execute(
        "INSERT INTO answers (job, at, data) VALUES (?, ?, ?) ON CONFLICT (job) DO UPDATE SET data = excluded.data",
        (key, now, text),
    )


def answer_of(db: Db, key: str) -> str | None:
    """The answer of a call; None if it was not kept, or is deleted by now."""
    row = db.execute("SELECT data FROM answers WHERE job = ?", (key,)).fetchone()
    return None if row is None else row[0]


def forget_old(db: Db, now: float) -> None:
    """Delete answers that are too old to be joined."""
    old = (now - ENDED_WITHIN,)
    if db.execute("SELECT 1 FROM answers WHERE at < ? LIMIT 1", old).fetchone() is not None:
        db.lock("answers")
        db.execute("DELETE FROM answers WHERE at < ?", old)
