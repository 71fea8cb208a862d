"""Files that this server saved: whether they are still there, and still have the content that was saved.

A path in the journal is no proof: another process may have put a file or a link of its own in its place. So the
content is compared with the hash in the journal. Everything here blocks: call it in a thread.
"""

import hashlib
import stat
from pathlib import Path
from typing import BinaryIO

from .beneath import read_regular
from .kinds import HEAD_BYTES

CHUNK = 2**20
_CLOCK_STEP = 2.0
"""FAT stores times in steps of so many seconds."""


def read_ours(path: Path, sha256: str | None, limit: int) -> bytes | None:
    """The content of a file that was saved. None if the file is gone or has other content now.

    Args:
        sha256: The hash of the saved content, in hex; None if it was never noted.

    Raises:
        InputError: The file is larger than `limit`, or no regular file.
    """
    try:
        data = read_regular(path, limit)
    except OSError:
        return None
    return data if sha256 in (None, hashlib.sha256(data).hexdigest()) else None


def copy_ours(path: Path, sha256: str | None, to: BinaryIO) -> tuple[int, str, bytes] | None:
    """Copy a file that was saved. Returns size, hash and first bytes of the copy.
    None, with `to` left empty, if the file is gone or has other content now.
    """
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
    """Whether the file at `path` has this content and was written after `since`.
    Then it was saved by a process that was killed before it could note that in the journal.
    """
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != size or found.st_mtime < since - _CLOCK_STEP:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False
