"""What version 0.1.0 let into a journal is taken out when it is opened, in both databases."""

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.core.redaction import MARK
from novita_mcp.novita.journal.databases import open_store
from novita_mcp.novita.journal.facts import MediaFacts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.schema import MIGRATIONS

from ...postgres import Postgres
from ..conftest import needs_postgres

KEYS = ("sk_0-1-0-sixteen", "Nov.ita~7/key+with=%41'letters", "onlylettersinhere")


def spellings(key: str) -> list[str]:
    cores = [base64.b64encode(b"x" * before + key.encode()).decode()[4:-4] for before in range(3)]
    return [key, quote(key, safe=""), json.dumps(key)[1:-1], *cores]


def leaked(text: str, key: str) -> list[str]:
    return [form for form in spellings(key) if form in text]


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest) -> str:
    return request.param


def rows_with(key: str) -> list[str]:
    """Rows as 0.1.0 wrote them."""
    owner, said = owner_of(key), f"worker for {key} gave up ({quote(key, safe='')})".replace("'", "''")
    inside = base64.b64encode(f"x{key}".encode()).decode()
    facts = json.dumps({"values": {"a": key, "b": inside}, "seed": 7}).replace("'", "''")
    artifact = json.dumps(
        {"task_id": "t1", "index": 0, "kind": "image", "url": f"https://a.example/x?k={key}"}
    ).replace("'", "''")
    return [
        "INSERT INTO jobs (key, owner, task_id, kind, tool, model, title, state, reason, run, pid, created, facts)"
        f" VALUES ('{'1' * 32}', '{owner}', 't1', 'media', 'generate_image', 'm', 'fox {said}', 'failed', '{said}',"
        f" 'r', 1, 1795300000.0, '{facts}')",
        "INSERT INTO jobs (key, owner, task_id, kind, tool, model, title, state, run, pid, created)"
        f" VALUES ('{'2' * 32}', '0123456789abcdef', 't2', 'media', 'generate_image', 'm', 'a fox',"
        " 'failed', 'r', 1, 1795300000.0)",
        f"INSERT INTO artifacts (owner, task_id, idx, data) VALUES ('{owner}', 't1', 0, '{artifact}')",
        "INSERT INTO leases (key, owner, name, created, stop_at, state, note)"
        f" VALUES ('l1', '{owner}', 'box', 1.0, 2.0, 'done', '{said}')",
    ]


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=needs_postgres)])
async def test_what_an_earlier_version_wrote_is_cleaned_when_a_journal_is_opened(
    database: str, key: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Although this process was never told the key: a row names its owner by a hash of it."""
    before = [step for step in MIGRATIONS[:5] if isinstance(step, str)]
    path, url = tmp_path / "journal.sqlite3", None
    if database == "sqlite":
        with closing(sqlite3.connect(path)) as db:
            db.executescript(";".join(before))
            for row in rows_with(key):
                db.execute(row)
            db.execute("UPDATE jobs SET reason = reason || ' twice'")  # leaves the first text in a free place
            db.execute(f"PRAGMA user_version = {len(before)}")
            db.commit()
    else:
        psycopg: Any = pytest.importorskip("psycopg")
        postgres: Postgres = request.getfixturevalue("postgres")
        path, url = None, postgres.new()
        older = open_store(None, url, before)
        older.run(lambda db: None)
        older.close()
        with psycopg.connect(url, autocommit=True) as connection:
            for row in rows_with(key):
                connection.execute(row)

    journal = Journal(path, url=url)
    job = await journal.find(owner_of(key), "t1")
    other = await journal.find("0123456789abcdef", "t2")
    tables = [f"SELECT * FROM {table}" for table in ("jobs", "artifacts", "leases")]
    everything = await journal.transact(lambda db: [tuple(row) for each in tables for row in db.execute(each)])
    await journal.close()

    assert job is not None and other is not None
    assert job.reason.startswith(f"worker for {MARK} gave up ({MARK})")
    assert job.facts_as(MediaFacts).seed == 7
    assert other.title == "a fox"
    assert leaked(str(everything), key) == []
    if path is not None:
        assert leaked(b"".join(each.read_bytes() for each in tmp_path.iterdir()).decode("utf-8", "replace"), key) == []
