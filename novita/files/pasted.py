"""Paths as people and models paste them: quoted, escaped, as addresses, with another system's habits.

A path is first tried exactly as given. Only if there is no such file are the other ways of reading it tried, and last
of all the file with the most similar name: macOS writes a narrow space into the names of screenshots, and decomposes
letters.
"""

import difflib
import os
import re
import unicodedata
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from ..core.errors import InputError
from ..core.placeholders import expand, unquoted
from ..core.words import counted

LONGEST_NAME = 255
"""The most bytes that file systems allow in one name."""
_MOST_LISTED = 20_000
_HOMES = ("HOME", "USERPROFILE")
_DRIVE = re.compile(r"/?([A-Za-z]):[/\\]")
_LOOKALIKES = str.maketrans("‘’ʼ“”‐‑‒–—", "'''\"\"-----")
"""Typographic marks that word processors and models write in place of plain ones."""


def readings(text: str) -> Iterator[str]:
    """The ways to read a pasted path, the plainest first, each once."""
    seen: set[str] = set()
    for reading in _readings(text):
        if reading not in seen and reading.strip():
            seen.add(reading)
            yield reading


def _readings(text: str) -> Iterator[str]:
    bare = unquoted(text)
    address = bare.casefold().startswith("file:")
    if not address:
        yield text
        yield text.strip()
    bare = from_address(bare) if address else bare
    yield bare
    if bare.startswith("@"):  # Claude Code and others write @ before a file
        bare = unquoted(bare[1:])
        yield bare
    bare = expand(bare, {name: os.environ[name] for name in _HOMES if name in os.environ})
    yield bare
    if os.name != "nt":
        plain = re.sub(r"\\(.)", r"\1", bare) if not _DRIVE.match(bare) else bare  # a shell escapes spaces with \
        yield plain
        drive = _DRIVE.match(bare)
        if drive and Path("/mnt/c").is_dir():  # the disks of Windows, as its Linux subsystem sees them
            yield f"/mnt/{drive[1].lower()}/{bare[drive.end() :]}".replace("\\", "/")


def from_address(text: str) -> str:
    """The path of a `file:` address.

    Raises:
        InputError: The address is malformed, or names a file on another machine.
    """
    rest = text[5:].lstrip("/")
    if "\\" in rest and _DRIVE.match(rest):  # file:// was simply put before a Windows path
        return urllib.parse.unquote(rest)
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError as error:
        raise InputError("The file:// address is malformed", next_step="Give the path itself.") from error
    if parts.netloc not in ("", "localhost", "~"):
        raise InputError("A file:// address must name a file on this machine (file:///path)")
    # People who paste an address rarely escape a question mark or a hash in a file's name.
    rest = parts.path + (f"?{parts.query}" if parts.query else "") + (f"#{parts.fragment}" if parts.fragment else "")
    path = urllib.request.url2pathname(rest)
    return f"~{path}" if parts.netloc == "~" else path


def refuse_foreign(text: str) -> None:
    """Raise InputError, with the reason, for paths that cannot be on this machine."""
    bare = unquoted(text)
    bare = from_address(bare) if bare.casefold().startswith("file:") else bare
    if bare.startswith(("\\\\", "//")):
        raise InputError(
            "A path on a network share cannot be used",
            next_step="Copy the file into a folder of this machine, and give that path.",
        )
    if os.name != "nt" and _DRIVE.match(bare):
        raise InputError(
            "This is a path on Windows, and this server runs on another system",
            next_step="Give the path as it is on the machine where this server runs.",
        )


def check_length(path: Path) -> None:
    """Raise InputError for names longer than file systems allow."""
    for part in path.parts:
        if len(os.fsencode(part)) > LONGEST_NAME:
            raise InputError(
                f"A name in the path is too long ({counted(len(part), 'letter')}; {LONGEST_NAME} bytes are the most)",
                next_step="Give a shorter path.",
            )
    if len(os.fsencode(path)) > 4_000:
        raise InputError(
            f"The path is too long ({counted(len(str(path)), 'letter')})", next_step="Give a shorter path."
        )


def nearest(path: Path, allowed: Callable[[Path], bool]) -> tuple[Path | None, list[str]]:
    """What a path to a missing file may have meant: the one file whose name differs only in spaces, composition or
    case, and the similar names in the same folder.

    Args:
        allowed: Whether a folder may be looked into.
    """
    missing: list[str] = []
    here = path
    while not here.exists() and here != here.parent:
        missing.append(here.name)
        here = here.parent
    near: list[str] = []
    for name in reversed(missing):
        if not allowed(here) or not here.is_dir():
            return None, []
        names = _listed(here)
        alike = [other for other in names if _key(other) == _key(name)]
        if len(alike) != 1:
            plain = {_key(other): other for other in reversed(names)}
            close = difflib.get_close_matches(_key(name), plain, n=3, cutoff=0.6)
            near = alike or [plain[other] for other in close]
            return None, [str(here / other) for other in near]
        here /= alike[0]
    return here, []


def _listed(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for _, entry in zip(range(_MOST_LISTED), entries, strict=False)]
    except OSError:
        return []


def _key(name: str) -> str:
    """A name reduced to what the eye tells apart: without case, composition and kinds of spaces."""
    plain = unicodedata.normalize("NFKC", name.translate(_LOOKALIKES)).casefold()
    spaced = "".join(" " if unicodedata.category(letter) in ("Zs", "Cc") else letter for letter in plain)
    unseen = (letter for letter in spaced if unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f")
    return " ".join(spaced.translate(dict.fromkeys(map(ord, unseen))).split())
