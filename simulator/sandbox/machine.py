"""The machine of a sandbox, in any of the three ways to run code: files, processes and their output, kernels."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from .disk import Files, MemoryDisk

Level = Literal["scripted", "local", "isolated"]
"""scripted runs no code of the user; local runs it on this machine; isolated runs it in namespaces of its own."""
Output = Literal["stdout", "stderr", "pty"]
Line = dict[str, Any]
"""One line of the interpreter's answer."""

PIECE = 32 * 1024
"""The most bytes of output in one event."""
WINDOW = 256 * 1024
"""So many bytes may wait for a slow listener. After that the process has to wait."""

SIGNALS: Mapping[str, int] = {"SIGNAL_SIGTERM": 15, "SIGNAL_SIGKILL": 9}
_NAMES = {2: "interrupt", 9: "killed", 13: "broken pipe", 15: "terminated", 24: "CPU time limit exceeded"}


@dataclass(frozen=True)
class Config:
    """The command to run and its settings."""

    cmd: str
    args: Sequence[str] = ()
    envs: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str = ""
    stdin: bool = False
    size: tuple[int, int] | None = None
    """Columns and rows of the terminal. None means pipes instead of a terminal."""


@dataclass(frozen=True)
class End:
    """How a process ended: with an exit code, or by a signal."""

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
    """Receives the output of a process. If it is slow, the process waits for it (see WINDOW)."""

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
        """The next event, or None if there was none within `patience` seconds."""
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
    """Controls a process. Each kind of machine has its own driver."""

    async def send(self, data: bytes) -> None: ...
    async def close_stdin(self) -> None: ...
    async def signal(self, number: int) -> None: ...
    async def resize(self, columns: int, rows: int) -> None: ...


@dataclass(eq=False)
class Process:
    """A process in a sandbox. `first` is the listener of whoever started it, and receives all output."""

    pid: int
    config: Config
    driver: Driver
    tag: str | None = None
    shown_as: Config | None = None
    """The command as it was asked for, without what the sandbox added."""
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
        """A listener that receives the output from now on, and no earlier output."""
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
        """Give output to all listeners. Returns when each of them has room again."""
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
    """Runs cells of one language, and keeps variables between them."""

    def run(self, code: str, envs: Mapping[str, str]) -> AsyncGenerator[Line]:
        """The lines of the answer to a cell, except the first, which is its number, and the last, which is its end."""
        ...

    @property
    def dead(self) -> bool:
        """Whether the kernel has ended by itself, so that its state is lost."""
        ...

    async def interrupt(self) -> None:
        """Interrupt the running cell. Returns when the cell has ended."""
        ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class MachineUsage:
    """How much memory and disk a machine uses now, in bytes."""

    cpu_percent: float
    memory: int
    disk: int


class NoKernel(Exception):
    """This machine has no kernel for that language."""


class Machine(Protocol):
    """Where the code of a sandbox runs, or is imitated."""

    @property
    def files(self) -> Files: ...

    async def spawn(self, config: Config, tag: str | None) -> Process:
        """Start a process. Raises DiskError if that is not possible."""
        ...

    async def kernel(self, language: str, cwd: str) -> Kernel:
        """A new kernel. Raises NoKernel if the machine has none for the language."""
        ...

    async def usage(self) -> MachineUsage: ...
    async def save(self) -> MemoryDisk | bytes:
        """The files. Another machine of the same kind can start with them."""
        ...

    def processes(self) -> list[Process]: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def stop(self) -> None:
        """End all processes at once, and delete the files."""
        ...
