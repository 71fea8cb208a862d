"""Which folders of the user's machine may be read and written, and how files in them are found and named.

Everything here blocks: call it in a thread.
"""

import os
import re
import tempfile
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ..core.errors import InputError
from ..core.words import counted
from .beneath import read_beneath
from .kinds import media_type
from .pasted import check_length, nearest, readings, refuse_foreign

LONGEST_SLUG = 48
_ROOM = 1 << 16
"""How many bytes are written to test whether a folder can be written to."""
MOST_AT_ONCE = 100
"""The most files that a folder or a pattern may stand for."""
_MOST_LOOKED_AT = 20_000
_TABLES = frozenset({".csv", ".jsonl", ".npy", ".npz", ".zip", ".md", ".log"})
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # this account has no home folder
        return None


def _cwd() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # the current folder has been deleted
        return None


@dataclass(frozen=True)
class Folders:
    """The folders a model may read from and write to.

    They are the output folder, the user's pictures, downloads, documents and desktop, the current folder unless it
    is the root, the home or a system folder, and what the settings add. Links are resolved on both sides.

    Args:
        output: Where files are saved by default. Relative names start from here.
        extra: More folders, from the settings.
        home: The user's home folder; tests pass another one.
        cwd: The current folder; tests pass another one.
    """

    output: Path | None
    extra: tuple[Path, ...] = ()
    home: Path | None = field(default_factory=_home)
    cwd: Path | None = field(default_factory=_cwd)

    def roots(self) -> tuple[Path, ...]:
        """The allowed folders, resolved, the output folder first."""
        # Folders that the user has set are allowed as they are. A folder that we guess must not open up everything.
        chosen = [self.output, *self.extra]
        guessed = [path for path in (*self._personal(), self.cwd) if path is not None and not self._too_wide(path)]
        return tuple(dict.fromkeys(path.expanduser().resolve() for path in (*chosen, *guessed) if path is not None))

    def _personal(self) -> Iterable[Path]:
        if self.home is None:
            return
        if self.home == _home():
            import platformdirs

            yield platformdirs.user_pictures_path()
            yield platformdirs.user_downloads_path()
            yield platformdirs.user_documents_path()
            yield platformdirs.user_desktop_path()
        for name in ("Pictures", "Downloads", "Documents", "Desktop"):
            yield self.home / name

    def _too_wide(self, path: Path) -> bool:
        """Whether a folder is too wide to allow by guess: the root, a system folder, or one that holds the home.
        An unset XDG folder is the home itself.
        """
        path = path.resolve()
        if path == path.parent or any(part.casefold() == "system32" for part in path.parts):
            return True
        home = self.home.resolve() if self.home else None
        return home is not None and (path == home or path in home.parents)

    def holds(self, path: Path) -> bool:
        """Whether a resolved path lies in an allowed folder.

        Folders are compared by identity where they exist, so that another spelling of the same one counts
        (upper and lower case, composed and decomposed letters on macOS and Windows).
        """
        roots = self.roots()
        if any(path.is_relative_to(root) for root in roots):
            return True
        known = {_identity(root) for root in roots} - {None}
        return any(_identity(folder) in known for folder in (path, *path.parents))

    def refused(self, path: str | Path) -> InputError:
        allowed = ", ".join(str(root) for root in self.roots())
        return InputError(
            f"{_short(path)} is outside the folders this server may use",
            next_step=f"Allowed are: {allowed}. The user can add more in this server's settings.",
        )

    def locate(self, ref: str) -> Path:
        """The resolved path of an existing regular file, however it was pasted.

        Relative names are looked up in the current folder, then in the output folder.

        Raises:
            InputError: The file lies outside the allowed folders, is missing (the text then offers similar names), or
                is not a regular file.
        """
        held: list[Path] = []
        outside = True
        for reading in readings(ref):
            here = self._held(reading)
            outside = not here
            path = next((path for path in here if _exists(path, ref)), None)
            if path is not None:
                return _regular(path, ref)
            held += here
        refuse_foreign(ref)
        if outside:  # judged by its last reading, since a path in quotes is no relative name
            raise self.refused(ref)
        offered: list[str] = []
        for path in held:
            found, near = nearest(path, self.holds)
            resolved = _resolve(found) if found is not None else None
            if resolved is not None and self.holds(resolved):
                return _regular(resolved, ref)
            # One folder may be known under two names.
            offered += [name for name in near if name not in offered]
        step = f"Did you mean {' or '.join(offered[:3])}?" if offered else "Check the path; an absolute one is safest."
        raise InputError(f"There is no file {_short(ref)}", next_step=step)

    def several(self, ref: str, kind: str) -> list[Path] | None:
        """The files of one kind in a folder, or those that a pattern with `*`, `?` or `[...]` matches.

        None if `ref` is neither a folder nor a pattern.

        Raises:
            InputError: The place lies outside the allowed folders, holds no such file, or holds too many.
        """
        for reading in readings(ref):
            here = self._held(reading)
            if any(path.is_file() for path in here):
                return None
            folder = next((path for path in here if path.is_dir()), None)
            if folder is not None:
                return self._files(ref, folder, "*", kind)
            base, pattern = pattern_of(reading)
            if pattern:
                for folder in self._held(base):
                    if folder.is_dir():
                        return self._files(ref, folder, pattern, kind)
        if pattern_of(ref)[1]:
            raise InputError(f"{_short(ref)} names nothing in the folders this server may use")
        return None

    def _files(self, ref: str, folder: Path, pattern: str, kind: str) -> list[Path]:
        seen = islice(folder.glob(pattern), _MOST_LOOKED_AT)
        fits = (path for path in seen if (found := media_type(path.suffix)) is not None and found.kind == kind)
        # Every file is checked by itself, since a link among them may lead out of the allowed folders.
        found = [path for path in fits if path.is_file() and self.holds(_resolve(path)) and path.name[0] != "."]
        if not found:
            raise InputError(f"{_short(ref)} holds no {kind} file", next_step="Give another folder or pattern.")
        if len(found) > MOST_AT_ONCE:
            step = "Give a narrower pattern, such as IMG_0*.jpg."
            raise InputError(
                f"{_short(ref)} names {counted(len(found), 'file')}; {MOST_AT_ONCE} are the most", next_step=step
            )
        return sorted(found, key=_as_counted)

    def _held(self, reading: str) -> list[Path]:
        """The places inside the allowed folders that a path may mean."""
        given = self._expand(reading)
        bases = [base for base in (self.cwd, self.output) if base is not None]
        candidates = [given] if given.is_absolute() else [base / given for base in bases]
        return [path for path in (_resolve(candidate) for candidate in candidates) if self.holds(path)]

    def size(self, ref: str) -> int:
        """The size of an allowed file in bytes. Raises what `locate` raises."""
        try:
            return self.locate(ref).stat().st_size
        except OSError as error:
            raise InputError(f"{_short(ref)} cannot be read ({error.strerror})") from error

    def read(self, ref: str, max_bytes: int) -> tuple[Path, bytes]:
        """The resolved path and the content of an allowed file.

        Raises:
            InputError: As for `locate`; also if the file is larger than `max_bytes` or cannot be read.
        """
        path = self.locate(ref)
        try:
            return path, read_beneath(self.root_of(path), path, max_bytes)
        except OSError as error:
            raise InputError(f"{_short(ref)} cannot be read ({error.strerror})") from error

    def root_of(self, path: Path) -> Path:
        """The outermost allowed folder that holds a resolved path. Below that folder no link is followed.

        Raises:
            InputError: No allowed folder holds the path.
        """
        roots = sorted(self.roots(), key=lambda root: len(root.parts))
        known = {_identity(root) for root in roots} - {None}
        for folder in reversed((path, *path.parents)):
            if folder in roots or _identity(folder) in known:
                return folder
        raise self.refused(path)

    def place(self, save_to: str) -> tuple[Path, str | None]:
        """The folder and the file name that `save_to` means; without a name (None) the caller chooses one.

        The folder need not exist yet.

        Raises:
            InputError: The place lies outside the allowed folders.
        """
        save_to = _plain(save_to)
        given = self._expand(save_to)
        if not given.is_absolute():
            if self.output is None:
                raise self.refused(save_to)
            given = self.output.expanduser() / given
        names_file = not save_to.endswith(("/", os.sep)) and (
            media_type(given.suffix) is not None or given.suffix.casefold() in _TABLES
        )
        folder = _resolve(given)
        if names_file and not folder.is_dir():
            # Only the folder is resolved, not the file: if a link has the file's name, the file gets another name and
            # the link is not followed.
            folder, name = _resolve(given.parent), given.name
        else:
            name = None
        if not self.holds(folder):
            raise self.refused(save_to)
        return folder, name

    def _expand(self, ref: str) -> Path:
        if not ref.strip() or "\0" in ref:
            raise InputError("The path is empty or not a path")
        if os.name == "nt" and ref.startswith(("\\\\", "//")):
            refuse_foreign(ref)  # merely looking at a network share sends the user's credentials to its server
        if ref == "~" or ref.startswith(("~/", "~\\")):
            if self.home is None:
                raise self.refused(ref)
            return self.home / ref[2:]
        path = Path(ref)
        check_length(path)
        return path


def pattern_of(path: str) -> tuple[str, str]:
    """A path split before its first part with a pattern: the plain path, and the pattern ("" if there is none)."""
    parts = Path(path).parts
    first = next((place for place, part in enumerate(parts) if set(part) & set("*?[")), None)
    if first is None or ".." in parts[first:]:
        return path, ""
    return str(Path(*parts[:first])) if first else ".", str(Path(*parts[first:]))


def _as_counted(path: Path) -> tuple[str, list[int | str]]:
    """A sort key that orders numbered files as people count: IMG_2 before IMG_10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return str(path.parent), [int(part) if place % 2 else part for place, part in enumerate(parts)]


def _plain(save_to: str) -> str:
    """A pasted place to save to. It need not exist, so nothing tells which reading is right: it is read in one way.

    Raises:
        InputError: The place is a web address, or a path of another system.
    """
    refuse_foreign(save_to)
    plain = save_to
    for reading in readings(save_to):
        plain = reading
        if re.match(r"(?i)(?!file:)[a-z][a-z0-9+.\-]+:[/\\]|https?:|(?:task|data|novita|sandbox):", plain):
            raise InputError(
                f"save_to must be a folder or a file of this machine, not {_short(plain)}", next_step="Give a path."
            )
    return plain


def _exists(path: Path, ref: str) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise InputError(f"{_short(ref)} cannot be read ({error.strerror})") from error


def _regular(path: Path, ref: str) -> Path:
    if not path.is_file():
        raise InputError(f"{_short(ref)} is not a regular file")
    return path


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _resolve(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{_short(path)} is a link that leads nowhere") from error


def _short(path: str | Path) -> str:
    text = str(path)
    return text if len(text) <= 120 else f"{text[:100]}..."


def slug(text: str, longest: int = LONGEST_SLUG) -> str:
    """`text` as part of a file name: letters and digits of any script, joined by hyphens, cut between words.

    If there are none, symbols are written as their names: a picture of a fox becomes `fox-face`.
    """
    plain = _DRESS.sub("", unicodedata.normalize("NFKC", text).lower())
    kept = "".join(
        letter if unicodedata.category(letter)[0] in "LMN" else "" if letter in "'’" else "-" for letter in plain
    )
    # A word needs a letter or digit. Combining marks alone, such as those that colour a symbol, are no word.
    words = [word for word in kept.split("-") if any(unicodedata.category(letter)[0] in "LN" for letter in word)]
    words = words or list(_names_of_symbols(plain))
    made = ""
    for word in words:
        longer = f"{made}-{word}" if made else word
        if len(longer) > longest:
            break
        made = longer
    return made or (words[0][:longest] if words else "")


_DRESS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef\U0001f3fb-\U0001f3ff]")
"""Characters that say how a symbol is drawn, or in which colour of skin, but not what it shows."""

_FLAG_A = 0x1F1E6
"""The first of the 26 letters that flags are spelt with."""


def _names_of_symbols(text: str) -> Iterable[str]:
    for letter in text:
        if 0 <= ord(letter) - _FLAG_A < 26:
            yield chr(ord("a") + ord(letter) - _FLAG_A)
        elif unicodedata.category(letter) in ("So", "Sm"):
            yield from re.findall(r"[a-z0-9]+", unicodedata.name(letter, "").lower())


def clean_name(name: str) -> str:
    """A file name given by a person, changed so that every system allows it."""
    cleaned = _FORBIDDEN.sub("-", unicodedata.normalize("NFC", name)).rstrip(" .").lstrip(" ") or "file"
    if _RESERVED.match(cleaned):
        cleaned = f"_{cleaned}"
    while len(cleaned.encode()) > 200:
        cleaned = cleaned[:-1]
    return cleaned


def try_folder(folder: Path) -> None:
    """Test that a folder can be written to, or made; nothing is left behind.

    Raises:
        InputError: The folder cannot be written to.
    """
    here = folder
    try:
        while not here.exists() and here != here.parent:
            here = here.parent
        if not here.is_dir():
            raise InputError(f"Nothing can be saved in {_short(folder)}: {_short(here)} is a file, not a folder")
        with tempfile.TemporaryFile(dir=here) as probe:
            probe.write(bytes(_ROOM))
            probe.flush()
    except OSError as error:
        raise InputError(
            f"Nothing can be saved in {_short(folder)} ({error.strerror or error})",
            next_step="Give another folder, or leave save_to out.",
        ) from error
