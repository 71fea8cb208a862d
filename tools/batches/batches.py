"""Batch tools: many text requests sent at once, cheap but slow, and their answers matched to the requests."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from anyio import to_thread
from pydantic import BaseModel, Field

from ...novita.batches import batch_files
from ...novita.batches import batches as runs
from ...novita.batches.rows import ENDPOINTS, Prepared, endpoint_of, numbered, prepare, read_table
from ...novita.batches.start import forget_rows, look_back, start_batch
from ...novita.core.errors import InputError, UnknownModelError
from ...novita.core.words import counted
from ...novita.journal.jobs import Paid
from ...novita.journal.joining import JoinRule
from ...novita.journal.journal import Job
from ...novita.text.costs import tokens_cost
from ...novita.text.kept_list import listed_models_if_there
from ...novita.text.language_models import (
    LlmModel,
    choose_model,
    clashes,
    find_model,
    lacks,
    nearest,
)
from ...novita.text.request_checks import with_options
from ..kit.arguments import SELDOM, Agreed, Confirm, DryRun, Offset, SaveTo, WaitSeconds
from ..kit.context import Call, Caller
from ..kit.dry_run import shortened
from ..kit.mcp_tasks.followers import FOLLOWERS, Followed
from ..kit.pages import page_of
from ..kit.purchase import Purchase, Submitted, carry_out, destruction
from ..kit.same_call import JOINERS, Joiner
from ..kit.saved_files import SavedFile, keep_content
from ..kit.toolset import DESTROYS, READS, SPENDS, WRITES, ToolResult, Toolset
from .own import own_batches, own_file, own_files, refuse_strangers
from .results import BatchResult, answer_batch, planned_batch, started_batch, tokens_of
from .wishes import too_few, with_wishes

batches = Toolset("batches", "Run thousands of prompts as one batch.")

BatchId = Annotated[str, Field(description="Id that create_batch gave.")]
FileId = Annotated[str, Field(description="Id that list_files shows.")]
RowsFile = Annotated[str, Field(description="Path of .jsonl or .csv.")]


@batches.tool("Create a batch", SPENDS)
async def create_batch(
    call: Call,
    rows: Annotated[
        list[dict[str, Any]] | None,
        Field(description="{prompt} or {messages}, custom_id; with system: any fields."),
    ] = None,
    file: Annotated[str | None, Field(description="Path of .jsonl or .csv, instead of rows.")] = None,
    file_id: Annotated[str | None, Field(description="Id that upload_file gave, instead of rows.")] = None,
    model: Annotated[str | None, Field(description="See list_models.")] = None,
    system: Annotated[str | None, Field(description="Instruction for every row.")] = None,
    response_schema: Annotated[
        dict[str, Any] | None, Field(description="JSON schema of each answer; its fields become columns.")
    ] = None,
    thinking: Annotated[bool | None, Field(description="Think first."), SELDOM] = None,
    options: Annotated[
        dict[str, Any] | None, Field(description="Of every row: max_tokens (default 4096), temperature.")
    ] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> BatchResult:
    """Start a bulk job (batch): run one language model over every row of a CSV, JSONL or list, thousands of rows,
    reviews or tickets, overnight at about half price, to classify, label, translate or summarise them. At most
    50,000 rows, done within 48 h. Not for a few prompts (chat), never for pictures. Costs tokens; returns a
    batch_id for get_batch.
    """
    if sum(given is not None for given in (rows, file, file_id)) != 1:
        raise InputError("Give one of rows, file and file_id")
    options = with_wishes(options, response_schema, thinking)
    if file_id is not None and (model or system or options):
        raise InputError(
            "The rows of an uploaded file go as they are: nothing can be added to them",
            next_step="Leave these out, or give the rows or their file instead of file_id.",
        )

    async def plan() -> Purchase[BatchResult]:
        await call.progress("batch: checking the rows")
        models = await listed_models_if_there(call.novita, call.app.journal)
        if file_id is not None:
            prepared = await _uploaded(call, file_id)
        else:
            prepared = await _prepared(call, models, rows, file, model, system, options)
        return _run(call, prepared, models, file_id)

    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


async def _uploaded(call: Caller, file_id: str) -> Prepared:
    """The rows of a file that was uploaded to Novita before, unchanged."""
    content = await batch_files.get_content(call.novita, (await own_file(call, file_id)).id)
    table = await to_thread.run_sync(read_table, content, file_id)
    return await to_thread.run_sync(
        partial(prepare, table, name=file_id, endpoint=endpoint_of(table), model="", as_they_are=content)
    )


async def _prepared(
    call: Caller,
    models: tuple[LlmModel, ...],
    rows: list[dict[str, Any]] | None,
    file: str | None,
    model: str | None,
    system: str | None,
    options: dict[str, Any] | None,
) -> Prepared:
    """The caller's rows as the file that would be uploaded."""
    table = numbered(rows) if rows is not None else await _table(call, file or "")
    label, kind = "rows" if file is None else _short(file), endpoint_of(table)
    if options:
        options = with_options(kind, {}, options)
    name, _ = choose_model(models, model, endpoint=ENDPOINTS[kind].removeprefix("/v1/"))
    return await to_thread.run_sync(
        partial(prepare, table, name=label, endpoint=kind, model=name, system=system, options=options)
    )


def _run(call: Caller, prepared: Prepared, models: tuple[LlmModel, ...], file_id: str | None) -> Purchase[BatchResult]:
    row = _model_of(models, prepared)
    cost = tokens_cost(models, row, prepared.prompt_tokens, prepared.most_tokens, note="at list prices, at most.")

    warning = too_few(prepared, row)
    unlisted = row is None and bool(models)
    near = nearest(prepared.model, [model.id for model in models])
    doubt = f" Novita's list does not show that model; the nearest are: {', '.join(near)}." if unlisted else ""

    async def start(paid_for: Paid) -> tuple[Job, bool]:
        progress = call.progress_of(f"batch of {counted(prepared.rows, 'row')}: uploading")
        return await start_batch(call.app.jobs, call.novita, prepared, paid_for, file_id=file_id, on_progress=progress)

    async def working(job: Job, found: bool) -> BatchResult:
        return started_batch(job, prepared, cost.usd, found=found, remark=warning)

    async def follow(job: Job, found: bool, _: float) -> BatchResult:
        return await working(job, found)  # a batch takes hours, so waiting is left to get_batch

    async def requests() -> dict[str, Any]:
        shown = planned_batch(prepared, await look_back(call.app.jobs, call.novita, prepared, file_id), call.owner)
        return {**shown, "remark": warning or None}

    return Purchase(
        answer=BatchResult,
        effect=f"Run {counted(prepared.rows, 'row')} on {prepared.model}.{doubt}{f' {warning}' if warning else ''}",
        model=prepared.model,
        title=f"{counted(prepared.rows, 'row')} {prepared.model.rpartition('/')[2]}",
        cost=cost,
        sending=Submitted(start=start, working=working, follow=follow),
        dry_run=requests,
        dry_run_note=tokens_of(prepared),
        about=f"rows {prepared.sha[:16]}",
        always_asks=unlisted,
    )


async def _table(call: Caller, file: str) -> list[tuple[int, dict[str, Any]]]:
    source = await call.inputs.load(file, "text")
    return await to_thread.run_sync(read_table, await source.read(), _short(file))


def _short(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2][:80] or "file"


def _model_of(models: tuple[LlmModel, ...], prepared: Prepared) -> LlmModel | None:
    """The row of the price list for a batch's model.

    Raises:
        UnknownModelError, InputError: The model's id is misspelt, or the model cannot do what the rows ask.
    """
    try:
        model = find_model(models, prepared.model)
    except UnknownModelError:
        return None  # without a list only Novita can tell whether the model exists
    if model.id != prepared.model:
        raise UnknownModelError(f"{prepared.model!r} is spelled {model.id!r}; ids are case-sensitive in a batch")
    route = ENDPOINTS[prepared.endpoint].removeprefix("/v1/")
    if clashes(model, route):
        raise InputError(f"{model.id} is not served by {route} but by {', '.join(model.endpoints)}")
    missing = lacks(model, prepared.media)
    if missing:
        raise InputError(f"{model.id} does not take {' or '.join(missing)} input, which some rows hold")
    prepared.extremes.refuse(model)
    return model


async def price_row(call: Caller, model_id: str) -> LlmModel | None:
    """The price list's row for a model, or None if there is no such row."""
    models = await listed_models_if_there(call.novita, call.app.journal)
    return next((model for model in models if model.id == model_id), None)


async def follow_batch(call: Caller, batch_id: str, *, budget: float) -> runs.BatchDelivery:
    """Wait for a batch and fetch its results."""

    async def price_of(model_id: str) -> LlmModel | None:
        return await price_row(call, model_id)

    await refuse_strangers(call, batch_id)
    return await runs.bring_batch(
        call.app.jobs,
        call.novita,
        batch_id,
        budget=budget,
        price_of=price_of,
        on_progress=call.progress_of(f"batch {batch_id}"),
    )


@batches.tool("Get a batch", READS)
async def get_batch(call: Call, batch_id: BatchId, wait_seconds: WaitSeconds = None) -> BatchResult:
    """How far is a bulk job (batch), is it done, and what are its answers? Waits, then returns progress, counts,
    the first rows and a file of all rows matched to their answers, failed ones apart. Repeat while working. Free.
    """
    budget = call.app.settings.wait_seconds if wait_seconds is None else wait_seconds
    delivery = await follow_batch(call, batch_id, budget=budget)
    call.asks_after = delivery.job.key
    return await answer_batch(call, delivery)


class BatchLine(BaseModel):
    """One batch in a list."""

    batch_id: str = Field(description="For get_batch.")
    state: str = Field(description="Novita's own word.")
    total: int = Field(description="Rows.")
    completed: int = Field(description="Answered.")
    failed: int = Field(description="Failed.")
    created: datetime | None = Field(default=None, description="UTC.")
    input_file_id: str | None = Field(default=None, description="Its rows.")
    output_file_id: str | None = Field(default=None, description="Its answers.")


class BatchList(ToolResult):
    """Batches, newest first."""

    batches: tuple[BatchLine, ...] = Field(description="Newest first.")
    total: int = Field(description="How many Novita listed.")
    next_offset: int | None = Field(default=None, description="Give it as offset for more.")
    more_at_novita: bool | None = Field(default=None, description="Novita has older ones it does not list.")

    def headline(self) -> str:
        return f"{len(self.batches)} of {counted(self.total, 'batch')}."


@batches.tool("List batches", READS)
async def list_batches(
    call: Call,
    limit: Annotated[int, Field(le=100, description="At most 100."), SELDOM] = 20,
    offset: Offset = 0,
) -> BatchList:
    """List all my bulk jobs or bulk runs (batches) so far: status of each, still going, finished or failed, with
    ids, counts and dates, newest first. The answers of one: get_batch. Free.
    """
    found, more = await own_batches(call)
    page = page_of(found, offset, limit)
    return BatchList(
        batches=tuple(
            BatchLine(
                batch_id=batch.id,
                state=batch.status,
                total=batch.total,
                completed=batch.completed,
                failed=batch.failed,
                created=batch.created_at,
                input_file_id=batch.input_file_id or None,
                output_file_id=batch.output_file_id or None,
            )
            for batch in page.rows
        ),
        total=page.total,
        next_offset=page.next_offset,
        more_at_novita=True if more else None,
    )


@batches.tool("Cancel a batch", DESTROYS)
async def cancel_batch(call: Call, batch_id: BatchId, confirm: Agreed = False) -> BatchResult:
    """Cancel, stop, abort or call off a bulk job or run (batch), as after a mistake; asks first. It cannot be
    resumed. Costs nothing more, but answers made so far may be lost and billed. Returns its counts.
    """

    async def stop() -> BatchResult:
        stopped = await runs.cancel_batch(call.novita, batch_id)
        await forget_rows(call.app.journal, call.owner, stopped.id)
        return BatchResult(
            status="cancelled" if stopped.phase is runs.Phase.CANCELLED else "cancelling",
            batch_id=stopped.id,
            state=stopped.status,
            total=stopped.total,
            next_step="get_batch shows when it has stopped and what it made.",
        )

    async def plan() -> Purchase[BatchResult]:
        await refuse_strangers(call, batch_id)
        batch = await runs.get_batch(call.novita, batch_id)
        if batch.phase is not runs.Phase.WORKING:
            raise InputError(f"Batch {batch_id} is {batch.status} already", next_step="get_batch shows what it made.")
        done = batch.completed + batch.failed
        question = f"Stop batch {batch_id} after {done} of {counted(batch.total, 'row')}?"
        return destruction(BatchResult, question, model="batch", about=f"cancel {batch_id}", act=stop)

    return await carry_out(call, plan, confirm=confirm)


class FileLine(ToolResult):
    """One file at Novita."""

    file_id: str = Field(description="For create_batch, get_file_content, delete_file.")
    name: str = Field(description="File name.")
    bytes: int = Field(description="Size.")
    purpose: str = Field(description="batch: rows; batch_output: answers.")
    requests: int | None = Field(default=None, description="Rows in it.")
    created: datetime | None = Field(default=None, description="UTC.")
    expires: datetime | None = Field(default=None, description="UTC; inputs are kept 15 days, results 30.")


def _line(file: batch_files.BatchFile) -> FileLine:
    return FileLine(
        file_id=file.id,
        name=file.filename,
        bytes=file.bytes,
        purpose=file.purpose,
        requests=file.metadata.total_requests or None,
        created=file.created_at,
        expires=file.expires_at,
    )


@batches.tool("Upload a batch file", WRITES)
async def upload_file(
    call: Call, file: RowsFile, model: Annotated[str | None, Field(description="For rows without one."), SELDOM] = None
) -> FileLine:
    """Upload, send or put up a JSONL or CSV file of prompts to Novita, checked first, so that create_batch can use
    it. Not needed where create_batch takes the rows. Free; returns a file_id.
    """
    await call.progress("file: checking the rows")
    models = await listed_models_if_there(call.novita, call.app.journal)
    table = await _table(call, file)
    kind = endpoint_of(table)
    name, _ = choose_model(models, model, endpoint=ENDPOINTS[kind].removeprefix("/v1/"))
    prepared = await to_thread.run_sync(partial(prepare, table, name=_short(file), endpoint=kind, model=name))
    _model_of(models, prepared)
    return _line(await batch_files.upload(call.novita, prepared.file_name(call.owner), prepared.data))


class FileList(ToolResult):
    """Files, newest first."""

    files: tuple[FileLine, ...] = Field(description="Newest first.")
    total: int = Field(description="How many there are.")
    next_offset: int | None = Field(default=None, description="Give it as offset for more.")

    def headline(self) -> str:
        return f"{len(self.files)} of {counted(self.total, 'file')}."


@batches.tool("List files", READS)
async def list_files(
    call: Call,
    limit: Annotated[int, Field(le=100, description="At most 100."), SELDOM] = 20,
    offset: Offset = 0,
) -> FileList:
    """List all files stored at Novita on my account: what have I uploaded, inputs and outputs of batches, with
    name, size, date and file_id. Pictures and clips made here: list_tasks. Free.
    """
    page = page_of(await own_files(call), offset, limit)
    files = tuple(_line(file) for file in page.rows)
    return FileList(files=files, total=page.total, next_offset=page.next_offset)


@batches.tool("Get a file", READS)
async def get_file(call: Call, file_id: FileId) -> FileLine:
    """Details of one uploaded or batch file: its name, how big, how many rows, when it was uploaded and expires. What
    is in it: get_file_content. Free.
    """
    return _line(await own_file(call, file_id))


class FileContent(ToolResult):
    """The content of a file."""

    file_id: str = Field(description="Which.")
    bytes: int = Field(description="Size.")
    lines: int = Field(description="Lines in all.")
    text: str = Field(description="Lines, whole where they fit.")
    next_line: int | None = Field(default=None, description="Give it as line to read on.")
    file: SavedFile | None = Field(default=None, description="All of it.")


_SHOWN = 6_000


@batches.tool("Get a file's content", READS)
async def get_file_content(
    call: Call,
    file_id: FileId,
    line: Annotated[int, Field(description="First line to show.")] = 1,
    save_to: Annotated[SaveTo, SELDOM] = None,
) -> FileContent:
    """Download, open, read or show what is in an uploaded JSONL file, or in the output or error file of a batch. Free;
    saves it and shows some lines.
    """
    data = await batch_files.get_content(call.novita, (await own_file(call, file_id)).id)
    lines = data.decode("utf-8", "replace").split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    shown, size, start = list[str](), 0, max(0, line - 1)
    for one in lines[start:]:
        size += len(one) + 1
        if size > _SHOWN and shown:
            break
        shown.append(shortened(one, _SHOWN))
    after = start + len(shown)
    saved = None
    if save_to is not None or (after < len(lines) and start == 0):
        saved = await keep_content(call, file_id, data, save_to)
    return FileContent(
        file_id=file_id,
        bytes=len(data),
        lines=len(lines),
        text="\n".join(shown),
        next_line=after + 1 if after < len(lines) else None,
        file=saved,
    )


class DeletedFile(ToolResult):
    """Whether the file is deleted."""

    status: Literal["deleted", "needs_confirmation"] = Field(description="needs_confirmation: nothing was done yet.")
    file_id: str | None = Field(default=None, description="Which.")
    model: str | None = Field(default=None, description="What the question is about.")
    estimated_cost_usd: str | None = Field(default=None, description="Of deleting: 0.")
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        return "It is deleted." if self.status == "deleted" else "Nothing was done yet."


@batches.tool("Delete a file", DESTROYS)
async def delete_file(call: Call, file_id: FileId, confirm: Agreed = False) -> DeletedFile:
    """Delete, remove or get rid of one file or dataset stored at Novita, such as an old JSONL upload or a batch's
    output, for good; asks first. Free; says whether it is gone.
    """

    async def delete() -> DeletedFile:
        await batch_files.delete_file(call.novita, file_id)
        return DeletedFile(status="deleted", file_id=file_id)

    async def plan() -> Purchase[DeletedFile]:
        file = await own_file(call, file_id)
        question = f"Delete {file.filename} ({counted(file.bytes, 'byte')}, {file.purpose}) for good?"
        return destruction(DeletedFile, question, model="file", about=f"delete {file_id}", act=delete)

    return await carry_out(call, plan, confirm=confirm)


class BatchFollower:
    """Batches handed over as MCP tasks. Cancelling such a task leaves the batch running: cancel_batch stops it."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        delivery = await follow_batch(caller, job_id, budget=0)
        result = await answer_batch(caller, delivery)
        if result.status not in ("working", "cancelling"):
            return Followed("completed", result.to_mcp())
        percent = f", {result.progress_percent:.0f} %" if result.progress_percent else ""
        return Followed("working", note=f"batch {job_id} is {result.state or 'running'}{percent}")

    async def cancel(self, caller: Caller, job_id: str) -> None:
        return None


FOLLOWERS["batch"] = BatchFollower()


async def _join(caller: Caller, job: Job, _: float) -> BatchResult | None:
    """The answer to a repeated create_batch: the present state of the batch that the first call made.

    None if that batch was told to stop since. A batch takes hours, so waiting is left to get_batch.
    """
    result = await answer_batch(caller, await follow_batch(caller, job.task_id or job.key, budget=0))
    return None if result.status in ("cancelling", "cancelled") else result


JOINERS["batch"] = Joiner(_join, BatchResult, JoinRule(runs_for=50 * 3_600.0, lost=False))
