"""Jobs: everything paid for, from before it is sent until its files are on disk.

A submit runs in the background of the process, not of the call: a caller that goes away stops waiting at once
while the answer, and with it the task id, still reaches the journal. Media jobs are brought home here too; other
kinds (instances, batches) bring their own look and share `submit` and the waiting helper.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel

from . import media
from .artifacts import Artifact, ArtifactStore, NameHint
from .client import LOOK_FIRST, NovitaClient
from .clock import Clock, SystemClock
from .errors import (
    ArtifactError,
    InputError,
    JournalError,
    NovitaConnectionError,
    NovitaError,
    TaskFailedError,
    api_error,
)
from .journal import OPEN_STATES, Caps, Job, JobState, Journal
from .mapping import Plan
from .media import Accepted, Outcome, Output
from .media_types import media_type
from .waiting import HEARTBEAT, Look, Nudge, OnProgress, Pace, Phase, Progress, alongside, wait_until_done

T = TypeVar("T")
logger = logging.getLogger(__name__)

LONGEST_TEXT = 8_000
"""Characters of a made text kept in the journal and shown; a longer one is saved as a file too."""

FINAL = (JobState.SUCCEEDED, JobState.FAILED, JobState.REFUSED, JobState.CANCELLED)


@dataclass(frozen=True)
class Delivery:
    """A job as far as it has come. `progress` and `eta` are of the last look; `trouble` is what kept files away."""

    job: Job
    progress: float | None = None
    eta: float | None = None
    trouble: str = ""


@dataclass
class Tally:
    """What a call that is awaited directly has made so far; the call keeps it true, so that any end is noted rightly.

    Args:
        usd: What it cost; None leaves the estimate.
        text: What it wrote; kept as a file where the caller does not live to see it.
        trouble: Why it ended early, where it did without raising.
    """

    usd: Decimal | None = None
    text: str = ""
    trouble: str = ""
    artifacts: list[Artifact] = field(default_factory=list[Artifact])
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass
class Jobs:
    """Runs paid jobs.

    Args:
        background: Where submits run on when their callers have gone; it ends with the process.
        strangers: Callers have nothing to do with each other: nobody gets at a task that the journal knows as
            another's, whatever Novita would say. Alone, a user may have changed keys.
    """

    journal: Journal
    store: ArtifactStore
    background: anyio.abc.TaskGroup
    clock: Clock = field(default_factory=SystemClock)
    caps: Caps = field(default_factory=Caps)
    strangers: bool = False

    def __post_init__(self) -> None:
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}
        self._nudges: dict[tuple[str, str], list[Nudge]] = {}

    async def submit(
        self,
        *,
        owner: str,
        kind: str,
        tool: str,
        model: str,
        title: str,
        estimate: Decimal | None,
        send: Callable[[Job], Awaitable[T]],
        note: Callable[[Job, T], Awaitable[Job]],
        facts: dict[str, Any] | None = None,
        units: int = 1,
        on_progress: OnProgress | None = None,
    ) -> tuple[Job, T]:
        """Note a paid job, send it once, note what came back.

        Args:
            units: How many things it buys; counts where there is no estimate.
            send: Makes the one paid call.
            note: Writes the answer into the journal (the task id, or the finished files).

        Raises:
            NovitaError: Whatever `send` raised; the row says "refused" or "unconfirmed" by its `billed`.
        """
        job = await self.journal.begin(
            owner=owner,
            kind=kind,
            tool=tool,
            model=model,
            title=title,
            estimate=estimate,
            caps=self.caps,
            facts=facts,
            units=units,
        )
        try:
            await anyio.lowlevel.checkpoint()
        except BaseException:  # cancelled while the row was written: nothing is sent for a caller that has gone
            with anyio.CancelScope(shield=True):
                reason = "Cancelled before it was sent; nothing was billed."
                await self.journal.finish(job.key, JobState.CANCELLED, reason=reason, counted=Decimal(0))
            raise

        async def paid() -> tuple[Job, T]:
            try:
                answer = await send(job)
            except NovitaError as error:
                # An error that does not say counts as money possibly gone.
                state = JobState.REFUSED if error.billed == "no" else JobState.UNCONFIRMED
                ended = await self._end(job, state, str(error))
                if ended and state is JobState.UNCONFIRMED:
                    error.next_step = f"{error.next_step} It is noted in list_tasks as {job.key[:12]}.".strip()
                raise
            except Exception:
                await self._end(job, JobState.UNCONFIRMED, "A fault in this server; see its log.")
                raise
            # Not even the end of the process may come between an answer and its row.
            noted = job
            with anyio.CancelScope(shield=True):
                noted = await self._noted(job, answer, note)
            return noted, answer

        return await self._in_background(paid, on_progress)

    async def _noted(self, job: Job, answer: T, note: Callable[[Job, T], Awaitable[Job]]) -> Job:
        """Note an answer. What cannot be noted is told instead: it is paid for."""
        try:
            return await note(job, answer)
        except NovitaError as error:
            error.billed = "yes"
            if isinstance(answer, Accepted):
                error.next_step = f"Novita took it as task {answer.task_id}: get_task fetches it. {error.next_step}"
                state = JobState.UNCONFIRMED
            else:
                state = JobState.FAILED
            await self._end(job, state, str(error))
            raise

    async def _end(self, job: Job, state: JobState, reason: str) -> bool:
        """Note how a submit ended; what is to be told about it matters more than a journal that fails."""
        try:
            await self.journal.finish(job.key, state, reason=reason)
        except JournalError as error:
            logger.warning("the end of %s was not noted: %s", job.key[:12], error)
            return False
        return True

    async def call(
        self,
        *,
        owner: str,
        tool: str,
        model: str,
        title: str,
        estimate: Decimal | None,
        work: Callable[[Job, Tally], Awaitable[T]],
        facts: dict[str, Any] | None = None,
        units: int = 1,
    ) -> tuple[Job, T]:
        """Note a paid call and make it here and now, as text calls are: a cancelled caller takes it along.

        Unlike `submit` nothing survives the caller, so that a broken-off stream stops costing at once. However it
        ends, the row says what it cost by `work`'s own tally.

        Args:
            units: As `submit`.

        Raises:
            NovitaError: Whatever `work` raised; SpendRefusedError: a cap.
        """
        job = await self.journal.begin(
            owner=owner,
            kind="call",
            tool=tool,
            model=model,
            title=title,
            estimate=estimate,
            caps=self.caps,
            facts=facts,
            units=units,
        )
        tally = Tally()
        try:
            value = await work(job, tally)
        except NovitaError as error:
            refused = error.billed == "no" and tally.usd is None
            state = JobState.REFUSED if refused else JobState.FAILED if tally.usd is not None else JobState.UNCONFIRMED
            await self._end_call(job, tally, state, str(error))
            raise
        except Exception:
            await self._end_call(job, tally, JobState.UNCONFIRMED, "A fault in this server; see its log.")
            raise
        except BaseException:  # cancelled: a few milliseconds of our own disk, then out
            with anyio.CancelScope(shield=True):
                await self._keep_text(job, tally)
                await self._end_call(job, tally, JobState.CANCELLED, tally.trouble or "Cancelled by the caller.")
            raise
        state = JobState.FAILED if tally.trouble else JobState.SUCCEEDED
        return await self._end_call(job, tally, state, tally.trouble), value

    async def _end_call(self, job: Job, tally: Tally, state: JobState, reason: str) -> Job:
        facts = dict(tally.facts)
        if tally.usd is not None:
            facts["usd"] = f"{tally.usd.normalize():f}"
        return await self.journal.finish(
            job.key,
            state,
            reason=reason,
            task_id=call_id(job) if tally.artifacts else None,
            artifacts=tally.artifacts or None,
            counted=tally.usd,
            **facts,
        )

    async def _keep_text(self, job: Job, tally: Tally) -> None:
        """Save what was written before the caller went."""
        if not tally.text or tally.artifacts:
            return
        artifact = Artifact(task_id=call_id(job), index=0, kind="text")
        try:
            saved = await self.store.save_text(tally.text, artifact, suffix=".txt", name=self._name(job, 0))
        except (ArtifactError, InputError) as error:
            logger.warning("the text of a cancelled call was not kept: %s", error)
            return
        tally.artifacts.append(saved)

    async def _in_background(self, work: Callable[[], Awaitable[T]], on_progress: OnProgress | None) -> T:
        """Run `work` so that it survives the caller; the caller waits, with signs of life."""
        done = anyio.Event()
        value: list[T] = []
        trouble: list[Exception] = []

        async def run() -> None:
            try:
                value.append(await work())
            except Exception as error:  # handed to the caller, or logged where the caller has gone
                trouble.append(error)
                if caller_gone:
                    logger.warning("a submit whose caller had gone ended with: %s", error)
            finally:
                done.set()

        caller_gone = False
        self.background.start_soon(run)
        started = self.clock.now()
        try:
            while not done.is_set():
                with anyio.move_on_after(HEARTBEAT):
                    await done.wait()
                if on_progress is not None and not done.is_set():
                    await on_progress(Progress(self.clock.now() - started, None, None, "sent; waiting for the answer"))
        except BaseException:
            caller_gone = True
            raise
        if trouble:
            raise trouble[0]
        if not value:
            raise NovitaConnectionError("This server is stopping", billed="maybe", next_step=LOOK_FIRST)
        return value[0]

    # Media

    async def start_media(
        self,
        client: NovitaClient,
        plan: Plan,
        *,
        tool: str,
        title: str,
        save_to: str | None = None,
        on_progress: OnProgress | None = None,
        on_accepted: Callable[[str], None] | None = None,
    ) -> Job:
        """Submit a planned media request; ends when its task id is known, or its files where they come at once.

        Args:
            on_accepted: Told the task id, even if the caller has gone by then.
        """

        async def note(job: Job, answer: Accepted | Outcome) -> Job:
            if isinstance(answer, Accepted):
                if on_accepted is not None:
                    on_accepted(answer.task_id)
                return await self.journal.accepted(job.key, answer.task_id)
            return await self._keep_outcome(job, f"sync-{job.key[:16]}", answer)

        async def send(_: Job) -> Accepted | Outcome:
            return await media.submit(client, plan)

        facts: dict[str, Any] = {"operation": plan.model.operation, "save_to": save_to, "mode": plan.model.mode}
        if plan.seed is not None:
            facts["seed"] = plan.seed
        if plan.model.answer[0].form == "task_v2":
            facts["look"] = "v2"
        job, _ = await self.submit(
            owner=client.owner,
            kind="media",
            tool=tool,
            model=plan.model.id,
            title=title,
            estimate=plan.estimate.usd,
            send=send,
            note=note,
            facts=facts,
            on_progress=on_progress,
        )
        return job

    async def bring_media(
        self, client: NovitaClient, task_id: str, *, budget: float, on_progress: OnProgress | None = None
    ) -> Delivery:
        """Wait up to `budget` seconds for a media task and fetch its files; the same call continues after any break.

        Ids that this journal never saw work too, for as long as Novita knows them.

        Raises:
            NotFoundError: Novita does not know the task. NovitaError: a fault that will not pass.
        """
        job = await self.journal.find(client.owner, task_id)
        if job is None and self.strangers and await self.journal.is_strangers(client.owner, task_id):
            raise no_such_task(task_id)
        if job is not None and job.kind != "media":
            raise _no_media(job, task_id)
        if job is not None and (job.task_id is None or (job.state in FINAL and not self._to_fetch(job))):
            return Delivery(job)
        if job is not None and job.state is JobState.SUCCEEDED:
            delivery = await self._fetch_again(job, on_progress)
            if not delivery.trouble or job.facts.get("mode") == "sync":
                return delivery
        real_id = job.task_id if job is not None and job.task_id else task_id
        looking = client.for_looking()
        ask = media.look_v2 if job is not None and job.facts.get("look") == "v2" else media.look
        begun = (job.accepted or job.created).timestamp() if job else None
        working_at = begun

        async def look() -> Look[Outcome]:
            nonlocal working_at
            seen = await ask(looking, real_id)
            if seen.phase is Phase.WORKING:
                working_at = self.clock.wall()
            return seen

        with self._waiting_for(client.owner, real_id) as nudge:
            seen = await wait_until_done(
                look,
                clock=self.clock,
                pace=Pace(await self.journal.durations(job.model) if job and job.model else ()),
                budget=budget,
                age=self.clock.wall() - begun if begun else None,
                on_progress=on_progress,
                nudge=nudge,
            )
        # From here on it is short work; two callers of one task must neither save its files nor note its end twice.
        async with self.one_at_a_time(f"{client.owner}/{real_id}"):
            job = await self.journal.find(client.owner, real_id)
            if job is None and seen is None:
                raise NovitaConnectionError(
                    f"Novita could not be asked about task {real_id}", next_step="Call get_task again in a minute."
                )
            job = job or await self.journal.adopt(client.owner, real_id, kind="media", tool="get_task")
            if seen is None or seen.phase is Phase.WORKING:
                progress, eta = (seen.progress, seen.eta) if seen else (None, None)
                return Delivery(job, progress, eta)
            if seen.phase is not Phase.SUCCEEDED:
                return Delivery(await self.journal.finish(job.key, JobState.FAILED, reason=seen.reason))
            if job.state is JobState.SUCCEEDED and not self._to_fetch(job):
                return Delivery(job)
            facts: dict[str, Any] = {}
            if job.state is JobState.WORKING and begun is not None and working_at is not None:
                now = self.clock.wall()
                # A job fetched long after its end tells nothing about its length.
                if now - working_at <= max(2.0, 0.15 * (now - begun)):
                    facts["took"] = round((working_at + now) / 2 - begun, 2)
            return await self._fetch(await self._keep_outcome(job, real_id, seen.value, **facts), on_progress)

    def nudge(self, owner: str, task_id: str) -> bool:
        """Have everybody who waits for a task look at once; whether anybody does."""
        waiting = self._nudges.get((owner, task_id), [])
        for one in waiting:
            one.give()
        return bool(waiting)

    @contextmanager
    def _waiting_for(self, owner: str, task_id: str) -> Generator[Nudge]:
        mine = Nudge()
        self._nudges.setdefault((owner, task_id), []).append(mine)
        try:
            yield mine
        finally:
            self._nudges[owner, task_id].remove(mine)
            if not self._nudges[owner, task_id]:
                del self._nudges[owner, task_id]

    async def _fetch_again(self, job: Job, on_progress: OnProgress | None) -> Delivery:
        """Bring files that are missing although the job is done, by the links already known."""
        async with self.one_at_a_time(f"{job.owner}/{job.task_id}"):
            job = await self.journal.find(job.owner, job.task_id or job.key) or job
            if any(not artifact.alive(self.clock.wall()) for artifact in self._to_fetch(job)):
                return Delivery(job, trouble="The links have expired.")
            return await self._fetch(job, on_progress)

    async def artifact(self, client: NovitaClient, task_id: str, index: int) -> Artifact:
        """One finished file of an earlier task, with a live link where it has one; looks once, never waits.

        Raises:
            InputError: The task is not finished, failed, or has no such file. NotFoundError: nobody knows the task.
        """
        job = await self.journal.find(client.owner, task_id)
        if job is None or not any(a.path or a.alive(self.clock.wall()) for a in job.artifacts):
            job = (await self.bring_media(client, task_id, budget=0)).job
        if job.state is not JobState.SUCCEEDED:
            raise InputError(
                f"Task {task_id} has no files: it is {job.state}",
                next_step="Wait for it with get_task first." if job.state in OPEN_STATES else "",
            )
        for artifact in job.artifacts:
            if artifact.index == index:
                return artifact
        raise InputError(f"Task {task_id} has {len(job.artifacts)} files, counted from 0; there is no {index}")

    async def _keep_outcome(self, job: Job, task_id: str, outcome: Outcome, **facts: Any) -> Job:
        """Write down what a finished job made, before any file is fetched; bytes that came along are saved now."""
        now = datetime.fromtimestamp(self.clock.wall(), UTC)
        seed = outcome.seed if outcome.seed is not None else job.facts.get("seed")
        if seed is not None:
            facts["seed"] = seed
        if outcome.values:
            facts["values"] = outcome.values
        known = {artifact.index: artifact for artifact in job.artifacts}
        artifacts: list[Artifact] = []
        for index, output in enumerate(outcome.outputs):
            artifact = Artifact(
                task_id=task_id,
                index=index,
                kind=output.kind,
                url=output.url,
                expires_at=now + timedelta(seconds=output.ttl) if output.ttl else None,
                seed=seed,
                nsfw=output.nsfw,
                mime=declared.mime if (declared := media_type(output.suffix)) else None,
            )
            if index in known and known[index].path is not None:
                artifact = known[index].model_copy(update={"url": artifact.url, "expires_at": artifact.expires_at})
            elif output.url is None:
                artifact = await self._save_inline(job, artifact, output)
            artifacts.append(artifact)
        return await self.journal.finish(job.key, JobState.SUCCEEDED, task_id=task_id, artifacts=artifacts, **facts)

    async def _save_inline(self, job: Job, artifact: Artifact, output: Output) -> Artifact:
        place: dict[str, Any] = {"name": self._name(job, artifact.index), "save_to": job.facts.get("save_to")}
        if output.text is None:
            saved = await self.store.save_bytes(output.data or b"", artifact, **place)
            if saved.duration_seconds is None and output.seconds is not None:
                return saved.model_copy(update={"duration_seconds": output.seconds})
            return saved
        if place["save_to"] is not None or (len(output.text) > LONGEST_TEXT and self.store.saves):
            artifact = await self.store.save_text(output.text, artifact, suffix=".txt", **place)
        return artifact.model_copy(update={"note": output.text[:LONGEST_TEXT]})

    def _to_fetch(self, job: Job) -> list[Artifact]:
        """Finished files that are not (or no longer) on disk."""
        if job.state is not JobState.SUCCEEDED:
            return []
        if not self.store.saves:
            return []
        return [a for a in job.artifacts if a.url and not self.store.holds(a)]

    async def _fetch(self, job: Job, on_progress: OnProgress | None) -> Delivery:
        """Bring the missing files; one that fails does not cost the others, and can be asked for again."""
        missing = {artifact.index for artifact in self._to_fetch(job)}
        artifacts: dict[int, Artifact] = {artifact.index: artifact for artifact in job.artifacts}
        trouble: list[str] = []
        started = self.clock.now()

        async def one(artifact: Artifact) -> None:
            try:
                artifacts[artifact.index] = await self._fetch_one(job, artifact)
            except ArtifactError as error:
                trouble.append(f"File {artifact.index}: {error}")

        async def every() -> None:
            async with anyio.create_task_group() as group:
                for artifact in job.artifacts:
                    if artifact.index in missing:
                        group.start_soon(one, artifact)

        async def sign() -> None:
            if on_progress is not None:
                note = f"done; fetching {len(missing)} file{'s' if len(missing) > 1 else ''}"
                await on_progress(Progress(self.clock.now() - started, None, None, note))

        if missing and job.task_id:
            await alongside(every, sign)
            await self.journal.put_artifacts(job.owner, job.task_id, [artifacts[i] for i in sorted(artifacts)])
        job = job.model_copy(update={"artifacts": tuple(artifacts[i] for i in sorted(artifacts))})
        return Delivery(job, trouble=" ".join(trouble))

    async def _fetch_one(self, job: Job, artifact: Artifact) -> Artifact:
        name, save_to = self._name(job, artifact.index), job.facts.get("save_to")
        try:
            return await self.store.fetch(artifact, name=name, save_to=save_to)
        except InputError as error:
            if save_to is None:
                raise
            # It was allowed when the job was sent; what is paid for comes home all the same.
            logger.warning("%s is saved in the usual folder: %s", artifact.name, error)
            return await self.store.fetch(artifact, name=name)

    def _name(self, job: Job, index: int) -> NameHint:
        return NameHint(title=job.title, index=index, day=job.created.date(), owner=job.owner)

    @asynccontextmanager
    async def one_at_a_time(self, name: str) -> AsyncGenerator[None]:
        """One at a time per task: two calls for the same task must not save its files twice."""
        lock, users = self._locks.get(name, (anyio.Lock(), 0))
        self._locks[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(name)
            if users > 1:
                self._locks[name] = (lock, users - 1)


def no_such_task(task_id: str) -> NovitaError:
    """What Novita says of an id it does not know."""
    body = b'{"code": 404, "reason": "TASK_NOT_FOUND", "message": "task not found"}'
    return api_error(404, body, group="media", doing=f"looking at task {task_id}", spends=False)


def _no_media(job: Job, task_id: str) -> InputError:
    """What to do with the id of something that is no media task."""
    if job.kind == "gateway_job":
        step = f"Call call_endpoint with job_id={job.task_id or task_id}."
        return InputError(f"{task_id} is no media task but a job of an endpoint", next_step=step)
    if job.kind != "call":
        return InputError(f"{task_id} is no media task but a {job.kind}", next_step=f"Use get_{job.kind} for it.")
    kept = " ".join(artifact.path for artifact in job.artifacts if artifact.path)
    return InputError(
        f"{task_id} is no task but a {job.tool} call, which is {job.state}{f' ({job.reason})' if job.reason else ''}",
        next_step=f"What it made is in {kept}."
        if kept
        else "Its answer came with the call; there is nothing to fetch.",
    )


def call_id(job: Job) -> str:
    """The task id of a call's files: Novita knows none."""
    return f"call-{job.key[:16]}"


def refuse_failed(job: Job) -> None:
    """Raise for a job that ended without what was asked for."""
    if job.state is JobState.FAILED:
        raise TaskFailedError(
            f"Task {job.task_id} on {job.model or 'Novita'} failed: {job.reason}",
            billed="maybe",
            next_step="Novita does not say whether failed tasks are billed: see get_balance. "
            "Change the prompt or inputs, or use another model.",
        )
    if job.state is JobState.REFUSED:
        raise TaskFailedError(f"Novita refused this request: {job.reason}", billed="no")
