"""Files being written: hidden under a temporary name until they are whole, and removed later if the process died.

Everything here blocks: call it in a thread.
"""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..core.this_machine import is_alive, make_private, this_host
from .beneath import STEPWISE, folder_beneath, is_inside

_LINK: dict[str, Any] = {"follow_symlinks": False} if os.link in os.supports_follow_symlinks else {}


class PartFile:
    """A file being written: hidden under a temporary name until `publish`, removed by `discard`.

    Args:
        private: Whether only this user may read the file (as in the spool).
        root: The allowed folder that holds `folder`: below it no link is followed. None: links are followed.
    """

    def __init__(self, folder: Path, *, private: bool = False, root: Path | None = None) -> None:
        self.folder = folder
        self.path = folder / f".novita-{_here()}-{os.getpid()}-{secrets.token_hex(8)}.part"
        self._private = private
        self._root = root
        self._handle: BinaryIO | None = None
        self._held = ExitStack()
        self._at: int | None = None

    @property
    def handle(self) -> BinaryIO:
        assert self._handle is not None, "open() comes first"
        return self._handle

    def open(self) -> None:
        if self._private:
            make_private(self.folder, ours=True)
        else:
            (self._root or self.folder).mkdir(parents=True, exist_ok=True)
        if STEPWISE:
            # The folder stays open until the end, so that the file lands in this very folder even if its name is
            # meanwhile given to another one.
            self._at = self._held.enter_context(folder_beneath(self._root or self.folder, self.folder, make=True))
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self._named(self.path), flags, 0o600 if self._private else 0o666, dir_fd=self._at)
        self._handle = os.fdopen(descriptor, "w+b")
        if not STEPWISE and self._root is not None and not is_inside(descriptor, self._root):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.folder))

    def publish(
        self, stem: str, suffix: str, *, again: str = "_{}", is_twin: Callable[[Path], bool] | None = None
    ) -> Path:
        """Give the file its name, or that name with `_2`, `_3`... if the name is taken. Nothing is overwritten.

        Args:
            again: The ending for a taken name, with its number: `_run{}` where `_2` would read like a variant.
            is_twin: Tells whether the file that has the name already is the same one, saved before a process was
                killed. Then that file stays, and no second copy is made.
        """
        self.handle.flush()
        os.fsync(self.handle.fileno())
        if not STEPWISE:
            self.handle.close()  # Windows cannot link a file that is open
        for number in range(1, 10_000):
            final = self.folder / f"{stem}{'' if number == 1 else again.format(number)}{suffix}"
            if self._take(final):
                self._sync()
                return final
            if is_twin is not None and is_twin(final):
                return final
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.folder / f"{stem}{suffix}"))

    def _take(self, final: Path) -> bool:
        part, name = self._named(self.path), self._named(final)
        try:
            os.link(part, name, src_dir_fd=self._at, dst_dir_fd=self._at, **_LINK)
        except FileExistsError:
            return False
        except OSError:
            # This disk has no hard links (FAT, some shares): reserve the name with an empty file, then replace that.
            try:
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=self._at))
            except FileExistsError:
                return False
            try:
                self.handle.close()
                os.replace(part, name, src_dir_fd=self._at, dst_dir_fd=self._at)
            except OSError:
                os.unlink(name, dir_fd=self._at)
                raise
        return True

    def _named(self, path: Path) -> str:
        return str(path) if self._at is None else path.name

    def _sync(self) -> None:
        """Make the new name survive a power cut, on systems that can sync a folder."""
        with suppress(OSError):
            if self._at is not None:
                os.fsync(self._at)

    def discard(self) -> None:
        """Remove the file unless it was published. Safe to call at any time, any number of times."""
        if self._handle is not None:
            with suppress(OSError):  # closing writes the buffer, and the disk may be full
                self._handle.close()
            with suppress(OSError):
                os.unlink(self._named(self.path), dir_fd=self._at)
        self._at, self._handle = None, None
        self._held.close()


_PART = re.compile(r"\.novita-(?P<here>[0-9a-f]{8})-(?P<pid>[0-9]{1,10})-[0-9a-f]{16}\.part")


def _here() -> str:
    """Eight letters that name this machine or container; the process ids in file names count only within it."""
    return hashlib.sha256(this_host().encode("utf-8", "replace")).hexdigest()[:8]


def sweep(folder: Path, wall: float, *, pattern: str = ".novita-*.part", age: float = 86_400.0) -> None:
    """Remove partial files whose process is gone, and files older than `age` seconds."""
    with suppress(OSError):
        for path in folder.glob(pattern):
            with suppress(OSError):
                if path.is_file() and (_left_behind(path.name) or wall - path.stat().st_mtime > age):
                    path.unlink()


def _left_behind(name: str) -> bool:
    found = _PART.fullmatch(name)
    return found is not None and found["here"] == _here() and not is_alive(int(found["pid"]))
