"""Files of the batch routes: upload, list, read, delete. They cost nothing; inputs live 15 days, results 30."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from ..core.answers import a_count, a_number, a_text, an_object, objects
from ..core.client import NovitaClient
from ..core.errors import InputError, NovitaConnectionError, NovitaError

Json = dict[str, Any]

FILES_PATH = "/openai/v1/files"
MOST_BYTES = 100_000_000
"""Of an input file, as documented."""

FORM = {"purpose": "batch"}
ROWS_TYPE = "application/octet-stream"
"""The fields that go with a batch input, and what it is sent as."""

INPUT_DAYS = 15
OUTPUT_DAYS = 30


@dataclass(frozen=True)
class BatchFile:
    """One file at Novita."""

    id: str
    name: str
    bytes: int
    purpose: str
    created: datetime | None
    expires: datetime | None
    requests: int | None


def read_file(raw: Any) -> BatchFile:
    """A file as the routes describe it. Raises NovitaConnectionError where it has no id."""
    found = an_object(raw)
    file_id = id_of(found)
    if not file_id:
        raise NovitaConnectionError("Novita's answer about a file has no id in it")
    return BatchFile(
        id=file_id,
        name=a_text(found.get("filename")),
        bytes=a_count(found.get("bytes")) or 0,
        purpose=a_text(found.get("purpose")),
        created=moment(found.get("created_at")),
        expires=moment(found.get("expires_at")),
        requests=a_count(an_object(found.get("metadata")).get("total_requests")),
    )


def id_of(found: Json, name: str = "id") -> str:
    """An id in an answer, also where it is a number; empty where there is none."""
    value: Any = found.get(name)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value else ""


_MILLISECONDS = 1e11
"""Unix times above this are no seconds: they would lie beyond the year 5000."""


def moment(raw: Any) -> datetime | None:
    """A time in any spelling seen: Unix seconds, also as text or in milliseconds, or text with an offset."""
    seconds = a_number(raw)
    try:
        if seconds is not None:
            seconds = seconds / 1000 if seconds > _MILLISECONDS else seconds
            return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
        return datetime.fromisoformat(raw).astimezone(UTC) if isinstance(raw, str) and raw else None
    except (ValueError, OverflowError, OSError):
        return None


async def list_files(client: NovitaClient) -> list[BatchFile]:
    """All files of the account, newest first."""
    answer = await client.read("GET", FILES_PATH, doing="listing files", group="llm_file")
    rows = objects(an_object(answer.data).get("data") or answer.data)
    files = [read_file(row) for row in rows if id_of(row)]
    return sorted(files, key=lambda file: file.created or datetime.fromtimestamp(0, UTC), reverse=True)


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
    """Delete a file; whether Novita says it is gone."""
    path = f"{FILES_PATH}/{checked_id(file_id)}"
    answer = await client.spend("DELETE", path, doing="deleting a file", group="llm_file")
    found: Any = answer.data
    return bool(cast(Json, found).get("deleted", True)) if isinstance(found, dict) else True


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
                raise error from None  # nobody can tell: not sent again
            if arrived is not None:
                return arrived
            if again:
                raise
    raise AssertionError("the second try returns or raises")


async def find_upload(client: NovitaClient, name: str, size: int) -> BatchFile | None:
    """An upload of this name and size, where there is one."""
    return next((file for file in await list_files(client) if file.name == name and file.bytes == size), None)


def checked_id(given: str) -> str:
    """An id that can stand in a path. Raises InputError otherwise."""
    text = given.strip()
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}", text):
        raise InputError(f"{given[:40]!r} is no id", next_step="Ids look like file_... or batch_...")
    return text
