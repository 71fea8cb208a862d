"""The answer of every tool that makes media, and how it is made from a delivered job."""

from collections.abc import Collection
from itertools import accumulate
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PrivateAttr, WithJsonSchema

from ...novita.core.errors import ArtifactError
from ...novita.core.money import show_price
from ...novita.core.words import counted
from ...novita.files import pyav
from ...novita.files.artifacts import Artifact
from ...novita.journal.facts import MediaFacts
from ...novita.journal.journal import Job, JobState
from ...novita.media.deliveries import Delivery
from ...novita.media.jobs import refuse_failed
from ..kit.context import Caller
from ..kit.pictures import seen_of
from ..kit.toolset import CountedUsd, ToolResult, plain
from .parts import media_jobs

MOST_LISTED = 18_000
"""How many characters of an answer its list of files may take. `LONGEST_ANSWER` bounds the whole."""
LEARNT = ("mime", "bytes", "sha256", "width", "height", "duration_seconds")
"""Fields of an artifact that become known when its file is read."""
MOST_SHOWN = 16
"""How many pictures of one result are shown as thumbnails."""

_FOR_PROGRAMS = ("task_id", "url", "expires_at", "sha256", "bytes", "mime")

Status = Literal["succeeded", "incomplete", "working", "unconfirmed", "needs_confirmation", "dry_run"]


class OneFile(BaseModel):
    """One of many files that a call was for."""

    file: str = Field(description="Its name.")
    status: Literal["done", "made before", "incomplete", "working", "failed", "not begun"] = Field(
        description="How far it is."
    )
    task_id: str | None = Field(default=None, description="Names what was made: task:<id>/<n>.")
    made: tuple[str, ...] = Field(default=(), description="Its files: path, resource or link.")
    text: str | None = Field(default=None, description="Text that was made, its beginning.")
    reason: str | None = Field(default=None, description="Why it failed.")


Each = Annotated[
    tuple[OneFile, ...] | None, WithJsonSchema({"type": "array", "items": {"type": "object"}}, mode="serialization")
]
"""In the listed schema its fields are left out, because a dozen tools would repeat them."""


class MediaResult(ToolResult):
    """Finished media, or where they stand."""

    status: Status = Field(
        description="incomplete: made, but not all is here. working: not finished. unconfirmed: may not be accepted."
    )
    task_id: str | None = Field(default=None, description="Give it to get_task, or use task:<id>/<n> as an input.")
    model: str | None = Field(default=None, description="The model that made it.")
    remark: str | None = Field(default=None, description="What differs from what was asked for.")
    artifacts: tuple[Artifact, ...] = Field(default=(), description="The finished files.")
    each: Each = Field(default=None, description="Of many files, a line each.")
    missing: int | None = Field(default=None, description="How many files that were asked for were not made.")
    not_here: int | None = Field(default=None, description="How many files that were made could not be brought here.")
    text: str | None = Field(default=None, description="Text that was made; the rest of a long one is in its file.")
    seed: int | None = Field(default=None, description="Seed that was used.")
    values: dict[str, str] | None = Field(default=None, description="Results that are not files, such as a voice_id.")
    progress_percent: float | None = Field(default=None, description="Progress, where Novita tells it.")
    eta_seconds: float | None = Field(default=None, description="Seconds left, where Novita tells them.")
    estimated_cost_usd: str | None = Field(default=None, description="Estimated cost in USD, or 'unknown'.")
    counted_usd: CountedUsd = None
    next_step: str | None = Field(default=None, description="What to do now.")
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")
    _unlisted: int = PrivateAttr(0)
    _fetching: bool = PrivateAttr(default=False)

    def within_answer(self) -> "MediaResult":
        """This result with no more files than an answer has room for. It says how many are left out."""
        sizes = (len(plain(each.model_dump(mode="json", exclude_none=True))) + 40 for each in self.artifacts)
        listed = sum(taken <= MOST_LISTED for taken in accumulate(sizes))
        last = len(self.artifacts) - 1
        if listed > last:
            return self
        rest = f"Files {listed} to {last} are not listed here: novita://tasks/{self.task_id} lists all."
        short = self.model_copy(
            update={"artifacts": self.artifacts[:listed], "next_step": " ".join(filter(None, (self.next_step, rest)))}
        )
        short._unlisted = len(self.artifacts) - listed
        return short

    _total: int = PrivateAttr(default=0)

    def headline(self) -> str:
        return " ".join(part for part in (self.remark, self._how_it_stands()) if part)

    def for_reading(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields without what the text does not need. For a saved file these are the link, its expiry, the
        checksum, size and type; programs find them in the structured answer.

        If several pictures come from one request, its seed is left out, because it does not belong to each of them.
        """
        files = [
            {name: value for name, value in each.items() if name not in _FOR_PROGRAMS} if each.get("path") else each
            for each in fields.get("artifacts", [])
        ]
        shown = {**fields, "artifacts": files} if files else fields
        if self.seed is not None and len(self.artifacts) > 1:
            shown = {**shown, "seed": f"{self.seed}, of all {len(self.artifacts)} together; it repeats no single one"}
        return shown

    def take_pictures(self, other: "MediaResult") -> None:
        """Show the pictures of another answer too, as far as there is room."""
        self.show(other._pictures[: max(0, MOST_SHOWN - len(self._pictures))])

    def _how_it_stands(self) -> str:
        if self.each is not None:
            states = [one.status for one in self.each]
            made = states.count("done") + states.count("made before")
            others = ("made before", "incomplete", "working", "failed", "not begun")
            said = [f"{made} of {counted(len(states), 'file')} {'is' if len(states) == 1 else 'are'} done"]
            return ", ".join([*said, *(f"{states.count(one)} {one}" for one in others if one in states)]) + "."
        match self.status:
            case "succeeded" | "incomplete":
                return f"{self._made()}{f' from {self.model}' if self.model else ''}."
            case "working" if self._fetching:
                return f"Made and paid for; the files of task {self.task_id} are still on their way to this machine."
            case "working" if self.estimated_cost_usd == "0" and not self.model:
                return f"Not finished yet: task {self.task_id} goes on on this machine, and costs nothing."
            case "working":
                return f"Not finished yet: task {self.task_id} goes on at Novita and is already paid for."
            case "unconfirmed":
                return "Nobody knows whether Novita accepted this request."
            case "needs_confirmation" | "dry_run":
                return "Nothing was sent yet."

    def _made(self) -> str:
        """Says which files there are; what is missing is named first."""
        count = len(self.artifacts) + self._unlisted
        listed = f" (the first {len(self.artifacts)} listed)" if self._unlisted else ""
        if self.not_here:
            of_all = f"{self.not_here} of {counted(self._total or count, 'file')}"
            return f"Not all is here: {of_all} could not be brought home{listed}"
        if self.missing:
            return f"Less than asked for: {count} of {counted(count + self.missing, 'file')}{listed}"
        if count:
            return f"{counted(count, 'file')}{listed}"
        return "Done" if self.text or self.values else "Nothing was made"


async def deliver(caller: Caller, job: Job, budget: float) -> MediaResult:
    """Wait up to `budget` seconds for a submitted media job, and answer with its present state.

    Raises:
        TaskFailedError: The job ended without files.
    """
    working = job.state is JobState.WORKING and job.task_id
    if working and budget <= 0:
        return await answer(caller, Delivery(job))
    what = f"{job.model}: task {job.task_id}" if working else f"{job.model}: {job.task_id or job.key[:12]}"
    delivery = await caller.app.part(media_jobs).bring(
        caller.novita, job.task_id or job.key, budget=budget, on_progress=caller.progress_of(what)
    )
    return await answer(caller, delivery)


async def answer(caller: Caller, delivery: Delivery) -> MediaResult:
    """The answer about a job in its present state, with thumbnails of its pictures."""
    result = (await whole_answer(caller, delivery)).within_answer()
    if caller.app.settings.thumbnails:
        pictures = [each for each in delivery.job.artifacts if each.kind in ("image", "video")]
        seen, shown = await seen_of(pictures[:MOST_SHOWN], caller, coming=delivery.fetching)
        result.show(shown)
        learnt = {each.index: {name: getattr(each, name) for name in LEARNT} for each in seen}
        known = [each.model_copy(update=learnt.get(each.index, {})) for each in result.artifacts]
        result.artifacts = tuple(known)
        if any(each.kind == "video" for each in pictures) and not pyav.is_here():
            result.next_step = f"{result.next_step or ''} No frame of it is shown: {pyav.NOT_HERE}.".strip()
    return result


async def whole_answer(caller: Caller, delivery: Delivery) -> MediaResult:
    """The same with all files, for resources, whose length is not limited."""
    refuse_failed(delivery.job)
    store, whole = caller.app.jobs.store, delivery.job
    _refuse_lost(delivery)
    here = [artifact for artifact in whole.artifacts if artifact.index not in delivery.lost]
    away = [artifact for artifact in here if store.saves and artifact.url and not store.holds(artifact)]
    held = {artifact.index for artifact in here if store.in_memory(artifact) is not None}
    why = "It is still being fetched" if delivery.fetching else "It could not be saved here"
    unsaved = {"path": None, "note": f"{why}; its link works while it lives."}
    here = [artifact.model_copy(update=unsaved) if artifact in away else artifact for artifact in here]
    job = whole.model_copy(update={"artifacts": tuple([await store.present(each) for each in here])})
    told = job.facts_as(MediaFacts)
    asked = (told.asked or 0) if job.state is JobState.SUCCEEDED else 0
    over = job.state is JobState.SUCCEEDED and not delivery.fetching
    not_here = len(away) + len(held) + len(delivery.lost) if over else 0
    result = MediaResult(
        status="working" if delivery.fetching else "incomplete" if not_here else _status(job),
        task_id=job.task_id or job.key[:12],
        model=job.model or None,
        remark=told.remark,
        artifacts=tuple(
            _shown(caller, artifact)
            for artifact in job.artifacts
            if artifact.path or artifact.url or artifact.index in held
        ),
        missing=max(0, asked - len(whole.artifacts)) or None,
        not_here=not_here or None,
        text="\n".join(artifact.note for artifact in job.artifacts if artifact.kind == "text" and artifact.note)
        or None,
        seed=told.seed,
        values=told.values,
        progress_percent=delivery.progress,
        eta_seconds=delivery.eta,
        estimated_cost_usd=None if job.tool == "get_task" else show_price(job.estimate),
        next_step=_in_memory_step(held) or _next_step(job, delivery),
    )
    # Only the headline uses these.
    result._total, result._fetching = len(whole.artifacts), delivery.fetching  # pyright: ignore[reportPrivateUsage]
    return result


def _in_memory_step(held: Collection[int]) -> str:
    """What to do about files that could not be saved and are only in memory; empty if there are none."""
    if not held:
        return ""
    return (
        f"File {', '.join(map(str, sorted(held)))} could be saved nowhere and is only in this server's memory until it "
        "ends. Tell the user now: once there is room, or the folder is mended, get_task with this task_id saves it. "
        "Nothing is paid twice."
    )


def _shown(caller: Caller, artifact: Artifact) -> Artifact:
    """The artifact as this caller can use it. A remote caller gets no path, but can read the resource."""
    if artifact.kind == "text":
        artifact = artifact.model_copy(update={"note": None})
    if artifact.path is None or not caller.app.settings.http:
        return artifact
    where = f"Read it as novita://artifacts/{artifact.task_id}/{artifact.index}."
    return artifact.model_copy(update={"path": None, "note": where})


def _status(job: Job) -> Status:
    match job.state:
        case JobState.SUCCEEDED:
            return "succeeded"
        case JobState.UNCONFIRMED:
            return "unconfirmed"
        case _:
            return "working"


def _refuse_lost(delivery: Delivery) -> None:
    """Raise an error if all files of a finished job are lost."""
    job = delivery.job
    if delivery.lost and len(delivery.lost) == len(job.artifacts) and job.state is JobState.SUCCEEDED:
        # If a request makes several pictures, its seed makes none of them alone.
        seed = job.facts_as(MediaFacts).seed if len(job.artifacts) == 1 else None
        raise ArtifactError(
            f"What task {job.task_id} made is gone: it is no longer on this machine, and Novita no longer gives it out",
            next_step="It cannot be had again. Make it anew only if the user agrees to pay again"
            + (f"; seed {seed} gives the same." if seed is not None else "."),
        )


def _next_step(job: Job, delivery: Delivery) -> str:
    if delivery.fetching:
        return f"Call get_task with task_id {job.task_id} in a moment to get them; do not ask for it again."
    if delivery.lost:
        gone = ", ".join(str(index) for index in delivery.lost)
        return f"File {gone} is gone for good: neither on this machine nor given out by Novita."
    if delivery.empty:
        return (
            f"Novita says that task {job.task_id} succeeded, but lists no files yet. Call get_task with this task_id "
            "in a minute; if nothing comes within ten minutes, it made nothing. It is paid for: do not ask again."
        )
    if delivery.trouble:
        return f"{delivery.trouble} Call get_task with this task_id to fetch it again; nothing is paid twice."
    match job.state:
        case JobState.UNCONFIRMED:
            return (
                f"{job.reason} Compare get_balance with what you expect before asking again; "
                "this server never repeats a paid request by itself."
            )
        case JobState.SUCCEEDED:
            values = job.facts_as(MediaFacts).values or {}
            if voice := values.get("voice_id"):
                return f'To speak with it: generate_speech(text=..., voice="{voice}"), on a model that knows it.'
            if any(artifact.path for artifact in job.artifacts):
                return f"Show the user the files. As input for another tool use task:{job.task_id}/0."
            if any(artifact.url for artifact in job.artifacts):
                if job.facts_as(MediaFacts).mode == "sync":
                    return "Links expire, and these nobody can renew: download what should be kept."
                return "Links expire: download what should be kept. get_task renews them while Novita keeps the task."
            return "Done."
        case _:
            again = f"Call get_task with task_id {job.task_id or job.key[:12]} to wait on; do not ask for it again."
            return f"{delivery.unasked} {again}".strip()
