"""The machine that runs no code of the user: it plays a shell and Python over a disk in memory.

The same input always gives the same output.
"""

import asyncio
import contextlib
import itertools
import posixpath
import threading
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ..disk import HOME, DiskError, MemoryDisk
from ..machine import Config, End, Kernel, Line, MachineUsage, NoKernel, Output, Process
from ..state import MIB
from . import saying, script
from .shell import Exit, Shell
from .shell_commands import COMMANDS

FIRST_PID = 300


class _Played:
    """Controls a played process."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.stdin: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.killed_by = 0

    async def send(self, data: bytes) -> None:
        self.stdin.put_nowait(data)

    async def close_stdin(self) -> None:
        self.stdin.put_nowait(None)

    async def signal(self, number: int) -> None:
        self.killed_by = number
        if self.task is not None:
            self.task.cancel()

    async def resize(self, columns: int, rows: int) -> None: ...


class PlayedKernel:
    """Plays Python cells over one set of names. It works in a thread because a cell may sleep."""

    dead = False

    def __init__(self, disk: MemoryDisk, cwd: str, envs: Mapping[str, str], speed: float) -> None:
        self._envs = dict(envs)
        self._player = script.Player(disk, cwd, lambda output, words: None, lambda found: None, speed=speed)
        self._cell = 0

    async def run(self, code: str, envs: Mapping[str, str]) -> AsyncGenerator[Line]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Line | None] = asyncio.Queue()
        player = self._player
        player.stopping = threading.Event()
        player.envs.clear()
        player.envs.update(self._envs | dict(envs))
        self._cell += 1

        def emit(line: Line | None) -> None:
            with contextlib.suppress(RuntimeError):  # The simulator is stopping, and its loop is closed.
                loop.call_soon_threadsafe(queue.put_nowait, line)

        player.emit = lambda output, words: emit({"type": output, "text": words})
        player.show = lambda found: emit({"type": "result", "is_main_result": False, **found.kinds})
        working = asyncio.ensure_future(asyncio.to_thread(self._play, player, code, emit))
        try:
            while (line := await queue.get()) is not None:
                yield line
        finally:
            player.stopping.set()
            await asyncio.wait({working})

    def _play(self, player: script.Player, code: str, emit: Any) -> None:
        try:
            value = player.play(code)
            if value is not None:
                emit({"type": "result", "is_main_result": True, **saying.shown(value).kinds})
            player.finish()
        except script.NotPlayed as error:
            emit({"type": "error", "name": "NotImplementedError", "value": str(error), "traceback": str(error)})
        except SyntaxError as error:
            where = saying.traceback_of(error, code, error.lineno or 1, self._cell)
            emit({"type": "error", "name": "SyntaxError", "value": str(error), "traceback": where})
        except script.Stopped:
            where = saying.traceback_of(KeyboardInterrupt(), code, player.line, self._cell)
            emit({"type": "error", "name": "KeyboardInterrupt", "value": "", "traceback": where})
        except Exception as error:  # The user's code may raise anything, and the answer shows it.
            where = saying.traceback_of(error, code, player.line, self._cell)
            emit({"type": "error", "name": type(error).__name__, "value": str(error), "traceback": where})
        finally:
            emit(None)

    async def interrupt(self) -> None:
        self._player.stopping.set()

    def stop(self) -> None:
        self._player.stopping.set()


class PlayedShellKernel:
    """Plays shell cells. Folder and variables are kept between cells."""

    dead = False

    def __init__(self, machine: "ScriptedMachine", cwd: str, envs: Mapping[str, str]) -> None:
        self._machine, self._cwd, self._envs = machine, cwd, dict(envs)

    async def run(self, code: str, envs: Mapping[str, str]) -> AsyncGenerator[Line]:
        lines: list[Line] = []

        async def out(output: Output, data: bytes) -> None:
            lines.append({"type": output, "text": data.decode("utf-8", "replace")})

        shell = self._machine.shell(self._cwd, self._envs | dict(envs), out)
        await shell.run(code)
        self._cwd, self._envs = shell.cwd, {name: shell.envs[name] for name in shell.envs if name not in envs}
        for line in lines:
            yield line

    async def interrupt(self) -> None: ...
    def stop(self) -> None: ...


class ScriptedMachine:
    """The machine of one sandbox.

    Args:
        envs: Variables of the sandbox.
        speed: Seconds of the world's time per real second. A sleep takes the world's time.
    """

    def __init__(self, disk: MemoryDisk, envs: Mapping[str, str], memory_mb: int, speed: float) -> None:
        self.disk = disk
        self._envs, self._memory_mb, self._speed = dict(envs), memory_mb, speed
        self._pids = itertools.count(FIRST_PID)
        self._processes: list[Process] = []

    @property
    def files(self) -> MemoryDisk:
        return self.disk

    def processes(self) -> list[Process]:
        return list(self._processes)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    def shell(self, cwd: str, envs: Mapping[str, str], out: Any) -> Shell:
        return Shell(self.disk, cwd, dict(envs), out, self._python(cwd), COMMANDS, self._sleep)

    def _python(self, cwd: str) -> Any:
        async def play(code: str, envs: Mapping[str, str]) -> AsyncGenerator[tuple[Output, str]]:
            kernel = PlayedKernel(self.disk, cwd, envs, self._speed)
            async for line in kernel.run(code, {}):
                if line["type"] in ("stdout", "stderr"):
                    yield line["type"], line["text"]
                elif line["type"] == "error":
                    yield "stderr", line["traceback"] + "\n"

        return play

    async def spawn(self, config: Config, tag: str | None) -> Process:
        played = _Played()
        process = Process(next(self._pids), config, played, tag)
        if posixpath.basename(config.cmd) in ("bash", "sh") and "-c" in config.args[:-1]:
            script = config.args[config.args.index("-c") + 1]
        elif config.args:
            raise DiskError("invalid_argument", f"the simulator plays /bin/bash -c only, not {config.cmd}")
        else:
            script = config.cmd
        played.task = asyncio.ensure_future(self._play(process, played, script))
        self._processes.append(process)
        return process

    async def _play(self, process: Process, played: _Played, script: str) -> None:
        config = process.config
        output: Output = "pty" if config.size is not None else "stdout"

        async def out(kind: Output, data: bytes) -> None:
            await process.emit(output if kind == "stdout" or output == "pty" else kind, data)

        shell = self.shell(config.cwd, config.envs, out)
        shell.stdin = played.stdin if config.stdin or config.size is not None else None
        try:
            process.finish(End(await shell.run(script)))
        except Exit as end:
            process.finish(End(end.code))
        finally:
            process.finish(End(0, signal=played.killed_by or 9))
            self._processes.remove(process)

    async def kernel(self, language: str, cwd: str) -> Kernel:
        if language == "python":
            return PlayedKernel(self.disk, cwd, self._base(), self._speed)
        if language == "bash":
            return PlayedShellKernel(self, cwd, self._base())
        raise NoKernel(f"the simulator plays python and bash, not {language}")

    def _base(self) -> dict[str, str]:
        return {"HOME": HOME, "USER": "user", **self._envs}

    async def usage(self) -> MachineUsage:
        return MachineUsage(1.0 + 10.0 * len(self._processes), int(self._memory_mb * MIB * 0.2), self.disk.used)

    async def save(self) -> MemoryDisk:
        return self.disk.copy()

    def freeze(self) -> None: ...
    def thaw(self) -> None: ...

    def stop(self) -> None:
        for process in self._processes:
            if isinstance(process.driver, _Played) and process.driver.task is not None:
                process.driver.task.cancel()
