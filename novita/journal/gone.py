"""Models that Novita said are not there: since when, and when that was seen last.

A route that is gone is gone for everybody; a model behind a living route may be closed to one key only. Both are tried
again some days later: Novita may have thought better of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .databases import Db
from .journal import Journal

TRIED_AGAIN_AFTER = 3 * 86_400.0
"""Seconds for which a model that was seen to be gone is passed over."""

EVERYBODY = ""
"""The owner of what is gone for all."""


@dataclass(frozen=True)
class GoneModel:
    """One model that did not answer. Times are Unix seconds.

    Args:
        seen: When Novita said so last.
        passed_over: Whether that is so short ago that it is not asked again.
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
    """What is gone for this caller at this address of Novita, by model.

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
    """Novita said just now that a model is not there; by default for everybody.

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
    """A model that was gone has answered.

    Raises:
        JournalError: The journal cannot be used.
    """

    def write(db: Db) -> None:
        db.execute("DELETE FROM gone WHERE base = ? AND owner IN (?, ?) AND model = ?", (base, EVERYBODY, owner, model))

    await journal.transact(write)
