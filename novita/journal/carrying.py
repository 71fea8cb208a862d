"""What version 0.1.0 wrote, carried into the tables of today: once as a journal is brought up to date, and again while
a process of that version still writes to the same journal.

Such a process knows nothing of new tables, and goes on using the old ones, which therefore stay.
"""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .databases import Db

_BEING_CREATED = 300.0
"""Seconds in which a process of 0.1.0 may still bring the id of what it creates under a lease."""
_ENDPOINT = "endpoint:"
"""Before the ids and names of endpoints, where it kept all leases as if of instances."""


def carry_leases(db: "Db") -> None:
    """Take leases over, each with the kind of its thing. Once they are here, 0.1.0 ends none of them."""
    young = time.time() - _BEING_CREATED
    ready = "NOT (state = 'pending' AND created > ?)"
    if not db.execute(f"SELECT 1 FROM leases WHERE {ready} LIMIT 1", (young,)).fetchone():  # noqa: S608  # all ours
        return
    db.lock("leases of 0.1.0")
    for row in db.execute(f"SELECT * FROM leases WHERE {ready}", (young,)).fetchall():  # noqa: S608
        named = row["instance_id"] or row["name"]
        thing: str | None = row["instance_id"]
        db.execute(
            "INSERT INTO kept_leases (key, owner, kind, thing_id, job_key, name, created, stop_at, state, attempts,"
            " claimed_until, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                row["key"],
                row["owner"],
                "endpoint" if named.startswith(_ENDPOINT) else "instance",
                thing and thing.removeprefix(_ENDPOINT),
                row["job_key"],
                row["name"].removeprefix(_ENDPOINT),
                row["created"],
                row["stop_at"],
                row["state"],
                row["attempts"],
                row["claimed_until"],
                row["note"],
            ),
        )
        db.execute("DELETE FROM leases WHERE key = ?", (row["key"],))


def carry_over(db: "Db") -> None:
    """Everything a process of 0.1.0 may have written since."""
    carry_leases(db)
