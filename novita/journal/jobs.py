"""Jobs: every paid request is noted in the journal before it is sent, sent once, and noted again with its outcome.

A submit runs in the process's background, not in the tool call. A caller that is cancelled stops waiting at once, but
the answer, and with it the task id, still reaches the journal. How a job is then waited for and its results saved is
up to its kind: media/jobs.py, batches/batches.py, and the tools of instances and endpoints.
"""

import json
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread

from ..core.client import LOOK_FIRST
from ..core.clock import Clock, SystemClock
from ..core.costs import Caps, Cost
from ..core.errors import ArtifactError, InputError, JournalError, NovitaConnectionError, NovitaError, redact
from ..core.waiting import HEARTBEAT, OnProgress, Progress
from ..core.wellformed import well_formed
from ..files.artifacts import Artifact, ArtifactStore, NameHint
from .facts import CallFacts, Facts
from .joining import SameCall
from .journal import Job, JobState, Journal

_AWAITED = "sent; waiting for the answer"
_LOOKS_AT_ROW = 0.25
"""Seconds between two reads of a row whose request another process is sending."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accepted:
    """The answer to a submit whose job runs on at Novita under this task id."""

    task_id: str


@dataclass
class Tally:
    """What a directly awaited call has produced so far.

    The call updates it as it goes, so that the journal is right however the call ends.

    Args:
        usd: What it cost; None keeps the estimate.
        sure: True if `usd` is the known cost; False if it is a better estimate that the bill may correct.
        text: What the model wrote. It is saved as a file if the caller is gone before the answer.
        trouble: Why the call ended early, if it did so without raising.
    """

    usd: Decimal | None = None
    sure: bool = True
    text: str = ""
    trouble: str = ""
    artifacts: list[Artifact] = field(default_factory=list[Artifact])
    facts: CallFacts = field(default_factory=CallFacts)


@dataclass(frozen=True, kw_only=True)
class Paid:
    """What is noted of a paid call before it is sent.

    Args:
        owner: Whose key pays.
        model: The model, product or thing it is for.
        cost: What the caps take for it.
        same: Identifies the call, so that it joins an earlier one that asked for the same. None: it never joins.
    """

    owner: str
    tool: str
    model: str
    title: str
    cost: Cost
    same: SameCall | None = None


@dataclass
class Jobs:
    """Runs paid jobs.

    Args:
        background: The task group in which submits run on after their callers have gone; it ends with the process.
    """

    journal: Journal
    store: ArtifactStore
    background: anyio.abc.TaskGroup
    clock: Clock = field(default_factory=SystemClock)
    caps: Caps = field(default_factory=Caps)

    def __post_init__(self) -> None:
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}

    async def submit(
        self,
        paid_for: Paid,
        *,
        kind: str,
        send: Callable[[Job], Awaitable[T]],
        note: Callable[[Job, T], Awaitable[Job]],
        facts: Facts | None = None,
        on_progress: OnProgress | None = None,
    ) -> tuple[Job, T]:
        """Note a paid job, send it once, and note the answer.

        Args:
            send: Makes the one paid call.
            note: Writes the answer into the journal (the task id, or the finished files).

        Raises:
            NovitaError: Whatever `send` raised; the row says "refused" or "unconfirmed" by its `billed`.
            Joined: The same call began a job before; nothing was sent.
        """
        _, paid = await self._noted_first(paid_for, kind, facts, send, note)
        return await self._in_background(paid, on_progress)

    async def submit_within(
        self,
        seconds: float,
        paid_for: Paid,
        *,
        kind: str,
        send: Callable[[Job], Awaitable[T]],
        note: Callable[[Job, T], Awaitable[Job]],
        facts: Facts | None = None,
        on_progress: OnProgress | None = None,
    ) -> Job:
        """As `submit`, for requests that Novita may take long to answer.

        After so many `seconds` the job is returned as `SUBMITTING` while the request runs on; `answered` waits for it.
        """
        job, paid = await self._noted_first(paid_for, kind, facts, send, note)
        done = await self.go_on(paid, on_progress, note=_AWAITED, within=seconds)
        return done[0] if done is not None else await self.journal.row(job.key) or job

    async def answered(self, job: Job, within: float, on_progress: OnProgress | None) -> Job:
        """Wait until the job's request was answered, at most `within` seconds, and return the job as it then is.

        Another process may be sending the request.
        """
        started = reported = self.clock.now()
        while job.state is JobState.SUBMITTING and self.clock.now() - started < within:
            await self.clock.sleep(min(_LOOKS_AT_ROW, within))
            job = await self.journal.row(job.key) or job
            if on_progress is not None and self.clock.now() - reported >= HEARTBEAT:
                reported = self.clock.now()
                await on_progress(Progress(reported - started, None, None, _AWAITED))
        return job

    async def _noted_first(
        self,
        paid_for: Paid,
        kind: str,
        facts: Facts | None,
        send: Callable[[Job], Awaitable[T]],
        note: Callable[[Job, T], Awaitable[Job]],
    ) -> tuple[Job, Callable[[], Awaitable[tuple[Job, T]]]]:
        """Note a job, and return it with the function that sends it."""
        job = await self._begin(paid_for, kind, facts)
        try:
            await anyio.lowlevel.checkpoint()
        except BaseException:  # cancelled while the row was written: the caller is gone, so nothing is sent
            with anyio.CancelScope(shield=True):
                reason = "Cancelled before it was sent; nothing was billed."
                await self.journal.finish(job.key, JobState.CANCELLED, reason=reason, counted=Decimal(0))
            raise

        async def paid() -> tuple[Job, T]:
            try:
                answer = await send(job)
            except NovitaError as error:
                # Unless the error says that nothing was billed, the money may be spent.
                state = JobState.REFUSED if error.billed == "no" else JobState.UNCONFIRMED
                ended = await self._end(job, state, str(error))
                if ended and state is JobState.UNCONFIRMED:
                    error.next_step = f"{error.next_step} It is noted in list_tasks as {job.key[:12]}.".strip()
                raise
            except Exception:
                await self._end(job, JobState.UNCONFIRMED, "A fault in this server; see its log.")
                raise
            # The answer is paid for, so its row is written even while the process is shutting down.
            noted = job
            with anyio.CancelScope(shield=True):
                noted = await self._noted(job, answer, note)
            return noted, answer

        return job, paid

    async def _begin(self, paid_for: Paid, kind: str, facts: Facts | None) -> Job:
        job = await self.journal.begin(
            owner=paid_for.owner,
            kind=kind,
            tool=paid_for.tool,
            model=paid_for.model,
            title=paid_for.title,
            cost=paid_for.cost,
            caps=self.caps,
            facts=facts,
            same=paid_for.same,
        )
        if paid_for.same is not None:
            paid_for.same.job_key = job.key
        return job

    async def _noted(self, job: Job, answer: T, note: Callable[[Job, T], Awaitable[Job]]) -> Job:
        """Write an answer into the journal.

        If that fails, the error names what Novita answered, because the caller has paid for it.
        """
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
        """Note how a submit ended. A journal error is only logged, so that it does not hide the submit's own error."""
        try:
            await self.journal.finish(job.key, state, reason=reason)
        except JournalError as error:
            logger.warning("the end of %s was not noted: %s", job.key[:12], error)
            return False
        return True

    async def call(
        self,
        paid_for: Paid,
        *,
        work: Callable[[Job, Tally], Awaitable[T]],
        facts: Facts | None = None,
        keep: Callable[[T], str] | None = None,
    ) -> tuple[Job, T]:
        """Note a paid call and await it. However it ends, the row gets the cost from the tally that `work` keeps.

        Args:
            keep: Turns the answer into the text that is stored for the same call made again. With it the call runs
                on when its caller is cancelled, as a submit does. Without it the call is cancelled with its caller,
                so that a stream nobody reads stops costing at once.

        Raises:
            NovitaError: Whatever `work` raised; SpendRefusedError: a cap.
            Joined: The same call began one before; nothing was sent.
        """
        job = await self._begin(paid_for, "call", facts)
        if keep is None:
            return await self._call(job, work)

        async def kept(job: Job, tally: Tally) -> T:
            answer = await work(job, tally)
            with anyio.CancelScope(shield=True):
                await self.journal.keep_answer(job.key, keep(answer))
            return answer

        return await self._in_background(lambda: self._call(job, kept, cut="This server stopped before the end."), None)

    async def _call(
        self, job: Job, work: Callable[[Job, Tally], Awaitable[T]], *, cut: str = "Cancelled by the caller."
    ) -> tuple[Job, T]:
        tally = Tally()
        try:
            value = await work(job, tally)
        except NovitaError as error:
            refused = error.billed == "no" and tally.usd is None
            state = JobState.REFUSED if refused else JobState.FAILED if tally.usd is not None else JobState.UNCONFIRMED
            await self._keep_unread(job, tally, error)
            await self._end_call(job, tally, state, str(error))
            raise
        except Exception:
            await self._end_call(job, tally, JobState.UNCONFIRMED, "A fault in this server; see its log.")
            raise
        except BaseException:  # cancelled: write the row first, which takes a few milliseconds, then leave
            with anyio.CancelScope(shield=True):
                if tally.text and not tally.artifacts:
                    await self._keep(job, tally, tally.text, ".txt")
                await self._end_call(job, tally, JobState.CANCELLED, tally.trouble or cut)
            raise
        state = JobState.FAILED if tally.trouble else JobState.SUCCEEDED
        return await self._end_call(job, tally, state, tally.trouble), value

    async def _end_call(self, job: Job, tally: Tally, state: JobState, reason: str) -> Job:
        facts = tally.facts
        if tally.usd is not None and tally.sure:
            facts = facts.with_(Facts(usd=tally.usd))
        return await self.journal.finish(
            job.key,
            state,
            reason=reason,
            task_id=call_id(job) if tally.artifacts else None,
            artifacts=tally.artifacts or None,
            counted=tally.usd,
            facts=facts,
        )

    async def _keep_unread(self, job: Job, tally: Tally, error: NovitaError) -> None:
        """Save an answer that we could not parse, because the user has paid for it."""
        unread = error.unread if isinstance(error, NovitaConnectionError) else None
        if not unread or tally.artifacts:
            return

        def as_text() -> str:
            return redact(unread if isinstance(unread, str) else json.dumps(unread, ensure_ascii=False))

        text = await anyio.to_thread.run_sync(as_text)
        await self._keep(job, tally, text, ".txt" if isinstance(unread, str) else ".json")
        if tally.artifacts:
            kept = f"What came is kept as it is: get_task with task_id {call_id(job)} shows the file."
            error.next_step = f"{kept} {error.next_step}".strip()

    async def _keep(self, job: Job, tally: Tally, text: str, suffix: str) -> None:
        """Save what a failed call had produced so far."""
        artifact = Artifact(task_id=call_id(job), index=len(tally.artifacts), kind="text")
        try:
            saved = await self.store.save_text(well_formed(text), artifact, suffix=suffix, name=name_of(job, 0))
        except (ArtifactError, InputError) as error:
            logger.warning("the output of a call was not saved: %s", error)
            return
        tally.artifacts.append(saved)

    async def _in_background(self, work: Callable[[], Awaitable[T]], on_progress: OnProgress | None) -> T:
        """Run `work` so that it survives its caller, who waits for it and gets progress reports."""
        value = await self.go_on(work, on_progress, note=_AWAITED)
        if value is None:
            raise NovitaConnectionError("This server is stopping", billed="maybe", next_step=LOOK_FIRST)
        return value

    async def go_on(
        self,
        work: Callable[[], Awaitable[T]],
        on_progress: OnProgress | None,
        *,
        note: str,
        within: float = math.inf,
    ) -> T | None:
        """Return what `work` returns, or None if it takes longer than `within` seconds; it then runs on.

        It goes on as well where the caller leaves; only the end of this process ends it.

        Args:
            note: What is being done, for progress reports.
        """
        done = anyio.Event()
        value: list[T] = []
        trouble: list[Exception] = []

        async def run() -> None:
            try:
                value.append(await work())
            except Exception as error:  # raised in the caller, or logged if nobody waits any more
                trouble.append(error)
                if alone:
                    logger.warning("%s failed when nobody waited for it any more: %s", note, error)
            finally:
                done.set()

        alone = False
        self.background.start_soon(run)
        started = self.clock.now()
        try:
            while not done.is_set():
                left = within - (self.clock.now() - started)
                if left <= 0:
                    alone = True
                    return None
                with anyio.move_on_after(min(HEARTBEAT, left)):
                    await done.wait()
                if on_progress is not None and not done.is_set():
                    await on_progress(Progress(self.clock.now() - started, None, None, note))
        except BaseException:
            alone = True
            raise
        if trouble:
            raise trouble[0]
        return value[0] if value else None

    @asynccontextmanager
    async def one_at_a_time(self, name: str) -> AsyncGenerator[None]:
        """Hold a lock for one task, so that two calls for the same task do not save its files twice."""
        lock, users = self._locks.get(name, (anyio.Lock(), 0))
        self._locks[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(name)
            if users > 1:
                self._locks[name] = (lock, users - 1)


def call_id(job: Job) -> str:
    """A made-up task id for the files of a direct call, to which Novita gives none."""
    return f"call-{job.key[:16]}"


def name_of(job: Job, index: int) -> NameHint:
    """What the name of a job's file is made from."""
    since = job.created.timestamp()
    return NameHint(title=job.title, index=index, day=job.created.date(), owner=job.owner, since=since)
