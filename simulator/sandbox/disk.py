"""A disk in memory, for sandboxes that run no code, and the types that every disk uses."""

import posixpath
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

HOME = "/home/user"
LONGEST_NAME, LONGEST_PATH = 255, 4096
Code = Literal[
    "invalid_argument", "not_found", "already_exists", "permission_denied", "resource_exhausted", "internal", "canceled"
]


class DiskError(Exception):
    """A disk refuses something. `code` is the word for it in the daemon's protocol."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message


@dataclass(frozen=True)
class DiskEntry:
    """A file or folder in a list. `modified` is in epoch seconds."""

    path: str
    folder: bool
    size: int
    mode: int
    modified: float
    owner: str = "user"
    group: str = "user"
    link: str | None = None

    @property
    def name(self) -> str:
        return posixpath.basename(self.path) or "/"

    def shown(self) -> dict[str, Any]:
        """The entry in proto3-JSON: 64-bit numbers are text, and zero values are left out."""
        moment = datetime.fromtimestamp(self.modified, UTC).isoformat().replace("+00:00", "Z")
        found: dict[str, Any] = {
            "name": self.name,
            "type": "FILE_TYPE_DIRECTORY" if self.folder else "FILE_TYPE_FILE",
            "path": self.path,
            "mode": self.mode,
            "permissions": permissions(self.folder, self.mode),
            "owner": self.owner,
            "group": self.group,
            "modifiedTime": moment,
        }
        if self.size:
            found["size"] = str(self.size)
        if self.link is not None:
            found["symlinkTarget"] = self.link
        return found


def permissions(folder: bool, mode: int) -> str:
    """A mode in the form `-rw-r--r--`."""
    bits = "".join("rwx"[i % 3] if mode >> (8 - i) & 1 else "-" for i in range(9))
    return ("d" if folder else "-") + bits


def absolute(path: str, cwd: str = HOME) -> str:
    """The absolute path without dots. A relative path begins in the home folder.

    Raises:
        DiskError: The text cannot be a path.
    """
    if "\0" in path or not path:
        raise DiskError("invalid_argument", "path is empty or holds a NUL byte")
    if path == "~" or path.startswith("~/"):
        path = HOME + path[1:]
    whole = posixpath.normpath(posixpath.join(cwd, path))
    whole = "/" + whole.lstrip("/")
    if len(whole.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in whole.split("/")):
        raise DiskError("invalid_argument", "file name too long")
    return whole


class Files(Protocol):
    """The files of a sandbox. Paths are absolute. Every method may raise DiskError."""

    async def stat(self, path: str) -> DiskEntry: ...
    async def entries(self, path: str, depth: int) -> list[DiskEntry]: ...
    async def make_folder(self, path: str) -> DiskEntry: ...
    async def move(self, source: str, target: str) -> DiskEntry: ...
    async def remove(self, path: str) -> None: ...
    async def read(self, path: str, start: int, count: int) -> bytes: ...
    async def write(self, path: str, data: bytes) -> DiskEntry: ...


@dataclass
class _Node:
    """A file has data, a folder has None."""

    data: bytes | None
    modified: float
    mode: int = 0o644


@dataclass
class MemoryDisk:
    """Files in a dictionary. `room` is the number of bytes that fit, and `clock` gives the time of changes."""

    room: int
    clock: Callable[[], float] = time.time
    nodes: dict[str, _Node] = field(default_factory=dict[str, _Node])

    def __post_init__(self) -> None:
        for folder in ("/", "/home", HOME, "/tmp", "/etc", "/usr", "/usr/bin"):  # noqa: S108  # the sandbox's, in memory
            self.nodes.setdefault(folder, _Node(None, self.clock(), 0o755))
        self.nodes.setdefault("/etc/hostname", _Node(b"sandbox\n", self.clock()))

    def copy(self) -> "MemoryDisk":
        """Another disk with the same files."""
        nodes = {path: _Node(node.data, node.modified, node.mode) for path, node in self.nodes.items()}
        return MemoryDisk(self.room, self.clock, nodes)

    @property
    def used(self) -> int:
        return sum(len(node.data or b"") for node in self.nodes.values())

    def get(self, path: str) -> _Node:
        if path not in self.nodes:
            raise DiskError("not_found", f"path not found: {path}")
        return self.nodes[path]

    def is_folder(self, path: str) -> bool:
        return path in self.nodes and self.nodes[path].data is None

    def bytes_of(self, path: str) -> bytes:
        data = self.get(path).data
        if data is None:
            raise DiskError("invalid_argument", f"path is a directory: {path}")
        return data

    def below(self, path: str) -> Iterator[str]:
        inside = path.rstrip("/") + "/"
        return (other for other in list(self.nodes) if other.startswith(inside))

    def children(self, path: str) -> list[str]:
        """The names in a folder, sorted."""
        if not self.is_folder(path):
            self.get(path)
            raise DiskError("invalid_argument", f"path is not a directory: {path}")
        inside = len(path.rstrip("/")) + 1
        return sorted(other[inside:] for other in self.below(path) if "/" not in other[inside:] and other != "/")

    def entry(self, path: str) -> DiskEntry:
        node = self.get(path)
        folder = node.data is None
        return DiskEntry(path, folder, 4096 if folder else len(node.data or b""), node.mode, node.modified)

    def put(self, path: str, data: bytes) -> DiskEntry:
        """Write a file, and make the folders above it that are missing."""
        if self.is_folder(path):
            raise DiskError("invalid_argument", f"path is a directory: {path}")
        before = len(self.nodes[path].data or b"") if path in self.nodes else 0
        if self.used - before + len(data) > self.room:
            raise DiskError("resource_exhausted", "not enough disk space available")
        self.folders(posixpath.dirname(path))
        self.nodes[path] = _Node(data, self.clock())
        return self.entry(path)

    def folders(self, path: str) -> None:
        """Make a folder and all folders above it."""
        if path not in self.nodes:
            if path != "/":
                self.folders(posixpath.dirname(path))
            self.nodes[path] = _Node(None, self.clock(), 0o755)
        elif self.nodes[path].data is not None:
            raise DiskError("invalid_argument", f"path is not a directory: {path}")

    def rename(self, source: str, target: str) -> DiskEntry:
        node = self.get(source)
        if target == source or target.startswith(source + "/"):
            raise DiskError("invalid_argument", "a folder cannot be moved into itself")
        self.folders(posixpath.dirname(target))
        for inner in self.below(source) if node.data is None else ():
            self.nodes[target + inner[len(source) :]] = self.nodes.pop(inner)
        self.nodes[target] = self.nodes.pop(source)
        return self.entry(target)

    def drop(self, path: str) -> None:
        """Remove a path and everything in it. Nothing happens if it does not exist."""
        if path in ("/", "/home", HOME):
            raise DiskError("permission_denied", f"permission denied: {path}")
        for inner in list(self.below(path)):
            del self.nodes[inner]
        self.nodes.pop(path, None)

    # The methods of `Files`

    async def stat(self, path: str) -> DiskEntry:
        return self.entry(path)

    async def entries(self, path: str, depth: int) -> list[DiskEntry]:
        self.children(path)
        start = path.rstrip("/").count("/")
        return [self.entry(other) for other in sorted(self.below(path)) if other.count("/") - start <= depth]

    async def make_folder(self, path: str) -> DiskEntry:
        if self.is_folder(path):
            raise DiskError("already_exists", f"directory already exists: {path}")
        self.folders(path)
        return self.entry(path)

    async def move(self, source: str, target: str) -> DiskEntry:
        return self.rename(source, target)

    async def remove(self, path: str) -> None:
        self.drop(path)

    async def read(self, path: str, start: int, count: int) -> bytes:
        return self.bytes_of(path)[start : start + count]

    async def write(self, path: str, data: bytes) -> DiskEntry:
        return self.put(path, data)
