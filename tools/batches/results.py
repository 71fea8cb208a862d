"""The results of the batch tools, and how a batch becomes a result."""

import json
from collections.abc import Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

from anyio import to_thread
from pydantic import BaseModel, Field

from ...novita.batches.batch_files import FILES_PATH
from ...novita.batches.batches import BATCHES_PATH, BatchDelivery
from ...novita.batches.rows import USUAL_TOKENS, Prepared
from ...novita.batches.start import UNKNOWN_FILE, Earlier, create_body, upload_form
from ...novita.core.errors import TaskFailedError
from ...novita.core.money import show_price
from ...novita.core.words import counted
from ...novita.files.artifacts import Artifact
from ...novita.journal.facts import BatchFacts
from ...novita.journal.journal import Job, JobState
from ..kit.context import Caller
from ..kit.dry_run import shortened, shown_body, shown_request
from ..kit.saved_files import SavedFile, shown_file
from ..kit.toolset import CountedUsd, ToolResult

Status = Literal[
    "working", "succeeded", "cancelling", "cancelled", "incomplete", "unconfirmed", "needs_confirmation", "dry_run"
]

_FIRST_ROWS = 5
_SHOWN_LETTERS = 300
_WORTH_FETCHING = 8 * 2**20


_WHY = {"cut": "cut by their length", "empty": "without an answer in it"}
"""Words for the headline about what became of rows. Reasons that are not listed need no other words."""


class RowResult(BaseModel):
    """One row and its answer, shortened."""

    row: int = Field(description="Its line, from 1.")
    custom_id: str | None = Field(default=None, description="Its id.")
    status: str = Field(description="ok, cut (by its length), empty, refused, failed or missing.")
    text: str | None = Field(default=None, description="The answer, shortened.")
    finish_reason: str | None = Field(default=None, description="Where it is not stop; length: cut at max_tokens.")
    error: str | None = Field(default=None, description="Why there is none.")


class BatchResult(ToolResult):
    """A batch and its progress."""

    status: Status = Field(description="working: goes on at Novita. incomplete: it ended without all answers.")
    batch_id: str | None = Field(default=None, description="For get_batch.")
    state: str | None = Field(default=None, description="Novita's own word.")
    model: str | None = Field(default=None, description="Model of all rows.")
    total: int | None = Field(default=None, description="Rows.")
    completed: int | None = Field(default=None, description="Rows answered.")
    failed: int | None = Field(default=None, description="Rows without a good answer.")
    why: dict[str, int] | None = Field(
        default=None, description="Rows without a good answer by why: cut, empty, refused, failed, missing."
    )
    files: tuple[SavedFile, ...] | None = Field(
        default=None,
        description="results: a line per row {row, custom_id, status, input, text}. failed rows: as sent. table: CSV.",
    )
    remark: str | None = Field(default=None, description="What to know before it runs.")
    first_rows: tuple[RowResult, ...] | None = Field(default=None, description="The first rows.")
    cost_usd: str | None = Field(default=None, description="By tokens used and list prices, in USD, or 'unknown'.")
    estimated_cost_usd: str | None = Field(default=None, description="The most it may cost at list prices.")
    counted_usd: CountedUsd = None
    progress_percent: float | None = Field(default=None, description="Rows done.")
    next_step: str | None = Field(default=None, description="What to do now.")
    upload: dict[str, Any] | None = Field(
        default=None, description="With dry_run: what would be uploaded first, as multipart/form-data."
    )
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent then.")

    def headline(self) -> str:
        match self.status:
            case "working":
                return f"Batch {self.batch_id} is running at Novita."
            case "succeeded" | "incomplete":
                others = "".join(f", {count} {_WHY.get(why, why)}" for why, count in (self.why or {}).items())
                return f"{self.completed} of {counted(self.total or 0, 'row')} answered{others}."
            case "needs_confirmation" | "dry_run":
                return "Nothing was sent yet."
            case _:
                return ""


def planned_batch(prepared: Prepared, earlier: Earlier, owner: str) -> dict[str, Any]:
    """What would be sent now, as fields of a dry run's answer."""
    shown: dict[str, Any] = {"total": prepared.rows}
    if earlier.batch_id is not None:
        step = (
            f"Batch {earlier.batch_id} was made of exactly these rows already: the call would send nothing and answer "
            "with that batch."
        )
        free: dict[str, Any] = {"estimated_cost_usd": "0", "counted_usd": None, "next_step": step}
        return {**shown, "batch_id": earlier.batch_id, **free}
    if earlier.file_id is None:
        shown["upload"] = {"method": "POST", "path": FILES_PATH, "form": shown_body(upload_form(prepared, owner))}
    body = create_body(earlier.file_id or UNKNOWN_FILE, prepared.endpoint)
    return {**shown, "request": shown_request("POST", BATCHES_PATH, body)}


def tokens_of(prepared: Prepared) -> str:
    """The numbers of tokens from which a batch's price is reckoned, in words."""
    unbounded = (
        f" {counted(prepared.open_rows, 'row')} without max_tokens, counted as {USUAL_TOKENS} tokens each."
        if prepared.open_rows
        else ""
    )
    return f"Reads about {counted(prepared.prompt_tokens, 'token')}, makes at most {prepared.most_tokens:,}.{unbounded}"


def started_batch(
    job: Job, prepared: Prepared, estimate: Decimal | None, *, found: bool, remark: str = ""
) -> BatchResult:
    """The result for a batch that runs: it was just started, or found running already."""
    again = "Exactly these rows are running already; no second batch was made. " if found else ""
    return BatchResult(
        status="working",
        batch_id=job.task_id,
        model=prepared.model,
        total=prepared.rows,
        remark=remark or None,
        estimated_cost_usd=show_price(estimate),
        next_step=f"{again}Call get_batch with batch_id {job.task_id}, now or hours later.",
    )


async def answer_batch(caller: Caller, delivery: BatchDelivery) -> BatchResult:
    """The result for a batch in any state.

    Raises:
        TaskFailedError: The batch ended without any answer.
    """
    job, batch = delivery.job, delivery.batch
    facts = job.facts_as(BatchFacts)
    common: dict[str, Any] = {
        "batch_id": job.task_id or job.key[:12],
        "model": job.model or None,
        "state": batch.status if batch else None,
        "total": (batch.total if batch else None) or facts.rows,
    }
    match job.state:
        case JobState.UNCONFIRMED | JobState.SUBMITTING:
            step = (
                "Call create_batch again with the same rows: it finds the batch if there is one, and makes no second."
            )
            return BatchResult(status="unconfirmed", next_step=f"{job.reason} {step}".strip(), **common)
        case JobState.WORKING:
            return BatchResult(
                status="cancelling" if batch and batch.status == "cancelling" else "working",
                completed=batch.completed if batch else None,
                failed=batch.failed if batch else None,
                progress_percent=round(batch.progress, 1) if batch and batch.progress is not None else None,
                next_step="Novita says completed and gives no output file yet: call get_batch again in a minute."
                if batch and batch.awaits_files
                else f"{delivery.unasked} Call get_batch again later; batches may take up to 48 h.".strip(),
                **common,
            )
        case JobState.CANCELLED if not job.artifacts:
            return BatchResult(status="cancelled", next_step="It has no results that could be fetched.", **common)
        case JobState.FAILED | JobState.REFUSED if not job.artifacts:
            raise TaskFailedError(
                f"Batch {common['batch_id']} failed: {job.reason or 'Novita does not say why'}",
                billed="no" if job.state is JobState.REFUSED else "maybe",
                next_step="Mend the rows and create a new batch; Novita runs nothing of a file it refuses.",
            )
        case _:
            pass
    answered, unanswered = facts.answered or 0, facts.unanswered or 0
    common["total"] = answered + unanswered
    whole = job.state is JobState.SUCCEEDED and not unanswered
    step = "Show the user the counts and the file."
    why = facts.why or {}
    if unanswered:
        step += " To run the failed rows again give their file to create_batch"
        step += "; those cut by their length need more max_tokens there." if why.get("cut") else "."
    return BatchResult(
        status="succeeded" if whole else "cancelled" if job.state is JobState.CANCELLED else "incomplete",
        completed=answered,
        failed=unanswered,
        why=why or None,
        files=tuple(shown_file(caller, artifact.note or "file", artifact) for artifact in job.artifacts),
        first_rows=await _first_rows(caller, job.artifacts[0]),
        cost_usd="unknown" if facts.usd is None else f"{facts.usd.normalize():f}",
        next_step=step,
        **common,
    )


async def _first_rows(caller: Caller, results: Artifact) -> tuple[RowResult, ...] | None:
    """The first rows of the results file. None if the file is not on this machine and too large to fetch for that."""
    if results.path:
        lines = await to_thread.run_sync(_first_lines, Path(results.path))
    elif (results.bytes or 0) <= _WORTH_FETCHING:
        data = await caller.app.jobs.store.read(results, max_bytes=_WORTH_FETCHING)
        lines = data.decode("utf-8").split("\n")[:_FIRST_ROWS]
    else:
        return None
    return _rows_of(lines)


def _first_lines(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return list(islice(lines, _FIRST_ROWS))


def _rows_of(lines: Sequence[str]) -> tuple[RowResult, ...]:
    rows = [cast("dict[str, Any]", json.loads(line)) for line in lines if line.strip()]
    return tuple(
        RowResult(
            row=row["row"],
            custom_id=None if row.get("custom_id") is None else str(row["custom_id"]),
            status=row["status"],
            text=shortened(str(row["text"]), _SHOWN_LETTERS) if row.get("text") else None,
            finish_reason=str(row["finish_reason"]) if row.get("finish_reason") not in ("stop", None) else None,
            error=shortened(str(row["error"]), _SHOWN_LETTERS) if row.get("error") else None,
        )
        for row in rows
    )
