"""Folders and files that only this user reads: the journal, the spool."""

from contextlib import suppress
from pathlib import Path

FOLDER = "novita-mcp"
"""Name of the folder of ours in which the system keeps a program's data."""


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
