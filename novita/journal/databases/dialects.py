"""A door to the two databases, of which a process needs one."""

from typing import TYPE_CHECKING

from ...core.lazy import lazily

if TYPE_CHECKING:
    from .postgres import PostgresStore
    from .sqlite import SqliteStore

__all__ = ["PostgresStore", "SqliteStore"]

__getattr__ = lazily(__name__, {"PostgresStore": ".postgres", "SqliteStore": ".sqlite"})
