"""Machines that really run code. A machine starts the agent, isolated or not, and talks to it.

With `local`, the agent and all it starts are ordinary processes of whoever runs the simulator. They can read and write
the files of this user and reach the network; only the daemon's own file routes keep to a temporary folder. With
`isolated`, isolation.py starts the agent. Neither is safe for code of strangers on a machine that matters: see the
README.
"""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ..disk import HOME, DiskEntry, DiskError
from ..machine import Config, End, Kernel, Level, MachineUsage, NoKernel, Output, Process
from ..state import MIB, SimulatedSandbox
from .cells import RealKernel

HEADER = struct.Struct(">II")
PART = MIB
HERE = Path(__file__).parent
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives")
PATHS = "/usr/local/bin:/usr/bin:/bin"
_numbers = itertools.count(1)


@dataclass
class Limits:
    """How much the code of one sandbox may use. Sizes are in bytes, times in seconds."""

    cpu_seconds: int = 60
    """Of one process."""
    processes: int = 128
    file_bytes: int = 128 * MIB
    disk_bytes: int = 256 * MIB
    output_bytes: int = 64 * MIB
    """Of one process. A process that writes more is killed."""
    address_bytes: int = 2048 * MIB
    """Address space of one process. It is large because programs reserve much more than they use."""
    open_files: int = 256


limits = Limits()
"""The limits of all machines that are made from now on. A test may lower them."""


class Unavailable(Exception):
    """This machine cannot run code at this level. The text says why."""


def check_level(level: Level) -> None:
    """Check that this machine can run code at a level.

    Raises:
        Unavailable: It cannot.
    """
    if level == "scripted":
        return
    if os.name != "posix":
        raise Unavailable("running code needs Linux or macOS")
    if level == "local" and os.geteuid() == 0:
        raise Unavailable("running code as root without walls is refused: use `isolated`, or another user")
    if level == "isolated":
        if sys.platform != "linux":
            raise Unavailable("isolated execution needs Linux")
        machine = RealMachine("isolated", {}, 512)
        try:
            asyncio.run(machine.probe())
        finally:
            machine.stop()


def real_machine(level: Level, sandbox: SimulatedSandbox) -> "RealMachine":
    machine = RealMachine(level, sandbox.order.envs, sandbox.memory_mb)
    if isinstance(sandbox.template.content, bytes):
        machine.restore_from = sandbox.template.content
    return machine


def _inner_limits(level: Level, memory_mb: int) -> dict[str, int]:
    found = {
        "CPU": limits.cpu_seconds,
        "FSIZE": limits.file_bytes,
        "AS": limits.address_bytes,
        "NOFILE": limits.open_files,
        "CORE": 0,
        "OUTPUT": limits.output_bytes,
        "MEMORY": memory_mb * MIB,
    }
    if level == "isolated":
        # Without a user namespace this limit would count the user's other processes too.
        found["NPROC"] = limits.processes
    return found


def _python() -> tuple[str, str]:
    """The interpreter that a virtual environment uses, and the folder with this interpreter and its library."""
    return os.path.realpath(sys.executable), sys.base_prefix


def _well_formed(name: str) -> str:
    """The name of a file in a form that JSON can hold. Linux allows any bytes in a name."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _Hand:
    """Controls a process that the agent started."""

    def __init__(self, machine: "RealMachine", id: int) -> None:
        self.machine, self.id = machine, id

    async def send(self, data: bytes) -> None:
        await self.machine.tell({"op": "input", "id": self.id}, data)

    async def close_stdin(self) -> None:
        await self.machine.tell({"op": "close", "id": self.id})

    async def signal(self, number: int) -> None:
        await self.machine.tell({"op": "signal", "id": self.id, "number": number})

    async def resize(self, columns: int, rows: int) -> None:
        await self.machine.tell({"op": "resize", "id": self.id, "columns": columns, "rows": rows})


class RealMachine:
    """The machine of one sandbox. It starts the agent when it first needs it."""

    def __init__(self, level: Level, envs: Mapping[str, str], memory_mb: int) -> None:
        self.level: Level = level
        self.restore_from: bytes | None = None
        self._envs, self._memory_mb = dict(envs), memory_mb
        self._folder = Path()
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting, self._writing = asyncio.Lock(), asyncio.Lock()
        self._ids = itertools.count(1)
        self._starts: dict[int, asyncio.Future[Process]] = {}
        self._configs: dict[int, tuple[Config, str | None, bool]] = {}
        self._running: dict[int, Process] = {}
        self._shown: list[Process] = []
        self._queues: dict[int, asyncio.Queue[tuple[Output, bytes] | End]] = {}
        self._pumps: set[asyncio.Task[None]] = set()
        self._calls: dict[int, asyncio.Future[tuple[dict[str, Any], bytes]]] = {}
        self._stopped = False

    # the agent

    def _command(self) -> list[str]:
        python, prefix = _python()
        inner = _inner_limits(self.level, self._memory_mb)
        if self.level == "local":
            (self._folder / HOME[1:]).mkdir(parents=True, exist_ok=True)
            (self._folder / "tmp").mkdir(exist_ok=True)
            settings = {"root": str(self._folder), "home": HOME, "limits": inner, "kernel": str(HERE / "kernel.py")}
            return [python, "-I", str(HERE / "agent.py"), json.dumps(settings)]
        plan = {
            "number": next(_numbers) % 1000,
            "mount_point": str(self._folder),
            "disk_bytes": limits.disk_bytes,
            "show": [*SYSTEM, *([] if prefix.startswith("/usr") else [prefix])],
            "programs": {name: (HERE / name).read_text(encoding="utf-8") for name in ("agent.py", "kernel.py")},
            "limits": {"NPROC": limits.processes, "CORE": 0},
            "inner": inner,
            "python": python,
        }
        return [python, "-I", str(HERE / "isolation.py"), json.dumps(plan)]

    async def _started(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._stopped:
                raise DiskError("internal", "the machine has been stopped")
            if self._child is not None and self._child.returncode is None:
                return self._child
            # An agent that died takes its folder with it, perhaps only after the next one has started.
            self._folder = folder = Path(tempfile.mkdtemp(prefix="novita-sandbox-"))
            # The agent gets nothing of this process's environment: no keys, and no home.
            said = tempfile.TemporaryFile()  # noqa: SIM115  # closed below, before anything else can go wrong
            self._child = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env={"PATH": PATHS},
                start_new_session=True,
                limit=2**20,
            )
            child = self._child
            assert child.stdout is not None
            try:
                head, _ = await asyncio.wait_for(self._frame(child.stdout), 20)
            except (asyncio.IncompleteReadError, TimeoutError):
                child.kill()
                await child.wait()
                shutil.rmtree(folder, ignore_errors=True)
                said.seek(0)
                words = said.read().decode("utf-8", "replace").strip()[-500:]
                raise DiskError("internal", f"the machine could not be started: {words}") from None
            except asyncio.CancelledError:
                child.kill()
                await child.wait()
                shutil.rmtree(folder, ignore_errors=True)
                raise
            finally:
                said.close()
            if head.get("ev") != "ready":
                raise DiskError("internal", "the machine did not say that it is ready")
            self._reading = asyncio.ensure_future(self._read(child, folder))
        if self.restore_from is not None:
            content, self.restore_from = self.restore_from, None
            await self.write("/tmp/.restore.tar", content)  # noqa: S108  # inside the sandbox
            await self._run_quietly("tar xf /tmp/.restore.tar -C /home/user; rm /tmp/.restore.tar")
        return child

    async def probe(self) -> None:
        """Start the agent and let it run something.

        Raises:
            Unavailable: It does not work on this machine.
        """
        try:
            await self.stat(HOME)
            await self._run_quietly("true")
        except DiskError as error:
            raise Unavailable(f"{self.level} execution is not possible here: {error.message}") from None
        finally:
            await self.ended()

    @staticmethod
    async def _frame(reader: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
        head_size, size = cast("tuple[int, int]", HEADER.unpack(await reader.readexactly(HEADER.size)))
        head = json.loads(await reader.readexactly(head_size))
        return head, await reader.readexactly(size)

    async def _read(self, child: asyncio.subprocess.Process, folder: Path) -> None:
        assert child.stdout is not None
        try:
            while True:
                head, payload = await self._frame(child.stdout)
                self._heard(head, payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for running in list(self._queues.values()):
                running.put_nowait(End(0, signal=9))
            for waiting in [*self._calls.values(), *self._starts.values()]:
                if not waiting.done():
                    waiting.set_exception(DiskError("internal", "the machine has been stopped"))
            await self._leave(child, folder)

    async def _leave(self, child: asyncio.subprocess.Process, folder: Path) -> None:
        """Wait until the agent has gone, with all that it started. Then remove its folder."""
        if child.stdin is not None:
            child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 2)
        except (TimeoutError, asyncio.CancelledError) as error:
            # Cancelled, so the simulator ends and waits for this. Unless it is killed here, the agent would outlive it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            # Something that the agent started may hold its output open a little longer. Nobody reads it any more.
            child._transport.close()  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]  # asyncio has no other way
            shutil.rmtree(folder, ignore_errors=True)

    def _heard(self, head: dict[str, Any], payload: bytes) -> None:
        match head["ev"]:
            case "reply":
                if (waiting := self._calls.pop(head["call"], None)) is not None and not waiting.done():
                    waiting.set_result((head, payload))
            case "started":
                config, tag, hidden = self._configs.pop(head["id"])
                process = Process(head["pid"], config, _Hand(self, head["id"]), tag)
                self._queues[head["id"]] = asyncio.Queue()
                if not hidden:
                    self._shown.append(process)
                pump = asyncio.ensure_future(self._pump(head["id"], process))
                self._pumps.add(pump)
                pump.add_done_callback(self._pumps.discard)
                self._starts.pop(head["id"]).set_result(process)
            case "failed":
                self._configs.pop(head["id"])
                self._starts.pop(head["id"]).set_exception(DiskError(head["code"], head["message"]))
            case "data":
                self._queues[head["id"]].put_nowait((head["to"], payload))
            case "end":
                self._queues[head["id"]].put_nowait(End(head["code"], head["signal"], head["note"]))
            case _:
                pass

    async def _pump(self, id: int, process: Process) -> None:
        """Give the output of a process to its listeners. The agent sends more only after they have taken it."""
        while True:
            event = await self._queues[id].get()
            if isinstance(event, End):
                break
            await process.emit(*event)
            with contextlib.suppress(DiskError, ConnectionError):
                await self.tell({"op": "ack", "id": id, "count": len(event[1])})
        process.finish(event)
        del self._queues[id]
        if process in self._shown:
            self._shown.remove(process)

    async def tell(self, head: dict[str, Any], payload: bytes = b"") -> None:
        child = await self._started()
        assert child.stdin is not None
        data = json.dumps(head).encode()
        async with self._writing:
            child.stdin.write(HEADER.pack(len(data), len(payload)) + data + payload)
            with contextlib.suppress(ConnectionError):
                await child.stdin.drain()

    async def _ask(self, method: str, payload: bytes = b"", **values: Any) -> tuple[dict[str, Any], bytes]:
        call = next(self._ids)
        waiting: asyncio.Future[tuple[dict[str, Any], bytes]] = asyncio.get_running_loop().create_future()
        await self._started()
        self._calls[call] = waiting
        await self.tell({"op": "call", "call": call, "method": method, **values}, payload)
        head, data = await waiting
        if "code" in head:
            raise DiskError(head["code"], head["message"])
        return head, data

    # files

    @property
    def files(self) -> "RealMachine":
        return self

    @staticmethod
    def _entry(row: dict[str, Any]) -> DiskEntry:
        link = _well_formed(row["link"]) if row["link"] is not None else None
        return DiskEntry(_well_formed(row["path"]), row["folder"], row["size"], row["mode"], row["modified"], link=link)

    async def stat(self, path: str) -> DiskEntry:
        return self._entry((await self._ask("stat", path=path))[0]["entry"])

    async def entries(self, path: str, depth: int) -> list[DiskEntry]:
        return [self._entry(row) for row in (await self._ask("list", path=path, depth=depth))[0]["entries"]]

    async def make_folder(self, path: str) -> DiskEntry:
        return self._entry((await self._ask("make", path=path))[0]["entry"])

    async def move(self, source: str, target: str) -> DiskEntry:
        return self._entry((await self._ask("move", path=source, target=target))[0]["entry"])

    async def remove(self, path: str) -> None:
        await self._ask("remove", path=path)

    async def read(self, path: str, start: int, count: int) -> bytes:
        _, part = await self._ask("read", path=path, start=start, count=min(count, PART))
        parts = [part]
        while part and (count := count - len(part)) > 0:
            start += len(part)
            _, part = await self._ask("read", path=path, start=start, count=min(count, PART))
            parts.append(part)
        return b"".join(parts)

    async def write(self, path: str, data: bytes) -> DiskEntry:
        head, _ = await self._ask("write", data[:PART], path=path, start=0)
        for start in range(PART, len(data), PART):
            head, _ = await self._ask("write", data[start : start + PART], path=path, start=start)
        return self._entry(head["entry"])

    # processes

    async def _spawn(self, config: Config, tag: str | None, *, hidden: bool = False) -> Process:
        await self._started()
        id = next(self._ids)
        self._configs[id] = (config, tag, hidden)
        self._starts[id] = asyncio.get_running_loop().create_future()
        waiting = self._starts[id]
        envs = dict(config.envs) | {"HOME": "{home}" if self.level == "local" else HOME}
        envs["PATH"] = f"{envs.get('PATH', PATHS)}:{Path(_python()[0]).parent}"
        await self.tell(
            {
                "op": "spawn",
                "id": id,
                "argv": [config.cmd, *config.args],
                "envs": envs,
                "cwd": config.cwd,
                "stdin": config.stdin,
                "size": list(config.size) if config.size is not None else None,
            }
        )
        return await waiting

    async def spawn(self, config: Config, tag: str | None) -> Process:
        return await self._spawn(config, tag)

    async def _run_quietly(self, script: str) -> bytes:
        """The output of one of our own shell scripts."""
        process = await self._spawn(Config("/bin/sh", ("-c", script), {}, HOME), None, hidden=True)
        parts: list[bytes] = []
        while not isinstance(event := await process.first.get(60), End):
            if event is None:
                await process.driver.signal(9)
            elif event[0] == "stdout":
                parts.append(event[1])
        return b"".join(parts)

    def processes(self) -> list[Process]:
        return list(self._shown)

    async def kernel(self, language: str, cwd: str) -> Kernel:
        if language == "python":
            return RealKernel(await self._kernel_process("{python}", ("-I", "{kernel}"), cwd))
        raise NoKernel(f"the simulator runs python only, not {language}")

    async def _kernel_process(self, cmd: str, args: tuple[str, ...], cwd: str) -> Process:
        envs = {"USER": "user", "PATH": PATHS, **self._envs}
        return await self._spawn(Config(cmd, args, envs, cwd, stdin=True), None, hidden=True)

    # the whole

    async def usage(self) -> MachineUsage:
        head, _ = await self._ask("usage")
        return MachineUsage(50.0 * min(2, head["busy"]), int(self._memory_mb * MIB * 0.2), head["disk"])

    async def save(self) -> bytes:
        """The files of the home folder. Running processes are not saved."""
        return await self._run_quietly("tar cf - -C /home/user . 2>/dev/null")

    def _throw(self, op: Literal["freeze", "thaw"]) -> None:
        if self._child is not None and self._child.stdin is not None and self._child.returncode is None:
            data = json.dumps({"op": op}).encode()
            self._child.stdin.write(HEADER.pack(len(data), 0) + data)

    def freeze(self) -> None:
        self._throw("freeze")

    def thaw(self) -> None:
        self._throw("thaw")

    def stop(self) -> None:
        """End it at once. A local agent kills what it started when its stdin ends; the kernel ends an isolated one."""
        self._stopped = True
        if self._child is None or self._child.returncode is not None:
            return
        if self._child.stdin is not None:
            self._child.stdin.close()
        if self.level == "isolated":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)

    async def ended(self) -> None:
        """Stop the machine, and wait until it has gone."""
        self.stop()
        if self._reading is not None:
            await self._reading
