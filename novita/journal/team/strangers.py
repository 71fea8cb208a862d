"""Which things at Novita belong to other callers of this server. Novita shows them to everyone with the same key."""

from collections.abc import Iterable

from ..databases import Db
from ..journal import Journal

_AT_A_TIME = 500
"""Ids in one statement."""


async def strangers(journal: Journal, owner: str, ids: Iterable[str]) -> frozenset[str]:
    """Those of these ids (of tasks, batches, machines, endpoints) that only other owners have in the journal.

    Raises:
        JournalError: The journal cannot be used.
    """
    asked = sorted({*ids})
    if not asked:
        return frozenset()

    def read(db: Db) -> frozenset[str]:
        mine, theirs = set[str](), set[str]()
        for start in range(0, len(asked), _AT_A_TIME):
            some = asked[start : start + _AT_A_TIME]
            statement = f"SELECT task_id, owner FROM jobs WHERE task_id IN ({', '.join('?' * len(some))})"  # noqa: S608  # all ours
            for task_id, whose in db.execute(statement, some).fetchall():
                (mine if whose == owner else theirs).add(task_id)
        return frozenset(theirs - mine)

    return await journal.transact(read)
