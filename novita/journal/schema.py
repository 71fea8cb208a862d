"""The journal's tables, step by step, and what a row costs.

Amounts are whole micro dollars. A row counts `counted_micro`: its estimate at first, later what is known. What goes
on costing has a rate too, and then counts `metered_micro` (come up until `rate_since`) plus the rate since, but at
least `counted_micro`: the estimate stays taken while it runs.
"""

from .carrying import carry_leases
from .cleaning import clean_journal
from .databases import Step

MIGRATIONS: tuple[Step, ...] = (
    """
    CREATE TABLE jobs (
        key TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        task_id TEXT,
        kind TEXT NOT NULL,
        tool TEXT NOT NULL,
        model TEXT NOT NULL,
        title TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        estimate_micro INTEGER,
        counted_micro INTEGER NOT NULL DEFAULT 0,
        run TEXT NOT NULL,
        pid INTEGER NOT NULL,
        created REAL NOT NULL,
        accepted REAL,
        finished REAL,
        facts TEXT NOT NULL DEFAULT '{}'
    );
    CREATE UNIQUE INDEX jobs_by_task ON jobs (owner, task_id);
    CREATE INDEX jobs_by_time ON jobs (owner, created);
    CREATE INDEX jobs_by_model ON jobs (model, finished);
    CREATE TABLE artifacts (
        owner TEXT NOT NULL,
        task_id TEXT NOT NULL,
        idx INTEGER NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (owner, task_id, idx)
    );
    """,
    """
    CREATE TABLE leases (
        key TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        instance_id TEXT,
        job_key TEXT,
        name TEXT NOT NULL,
        created REAL NOT NULL,
        stop_at REAL NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        claimed_until REAL NOT NULL DEFAULT 0,
        note TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX leases_by_state ON leases (state, stop_at);
    """,
    """
    ALTER TABLE jobs ADD COLUMN host TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE INDEX jobs_by_task_alone ON jobs (task_id);
    """,
    """
    ALTER TABLE jobs ADD COLUMN metered_micro INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN rate_micro_day INTEGER;
    ALTER TABLE jobs ADD COLUMN rate_since REAL;
    """,
    clean_journal,
    # A new table: a process of 0.1.0 would take an endpoint for an instance that is gone, and its lease for done.
    """
    CREATE TABLE kept_leases (
        key TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        kind TEXT NOT NULL,
        thing_id TEXT,
        job_key TEXT,
        name TEXT NOT NULL,
        created REAL NOT NULL,
        stop_at REAL NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        claimed_until REAL NOT NULL DEFAULT 0,
        note TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX kept_leases_by_state ON kept_leases (state, stop_at);
    """,
    carry_leases,
    """
    CREATE TABLE gone (
        base TEXT NOT NULL,
        owner TEXT NOT NULL,
        model TEXT NOT NULL,
        since REAL NOT NULL,
        seen REAL NOT NULL,
        PRIMARY KEY (base, owner, model)
    );
    """,
    """
    ALTER TABLE jobs ADD COLUMN same TEXT;
    ALTER TABLE jobs ADD COLUMN delivered REAL;
    CREATE INDEX jobs_by_same ON jobs (owner, same, created);
    """,
)
"""One step per schema version, for both dialects. Never edit a step that was released."""

_DAY = 86_400


def cost_at(now: float) -> str:
    """SQL for what a row of `jobs` costs until `now` (Unix seconds), in micro dollars."""
    running = f"metered_micro + {_come_up(now, 'rate_since')}"
    return f"CASE WHEN rate_micro_day IS NULL OR {running} < counted_micro THEN counted_micro ELSE {running} END"


def cost_since(start: float, now: float) -> str:
    """SQL for what a row begun before `start` costs from then on: nothing, unless it goes on costing."""
    since = f"CASE WHEN rate_since > {start:.3f} THEN rate_since ELSE {start:.3f} END"
    return f"CASE WHEN rate_micro_day IS NULL THEN 0 ELSE {_come_up(now, since)} END"


def _come_up(now: float, since: str) -> str:
    passed = f"({now:.3f} - ({since}))"
    return f"CAST((CASE WHEN {passed} > 0 THEN {passed} ELSE 0 END) * rate_micro_day / {_DAY} AS INTEGER)"
