"""Watchers of folders in a sandbox. A watcher finds changes by comparing a folder with its last look at it."""

import secrets
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from .connect import Failure
from .machine import Machine
from .state import SimulatedSandbox

Seen = dict[str, tuple[float, int]]
"""For each path below the folder, the time of its last change and its size."""


@dataclass
class Watcher:
    """Watches one folder. It remembers the folder as it was at the last look."""

    machine: Machine
    path: str
    depth: int
    seen: Seen
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    async def look(self) -> Seen:
        entries = await self.machine.files.entries(self.path, self.depth)
        inside = len(self.path.rstrip("/")) + 1
        return {entry.path[inside:]: (entry.modified, 0 if entry.folder else entry.size) for entry in entries}

    async def news(self) -> list[dict[str, Any]]:
        """The events since the last look. A moved file counts as removed at one path and as new at the other."""
        before, self.seen = self.seen, await self.look()
        events = [(name, "EVENT_TYPE_REMOVE") for name in before if name not in self.seen]
        for name, state in self.seen.items():
            if name not in before:
                events.append((name, "EVENT_TYPE_CREATE"))
            if before.get(name) != state and (name in before or state[1]):
                events.append((name, "EVENT_TYPE_WRITE"))
        return [{"name": name, "type": kind} for name, kind in events]


class Watchers:
    """The watchers of one sandbox."""

    def __init__(self) -> None:
        self._watchers: dict[str, Watcher] = {}

    async def add(self, machine: Machine, path: str, recursive: bool) -> Watcher:
        if not (await machine.files.stat(path)).folder:
            raise Failure("invalid_argument", f"path is not a directory: {path}")
        watcher = Watcher(machine, path, 64 if recursive else 1, {})
        watcher.seen = await watcher.look()
        self._watchers[watcher.id] = watcher
        return watcher

    def find(self, id: str) -> Watcher:
        if id not in self._watchers:
            raise Failure("not_found", f"watcher with id {id} not found")
        return self._watchers[id]

    def remove(self, id: str) -> None:
        self._watchers.pop(id, None)


_all: WeakKeyDictionary[SimulatedSandbox, Watchers] = WeakKeyDictionary()


def watchers(sandbox: SimulatedSandbox) -> Watchers:
    return _all.setdefault(sandbox, Watchers())
