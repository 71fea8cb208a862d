"""Carries what version 0.1.0 wrote into today's tables: once when a journal is upgraded, and again while a process of
that version still writes to the same journal.

Such a process does not know the new tables and keeps using the old ones, which therefore stay.
"""

import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..core.money import MICRO
from .segments import EARLIER, LEAST, PAID, Segment, append, close, segments_of

if TYPE_CHECKING:
    from .databases import Db

_BEING_CREATED = 300.0
"""Seconds after which a process of 0.1.0 will no longer add the id of a thing that it created under a lease."""
_ENDPOINT = "endpoint:"
"""Version 0.1.0 kept all leases as leases of instances, and put this before the ids and names of endpoints."""


def carry_leases(db: "Db") -> None:
    """Move leases to the new table, each with the kind of its thing. A process of 0.1.0 then ends none of them."""
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


def carry_rates(db: "Db") -> None:
    """Turn the sums and rates of rows that are billed by time into segments."""
    kept_sums = "rate_since IS NOT NULL OR metered_micro <> 0"
    if not db.execute(f"SELECT 1 FROM jobs WHERE {kept_sums} LIMIT 1").fetchone():  # noqa: S608  # all ours
        return
    db.lock("rates of 0.1.0")
    for row in db.execute(f"SELECT * FROM jobs WHERE {kept_sums}").fetchall():  # noqa: S608
        _carry_rate(db, row)


def _carry_rate(db: "Db", row: Any) -> None:
    facts: dict[str, Any] = json.loads(row["facts"])
    key, since, rate = row["key"], row["rate_since"], row["rate_micro_day"]
    thing = str(facts.get("resource") or row["task_id"] or key[:12])
    rule = row["counts"]
    if "usd" not in facts:
        known = segments_of(db, key)
        if not known:  # later it writes down again what is known here already
            begun = facts.get("metered_from", row["created"])
            until = since if since is not None else float(facts.get("ended", facts.get("rests_since", begun)))
            paid = Decimal(facts.get("term_usd", 0))
            come = Decimal(row["metered_micro"]) / MICRO - paid
            for at_once, source in ((paid, PAID), (come, EARLIER)):
                if at_once > 0:
                    append(db, key, Segment(thing, begun, max(begun, until), Decimal(0), source, at_once))
        if rate and since is not None:
            usd_per_day = Decimal(rate) / MICRO
            if not any(each.until is None and each.usd_per_day == usd_per_day for each in known):
                close(db, key, since)
                append(db, key, Segment(thing, since, None, usd_per_day, EARLIER))
            rule = LEAST
    db.execute(
        "UPDATE jobs SET counts = ?, metered_micro = 0, rate_micro_day = NULL, rate_since = NULL WHERE key = ?",
        (rule, key),
    )


def carry_over(db: "Db") -> None:
    """Carry over everything that a process of 0.1.0 may have written since the last time."""
    carry_leases(db)
    carry_rates(db)
