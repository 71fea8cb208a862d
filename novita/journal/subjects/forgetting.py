"""Removes all rows of an owner. Only the sum spent today is kept, or an owner could escape a cap by being forgotten."""

from dataclasses import dataclass

from ...core.errors import InputError
from ...core.words import counted
from ...files.artifacts import Artifact
from ..databases import Db
from ..journal import Journal
from ..segments import DAY, cost_at
from ..totals import spent_today

_TABLES = ("artifacts", "segments", "kept_leases", "leases", "gone", "hooks", "jobs", "kept_keys")
_RUNNING = (
    "SELECT (SELECT COUNT(*) FROM jobs WHERE owner = ? AND state IN ('submitting', 'working') AND created > ?)"
    " + (SELECT COUNT(*) FROM kept_leases WHERE owner = ? AND state IN ('pending', 'active'))"
    " + (SELECT COUNT(*) FROM segments WHERE owner = ? AND until IS NULL)"
)


class StillRunningError(InputError):
    """Something of the owner still runs or costs money, and without its rows nobody would know of it."""


@dataclass(frozen=True)
class Removed:
    """How much was removed."""

    key: bool
    jobs: int
    artifacts: tuple[Artifact, ...]


async def forget_owner(journal: Journal, owner: str) -> Removed:
    """Remove all rows of an owner.

    Raises:
        StillRunningError: Something of the owner still runs. Nothing was removed.
    """

    def remove(db: Db) -> Removed:
        db.lock(f"spending of {owner}")
        lately = journal.wall() - DAY  # a row whose process died while sending stays `submitting` for ever
        going: int = db.execute(_RUNNING, (owner, lately, owner, owner)).fetchone()[0]
        if going:
            raise StillRunningError(
                f"Paid for and still running: {counted(going, 'thing')}",
                next_step="Wait for the tasks, stop what costs (stop_everything), and try again.",
            )
        data = db.execute("SELECT data FROM artifacts WHERE owner = ?", (owner,)).fetchall()
        jobs: int = db.execute("SELECT COUNT(*) FROM jobs WHERE owner = ?", (owner,)).fetchone()[0]
        key = db.execute("SELECT 1 FROM kept_keys WHERE owner = ?", (owner,)).fetchone() is not None
        now = journal.wall()
        sums = {owner: spent_today(db, owner, now), **_of_teams(db, owner, now)}
        db.execute("DELETE FROM answers WHERE job IN (SELECT key FROM jobs WHERE owner = ?)", (owner,)).close()
        for table in _TABLES:
            db.execute(f"DELETE FROM {table} WHERE owner = ?", (owner,)).close()  # noqa: S608  # all ours
        # The operator keeps the record of who called which tool; what was asked for is removed.
        db.execute("UPDATE audit SET arguments = NULL WHERE owner = ?", (owner,)).close()
        db.execute("DELETE FROM totals WHERE owner = ?", (owner,)).close()
        for whose, micro in sums.items():
            if micro:
                statement = "INSERT INTO totals (owner, run, day, micro) VALUES (?, '', ?, ?)"
                db.execute(statement, (whose, int(now // DAY), micro)).close()
        return Removed(key, jobs, tuple(Artifact.model_validate_json(row[0]) for row in data))

    return await journal.transact(remove)


def _of_teams(db: Db, owner: str, now: float) -> dict[str, int]:
    """Team -> micro dollars that the owner's rows of today count under its cap."""
    statement = (
        f"SELECT team, SUM({cost_at(now)}) FROM jobs WHERE owner = ? AND team <> '' AND created >= ? GROUP BY team"  # noqa: S608  # all ours
    )
    return {team: int(micro) for team, micro in db.execute(statement, (owner, now - now % DAY)).fetchall()}
