"""Where the journal lives: a SQLite file of one user, or PostgreSQL for a team. One text of tables, two dialects."""

from .database import Db, Rows, Step, Store, is_database_url
from .stores import open_store
from .whose import Whose

__all__ = ["Db", "Rows", "Step", "Store", "Whose", "is_database_url", "open_store"]
