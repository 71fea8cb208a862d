"""Models that Novita said do not exist: since when, and when that was last seen.

A route that is gone is gone for everybody; a model behind a route that still works may be closed to one key only.
Both are tried again some days later, because Novita may have brought them back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .databases import Db
from .journal import Journal

TRIED_AGAIN_AFTER = 3 * 86_400.0
"""Seconds for which a model is not tried again after it was seen to be gone."""

EVERYBODY = ""
"""The owner that stands for everybody."""


@dataclass(frozen=True)
class GoneModel:
    """One model that did not answer. Times are Unix seconds.

    Args:
        seen: When Novita last said so.
        passed_over: Whether that was so recently that the model is not tried again yet.
    """

    model: str
    since: float
    seen: float
    passed_over: bool

    @property
    def words(self) -> str:
        """`gone since 2026-11-30`."""
        return f"gone since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d}"


async def gone_models(journal: Journal, *, base: str, owner: str) -> Mapping[str, GoneModel]:
    """Model -> what is known of its absence, for this caller at this address of Novita.

    Raises:
        JournalError: The journal cannot be used.
    """

    def read(db: Db) -> dict[str, GoneModel]:
        rows = db.execute(
            "SELECT model, since, seen FROM gone WHERE base = ? AND owner IN (?, ?) ORDER BY seen",
            (base, EVERYBODY, owner),
        )
        freshest = journal.wall() - TRIED_AGAIN_AFTER
        return {
            row["model"]: GoneModel(row["model"], row["since"], row["seen"], row["seen"] >= freshest) for row in rows
        }

    return await journal.transact(read)


async def note_gone(journal: Journal, model: str, *, base: str, owner: str = EVERYBODY) -> None:
    """Note that Novita has just said that a model does not exist; by default for everybody.

    Raises:
        JournalError: The journal cannot be used.
    """

    def write(db: Db) -> None:
        now, place = journal.wall(), (base, owner, model)
        db.lock(f"gone {model}")
        if db.execute("UPDATE gone SET seen = ? WHERE base = ? AND owner = ? AND model = ?", (now, *place)).rowcount:
            return
        db.execute("INSERT INTO gone (base, owner, model, since, seen) VALUES (?, ?, ?, ?, ?)", (*place, now, now))

    await journal.transact(write)


async def note_living(journal: Journal, model: str, *, base: str, owner: str) -> None:
    """Note that a model that was gone has answered.

    Raises:
        JournalError: The journal cannot be used.
    """

    def write(db: Db) -> None:
        db.execute("DELETE FROM gone WHERE base = ? AND owner IN (?, ?) AND model = ?", (base, EVERYBODY, owner, model))

    await journal.transact(write)
