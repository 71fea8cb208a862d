"""Opening files inside a folder so that no link leads out of it, whatever another process does meanwhile.

A path that was resolved and checked may lead elsewhere by the time it is opened: a folder in it may have been replaced
by a link. So the path is opened again from its root, one step at a time, and a link at any step is refused. On systems
that cannot do that (Windows), the file is opened first, and then checked by where it really lies.
"""

import errno
import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..core.errors import InputError

STEPWISE = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Without blocking, since a pipe may have taken the file's place."""


@contextmanager
def folder_beneath(root: Path, folder: Path, *, make: bool = False) -> Generator[int]:
    """A descriptor of a folder inside `root` (or of `root` itself), reached without following a link.

    Args:
        make: Whether missing folders are made.

    Raises:
        OSError: The folder is not there, or there is a link on the way to it.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in folder.relative_to(root).parts:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            step = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = step
        yield descriptor
    finally:
        os.close(descriptor)


def read_beneath(root: Path, path: Path, max_bytes: int) -> bytes:
    """The content of a regular file inside `root`. Both paths must be resolved.

    Raises:
        OSError: The file is missing or unreadable, or there is a link on the way to it.
        InputError: It is no regular file, or is larger than `max_bytes`.
    """
    if not STEPWISE:
        return read_regular(path, max_bytes, inside=root)
    with folder_beneath(root, path.parent) as folder:
        return _read(os.open(path.name, _READ | _NO_LINK, dir_fd=folder), path, max_bytes)


def read_regular(path: Path, max_bytes: int, *, inside: Path | None = None) -> bytes:
    """The content of a regular file that is no link.

    Args:
        inside: The folder in which the file must really lie once it is open.

    Raises:
        OSError: The file is missing or unreadable.
        InputError: It is no regular file, does not lie in `inside`, or is larger than `max_bytes`.
    """
    return _read(os.open(path, _READ | _NO_LINK), path, max_bytes, inside)


def is_inside(descriptor: int, folder: Path) -> bool:
    """Whether an open file lies in a folder, judged by the path that Windows gives for the open file itself."""
    return _final_path(descriptor).is_relative_to(folder.resolve())


def _final_path(descriptor: int) -> Path:
    if sys.platform != "win32":
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))  # other systems open the path step by step
    import ctypes
    import msvcrt
    from ctypes import wintypes

    ask = ctypes.WinDLL("kernel32", use_last_error=True).GetFinalPathNameByHandleW
    ask.argtypes = (wintypes.HANDLE, wintypes.LPWSTR, wintypes.DWORD, wintypes.DWORD)
    ask.restype = wintypes.DWORD
    buffer = ctypes.create_unicode_buffer(2**15)
    if not 0 < ask(msvcrt.get_osfhandle(descriptor), buffer, len(buffer), 0) < len(buffer):
        raise ctypes.WinError(ctypes.get_last_error())
    found = buffer.value.removeprefix("\\\\?\\")
    return Path(f"\\\\{found[4:]}" if found.startswith("UNC\\") else found)


def _read(descriptor: int, path: Path, max_bytes: int, inside: Path | None = None) -> bytes:
    with os.fdopen(descriptor, "rb") as handle:
        if inside is not None and not is_inside(descriptor, inside):
            raise InputError(f"{path.name} was replaced while it was opened")
        found = os.fstat(handle.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path.name} is not a regular file")
        if found.st_size <= max_bytes:
            data = handle.read(max_bytes + 1)
            if len(data) <= max_bytes:
                return data
    raise InputError(
        f"{path.name} is too large: {found.st_size / 2**20:.1f} MiB; the limit is {max_bytes / 2**20:.1f} MiB"
    )
