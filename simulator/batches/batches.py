"""Batches: the chat and completion code answers the lines of an uploaded file, as the world's clock goes on.

A batch moves when a request asks about it. It is `validating` for a tenth of its time. Then it is `in_progress`, and
the share of answered rows follows the time. At the end it is `completed` and has its files. After 48 hours it expires.
"""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, cast

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler
from ..core.facts import Invalid, check_body, operations
from ..core.faults import Fault
from ..core.world import Account
from ..text import generate
from ..text.chat import chat_body, completion_body
from ..text.state import LlmState
from .batch_files import find_file, keep
from .state import BatchJob, BatchRow, BatchState, get_batches, post_batches

Json = dict[str, Any]

_OPERATION_OF = {"/v1/chat/completions": "create_chat_completion", "/v1/completions": "create_completion"}
_MOST_ROWS = 50_000
_WINDOW = 48 * 3600
_FINAL = ("completed", "failed", "expired", "cancelled")
_VALIDATION_SHARE = 0.1
_CANCEL_SHARE = 0.05
_SHIFT = 50  # After this many rows other requests get their turn.
_UPPER = {"in_progress": "PROGRESS"}


class _BadFileError(Exception):
    """The input file cannot be run; the text is what `errors` shows."""


async def create_batch(call: Call) -> Response:
    state = call.world.area(BatchState)
    find_file(state, call.account.key, call.body["input_file_id"])
    if call.account.micro_usd <= 0:
        raise Fault(403, "NOT_ENOUGH_BALANCE", "not enough balance")
    seconds = state.knobs.seconds
    job = BatchJob(
        id=call.world.new_id("batch_"),
        owner=call.account.key,
        endpoint=call.body["endpoint"],
        input_file_id=call.body["input_file_id"],
        created_at=call.world.clock.now(),
        progress=call.world.progress(10 * call.world.settings.task_seconds if seconds is None else seconds, steps=3),
        metadata=call.body.get("metadata"),
    )
    state.batches[job.id] = job
    return answer(batch_body(state, call.account, job))


async def list_batches(call: Call) -> Response:
    """All batches, the newest first. The documentation names no parameter that asks for a next page."""
    state = call.world.area(BatchState)
    jobs = [job for job in reversed(state.batches.values()) if job.owner == call.account.key]
    for job in jobs:
        await _move(state, call.account, job)
    return answer(
        {
            "object": "list",
            "data": [batch_body(state, call.account, job) for job in jobs] or None,
            "first_id": jobs[0].id if jobs else "",
            "last_id": jobs[-1].id if jobs else "",
            "has_more": False,
        }
    )


async def retrieve_batch(call: Call) -> Response:
    state = call.world.area(BatchState)
    job = _named(call)
    await _move(state, call.account, job)
    return answer(batch_body(state, call.account, job))


async def cancel_batch(call: Call) -> Response:
    """The batch is `cancelling` at first and `cancelled` soon after. Rows answered before are not delivered or paid."""
    state = call.world.area(BatchState)
    job = _named(call)
    await _move(state, call.account, job)
    if job.status in _FINAL:
        raise Fault(400, "", f"batch {job.id} is {job.status} and cannot be cancelled")
    if job.status != "cancelling":
        _enter(state, job, "cancelling")
        job.progress = call.world.progress(job.progress.seconds * _CANCEL_SHARE, steps=1)
        job.progress.look()
    return answer(batch_body(state, call.account, job))


def batch_body(state: BatchState, account: Account, job: BatchJob) -> Json:
    """The documented Batch."""
    times = {
        f"{name}_at": _date(job.times.get(name))
        for name in ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    }
    total, done, failed = job.counts
    status = _UPPER.get(job.status, job.status.upper()) if state.knobs.upper_case_status else job.status
    return {
        "id": job.id,
        "object": "batch",
        "endpoint": job.endpoint,
        "input_file_id": job.input_file_id,
        "output_file_id": job.output_file_id,
        "error_file_id": job.error_file_id,
        "completion_window": "48h",
        **times,
        "expires_at": _date(job.created_at + _WINDOW),
        "status": status,
        "errors": job.errors,
        "version": job.version,
        "created_at": _date(job.created_at),
        "updated_at": _date(max([job.created_at, *job.times.values()])),
        "created_by": account.id,
        "created_by_key_id": f"key-{account.id}",
        "remark": "",
        "total": total,
        "completed": done,
        "failed": failed,
        "metadata": job.metadata,
        "request_counts": {"total": total, "completed": done, "failed": failed},
    }


def _date(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _named(call: Call) -> BatchJob:
    job = call.world.area(BatchState).batches.get(call.path["batch_id"])
    if job is None or job.owner != call.account.key:
        raise Fault(404, "", f"batch {call.path['batch_id']} not found")
    return job


def _enter(state: BatchState, job: BatchJob, status: str) -> None:
    job.status = status
    job.times[status] = state.world.clock.now()
    job.version += 1
    if status in _FINAL:
        job.close()


async def _move(state: BatchState, account: Account, job: BatchJob) -> None:
    """Move a batch on to the world's time. In a manual world each look moves it one step."""
    async with job.lock:
        if job.status in _FINAL:
            return
        done = job.progress.look()
        if job.status == "cancelling":
            if done >= 1:
                _enter(state, job, "cancelled")
            return
        if job.status == "validating" and done >= _VALIDATION_SHARE:
            try:
                job.rows = _read_rows(find_file(state, job.owner, job.input_file_id).content)
            except (_BadFileError, Fault) as error:
                job.errors = error.message if isinstance(error, Fault) else str(error)
                _enter(state, job, "failed")
                return
            _enter(state, job, "in_progress")
        if job.status == "in_progress":
            if state.world.clock.now() >= job.created_at + _WINDOW and done < 1:
                _enter(state, job, "expired")
                return
            await _answer_rows(state, account, job, int(len(job.rows) * (done - _VALIDATION_SHARE) / 0.9 + 1e-9))
            if done >= 1:
                _finish(state, account, job)


def _finish(state: BatchState, account: Account, job: BatchJob) -> None:
    job.times["finalizing"] = state.world.clock.now()
    if job.output:
        job.output_file_id = _write(state, job, "output", job.output)
    if job.failures:
        job.error_file_id = _write(state, job, "error", job.failures)
    taken = min(job.micro_usd, account.micro_usd)
    state.world.charge(account, taken, "create_batch", f"{len(job.output)} requests", job.id)
    _enter(state, job, "completed")


def _write(state: BatchState, job: BatchJob, kind: str, lines: list[str]) -> str:
    content = "".join(f"{line}\n" for line in lines).encode()
    return keep(state, job.owner, f"{job.id}_{kind}.jsonl", content, input_file=False).id


def _read_rows(content: bytes) -> list[BatchRow]:
    """The lines of an input file. Raises _BadFileError naming the first line that breaks a documented rule."""
    rows: list[BatchRow] = []
    ids: set[str] = set()
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        row = _read_row(line, f"line {number}")
        if row.custom_id in ids:
            raise _BadFileError(f"line {number}: custom_id {row.custom_id!r} is used twice")
        ids.add(row.custom_id)
        rows.append(row)
        if row.body.get("model") != rows[0].body.get("model"):
            raise _BadFileError(f"line {number}: all requests in a file must use the same model")
    if not rows:
        raise _BadFileError("the input file has no requests")
    if len(rows) > _MOST_ROWS:
        raise _BadFileError(f"the input file has {len(rows)} requests, more than {_MOST_ROWS}")
    return rows


def _read_row(line: bytes, place: str) -> BatchRow:
    try:
        found: Any = json.loads(line)
    except ValueError as error:
        raise _BadFileError(f"{place}: not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise _BadFileError(f"{place}: not a JSON object")
    row = cast("Json", found)
    if not isinstance(row.get("custom_id"), str) or not row["custom_id"]:
        raise _BadFileError(f"{place}: custom_id is missing or no text")
    if not isinstance(row.get("body"), dict):
        raise _BadFileError(f"{place}: body is missing or no object")
    return BatchRow(custom_id=row["custom_id"], body=row["body"])


async def _answer_rows(state: BatchState, account: Account, job: BatchJob, upto: int) -> None:
    for index in range(len(job.output) + len(job.failures), min(upto, len(job.rows))):
        _answer_row(state, account, job, job.rows[index])
        if index % _SHIFT == _SHIFT - 1:
            await asyncio.sleep(0)


def _answer_row(state: BatchState, account: Account, job: BatchJob, row: BatchRow) -> None:
    common = {"id": state.world.new_id("batch_req_"), "custom_id": row.custom_id}
    try:
        body, price = _run(state, account, job.endpoint, row.body)
    except (Fault, Invalid) as error:
        code = error.status if isinstance(error, Fault) else 400
        message = error.message if isinstance(error, Fault) else str(error)
        failure = {**common, "response": None, "error": {"code": code, "message": message}}
        job.failures.append(json.dumps(failure, ensure_ascii=False))
        return
    job.micro_usd += price
    response = {"status_code": 200, "request_id": row.custom_id, "body": body}
    job.output.append(json.dumps({**common, "response": response, "error": None}, ensure_ascii=False))


def _run(state: BatchState, account: Account, endpoint: str, body: Json) -> tuple[Json, int]:
    """Answer and cost in micro dollars of one line, made by the same code as for a direct call."""
    name, llm = _OPERATION_OF[endpoint], state.world.area(LlmState)
    checked = {**check_body(operations()[name], body), "stream": False}
    checked.pop("stream_options", None)
    if name == "create_chat_completion":
        made = generate.chat(llm, account, checked, in_batch=True)
        return chat_body(made, checked), made.price()
    made = generate.completion(llm, account, checked, in_batch=True)
    return completion_body(made, checked), made.price()


HANDLERS: dict[str, Handler] = {
    "create_batch": create_batch,
    "list_batches": list_batches,
    "retrieve_batch": retrieve_batch,
    "cancel_batch": cancel_batch,
}
CONTROLS = {("GET", "batches"): get_batches, ("POST", "batches"): post_batches}
