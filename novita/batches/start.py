"""Starting a batch only once, however often the server is killed on the way.

The journal's row of a batch holds a hash of its content and, as soon as it is known, the id of the uploaded file.
The file's name carries the hash too. So a start that was broken off is taken up where it stood: a batch made from
that file is adopted, an uploaded file is not uploaded again.
"""

import io
import json
import logging
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from ..core.answers import an_object, id_in
from ..core.client import NovitaClient
from ..core.errors import InputError, NovitaAPIError, NovitaError
from ..core.json_text import Json
from ..core.waiting import OnProgress, Phase
from ..journal.facts import BatchFacts
from ..journal.jobs import Jobs, Paid
from ..journal.journal import FINAL_STATES, Job, JobState, Joined, Journal
from .batch_files import FORM, ROWS_TYPE, find_upload, upload
from .batches import BATCHES_PATH, Batch, list_batches, read_batch
from .rows import ENDPOINTS, Endpoint, Prepared

logger = logging.getLogger(__name__)

UNKNOWN_FILE = "<not known yet: the id with which Novita answers the upload>"
"""What stands for the input file in a create call that is only shown."""

_REMEMBERED = 200
"""Batches of the journal looked through for the same content."""
_ROWS_SHOWN = 3


@dataclass(frozen=True)
class Earlier:
    """What is left of an earlier start of the very same rows.

    Args:
        job: The journal's row, if it is not over or never learnt what became of it.
        batch_id: The batch that was made, so that none need be made.
        file_id: The input file, where it is at Novita already, so that none need be uploaded.
    """

    job: Job | None
    batch_id: str | None
    file_id: str | None


class RowsBeingSentError(InputError):
    """Another call is sending exactly the same rows."""


async def look_back(jobs: Jobs, client: NovitaClient, prepared: Prepared, file_id: str | None = None) -> Earlier:
    """What a start of these rows would find done. Only reads.

    Args:
        file_id: The input file, where the caller named one.

    Raises:
        RowsBeingSentError: They are being sent at this very moment.
    """
    rows = await jobs.journal.recent(client.owner, limit=_REMEMBERED, kind="batch")
    same = (row for row in rows if row.facts_as(BatchFacts).content == prepared.sha and row.state not in FINAL_STATES)
    job = next(same, None)
    if job is None or job.task_id is not None:
        return Earlier(job, job.task_id if job is not None else None, file_id)
    if job.state is JobState.SUBMITTING:
        raise RowsBeingSentError(
            "These very rows are being sent right now by another call", next_step="See list_batches soon."
        )
    file_id = file_id or job.facts_as(BatchFacts).input_file_id or await _uploaded(client, prepared)
    made = await _made_from(client, file_id) if file_id else None
    return Earlier(job, made.id if made is not None else None, file_id)


async def forget_rows(journal: Journal, owner: str, batch_id: str) -> None:
    """Forget the rows of a batch that was told to stop: if they are sent again, that is another batch."""
    if (job := await journal.find(owner, batch_id)) is not None:
        await journal.note(job.key, BatchFacts(content=None))


def upload_form(prepared: Prepared, owner: str) -> Json:
    """The upload of the rows, told: they are not read again by anybody, so the first stand for all."""
    file = {
        "name": prepared.file_name(owner),
        "type": ROWS_TYPE,
        "bytes": len(prepared.data),
        "rows": prepared.rows,
        "first_rows": [json.loads(line) for line in islice(io.BytesIO(prepared.data), _ROWS_SHOWN)],
    }
    return {**FORM, "file": file}


def create_body(file_id: str, endpoint: Endpoint) -> Json:
    """What is sent to start a batch of an uploaded file."""
    return {"input_file_id": file_id, "endpoint": ENDPOINTS[endpoint], "completion_window": "48h"}


async def start_batch(
    jobs: Jobs,
    client: NovitaClient,
    prepared: Prepared,
    paid_for: Paid,
    *,
    file_id: str | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Job, bool]:
    """Upload and start a batch, or find the one that these very rows started before; whether it was found.

    Args:
        file_id: The input file, where it is at Novita already.

    Raises:
        NovitaError: It could not be started. Calling again with the same rows takes up what was done.
        Joined: The same call is sending them.
    """
    again = paid_for.same is not None and paid_for.same.again
    async with jobs.one_at_a_time(f"batch/{client.owner}/{prepared.sha}"):
        await _join(jobs, client, paid_for)
        try:
            earlier = Earlier(None, None, file_id) if again else await look_back(jobs, client, prepared, file_id)
        except RowsBeingSentError:
            await _join(jobs, client, paid_for)  # another process began after the first look
            raise
        before, file_id = earlier.job, earlier.file_id
        if before is not None:
            if before.task_id is not None:
                return before, True
            if earlier.batch_id is not None:
                return await jobs.journal.accepted(
                    before.key, earlier.batch_id, BatchFacts(input_file_id=file_id)
                ), True
            await jobs.journal.finish(
                before.key, JobState.CANCELLED, reason="It never started and was taken up again.", counted=Decimal(0)
            )

        async def send(job: Job) -> Batch:
            known = file_id
            if known is None:
                known = (await upload(client, prepared.file_name(client.owner), prepared.data)).id
                await jobs.journal.note(job.key, BatchFacts(input_file_id=known))
            return await create_once(client, create_body(known, prepared.endpoint))

        async def note(job: Job, batch: Batch) -> Job:
            return await jobs.journal.accepted(job.key, batch.id, BatchFacts(input_file_id=batch.input_file_id))

        facts = BatchFacts(content=prepared.sha, rows=prepared.rows, endpoint=prepared.endpoint, input_file_id=file_id)
        job, _ = await jobs.submit(
            paid_for,
            kind="batch",
            send=send,
            note=note,
            facts=facts,
            on_progress=on_progress,
        )
        return job, False


async def _join(jobs: Jobs, client: NovitaClient, paid_for: Paid) -> None:
    if paid_for.same is not None and (begun := await jobs.journal.earlier(client.owner, paid_for.same)) is not None:
        raise Joined(begun)


async def _uploaded(client: NovitaClient, prepared: Prepared) -> str | None:
    found = await find_upload(client, prepared.file_name(client.owner), len(prepared.data))
    return found.id if found is not None else None


async def _made_from(client: NovitaClient, file_id: str) -> Batch | None:
    """A living or finished batch made from this file."""
    batches, _ = await list_batches(client)
    return next((one for one in batches if one.input_file_id == file_id and one.phase is not Phase.FAILED), None)


async def create_once(client: NovitaClient, body: Json) -> Batch:
    try:
        answer = await client.spend("POST", BATCHES_PATH, doing="starting the batch", group="llm_batch", body=body)
        made = read_batch(answer.data)
        return made.model_copy(update={"input_file_id": made.input_file_id or body["input_file_id"]})
    except NovitaError as error:
        if isinstance(error, NovitaAPIError) and id_in(an_object(error.answer), "id"):  # refused, but made all the same
            return read_batch(error.answer).model_copy(update={"input_file_id": body["input_file_id"]})
        if error.billed == "no":
            raise
        # The answer was lost, or says nothing of the batch, which may run even so: what there is tells.
        try:
            made = await _made_from(client, body["input_file_id"])
        except NovitaError as unseen:
            logger.warning("whether the batch was made cannot be seen: %s", unseen)
            made = None
        if made is not None:
            return made
        error.next_step = "Call create_batch again with the same rows: it finds what was made of them."
        raise
