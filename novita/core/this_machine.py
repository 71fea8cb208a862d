"""This machine: which of its processes still run (the one that wrote a row may be dead), and the user's own folders."""

import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

FOLDER = "novita-mcp"
"""The name of our folder among the programs' data folders of the system."""


@cache
def this_host() -> str:
    """The name of this machine or container. Process ids can be compared only within one."""
    with suppress(OSError):
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    return platform.node()


def is_alive(pid: int) -> bool:
    """Whether a process of this host still runs."""
    if os.name == "nt":  # on Windows, signal 0 would kill the process; there only a row's age counts
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
        ours: Whether the folder holds only our files; an existing one is then made private, too.

    Raises:
        OSError: It cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)  # raises if a file has this name
    if ours:
        with suppress(OSError):  # the folder may belong to another user who shares it with us
            folder.chmod(0o700)
