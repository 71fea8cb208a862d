"""Files of the batch routes: upload, list, read, download, delete, and their retention."""

from typing import Any

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler
from ..core.faults import Fault
from .state import BatchState, UploadedFile

Json = dict[str, Any]

INPUT_DAYS = 15
OUTPUT_DAYS = 30
_DAY = 86_400
_MOST_BYTES = 100 * 1024 * 1024


async def upload_file(call: Call) -> Response:
    upload = call.files.get("file")
    if upload is None:
        raise Fault(400, "INVALID_REQUEST_BODY", "file is required, as multipart/form-data")
    if call.body.get("purpose") != "batch":
        raise Fault(400, "INVALID_REQUEST_BODY", "purpose must be batch")
    if len(upload.data) > _MOST_BYTES:
        raise Fault(400, "INVALID_REQUEST_BODY", "the file is larger than 100 MB")
    state = call.world.area(BatchState)
    file = keep(state, call.account.key, upload.filename, upload.data, input_file=True)
    return answer(file_body(file))


def keep(state: BatchState, owner: str, filename: str, content: bytes, *, input_file: bool) -> UploadedFile:
    """Store a file for the documented days: 15 for an input, 30 for a result."""
    now = int(state.world.clock.now())
    file = UploadedFile(
        id=state.world.new_id("file_"),
        owner=owner,
        filename=filename,
        purpose="batch" if input_file else "batch_output",
        content=content,
        created_at=now,
        gone_at=now + (INPUT_DAYS if input_file else OUTPUT_DAYS) * _DAY,
        total_requests=sum(1 for line in content.splitlines() if line.strip()) if input_file else None,
    )
    state.files[file.id] = file
    return file


def find_file(state: BatchState, owner: str, file_id: str) -> UploadedFile:
    """A file that is still kept. Raises a Fault 404 without a reason, as the error codes of batches have no names."""
    _drop_expired(state)
    file = state.files.get(file_id)
    if file is None or file.owner != owner:
        raise Fault(404, "", f"file {file_id} not found")
    return file


def file_body(file: UploadedFile) -> Json:
    """The documented File; expires_at on results only."""
    body: Json = {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "metadata": None if file.total_requests is None else {"total_requests": file.total_requests},
    }
    if file.purpose == "batch_output":
        body["expires_at"] = file.gone_at
    return body


async def list_files(call: Call) -> Response:
    """Newest first; data is null when there are none, as it is for batches."""
    state = call.world.area(BatchState)
    _drop_expired(state)
    mine = [file_body(file) for file in reversed(state.files.values()) if file.owner == call.account.key]
    return answer({"code": "200", "message": "success", "data": mine or None})


async def retrieve_file(call: Call) -> Response:
    return answer(file_body(_named(call)))


async def retrieve_file_content(call: Call) -> Response:
    return Response(_named(call).content, media_type="application/octet-stream")


async def delete_file(call: Call) -> Response:
    file = _named(call)
    del call.world.area(BatchState).files[file.id]
    return answer({"id": file.id, "object": "file", "deleted": True})


def _named(call: Call) -> UploadedFile:
    return find_file(call.world.area(BatchState), call.account.key, call.path["file_id"])


def _drop_expired(state: BatchState) -> None:
    now = state.world.clock.now()
    for file in [file for file in state.files.values() if file.gone_at <= now]:
        del state.files[file.id]


HANDLERS: dict[str, Handler] = {
    "upload_file": upload_file,
    "list_files": list_files,
    "retrieve_file": retrieve_file,
    "retrieve_file_content": retrieve_file_content,
    "delete_file": delete_file,
}
