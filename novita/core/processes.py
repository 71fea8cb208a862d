"""Which processes of this machine still run: who left a row or a file may be gone."""

import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path


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
