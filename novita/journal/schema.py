"""The journal's tables, step by step.

The steps are kept by hand: a library for them (alembic) brings SQLAlchemy, and each is tested from the version before.

Amounts are whole micro dollars. A row counts `counted_micro`: first its estimate, later its known cost. A row that is
billed by time also has segments, and counts these by the rule in `counts` (segments.py). The columns `metered_micro`,
`rate_micro_day` and `rate_since` and the table `leases` are of version 0.1.0. They stay for processes of that version
that still run; carrying.py carries over what these write.
"""

from .carrying import carry_leases, carry_rates
from .cleaning import clean_journal
from .databases import Step
from .totals import begin_totals, begin_totals_of_teams

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
    """
    CREATE TABLE segments (
        job TEXT NOT NULL,
        owner TEXT NOT NULL,
        thing TEXT NOT NULL,
        since REAL NOT NULL,
        until REAL,
        micro_day INTEGER NOT NULL,
        at_once_micro INTEGER NOT NULL DEFAULT 0,
        source TEXT NOT NULL
    );
    CREATE INDEX segments_by_job ON segments (job, since);
    CREATE INDEX segments_by_end ON segments (owner, until);
    ALTER TABLE jobs ADD COLUMN counts TEXT NOT NULL DEFAULT 'counted';
    CREATE INDEX jobs_metered_by_0_1_0 ON jobs (key) WHERE rate_since IS NOT NULL OR metered_micro <> 0;
    CREATE INDEX jobs_of_a_run ON jobs (owner, run, counts, counted_micro, key);
    CREATE INDEX jobs_of_a_day ON jobs (owner, created, counts, counted_micro, key);
    CREATE INDEX jobs_of_a_state ON jobs (owner, state, created);
    CREATE INDEX jobs_of_a_kind ON jobs (owner, kind, created);
    """,
    carry_rates,
    """
    CREATE TABLE news (
        base TEXT PRIMARY KEY,
        text TEXT NOT NULL,
        at REAL NOT NULL,
        begun REAL NOT NULL
    );
    """,
    """
    CREATE TABLE totals (
        owner TEXT NOT NULL,
        run TEXT NOT NULL,
        day INTEGER NOT NULL,
        micro INTEGER NOT NULL
    );
    CREATE INDEX totals_by_run ON totals (owner, run, micro);
    CREATE INDEX totals_by_day ON totals (owner, day, micro);
    DROP INDEX jobs_of_a_run;
    DROP INDEX jobs_of_a_day;
    CREATE INDEX growing_of_a_run ON jobs (owner, run) WHERE counts <> 'counted';
    CREATE INDEX growing_of_a_day ON jobs (owner, created) WHERE counts <> 'counted';
    """,
    begin_totals,
    """
    CREATE TABLE answers (
        job TEXT PRIMARY KEY,
        at REAL NOT NULL,
        data TEXT NOT NULL
    );
    CREATE INDEX answers_by_age ON answers (at);
    """,
    """
    CREATE TABLE allowances (
        name TEXT PRIMARY KEY,
        due REAL NOT NULL
    );
    """,
    """
    CREATE TABLE audit (
        at REAL NOT NULL,
        owner TEXT NOT NULL,
        tool TEXT NOT NULL,
        model TEXT NOT NULL,
        micro INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        seconds REAL NOT NULL,
        arguments TEXT
    );
    CREATE INDEX audit_by_age ON audit (at);
    """,
    """
    CREATE TABLE hooks (
        token TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        task_id TEXT NOT NULL,
        made REAL NOT NULL,
        called INTEGER NOT NULL DEFAULT 0,
        looked INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX hooks_by_owner ON hooks (owner, made);
    """,
    """
    CREATE TABLE kept_keys (
        owner TEXT PRIMARY KEY,
        sealed TEXT NOT NULL,
        since REAL NOT NULL
    );
    CREATE TABLE used_notes (
        note TEXT PRIMARY KEY,
        until REAL NOT NULL
    );
    ALTER TABLE jobs ADD COLUMN team TEXT NOT NULL DEFAULT '';
    CREATE INDEX growing_of_a_team ON jobs (team, created) WHERE counts <> 'counted' AND team <> '';
    """,
    begin_totals_of_teams,
    """
    CREATE TABLE lanes (
        lane TEXT PRIMARY KEY,
        opens REAL NOT NULL
    );
    CREATE TABLE turns (
        number TEXT PRIMARY KEY,
        lane TEXT NOT NULL,
        owner TEXT NOT NULL,
        turn INTEGER NOT NULL,
        drawn REAL NOT NULL,
        alive REAL NOT NULL
    );
    CREATE INDEX turns_by_lane ON turns (lane, turn, drawn);
    CREATE TABLE sendings (
        lane TEXT NOT NULL,
        at REAL NOT NULL
    );
    CREATE INDEX sendings_by_lane ON sendings (lane, at);
    """,
)
"""One step per schema version, for both dialects. Never edit a step that was released."""
