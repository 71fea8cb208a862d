"""Batches: read in any spelling, waited for like everything else, and matched to their rows."""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, cast

import anyio.to_thread

from .artifacts import Artifact, NameHint
from .client import NovitaClient
from .errors import InputError, NotFoundError, NovitaConnectionError
from .files_api import checked_id, get_content, moment
from .jobs import Jobs
from .journal import FINAL_STATES, Job, JobState
from .llm import LlmModel
from .waiting import Look, OnProgress, Pace, Phase, wait_until_done
from .wellformed import read_json

Json = dict[str, Any]
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


@dataclass(frozen=True)
class Batch:
    """A batch as Novita tells it; `status` in lower case, in one spelling."""

    id: str
    status: str
    endpoint: str
    input_file_id: str
    output_file_id: str
    error_file_id: str
    errors: str
    total: int
    completed: int
    failed: int
    created: datetime | None
    expires: datetime | None

    @property
    def phase(self) -> Phase:
        """What is not known counts as still working, and is logged."""
        if self.status not in _PHASES:
            logger.warning("batch %s has the unknown status %r", self.id, self.status)
        return _PHASES.get(self.status, Phase.WORKING)

    @property
    def progress(self) -> float | None:
        """Percent of the rows that were answered."""
        return 100 * (self.completed + self.failed) / self.total if self.total else None


def read_batch(raw: Any) -> Batch:
    """A batch in any documented spelling. Raises NovitaConnectionError where it has no id."""
    found: Json = cast(Json, raw) if isinstance(raw, dict) else {}
    if not isinstance(found.get("id"), str) or not found["id"]:
        raise NovitaConnectionError("Novita's answer about a batch has no id in it")
    counts: Any = found.get("request_counts")
    held: Json = cast(Json, counts) if isinstance(counts, dict) else {}

    def number(name: str) -> int:
        value: Any = held.get(name) if held.get(name) is not None else found.get(name)
        return value if isinstance(value, int) else 0

    status = str(found.get("status") or "").strip().casefold()
    errors: Any = found.get("errors")
    return Batch(
        id=found["id"],
        status=_SPELLINGS.get(status, status),
        endpoint=str(found.get("endpoint") or ""),
        input_file_id=str(found.get("input_file_id") or ""),
        output_file_id=str(found.get("output_file_id") or ""),
        error_file_id=str(found.get("error_file_id") or ""),
        errors=(errors if isinstance(errors, str) else json.dumps(errors))[:1_000] if errors else "",
        total=number("total"),
        completed=number("completed"),
        failed=number("failed"),
        created=moment(found.get("created_at")),
        expires=moment(found.get("expires_at")),
    )


async def list_batches(client: NovitaClient) -> tuple[list[Batch], bool]:
    """The batches of the account, newest first as Novita gives them, and whether there are more."""
    data: Any = (await client.read("GET", BATCHES_PATH, doing="listing batches", group="llm_batch")).data
    found: Json = cast(Json, data) if isinstance(data, dict) else {}
    rows: Any = found.get("data")
    batches = [read_batch(row) for row in cast("list[Any]", rows)] if isinstance(rows, list) else []
    return batches, bool(found.get("has_more"))


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
    rows = f", {batch.completed + batch.failed} of {batch.total} rows" if batch.total else ""
    note = f"{batch.status.replace('_', ' ')}{rows}"
    reason = batch.errors or f"it is {batch.status}"
    return Look(batch.phase, batch, batch.progress, None, note, reason)


# Waiting and fetching ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BatchDelivery:
    """A batch as far as it has come. `batch` is None where Novita could not be asked in time."""

    job: Job
    batch: Batch | None


@dataclass(frozen=True)
class Fetched:
    """The rows of a finished batch, matched to their answers.

    Args:
        results: One JSONL line per row, in the order of the input.
        failed: Input lines without a good answer, ready to be run again.
        usd: By the list prices; None where they are not known.
    """

    results: str
    failed: str
    answered: int
    unanswered: int
    usd: Decimal | None


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
    """
    job = await jobs.journal.find(client.owner, checked_id(batch_id))
    if job is not None and job.kind != "batch":
        raise InputError(f"{batch_id} is no batch but a {job.kind}", next_step="Use get_task for it.")
    if job is not None and job.task_id is None:
        return BatchDelivery(job, None)
    real_id = job.task_id if job is not None and job.task_id else batch_id
    looking = client.for_looking()
    seen = await wait_until_done(
        lambda: look(looking, real_id),
        clock=jobs.clock,
        pace=Pace(await jobs.journal.durations(job.model) if job else ()),
        budget=budget,
        age=jobs.clock.wall() - (job.accepted or job.created).timestamp() if job else 60.0,
        on_progress=on_progress,
    )
    async with jobs.one_at_a_time(f"{client.owner}/{real_id}"):
        job = await jobs.journal.find(client.owner, real_id) or await _adopt(jobs, client, real_id)
        if seen is None or seen.phase is Phase.WORKING:
            return BatchDelivery(job, seen.value if seen else None)
        batch = seen.value
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
        facts: Json = {"answered": fetched.answered, "unanswered": fetched.unanswered}
        if fetched.usd is not None:
            facts["usd"] = f"{fetched.usd.normalize():f}"
        if job.accepted is not None and job.state is JobState.WORKING:
            facts["took"] = round(jobs.clock.wall() - job.accepted.timestamp(), 2)
        counted = fetched.usd if job.tool == "create_batch" else None
        finished = await jobs.journal.finish(
            job.key, state, reason=reason, artifacts=artifacts, counted=counted, **facts
        )
        return BatchDelivery(finished, batch)


def _here(jobs: Jobs, job: Job) -> bool:
    """Whether its files are still where they were saved."""
    return bool(job.artifacts) and all(jobs.store.holds(one) for one in job.artifacts)


async def _adopt(jobs: Jobs, client: NovitaClient, batch_id: str) -> Job:
    """A row for a batch that was started elsewhere; it costs nothing here."""
    job = await jobs.journal.begin(
        owner=client.owner, kind="batch", tool="get_batch", model="", title=batch_id, estimate=Decimal(0)
    )
    return await jobs.journal.accepted(job.key, batch_id)


async def _fetch(client: NovitaClient, batch: Batch, price_of: Callable[[str], Awaitable[LlmModel | None]]) -> Fetched:
    """Download and match. The input may be gone after its 15 days; then the answers keep their own order."""
    answers = [await get_content(client, name) for name in (batch.output_file_id, batch.error_file_id) if name]
    try:
        asked = await get_content(client, batch.input_file_id) if batch.input_file_id else b""
    except NotFoundError:
        asked = b""
    results, failed, good, tokens = await anyio.to_thread.run_sync(_match, asked, answers)
    return Fetched(
        results="".join(f"{line}\n" for line in results),
        failed="".join(f"{line}\n" for line in failed),
        answered=good,
        unanswered=len(results) - good,
        usd=await _cost(tokens, price_of),
    )


_Tokens = tuple[int, int, int]
"""Prompt, made, cached."""


def _match(asked: bytes, answers: Sequence[bytes]) -> tuple[list[str], list[str], int, dict[str, list[_Tokens]]]:
    """Lines of the results, lines of failed rows, how many are good, and tokens by model. Takes seconds for many."""
    answered = {str(line.get("custom_id", "")): line for data in answers for line in _lines(data)}
    rows = _lines(asked) or [{"custom_id": custom_id} for custom_id in answered]
    results: list[str] = []
    failed: list[str] = []
    tokens: dict[str, list[_Tokens]] = {}
    good = 0
    for number, row in enumerate(rows, 1):
        result, usage = _matched(number, row, answered.get(str(row.get("custom_id", ""))))
        results.append(json.dumps(result, ensure_ascii=False))
        good += result["status"] == "ok"
        if result["status"] != "ok" and "body" in row:
            failed.append(json.dumps(row, ensure_ascii=False))
        if usage:
            named = str(cast(Json, row.get("body") or {}).get("model") or result.get("model") or "")
            tokens.setdefault(named, []).append(usage)
    return results, failed, good, tokens


def _lines(data: bytes) -> list[Json]:
    """The JSON objects of a file, one per line; a line that is none is left out and logged."""
    found: list[Json] = []
    for line in data.decode("utf-8", "replace").split("\n"):
        if not line.strip():
            continue
        try:
            parsed: Any = read_json(line)
        except ValueError:
            parsed = None
        if isinstance(parsed, dict):
            found.append(cast(Json, parsed))
        else:
            logger.warning("a line of a batch file is no JSON object")
    return found


def _matched(number: int, row: Json, answer: Json | None) -> tuple[Json, _Tokens | None]:
    """One line of the results, and the tokens of its answer."""
    body: Any = row.get("body")
    made: Json = {"row": number, "custom_id": row.get("custom_id"), "status": "missing"}
    if isinstance(body, dict):
        made["input"] = _asked(cast(Json, body))
    if answer is None:
        made["error"] = "there is no answer to this row in the batch's files"
        return made, None
    response: Any = answer.get("response")
    held: Json = cast(Json, response) if isinstance(response, dict) else {}
    said: Any = held.get("body")
    status: Any = held.get("status_code")
    if not isinstance(said, dict) or answer.get("error") or (isinstance(status, int) and status >= 400):
        made |= {"status": "failed", "error": answer.get("error") or said or f"status {status}"}
        return made, None
    completion = cast(Json, said)
    choices: Any = completion.get("choices")
    first: Json = cast("list[Json]", choices)[0] if isinstance(choices, list) and choices else {}
    message: Json = cast(Json, first.get("message")) if isinstance(first.get("message"), dict) else {}
    made |= {"status": "ok", "text": message.get("content") if message else first.get("text")}
    for name, value in (
        ("reasoning", message.get("reasoning_content")),
        ("tool_calls", message.get("tool_calls")),
        ("finish_reason", first.get("finish_reason")),
        ("other_choices", cast("list[Any]", choices)[1:] if isinstance(choices, list) else None),
        ("model", completion.get("model")),
        ("usage", completion.get("usage")),
    ):
        if value:
            made[name] = value
    usage: Any = completion.get("usage")
    if not isinstance(usage, dict):
        return made, None
    counted = cast(Json, usage)
    details: Any = counted.get("prompt_tokens_details")
    cached: Any = cast(Json, details).get("cached_tokens") if isinstance(details, dict) else 0
    numbers = [counted.get("prompt_tokens"), counted.get("completion_tokens"), cached]
    whole = [value if isinstance(value, int) else 0 for value in numbers]
    return made, (whole[0], whole[1], whole[2])


def _asked(body: Json) -> Any:
    """What a row asked: its prompt, or the last thing the user said."""
    if "prompt" in body:
        return body["prompt"]
    messages: Any = body.get("messages")
    for message in reversed(cast("list[Any]", messages) if isinstance(messages, list) else []):
        if isinstance(message, dict) and cast(Json, message).get("role") == "user":
            return cast(Json, message).get("content")
    return None


async def _cost(
    tokens: dict[str, list[_Tokens]], price_of: Callable[[str], Awaitable[LlmModel | None]]
) -> Decimal | None:
    """USD by the list prices, row by row: a model's price may depend on the length of the prompt."""
    total = Decimal(0)
    for model_id, rows in tokens.items():
        model = await price_of(model_id)
        for prompt, made, cached in rows:
            price = model.price(prompt, made, cached) if model is not None else None
            if price is None:
                return None
            total += price
    return total


async def _save(jobs: Jobs, job: Job, batch_id: str, fetched: Fetched) -> Sequence[Artifact]:
    """The results file, and the failed rows beside it."""
    title = job.title if job.tool == "create_batch" else "batch"
    kept: list[Artifact] = []
    kinds: tuple[tuple[str, Literal["results", "failed rows"]], ...] = (
        (fetched.results, "results"),
        (fetched.failed, "failed rows"),
    )
    for index, (text, what) in enumerate(kinds):
        if text:
            artifact = Artifact(task_id=batch_id, index=index, kind="file", note=what)
            name = NameHint(title=f"{title} {what}", day=job.created.date(), owner=job.owner)
            kept.append(await jobs.store.save_text(text, artifact, suffix=".jsonl", name=name))
    return kept
