"""Moves files into a sandbox (from a path, a link or an earlier result), and out of it as artifacts."""

import base64
import binascii
import re
import tempfile
import urllib.parse
from typing import BinaryIO, cast

import anyio.to_thread

from ...novita.core.errors import InputError, NotFoundError
from ...novita.files.artifacts import parse_reference
from ...novita.files.links import parse_link
from ...novita.sandbox import disk
from ...novita.sandbox.inside import Inside
from ..kit.context import Caller

MIB = 2**20
LARGEST_IN = 256 * MIB
LARGEST_HOME = 256 * MIB
_DATA = re.compile(r"data:[^,]*?(?P<packed>;base64)?,", re.IGNORECASE)
_WAYS = "Give an http(s) link, a file path, a data: URI, or task:<id>/<n> for an earlier result."


async def load(caller: Caller, ref: str) -> bytes:
    """The content of a file that the user hands in, whatever kind of file it is.

    Raises:
        InputError: The file cannot be found, may not be read, or is too large.
    """
    inputs = caller.inputs
    if (task := parse_reference(ref)) is not None:
        if inputs.resolve_task is None:
            raise InputError("Earlier results cannot be used here", next_step=_WAYS)
        try:
            artifact = await inputs.resolve_task(*task)
        except NotFoundError as error:
            raise InputError(error.what, next_step="list_tasks names what there is.") from error
        return await caller.app.jobs.store.read(artifact, max_bytes=LARGEST_IN)
    if found := _DATA.match(ref):
        body = urllib.parse.unquote_to_bytes(ref[found.end() :])
        try:
            return base64.b64decode(body, validate=True) if found["packed"] else body
        except binascii.Error:
            raise InputError("The data: URI is no base64") from None
    if re.match("https?:", ref, re.IGNORECASE):
        return await _from_link(caller, ref)
    if inputs.folders is None:
        raise InputError("Paths of this machine cannot be used here", next_step="Give a link, or the text itself.")
    _, data = await anyio.to_thread.run_sync(inputs.folders.read, ref, LARGEST_IN)
    return data


async def _from_link(caller: Caller, ref: str) -> bytes:
    url, downloader = parse_link(ref), caller.inputs.downloader
    if downloader is None:
        raise InputError("Links cannot be fetched here", next_step="Give the text itself.")
    with tempfile.SpooledTemporaryFile(8 * MIB) as sink:
        await downloader.download(str(url), _binary(sink), max_bytes=LARGEST_IN, what="the link")
        sink.seek(0)
        return sink.read()


def name_of(ref: str) -> str:
    """The name that a file from the user gets in the sandbox's home folder."""
    if (task := parse_reference(ref)) is not None:
        return f"{task[0]}_{task[1]}"
    if ref[:5].lower() == "data:":
        return "input"
    # Not urlsplit, which raises for malformed links: reading the file reports those.
    _, linked, rest = ref.partition("://")
    path = re.split(r"[?#]", rest.partition("/")[2])[0] if linked else ref
    last = re.split(r"[\\/]", path)[-1]
    name = urllib.parse.unquote(last) if linked else last
    return re.sub(r"[/\0]", "_", name)[:200] or "input"


def _binary(sink: "tempfile.SpooledTemporaryFile[bytes]") -> BinaryIO:
    return cast(BinaryIO, sink)


async def send(inside: Inside, path: str, data: bytes) -> disk.Entry:
    """Write a file into the sandbox."""
    return await disk.upload(inside, path, len(data), lambda: disk.pieces_of(data))


async def bring(inside: Inside, path: str, most: int = LARGEST_HOME) -> bytes:
    """The whole content of a file in the sandbox."""
    with tempfile.SpooledTemporaryFile(8 * MIB) as sink:
        await disk.download(inside, path, _binary(sink), most=most)
        sink.seek(0)
        return sink.read()


async def fetched(inside: Inside, pattern: str, *, most: int) -> list[tuple[str, bytes]]:
    """The name and the content of each file that matches `pattern`."""
    found = await disk.find(inside, pattern, most=max(1, most))
    return [(entry.name, await bring(inside, entry.path)) for entry in found]
