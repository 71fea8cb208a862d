"""The keys of who signs in, as they were encrypted: this module, and the database, cannot read them."""

from collections.abc import Callable

from ..databases import Db
from ..journal import Journal


async def kept_key(journal: Journal, owner: str) -> str | None:
    """What was kept for an owner."""
    statement = "SELECT sealed FROM kept_keys WHERE owner = ?"
    found = await journal.transact(lambda db: db.execute(statement, (owner,)).fetchone())
    return found[0] if found else None


async def keep_key(journal: Journal, owner: str, sealed: str) -> None:
    """Keep it, in place of an earlier one."""
    statement = (
        "INSERT INTO kept_keys (owner, sealed, since) VALUES (?, ?, ?)"
        " ON CONFLICT (owner) DO UPDATE SET sealed = excluded.sealed, since = excluded.since"
    )
    await journal.transact(lambda db: db.execute(statement, (owner, sealed, journal.wall())).close())


async def forget_key(journal: Journal, owner: str) -> None:
    await journal.transact(lambda db: db.execute("DELETE FROM kept_keys WHERE owner = ?", (owner,)).close())


async def reseal(journal: Journal, resealed: Callable[[str], str | None]) -> None:
    """Encrypt all anew for which `resealed` gives something, so that a secret that opened them can be dropped."""

    def anew(db: Db) -> None:
        db.lock("kept keys")
        for owner, sealed in db.execute("SELECT owner, sealed FROM kept_keys").fetchall():
            if (again := resealed(sealed)) is not None:
                # Only what is still as it was read: its owner may have entered another one meanwhile.
                statement = "UPDATE kept_keys SET sealed = ? WHERE owner = ? AND sealed = ?"
                db.execute(statement, (again, owner, sealed)).close()

    await journal.transact(anew)


async def use_once(journal: Journal, note: str, until: float) -> bool:
    """Whether this is the first use of a note that is good for one, on whichever copy; `until` it has to be known."""

    def use(db: Db) -> bool:
        db.lock("used notes")
        db.execute("DELETE FROM used_notes WHERE until < ?", (journal.wall(),)).close()
        statement = "INSERT INTO used_notes (note, until) VALUES (?, ?) ON CONFLICT (note) DO NOTHING"
        return db.execute(statement, (note, until)).rowcount == 1

    return await journal.transact(use)
