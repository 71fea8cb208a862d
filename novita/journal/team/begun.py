"""Collects the jobs that a call begins, for the audit log's row about the call."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_begun: ContextVar[list[str] | None] = ContextVar("begun", default=None)


@contextmanager
def watch_begun() -> Generator[list[str]]:
    """A list that fills with the keys of the jobs begun within the block, also by tasks that it starts."""
    keys: list[str] = []
    before = _begun.set(keys)
    try:
        yield keys
    finally:
        _begun.reset(before)


def mark_begun(key: str) -> None:
    """Report that a job was begun."""
    keys = _begun.get()
    if keys is not None:
        keys.append(key)
