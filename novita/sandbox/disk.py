"""Files of a sandbox: they are listed, read in parts, and streamed to and from this machine."""

import fnmatch
import posixpath
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

import anyio.to_thread

from ..core.answers import a_count, a_moment, a_text, an_object, objects
from ..core.bodies import BodyError, body_pieces, read_body
from ..core.errors import ArtifactError, InputError, NotFoundError, NovitaConnectionError
from ..core.json_text import Json
from ..core.words import counted
from .inside import Inside
from .sandboxes import SandboxGoneError

OCTETS_FROM = (0, 5, 7)
"""The first version of the daemon that takes a file as a plain body instead of a form."""
LONGEST_PATH = 4096
_PIECE = 256 * 1024
_TRIES = 4
_ANSWER = 2**20


@dataclass(frozen=True)
class Entry:
    """A file or folder in a sandbox."""

    path: str
    name: str
    folder: bool
    size: int
    modified: datetime | None
    permissions: str
    link: str | None

    @classmethod
    def of(cls, row: Json) -> "Entry":
        path = a_text(row.get("path"))
        kind = a_text(row.get("type"))
        return cls(
            path,
            a_text(row.get("name")) or posixpath.basename(path),
            kind in ("FILE_TYPE_DIRECTORY", "dir"),
            a_count(row.get("size")) or 0,
            a_moment(row.get("modifiedTime")),
            a_text(row.get("permissions")),
            a_text(row.get("symlinkTarget")) or None,
        )


def check_path(path: str) -> str:
    """A path that a sandbox can have. Relative paths begin at its home folder.

    Raises:
        InputError: It cannot.
    """
    if not path or "\0" in path or len(path) > LONGEST_PATH:
        raise InputError("The path in the sandbox is empty, too long, or holds a NUL")
    return path


async def list_folder(inside: Inside, path: str, *, depth: int = 1) -> list[Entry]:
    """What is in a folder, and in its folders down to `depth`."""
    message: Json = {"path": check_path(path), "depth": depth}
    data = await inside.call("filesystem.Filesystem/ListDir", message, "listing files")
    return [Entry.of(row) for row in objects(data.get("entries")) if row.get("path")]


async def stat(inside: Inside, path: str) -> Entry:
    """One file or folder.

    Raises:
        NotFoundError: There is none.
    """
    data = await inside.call("filesystem.Filesystem/Stat", {"path": check_path(path)}, f"looking at {path[:100]}")
    return Entry.of(an_object(data.get("entry")))


async def remove(inside: Inside, path: str) -> None:
    """Delete a file, or a folder with everything in it. If there is none, nothing happens."""
    await inside.call("filesystem.Filesystem/Remove", {"path": check_path(path)}, "removing a file")


async def find(inside: Inside, pattern: str, *, most: int) -> list[Entry]:
    """Regular files whose name matches; `*`, `?` and `[...]` in the last part of the path only, found in the sandbox.

    Raises:
        InputError: No file matches, or more than `most` do.
    """
    folder, name = posixpath.split(check_path(pattern))
    if any(mark in folder for mark in "*?["):
        raise InputError(f"{pattern[:100]}: wildcards may stand in the last part of a path only")
    if not any(mark in name for mark in "*?["):
        entry = await stat(inside, pattern)
        found = [entry] if not entry.folder else [one for one in await list_folder(inside, pattern) if not one.folder]
    else:
        entries = await list_folder(inside, folder or ".")
        found = [one for one in entries if not one.folder and fnmatch.fnmatchcase(one.name, name)]
    if not found:
        raise InputError(f"No file in the sandbox matches {pattern[:100]}")
    if len(found) > most:
        raise InputError(f"{counted(len(found), 'file')} match {pattern[:100]}; at most {most} are brought at a time")
    return sorted(found, key=lambda one: one.path)


async def read_part(inside: Inside, path: str, start: int, count: int) -> bytes:
    """Up to `count` bytes from `start` on; empty beyond the end."""
    headers = {"Range": f"bytes={start}-{start + count - 1}"}
    async with inside.open(
        "GET", "/files", f"reading {path[:100]}", params={"path": check_path(path)}, headers=headers
    ) as response:
        skip = start if response.status_code == 200 else 0  # this daemon does not know ranges
        found = bytearray()
        try:
            async with aclosing(body_pieces(response, most=skip + count + _PIECE)) as pieces:
                async for piece in pieces:
                    found += piece
                    if len(found) >= skip + count:
                        break
        except BodyError as error:
            raise ArtifactError(f"{path[:100]} could not be read: {error}") from error
    return bytes(found[skip : skip + count])


async def download(inside: Inside, path: str, sink: BinaryIO, *, most: int) -> int:
    """Bring a file into `sink`, from where it stands; its size. A cut is gone on from, and its length is checked.

    Raises:
        ArtifactError: It is too large, is no file, or could not be had whole.
    """
    entry = await stat(inside, path)
    if entry.folder:
        raise InputError(f"{path[:100]} is a folder", next_step="Pack it first: run_command with tar czf.")
    if entry.size > most:
        raise ArtifactError(f"{path[:100]} has {entry.size} bytes; the limit is {most}")
    came, trouble = 0, ""
    for _ in range(_TRIES):
        headers = {"Range": f"bytes={came}-"} if came else {}
        try:
            async with inside.open(
                "GET", "/files", f"fetching {path[:100]}", params={"path": path}, headers=headers
            ) as response:
                if came and response.status_code != 206:
                    sink.seek(-came, 1)
                    sink.truncate()
                    came = 0
                async with aclosing(body_pieces(response, most=most + 1)) as pieces:
                    async for piece in pieces:
                        await anyio.to_thread.run_sync(sink.write, piece)
                        came += len(piece)
        except (NovitaConnectionError, BodyError) as error:
            trouble = error.what if isinstance(error, NovitaConnectionError) else str(error)
            continue
        if came >= entry.size:
            return came
        trouble = f"{came} of {entry.size} bytes came"
    raise ArtifactError(f"{path[:100]} could not be brought whole: {trouble}", next_step="Try again.")


def _takes_octets(version: str) -> bool:
    numbers = version.split("-")[0].split(".")[:3]
    return all(part.isdigit() for part in numbers) and tuple(map(int, numbers)) >= OCTETS_FROM


async def upload(inside: Inside, path: str, size: int, pieces: Callable[[], AsyncGenerator[bytes]]) -> Entry:
    """Write a file, with the folders on the way to it; what is there is overwritten.

    Args:
        pieces: Its content, from the start each time it is called.

    Raises:
        NovitaError: It could not be written; the disk may be full.
    """
    check_path(path)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    before, after = b"", b""
    if not _takes_octets(inside.envd_version):
        mark = "novita-mcp-file-of-a-sandbox"
        before = (
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        after = f"\r\n--{mark}--\r\n".encode()
        total = len(before) + size + len(after)
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}", "Content-Length": str(total)}

    async def body() -> AsyncGenerator[bytes]:
        if before:
            yield before
        async with aclosing(pieces()) as each:
            async for piece in each:
                yield piece
        if after:
            yield after

    last: NovitaConnectionError | None = None
    for _ in range(2):  # may be repeated, because writing the same again changes nothing
        try:
            async with inside.open(
                "POST", "/files", f"writing {path[:100]}", params={"path": path}, content=body(), headers=headers
            ) as response:
                await read_body(response, most=_ANSWER)
            return await stat(inside, path)
        except NovitaConnectionError as error:
            last = error
        except NotFoundError as error:
            raise SandboxGoneError("The file vanished while it was written") from error
    assert last is not None
    raise last


async def pieces_of(data: bytes) -> AsyncGenerator[bytes]:
    """Bytes in pieces."""
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]
