"""The encrypted Novita keys of people who sign in. Neither this module nor the database can decrypt them."""

from collections.abc import Callable

from ..databases import Db
from ..journal import Journal


async def kept_key(journal: Journal, owner: str) -> str | None:
    """The encrypted key of an owner; None if none is kept."""
    statement = "SELECT sealed FROM kept_keys WHERE owner = ?"
    found = await journal.transact(lambda db: db.execute(statement, (owner,)).fetchone())
    return found[0] if found else None


async def keep_key(journal: Journal, owner: str, sealed: str) -> None:
    """Keep an owner's encrypted key, in place of an earlier one."""
    statement = (
        "INSERT INTO kept_keys (owner, sealed, since) VALUES (?, ?, ?)"
        " ON CONFLICT (owner) DO UPDATE SET sealed = excluded.sealed, since = excluded.since"
    )
    await journal.transact(lambda db: db.execute(statement, (owner, sealed, journal.wall())).close())


async def forget_key(journal: Journal, owner: str) -> None:
    await journal.transact(lambda db: db.execute("DELETE FROM kept_keys WHERE owner = ?", (owner,)).close())


async def reseal(journal: Journal, resealed: Callable[[str], str | None]) -> None:
    """Replace each key by what `resealed` returns for it (None keeps it), so that an old secret can be retired."""

    def anew(db: Db) -> None:
        db.lock("kept keys")
        for owner, sealed in db.execute("SELECT owner, sealed FROM kept_keys").fetchall():
            if (again := resealed(sealed)) is not None:
                # Only if the row is unchanged, because its owner may have entered another key meanwhile.
                statement = "UPDATE kept_keys SET sealed = ? WHERE owner = ? AND sealed = ?"
                db.execute(statement, (again, owner, sealed)).close()

    await journal.transact(anew)


async def use_once(journal: Journal, note: str, until: float) -> bool:
    """Use up a one-time note; True at its first use on any copy of the server.

    Args:
        until: Unix seconds until which the use must be remembered.
    """

    def use(db: Db) -> bool:
        db.lock("used notes")
        db.execute("DELETE FROM used_notes WHERE until < ?", (journal.wall(),)).close()
        statement = "INSERT INTO used_notes (note, until) VALUES (?, ?) ON CONFLICT (note) DO NOTHING"
        return db.execute(statement, (note, until)).rowcount == 1

    return await journal.transact(use)
