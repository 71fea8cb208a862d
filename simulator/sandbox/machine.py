"""What a sandbox runs on, whichever of the three ways: files, processes whose output is heard, kernels."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from .disk import Files, MemoryDisk

Level = Literal["scripted", "local", "isolated"]
"""scripted runs nothing of the user's; local runs it on this machine; isolated in namespaces of its own."""
Output = Literal["stdout", "stderr", "pty"]
Line = dict[str, Any]
"""One line of the interpreter's answer."""

PIECE = 32 * 1024
"""Bytes of output that come in one event at most."""
WINDOW = 256 * 1024
"""Bytes that wait for a slow listener before the process is made to wait."""

SIGNALS: Mapping[str, int] = {"SIGNAL_SIGTERM": 15, "SIGNAL_SIGKILL": 9}
_NAMES = {2: "interrupt", 9: "killed", 13: "broken pipe", 15: "terminated", 24: "CPU time limit exceeded"}


@dataclass(frozen=True)
class Config:
    """What is to run."""

    cmd: str
    args: Sequence[str] = ()
    envs: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str = ""
    stdin: bool = False
    size: tuple[int, int] | None = None
    """Columns and rows of a terminal; None for pipes."""


@dataclass(frozen=True)
class End:
    """How a process ended: with a code of its own, or by a signal."""

    code: int
    signal: int = 0
    note: str = ""

    def shown(self) -> dict[str, Any]:
        status = f"signal: {_NAMES.get(self.signal, self.signal)}" if self.signal else f"exit status {self.code}"
        found: dict[str, Any] = {"status": status, "exited": True} if not self.signal else {"status": status}
        code = -1 if self.signal else self.code
        if code:
            found["exitCode"] = code
        if self.note or self.signal:
            found["error"] = self.note or status
        return found


class Listener:
    """One who hears a process. What it has not taken yet is bounded: the process waits."""

    def __init__(self) -> None:
        self._events: deque[tuple[Output, bytes] | End] = deque()
        self._held = 0
        self._filled, self._emptied = asyncio.Event(), asyncio.Event()
        self.closed = False

    async def put(self, output: Output, data: bytes) -> None:
        while self._held >= WINDOW and not self.closed:
            self._emptied.clear()
            await self._emptied.wait()
        if not self.closed:
            self._events.append((output, data))
            self._held += len(data)
            self._filled.set()

    def end(self, end: End) -> None:
        self._events.append(end)
        self._filled.set()

    async def get(self, patience: float) -> tuple[Output, bytes] | End | None:
        """The next event; None when none came within `patience` seconds."""
        if not self._events:
            self._filled.clear()
            try:
                await asyncio.wait_for(self._filled.wait(), patience)
            except TimeoutError:
                return None
        event = self._events.popleft()
        if not isinstance(event, End):
            self._held -= len(event[1])
            self._emptied.set()
        return event

    def close(self) -> None:
        self.closed = True
        self._emptied.set()


class Driver(Protocol):
    """The hand on a process: how each kind of machine reaches it."""

    async def send(self, data: bytes) -> None: ...
    async def close_stdin(self) -> None: ...
    async def signal(self, number: int) -> None: ...
    async def resize(self, columns: int, rows: int) -> None: ...


@dataclass(eq=False)
class Process:
    """A process that runs in a sandbox. `first` hears it from the very beginning: it is for whoever started it."""

    pid: int
    config: Config
    driver: Driver
    tag: str | None = None
    shown_as: Config | None = None
    """As it was asked for, without what the sandbox added."""
    end: End | None = None
    _listeners: list[Listener] = field(default_factory=list[Listener])
    _at_end: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])

    def __post_init__(self) -> None:
        self.first = self.listen()

    def when_ended(self, call: Callable[[], object]) -> None:
        if self.end is not None:
            call()
        else:
            self._at_end.append(call)

    def listen(self) -> Listener:
        """Hears what comes from now on; nothing of before."""
        listener = Listener()
        if self.end is not None:
            listener.end(self.end)
        self._listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        listener.close()
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def emit(self, output: Output, data: bytes) -> None:
        """Output; returns when every listener has room again, at once where nobody listens."""
        for start in range(0, len(data), PIECE):
            for listener in list(self._listeners):
                await listener.put(output, data[start : start + PIECE])

    def finish(self, end: End) -> None:
        if self.end is None:
            self.end = end
            for listener in self._listeners:
                listener.end(end)
            for call in self._at_end:
                call()

    def shown(self) -> dict[str, Any]:
        said = self.shown_as or self.config
        config: dict[str, Any] = {"cmd": said.cmd, "args": list(said.args)}
        if said.envs:
            config["envs"] = dict(said.envs)
        if said.cwd:
            config["cwd"] = said.cwd
        return {"pid": self.pid, "config": config, **({"tag": self.tag} if self.tag else {})}


class Kernel(Protocol):
    """Runs cells of one language and remembers between them."""

    def run(self, code: str, envs: Mapping[str, str]) -> AsyncGenerator[Line]:
        """The lines of one cell, without the first (its number) and the last (its end)."""
        ...

    @property
    def dead(self) -> bool:
        """It ended by itself, and its state with it."""
        ...

    async def interrupt(self) -> None:
        """Break the cell off; returns when it has ended."""
        ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class MachineUsage:
    """What a machine uses now. Bytes."""

    cpu_percent: float
    memory: int
    disk: int


class NoKernel(Exception):
    """This machine has no kernel for that language."""


class Machine(Protocol):
    """Where the code of one sandbox runs, or is played."""

    @property
    def files(self) -> Files: ...

    async def spawn(self, config: Config, tag: str | None) -> Process:
        """Start a process; DiskError where it cannot be."""
        ...

    async def kernel(self, language: str, cwd: str) -> Kernel:
        """A new kernel; NoKernel for a language it has none for."""
        ...

    async def usage(self) -> MachineUsage: ...
    async def save(self) -> MemoryDisk | bytes:
        """The files, to start another machine of the same kind from."""
        ...

    def processes(self) -> list[Process]: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def stop(self) -> None:
        """End everything at once; the files are gone too."""
        ...
