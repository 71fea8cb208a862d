"""Chooses where the journal lives: a SQLite file of one user, PostgreSQL for a team, or memory."""

from collections.abc import Sequence
from pathlib import Path

from . import dialects
from .database import Step, Store
from .whose import Whose


def open_store(path: Path | None, url: str | None, migrations: Sequence[Step], *, whose: Whose | None = None) -> Store:
    """The store for a file, for a URL where one is given, or in memory for neither. Nothing is opened yet.

    Args:
        whose: Whether a file is for jobs at Novita or at a simulator; a file of the other sort is refused. None:
            either.
    """
    return dialects.PostgresStore(url, migrations) if url else dialects.SqliteStore(path, migrations, whose)
