"""Files of the batch routes: upload, list, read, delete. They cost nothing; inputs live 15 days, results 30."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from .client import NovitaClient
from .errors import InputError, NovitaConnectionError, NovitaError

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
class StoredFile:
    """One file at Novita."""

    id: str
    name: str
    bytes: int
    purpose: str
    created: datetime | None
    expires: datetime | None
    requests: int | None


def read_file(raw: Any) -> StoredFile:
    """A file as the routes describe it. Raises NovitaConnectionError where it has no id."""
    found: Json = cast(Json, raw) if isinstance(raw, dict) else {}
    if not isinstance(found.get("id"), str) or not found["id"]:
        raise NovitaConnectionError("Novita's answer about a file has no id in it")
    held: Any = found.get("metadata")
    requests: Any = cast(Json, held).get("total_requests") if isinstance(held, dict) else None
    size: Any = found.get("bytes")
    return StoredFile(
        id=found["id"],
        name=str(found.get("filename") or ""),
        bytes=size if isinstance(size, int) else 0,
        purpose=str(found.get("purpose") or ""),
        created=moment(found.get("created_at")),
        expires=moment(found.get("expires_at")),
        requests=requests if isinstance(requests, int) else None,
    )


def moment(raw: Any) -> datetime | None:
    """A time in either spelling seen: Unix seconds, or text with an offset."""
    try:
        if isinstance(raw, int | float) and raw > 0:
            return datetime.fromtimestamp(raw, UTC)
        return datetime.fromisoformat(raw).astimezone(UTC) if isinstance(raw, str) and raw else None
    except (ValueError, OverflowError, OSError):
        return None


async def list_files(client: NovitaClient) -> list[StoredFile]:
    """All files of the account, newest first."""
    answer = await client.read("GET", FILES_PATH, doing="listing files", group="llm_batch")
    found: Any = answer.data
    rows: Any = cast(Json, found).get("data") if isinstance(found, dict) else found
    files = [read_file(row) for row in cast("list[Any]", rows)] if isinstance(rows, list) else []
    return sorted(files, key=lambda file: file.created or datetime.fromtimestamp(0, UTC), reverse=True)


async def get_file(client: NovitaClient, file_id: str) -> StoredFile:
    """One file. Raises NotFoundError for an unknown id."""
    answer = await client.read("GET", f"{FILES_PATH}/{checked_id(file_id)}", doing="reading a file", group="llm_batch")
    return read_file(answer.data)


async def get_content(client: NovitaClient, file_id: str) -> bytes:
    """The bytes of a file."""
    path = f"{FILES_PATH}/{checked_id(file_id)}/content"
    answer = await client.read("GET", path, doing="downloading a file", group="llm_batch", as_json=False)
    return answer.body


async def delete_file(client: NovitaClient, file_id: str) -> bool:
    """Delete a file; whether Novita says it is gone."""
    path = f"{FILES_PATH}/{checked_id(file_id)}"
    answer = await client.spend("DELETE", path, doing="deleting a file", group="llm_batch")
    found: Any = answer.data
    return bool(cast(Json, found).get("deleted", True)) if isinstance(found, dict) else True


async def upload(client: NovitaClient, name: str, data: bytes) -> StoredFile:
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
                group="llm_batch",
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


async def find_upload(client: NovitaClient, name: str, size: int) -> StoredFile | None:
    """An upload of this name and size, where there is one."""
    return next((file for file in await list_files(client) if file.name == name and file.bytes == size), None)


def checked_id(given: str) -> str:
    """An id that can stand in a path. Raises InputError otherwise."""
    text = given.strip()
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}", text):
        raise InputError(f"{given[:40]!r} is no id", next_step="Ids look like file_... or batch_...")
    return text
