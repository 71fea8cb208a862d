"""Files this server saved: whether they are still there, and still what was saved.

A path in the journal is no proof: another process may have put a file or a link of its own in its place. So what is
read is compared with the hash that was noted. Everything here blocks: call it in a thread.
"""

import hashlib
import stat
from pathlib import Path
from typing import BinaryIO

from .beneath import read_regular
from .kinds import HEAD_BYTES

CHUNK = 2**20
_CLOCK_STEP = 2.0
"""Seconds: how coarsely FAT notes times."""


def read_ours(path: Path, sha256: str | None, limit: int) -> bytes | None:
    """The content of a file that was saved; None where it is gone or another one.

    Args:
        sha256: Of what was saved, hex; None where that was never noted.

    Raises:
        InputError: It is larger than `limit`, or no regular file.
    """
    try:
        data = read_regular(path, limit)
    except OSError:
        return None
    return data if sha256 in (None, hashlib.sha256(data).hexdigest()) else None


def copy_ours(path: Path, sha256: str | None, to: BinaryIO) -> tuple[int, str, bytes] | None:
    """Copy a file that was saved; size, hash and first bytes of the copy, or None (and `to` empty) as `read_ours`."""
    digest, size, head = hashlib.sha256(), 0, b""
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            head = head or chunk[:HEAD_BYTES]
            to.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    if sha256 in (None, digest.hexdigest()):
        return size, digest.hexdigest(), head
    to.seek(0)
    to.truncate()
    return None


def is_twin(path: Path, size: int, sha256: str, since: float) -> bool:
    """Whether a file is this content, saved since: by a process that was killed before it could note that."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != size or found.st_mtime < since - _CLOCK_STEP:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False
