"""Batches: read in any spelling, waited for like everything else, and matched to their rows."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

import anyio.to_thread
from pydantic import BeforeValidator, model_validator

from ..core.answers import Count, Id, Moment, Shape, Text, a_count, a_text, an_object, objects, read_shape
from ..core.client import NovitaClient
from ..core.costs import FREE
from ..core.errors import InputError, NotFoundError, NovitaConnectionError
from ..core.json_text import Json
from ..core.redaction import without_credentials
from ..core.waiting import Look, OnProgress, Pace, Phase, Unasked, wait_until_done
from ..core.words import counted
from ..files.artifacts import Artifact, NameHint
from ..journal.facts import BatchFacts
from ..journal.jobs import Jobs
from ..journal.journal import FINAL_STATES, Job, JobState
from ..text.generations import Usage
from ..text.language_models import LlmModel
from .answer_table import answer_table, schema_fields
from .answers import Matched, match, read_rows
from .batch_files import checked_id, get_content

logger = logging.getLogger(__name__)

BATCHES_PATH = "/openai/v1/batches"

_PHASES = {
    "validating": Phase.WORKING,
    "in_progress": Phase.WORKING,
    "finalizing": Phase.WORKING,
    "cancelling": Phase.WORKING,
    "completed": Phase.SUCCEEDED,
    "failed": Phase.FAILED,
    "expired": Phase.FAILED,
    "cancelled": Phase.CANCELLED,
}
_SPELLINGS = {"progress": "in_progress", "canceled": "cancelled", "canceling": "cancelling"}


def _status(value: Any) -> str:
    status = a_text(value).strip().casefold()
    return _SPELLINGS.get(status, status)


def _errors(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(without_credentials(value)))[:1_000] if value else ""


class Batch(Shape):
    """A batch as Novita tells it; `status` in lower case, in one spelling."""

    id: Id = ""
    status: Annotated[str, BeforeValidator(_status)] = ""
    endpoint: Text = ""
    input_file_id: Id = ""
    output_file_id: Id = ""
    error_file_id: Id = ""
    errors: Annotated[str, BeforeValidator(_errors)] = ""
    total: Count = 0
    completed: Count = 0
    failed: Count = 0
    created_at: Moment = None
    expires_at: Moment = None

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, data: Any) -> Any:
        """Read the counts of rows from `request_counts`, or from beside the other fields."""
        found = an_object(data)
        counts = an_object(found.get("request_counts"))
        told = {
            name: counts[name] for name in ("total", "completed", "failed") if a_count(counts.get(name)) is not None
        }
        return {**found, **told}

    @property
    def phase(self) -> Phase:
        """The phase of the status. An unknown status counts as still working, and is logged."""
        if self.status not in _PHASES:
            logger.warning("batch %s has the unknown status %r", self.id, self.status)
        return _PHASES.get(self.status, Phase.WORKING)

    @property
    def files(self) -> tuple[str, ...]:
        """Ids of its rows, answers and errors, as far as there are such files."""
        return tuple(filter(None, (self.input_file_id, self.output_file_id, self.error_file_id)))

    @property
    def answers_due(self) -> int:
        """How many lines the output file of a completed batch has at least."""
        if self.status != "completed":
            return 0
        # Some servers count failed rows among the completed ones.
        return min(self.completed, max(0, self.total - self.failed)) if self.total else self.completed

    @property
    def awaits_files(self) -> bool:
        """Whether it is completed but its output is not there yet. The status changes before the file exists."""
        if self.status != "completed" or self.output_file_id:
            return False
        return self.answers_due > 0 or not (self.error_file_id or (self.total and self.failed >= self.total))

    @property
    def progress(self) -> float | None:
        """Percent of the rows that were answered."""
        return 100 * (self.completed + self.failed) / self.total if self.total else None


def read_batch(raw: Any) -> Batch:
    """A batch in any documented spelling. Raises NovitaConnectionError if it has no id."""
    found = read_shape(Batch, an_object(raw), "reading a batch")
    if not found.id:
        raise NovitaConnectionError("Novita's answer about a batch has no id in it")
    return found


async def list_batches(client: NovitaClient) -> tuple[list[Batch], bool]:
    """The batches of the account, newest first as Novita gives them, and whether there are more."""
    data: Any = (await client.read("GET", BATCHES_PATH, doing="listing batches", group="llm_batch")).data
    found = an_object(data)
    rows = [read_shape(Batch, row, "listing batches") for row in objects(found.get("data"))]
    return [row for row in rows if row.id], bool(found.get("has_more"))


async def get_batch(client: NovitaClient, batch_id: str) -> Batch:
    """One batch. Raises NotFoundError for an unknown id."""
    path = f"{BATCHES_PATH}/{checked_id(batch_id)}"
    return read_batch((await client.read("GET", path, doing="reading the batch", group="llm_batch")).data)


async def cancel_batch(client: NovitaClient, batch_id: str) -> Batch:
    """Ask Novita to stop a batch."""
    path = f"{BATCHES_PATH}/{checked_id(batch_id)}/cancel"
    return read_batch((await client.spend("POST", path, doing="cancelling the batch", group="llm_batch", body={})).data)


async def look(client: NovitaClient, batch_id: str) -> Look[Batch]:
    """One look at a batch, for the waiting helper."""
    batch = await get_batch(client, batch_id)
    rows = f", {batch.completed + batch.failed} of {counted(batch.total, 'row')}" if batch.total else ""
    note = f"{batch.status.replace('_', ' ')}{rows}"
    reason = batch.errors or f"it is {batch.status}"
    return Look(batch.phase, batch, batch.progress, None, note, reason)


# Waiting and fetching ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BatchDelivery:
    """A batch as far as it has come. `batch` is None where Novita could not be asked; `unasked` says why."""

    job: Job
    batch: Batch | None
    unasked: str = ""


@dataclass(frozen=True)
class Fetched:
    """The rows of a finished batch with their answers, and these as CSV. `usd` by the list prices; None where they are
    not known."""

    matched: Matched
    usd: Decimal | None
    table: str


async def bring_batch(
    jobs: Jobs,
    client: NovitaClient,
    batch_id: str,
    *,
    budget: float,
    price_of: Callable[[str], Awaitable[LlmModel | None]],
    on_progress: OnProgress | None = None,
) -> BatchDelivery:
    """Wait up to `budget` seconds for a batch and fetch its results; continues after any break.

    Args:
        price_of: The row of the price list for a model, where there is one.

    Raises:
        NotFoundError: Nobody knows it. InputError: the id is of something else.
        NovitaConnectionError: Its output cannot be read now. Then it stays open: nothing is lost.
    """
    job = await jobs.journal.find(client.owner, checked_id(batch_id))
    if job is not None and job.kind != "batch":
        raise InputError(f"{batch_id} is no batch but a {job.kind}", next_step="Use get_task for it.")
    if job is not None and job.task_id is None:
        return BatchDelivery(job, None)
    real_id = job.task_id if job is not None and job.task_id else batch_id
    looking, unasked = client.for_looking(), Unasked()
    seen = await wait_until_done(
        lambda: look(looking, real_id),
        clock=jobs.clock,
        pace=Pace(await jobs.journal.durations(job.model) if job else ()),
        budget=budget,
        age=jobs.clock.wall() - (job.accepted or job.created).timestamp() if job else 60.0,
        on_progress=on_progress,
        unasked=unasked,
    )
    async with jobs.one_at_a_time(f"{client.owner}/{real_id}"):
        job = await jobs.journal.find(client.owner, real_id)
        if job is None and seen is None:
            step = f"{unasked.why} Call get_batch again in a minute.".strip()
            raise NovitaConnectionError(f"Batch {real_id} cannot be looked at now", next_step=step)
        job = job or await _adopt(jobs, client, real_id)
        if seen is None or seen.phase is Phase.WORKING:
            return BatchDelivery(job, seen.value if seen else None, unasked.why)
        batch = seen.value
        if batch.awaits_files and job.state not in FINAL_STATES:
            return BatchDelivery(job, batch)
        if job.state in FINAL_STATES and (_here(jobs, job) or not (batch.output_file_id or batch.error_file_id)):
            return BatchDelivery(job, batch)
        state = {Phase.SUCCEEDED: JobState.SUCCEEDED, Phase.CANCELLED: JobState.CANCELLED}.get(
            seen.phase, JobState.FAILED
        )
        reason = "" if state is JobState.SUCCEEDED else seen.reason
        if not batch.output_file_id and not batch.error_file_id:
            return BatchDelivery(await jobs.journal.finish(job.key, state, reason=reason, counted=Decimal(0)), batch)
        fetched = await _fetch(client, batch, price_of)
        artifacts = await _save(jobs, job, real_id, fetched)
        matched = fetched.matched
        facts = BatchFacts(answered=matched.answered, unanswered=matched.unanswered)
        if matched.unanswered:
            why = {status: count for status, count in matched.counts.items() if status != "ok"}
            facts = facts.with_(BatchFacts(why=why))
        if fetched.usd is not None:
            facts = facts.with_(BatchFacts(usd=fetched.usd))
        if job.accepted is not None and job.state is JobState.WORKING:
            facts = facts.with_(BatchFacts(took=round(jobs.clock.wall() - job.accepted.timestamp(), 2)))
        counted = fetched.usd if job.tool == "create_batch" else None
        finished = await jobs.journal.finish(
            job.key, state, reason=reason, artifacts=artifacts, counted=counted, facts=facts
        )
        return BatchDelivery(finished, batch)


def _here(jobs: Jobs, job: Job) -> bool:
    """Whether its files are still in the places where they were saved."""
    return bool(job.artifacts) and all(jobs.store.holds(one) for one in job.artifacts)


async def _adopt(jobs: Jobs, client: NovitaClient, batch_id: str) -> Job:
    """A row for a batch that was started elsewhere; it costs nothing here."""
    job = await jobs.journal.begin(
        owner=client.owner, kind="batch", tool="get_batch", model="", title=batch_id, cost=FREE
    )
    return await jobs.journal.accepted(job.key, batch_id)


async def _fetch(client: NovitaClient, batch: Batch, price_of: Callable[[str], Awaitable[LlmModel | None]]) -> Fetched:
    """Download and match. The input may be gone after its 15 days; then the answers keep their own order.

    Raises:
        NovitaConnectionError: A file is not what it should be now; it may be later.
    """
    answers: list[Json] = []
    for name, least in ((batch.output_file_id, batch.answers_due), (batch.error_file_id, 0)):
        if name:
            content = await get_content(client, name)
            answers += await anyio.to_thread.run_sync(read_rows, content, f"The output file of batch {batch.id}", least)
    asked: list[Json] = []
    if batch.input_file_id:
        try:
            content = await get_content(client, batch.input_file_id)
            asked = await anyio.to_thread.run_sync(
                read_rows, content, f"The input file of batch {batch.id}", batch.total
            )
        except NotFoundError:
            pass  # told by the results themselves, which then have no input
    matched = await anyio.to_thread.run_sync(match, asked, answers)
    table = await anyio.to_thread.run_sync(answer_table, matched.results, schema_fields(asked))
    return Fetched(matched, await _cost(matched.tokens, price_of), table)


async def _cost(
    tokens: Mapping[str, Sequence[Usage]], price_of: Callable[[str], Awaitable[LlmModel | None]]
) -> Decimal | None:
    """USD by the list prices, row by row: a model's price may depend on the length of the prompt."""
    total = Decimal(0)
    for model_id, rows in tokens.items():
        model = await price_of(model_id)
        for used in rows:
            price = model.price(used.prompt, used.completion, used.cached) if model is not None else None
            if price is None:
                return None
            total += price
    return total


async def _save(jobs: Jobs, job: Job, batch_id: str, fetched: Fetched) -> Sequence[Artifact]:
    """The results file, and the failed rows beside it."""
    title = job.title if job.tool == "create_batch" else "batch"
    kept: list[Artifact] = []
    kinds: tuple[tuple[str, Literal["results", "failed rows", "table"], str], ...] = (
        (fetched.matched.results, "results", ".jsonl"),
        (fetched.matched.failed, "failed rows", ".jsonl"),
        (fetched.table, "table", ".csv"),
    )
    for index, (text, what, suffix) in enumerate(kinds):
        if text:
            artifact = Artifact(task_id=batch_id, index=index, kind="file", note=what)
            name = NameHint(title=f"{title} {what}", day=job.created.date(), owner=job.owner)
            kept.append(await jobs.store.save_text(text, artifact, suffix=suffix, name=name))
    return kept
