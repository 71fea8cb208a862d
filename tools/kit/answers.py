"""Answers of calls that are made here and now, kept for a while in this process: nothing at Novita can be asked for
them again, and their journal rows hold no answers."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

_MOST = 64
"""Answers kept at most; the oldest go first."""


@dataclass
class Slot:
    """A call that runs, and its answer once there is one; none is kept of a call that failed or was cancelled."""

    over: anyio.Event = field(default_factory=anyio.Event)
    answer: Any = None


class Answers:
    """By the key of the call's row."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}

    @contextmanager
    def slot(self, key: str) -> Generator[Slot]:
        """While the call runs."""
        made = self._slots[key] = Slot()
        while len(self._slots) > _MOST:
            del self._slots[next(iter(self._slots))]
        try:
            yield made
        finally:
            made.over.set()

    def find(self, key: str) -> Slot | None:
        """The call, where it was made by this process."""
        return self._slots.get(key)
