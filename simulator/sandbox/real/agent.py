"""The agent in a machine that really runs code: it starts processes, sends their output on, reads and writes files.

It is a program of its own that uses only the standard library. The simulator starts it as a child process, for the
level `isolated` in namespaces of its own. They talk in frames over stdin and stdout. A frame is the length of a JSON
head, the length of a payload, the head and the payload. When its stdin ends, the agent kills all it has started.

    agent.py {"root": "", "home": "/home/user", "limits": {...}, "kernel": "/path/of/kernel.py"}

`root` is put in front of every path of the sandbox. It is empty if the whole file system belongs to the sandbox.
"""

import contextlib
import fcntl
import json
import os
import pty
import resource
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import Any

HEADER = struct.Struct(">II")
PIECE = 32 * 1024
WINDOW = 256 * 1024
LOOK = 0.2
LINGER = 0.3
"""After a process has ended, the agent waits this many seconds for output, as a child of it may hold the pipe open."""

Json = dict[str, Any]


class Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Child:
    """One process and its pipes. `sent` counts the bytes that the simulator has not taken yet."""

    def __init__(self, id: int, child: subprocess.Popen[bytes], master: int | None) -> None:
        self.id, self.child, self.master = id, child, master
        self.pipes: dict[int, str] = {}
        self.sent, self.total = 0, 0
        self.to_write = bytearray()
        self.closing = False
        self.ended_at = 0.0
        self.note = ""

    @property
    def stdin(self) -> int | None:
        if self.master is not None:
            return self.master
        return self.child.stdin.fileno() if self.child.stdin is not None and not self.child.stdin.closed else None


class Agent:
    def __init__(self, settings: Json) -> None:
        self.root: str = settings["root"]
        self.home: str = settings["home"]
        self.limits: dict[str, int] = settings["limits"]
        self.kernel: str = settings["kernel"]
        self.jobs: dict[int, Child] = {}
        self.selector = selectors.DefaultSelector()
        # The frames have descriptors of their own, which started processes do not inherit.
        self.incoming, self.outgoing = os.dup(0), os.dup(1)
        os.set_blocking(self.incoming, False)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(2, 1)
        self.buffer = bytearray()
        self.selector.register(self.incoming, selectors.EVENT_READ, None)
        self.measured = 0.0

    # frames

    def say(self, head: Json, payload: bytes = b"") -> None:
        data = json.dumps(head).encode()
        rest = memoryview(HEADER.pack(len(data), len(payload)) + data + payload)
        while rest:
            rest = rest[os.write(self.outgoing, rest) :]

    def heard(self) -> bool:
        """Do what the simulator sent. False if the simulator has gone."""
        while True:
            try:
                data = os.read(self.incoming, 1 << 20)
            except BlockingIOError:
                break
            self.buffer += data
            if not data:
                return False
            if len(data) < 1 << 20:
                break
        while len(self.buffer) >= HEADER.size:
            head_size, size = HEADER.unpack_from(self.buffer)
            whole = HEADER.size + head_size + size
            if len(self.buffer) < whole:
                break
            head = json.loads(bytes(self.buffer[HEADER.size : HEADER.size + head_size]))
            payload = bytes(self.buffer[HEADER.size + head_size : whole])
            del self.buffer[:whole]
            self.handle(head, payload)
        return True

    def handle(self, head: Json, payload: bytes) -> None:
        match head["op"]:
            case "spawn":
                self.spawn(head)
            case "call":
                self.call(head, payload)
            case "freeze" | "thaw":
                self.signal_all(signal.SIGSTOP if head["op"] == "freeze" else signal.SIGCONT)
            case other:
                job = self.jobs.get(head["id"])
                if job is None:
                    return
                if other == "ack":
                    job.sent -= head["count"]
                    self.listen(job)
                elif other == "input":
                    job.to_write += payload
                    self.feed(job)
                elif other == "close":
                    job.closing = True
                    self.feed(job)
                elif other == "signal":
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(job.child.pid, head["number"])
                elif other == "resize" and job.master is not None:
                    size = struct.pack("HHHH", head["rows"], head["columns"], 0, 0)
                    fcntl.ioctl(job.master, termios.TIOCSWINSZ, size)

    # processes

    def place(self, path: str) -> str:
        """The path, for this process, of a path in the sandbox. It never leads out of `root`."""
        if not self.root:
            return path
        found = os.path.realpath(self.root + path)
        if found != self.root and not found.startswith(self.root + "/"):
            raise Refused("permission_denied", f"permission denied: {path}")
        return found

    def limit(self) -> None:
        """Set the limits. This runs in the child, between fork and exec."""
        for name, value in self.limits.items():
            kind = getattr(resource, f"RLIMIT_{name}", None)
            if kind is not None:
                with contextlib.suppress(ValueError, OSError):
                    resource.setrlimit(kind, (value, value))

    def spawn(self, head: Json) -> None:
        id, master, slave = head["id"], None, None
        envs = {name: self.kernel_path(value) for name, value in head["envs"].items()}
        try:
            cwd = self.place(head["cwd"])
            argv = [self.kernel_path(word) for word in head["argv"]]
            if head["size"] is not None:
                master, slave = pty.openpty()
                columns, rows = head["size"]
                fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            pipe = subprocess.PIPE if slave is None else slave
            child = subprocess.Popen(
                argv,
                stdin=(pipe if head["stdin"] or slave is not None else subprocess.DEVNULL),
                stdout=pipe,
                stderr=pipe,
                cwd=cwd,
                env=envs,
                start_new_session=True,
                preexec_fn=self.limit,
                close_fds=True,
            )
        except Refused as error:
            self.say({"ev": "failed", "id": id, "code": error.code, "message": error.message})
            return
        except (OSError, subprocess.SubprocessError) as error:
            self.say({"ev": "failed", "id": id, "code": "internal", "message": str(error)})
            return
        finally:
            if slave is not None:
                os.close(slave)
        job = Child(id, child, master)
        if master is not None:
            job.pipes[master] = "pty"
        elif child.stdout is not None and child.stderr is not None:
            job.pipes = {child.stdout.fileno(): "stdout", child.stderr.fileno(): "stderr"}
        for descriptor in job.pipes:
            os.set_blocking(descriptor, False)
        if job.stdin is not None:
            os.set_blocking(job.stdin, False)
        self.jobs[id] = job
        self.say({"ev": "started", "id": id, "pid": child.pid})
        self.listen(job)

    def kernel_path(self, word: str) -> str:
        return {"{kernel}": self.kernel, "{python}": sys.executable, "{home}": self.place(self.home)}.get(word, word)

    def listen(self, job: Child) -> None:
        """Read the output of a process while the simulator keeps up with it."""
        wanted = job.sent < WINDOW
        for descriptor in job.pipes:
            known = descriptor in self.selector.get_map()
            if wanted and not known:
                self.selector.register(descriptor, selectors.EVENT_READ, job)
            elif not wanted and known:
                self.selector.unregister(descriptor)

    def output(self, job: Child, descriptor: int) -> None:
        try:
            data = os.read(descriptor, PIECE)
        except BlockingIOError:
            return
        except OSError:  # The program of the terminal has gone.
            data = b""
        if not data:
            self.close(job, descriptor)
            return
        job.sent += len(data)
        job.total += len(data)
        self.say({"ev": "data", "id": job.id, "to": job.pipes[descriptor]}, data)
        if job.total > self.limits["OUTPUT"]:
            job.note = f"output limit of {self.limits['OUTPUT']} bytes reached"
            for each in list(job.pipes):
                self.close(job, each)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.child.pid, signal.SIGKILL)
        self.listen(job)

    def finish(self, job: Child, descriptor: int) -> None:
        """Send on what an ended process has left in its pipe, and close the pipe."""
        waiting = 0
        with contextlib.suppress(OSError):  # The program of the terminal has gone.
            (waiting,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))
        while waiting > 0 and descriptor in job.pipes:
            self.output(job, descriptor)
            waiting -= PIECE
        self.close(job, descriptor)

    def close(self, job: Child, descriptor: int) -> None:
        if descriptor not in job.pipes:
            return
        if descriptor in self.selector.get_map():
            self.selector.unregister(descriptor)
        del job.pipes[descriptor]
        if descriptor == job.master:
            job.master = None
            os.close(descriptor)
            return
        for stream in (job.child.stdout, job.child.stderr):
            if stream is not None and not stream.closed and stream.fileno() == descriptor:
                stream.close()

    def feed(self, job: Child) -> None:
        """Write what waits for the stdin of a process, as much as it takes now."""
        descriptor = job.stdin
        if descriptor is None:
            job.to_write.clear()
            return
        try:
            while job.to_write:
                del job.to_write[: os.write(descriptor, job.to_write[: 1 << 16])]
        except BlockingIOError:
            return
        except OSError:
            job.to_write.clear()
        if job.closing and job.master is None and job.child.stdin is not None:
            with contextlib.suppress(OSError):
                job.child.stdin.close()

    def reap(self) -> None:
        now = time.monotonic()
        for job in list(self.jobs.values()):
            if job.to_write:
                self.feed(job)
            if job.child.poll() is None:
                continue
            job.ended_at = job.ended_at or now
            if job.pipes and (now - job.ended_at < LINGER or job.sent >= WINDOW):
                continue
            for descriptor in list(job.pipes):
                self.finish(job, descriptor)
            code = job.child.returncode
            self.say({"ev": "end", "id": job.id, "code": max(0, code), "signal": max(0, -code), "note": job.note})
            if job.child.stdin is not None:
                with contextlib.suppress(OSError):
                    job.child.stdin.close()
            del self.jobs[job.id]
        self.bury()

    def bury(self) -> None:
        """Reap ended processes that nobody else waits for. Orphans become our children: see adopt_orphans."""
        if not hasattr(os, "waitid"):
            return  # Elsewhere the system reaps them.
        mine = {job.child.pid for job in self.jobs.values()}
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if ended.si_pid in mine:
                    return  # The next check of its job reaps it.
                os.waitpid(ended.si_pid, 0)

    def descendants(self) -> list[int]:
        """All processes that this one has started, and all that those have started."""
        parents: dict[int, list[int]] = {}
        for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
            if name.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as stat:
                    parents.setdefault(int(stat.read().rpartition(")")[2].split()[1]), []).append(int(name))
        found: list[int] = []
        rest = [os.getpid()]
        while rest:
            below = parents.get(rest.pop(), [])
            found += below
            rest += below
        return found

    def signal_all(self, number: int) -> None:
        for pid in self.descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def kill_all(self) -> None:
        """Kill until no process is left, because one may start another while it is killed."""
        for _ in range(200):
            if not self.descendants():
                return
            self.signal_all(signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.01)

    def watch_memory(self) -> None:
        """If all processes together use more memory than the machine has, kill the largest."""
        now = time.monotonic()
        if not self.jobs or now - self.measured < LOOK or "MEMORY" not in self.limits:
            return
        self.measured = now
        sizes: dict[int, int] = {}
        for pid in self.descendants():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/statm") as statm:
                _, resident, shared = statm.read().split()[:3]
                sizes[pid] = (int(resident) - int(shared)) * resource.getpagesize()
        if sum(sizes.values()) > self.limits["MEMORY"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(max(sizes, key=lambda pid: sizes[pid]), signal.SIGKILL)

    # files

    def call(self, head: Json, payload: bytes) -> None:
        try:
            answer, data = self.file(head["method"], head, payload)
            self.say({"ev": "reply", "call": head["call"], **answer}, data)
        except Refused as error:
            self.say({"ev": "reply", "call": head["call"], "code": error.code, "message": error.message})
        except OSError as error:
            code = {2: "not_found", 17: "already_exists", 13: "permission_denied", 1: "permission_denied"}.get(
                error.errno or 0, "resource_exhausted" if error.errno in (27, 28, 122) else "invalid_argument"
            )
            words = "not enough disk space available" if code == "resource_exhausted" else error.strerror
            message = f"{words}: {head.get('path', '')}"
            self.say({"ev": "reply", "call": head["call"], "code": code, "message": message})

    def file(self, method: str, head: Json, payload: bytes) -> tuple[Json, bytes]:
        path = head.get("path", "/")
        match method:
            case "stat":
                return {"entry": self.entry(path)}, b""
            case "list":
                return {"entries": self.entries(path, head["depth"])}, b""
            case "make":
                place = self.place(path)
                if os.path.isdir(place):
                    raise Refused("already_exists", f"directory already exists: {path}")
                os.makedirs(place)
                return {"entry": self.entry(path)}, b""
            case "move":
                target = self.place(head["target"])
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.rename(self.place(path), target)
                return {"entry": self.entry(head["target"])}, b""
            case "remove":
                self.remove(self.place(path))
                return {}, b""
            case "read":
                with open(self.regular(path), "rb") as file:
                    file.seek(head["start"])
                    return {}, file.read(head["count"])
            case "write":
                place = self.place(path)
                if os.path.isdir(place):
                    raise Refused("invalid_argument", f"path is a directory: {path}")
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with open(place, "r+b" if head["start"] else "wb") as file:
                    file.seek(head["start"])
                    file.write(payload)
                return {"entry": self.entry(path)}, b""
            case "usage":
                return {"disk": self.used(), "busy": len(self.jobs)}, b""
            case _:
                raise Refused("invalid_argument", f"no method {method}")

    def regular(self, path: str) -> str:
        """The path, if it is a regular file. Whoever reads a pipe or a device could wait for ever."""
        place = self.place(path)
        if os.path.isdir(place):
            raise Refused("invalid_argument", f"path is a directory: {path}")
        if not os.path.isfile(place):
            os.stat(place)
            raise Refused("invalid_argument", f"path is no regular file: {path}")
        return place

    def remove(self, place: str) -> None:
        if place in (self.root or "/", self.place(self.home)):
            raise Refused("permission_denied", "permission denied")
        if os.path.isdir(place) and not os.path.islink(place):
            shutil.rmtree(place)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)

    def entry(self, path: str) -> Json:
        place = self.place(path)
        link = os.readlink(self.root + path) if os.path.islink(self.root + path) else None
        found = os.stat(place)
        folder = os.path.isdir(place)
        return {
            "path": path,
            "folder": folder,
            "size": found.st_size,
            "mode": found.st_mode & 0o7777,
            "modified": found.st_mtime,
            "link": link,
        }

    def entries(self, path: str, depth: int) -> list[Json]:
        place = self.place(path)
        if not os.path.isdir(place):
            os.stat(place)
            raise Refused("invalid_argument", f"path is not a directory: {path}")
        found: list[Json] = []
        for name in sorted(os.listdir(place)):
            inner = f"{path.rstrip('/')}/{name}"
            with contextlib.suppress(OSError, Refused):
                found.append(self.entry(inner))
                if depth > 1 and found[-1]["folder"] and found[-1]["link"] is None:
                    found += self.entries(inner, depth - 1)
            if len(found) > 10_000:
                break
        return found

    def used(self) -> int:
        total = 0
        for folder, _, names in os.walk(self.place(self.home)):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
        return total

    # life

    def run(self) -> None:
        self.say({"ev": "ready"})
        try:
            while True:
                for key, _ in self.selector.select(0.05 if self.jobs else None):
                    if key.data is None:
                        if not self.heard():
                            return
                    elif key.fd in key.data.pipes:
                        self.output(key.data, key.fd)
                self.reap()
                self.watch_memory()
        except BrokenPipeError:
            return
        finally:
            self.kill_all()


def adopt_orphans() -> None:
    """On Linux, make every process that loses its parent our child, so that it can be found and ended."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    os.nice(10)  # What runs here must not slow down the simulator, which waits for it.
    Agent(json.loads(sys.argv[1])).run()
