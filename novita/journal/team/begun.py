"""Which jobs a call has begun, for whoever accounts for the call as a whole."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_begun: ContextVar[list[str] | None] = ContextVar("begun", default=None)


@contextmanager
def watch_begun() -> Generator[list[str]]:
    """The keys of the jobs that are begun within the block, by other tasks of it too, as they come."""
    keys: list[str] = []
    before = _begun.set(keys)
    try:
        yield keys
    finally:
        _begun.reset(before)


def mark_begun(key: str) -> None:
    """A job was noted now."""
    keys = _begun.get()
    if keys is not None:
        keys.append(key)
