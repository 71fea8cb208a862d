"""This machine: which of its processes still run, since who left a row or a file may be gone; a user's own folders."""

import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

FOLDER = "novita-mcp"
"""Name of the folder of ours in which the system keeps a program's data."""


@cache
def this_host() -> str:
    """Where process ids mean something: this machine, or this container of it."""
    with suppress(OSError):
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    return platform.node()


def is_alive(pid: int) -> bool:
    """Whether a process of this host still runs."""
    if os.name == "nt":  # signal 0 kills there; the age rule has to do
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def make_private(folder: Path, *, ours: bool) -> None:
    """Make a folder, and those above it that are missing, for this user only.

    Args:
        ours: Whether it holds nothing but ours; then one that was there already is closed to others, too.

    Raises:
        OSError: It cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)  # says so where a file is in the way
    if ours:
        with suppress(OSError):  # of another user, who may share it with us
            folder.chmod(0o700)
