"""Files of the batch routes: upload, list, read, delete. They cost nothing; inputs live 15 days, results 30."""

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

from ..core.answers import Count, Id, Moment, One, Plain, Shape, Whether, an_object, objects, read_shape
from ..core.client import NovitaClient
from ..core.errors import InputError, NovitaConnectionError, NovitaError

FILES_PATH = "/openai/v1/files"
MOST_BYTES = 100_000_000
"""The largest input file, as documented."""

FORM = {"purpose": "batch"}
ROWS_TYPE = "application/octet-stream"
"""The form fields of a batch input, and the type it is sent as."""

_UPLOADS, _MARK = "novita-mcp-", 12
_MARKED = re.compile(rf"{_UPLOADS}[0-9a-f]{{{_MARK}}}-")

INPUT_DAYS = 15
OUTPUT_DAYS = 30


class _FileFacts(Shape):
    total_requests: Count = 0


class BatchFile(Shape):
    """One file at Novita."""

    id: Id = ""
    filename: Plain = ""
    bytes: Count = 0
    purpose: Plain = ""
    created_at: Moment = None
    expires_at: Moment = None
    metadata: One[_FileFacts] = _FileFacts()


def read_file(raw: Any) -> BatchFile:
    """A file as the routes describe it. Raises NovitaConnectionError if it has no id."""
    found = read_shape(BatchFile, an_object(raw), "reading a file")
    if not found.id:
        raise NovitaConnectionError("Novita's answer about a file has no id in it")
    return found


async def list_files(client: NovitaClient) -> list[BatchFile]:
    """All files of the account, newest first."""
    answer = await client.read("GET", FILES_PATH, doing="listing files", group="llm_file")
    rows = objects(an_object(answer.data).get("data") or answer.data)
    files = [file for row in rows if (file := read_shape(BatchFile, row, "listing files")).id]
    return sorted(files, key=lambda file: file.created_at or datetime.fromtimestamp(0, UTC), reverse=True)


async def get_file(client: NovitaClient, file_id: str) -> BatchFile:
    """One file. Raises NotFoundError for an unknown id."""
    answer = await client.read("GET", f"{FILES_PATH}/{checked_id(file_id)}", doing="reading a file", group="llm_file")
    return read_file(answer.data)


async def get_content(client: NovitaClient, file_id: str) -> bytes:
    """The bytes of a file."""
    path = f"{FILES_PATH}/{checked_id(file_id)}/content"
    answer = await client.read("GET", path, doing="downloading a file", group="llm_file", as_json=False)
    return answer.body


async def delete_file(client: NovitaClient, file_id: str) -> bool:
    """Delete a file. Returns whether Novita says that it is gone."""
    path = f"{FILES_PATH}/{checked_id(file_id)}"
    answer = await client.spend("DELETE", path, doing="deleting a file", group="llm_file")
    return read_shape(_Deletion, an_object(answer.data), "deleting a file").deleted


class _Deletion(Shape):
    deleted: Whether = True


async def upload(client: NovitaClient, name: str, data: bytes) -> BatchFile:
    """Upload a batch input under a name that is its own.

    Where the answer is lost, the list of files tells whether it arrived; only if not it is sent once more.

    Raises:
        NovitaError: It could not be uploaded; nothing is billed for uploads.
    """
    for again in (False, True):
        try:
            answer = await client.spend(
                "POST",
                FILES_PATH,
                doing="uploading the batch file",
                group="llm_file",
                body=FORM,
                files={"file": (name, data, ROWS_TYPE)},
            )
            return read_file(answer.data)
        except NovitaError as error:
            lost = error.billed != "no"
            error.billed = "no"
            error.next_step = error.next_step if not lost else "Nothing runs yet; call again with the same rows."
            if not lost:
                raise
            try:
                arrived = await find_upload(client, name, len(data))
            except NovitaError:
                raise error from None  # nobody can tell whether it arrived, so it is not sent again
            if arrived is not None:
                return arrived
            if again:
                raise
    raise AssertionError("the second try returns or raises")


def uploads_of(owner: str) -> str:
    """How the names of all files begin that an owner uploads through this server. It tells nobody who that is."""
    return f"{_UPLOADS}{hashlib.sha256(f'files of {owner}'.encode()).hexdigest()[:_MARK]}-"


def uploaded_by_another(name: str, owner: str) -> bool:
    """Whether a file's name says that another owner uploaded it."""
    return _MARKED.match(name) is not None and not name.startswith(uploads_of(owner))


async def find_upload(client: NovitaClient, name: str, size: int) -> BatchFile | None:
    """The upload of this name and size, if there is one."""
    return next((file for file in await list_files(client) if file.filename == name and file.bytes == size), None)


def checked_id(given: str) -> str:
    """The id, if it can be part of a path. Raises InputError if not."""
    text = given.strip()
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}", text):
        raise InputError(f"{given[:40]!r} is no id", next_step="Ids look like file_... or batch_...")
    return text
