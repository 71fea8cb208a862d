"""Media jobs: submits them and waits for them, however often they are asked for. deliveries.py saves their files."""

import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial

from ..core.client import NovitaClient
from ..core.errors import (
    InputError,
    NotFoundError,
    NovitaConnectionError,
    NovitaError,
    TaskFailedError,
    api_error,
)
from ..core.json_paths import get_path
from ..core.placeholders import unquoted
from ..core.waiting import (
    Look,
    Nudge,
    OnProgress,
    Pace,
    Phase,
    Unasked,
    wait_until_done,
    was_watched,
)
from ..core.words import counted
from ..files.artifacts import Artifact, parse_reference
from ..journal.facts import MediaFacts
from ..journal.jobs import Accepted, Jobs, Paid
from ..journal.journal import OPEN_STATES, Job, JobState
from ..journal.team.strangers import strangers
from . import calls
from .deliveries import Deliveries, Delivery
from .mapping import MediaPlan
from .outcomes import MediaOutcome

EMPTY_FOR = 600.0
"""Seconds for which a task that succeeded without files is looked at again, because files have come later before."""


SHORT_WORK = 2.0
"""Seconds beyond its wait for which a call still fetches a finished job's files; after that, fetching runs on alone."""


class MediaJobs:
    """Runs media jobs.

    Args:
        strangers: Callers are different people, so a task that the journal knows as another owner's is refused. On a
            user's own machine another owner may be the same user with an earlier key.
    """

    def __init__(self, jobs: Jobs, *, strangers: bool = False) -> None:
        self._jobs, self._strangers = jobs, strangers
        self._deliveries = Deliveries(jobs)
        self._nudges: dict[tuple[str, str], list[Nudge]] = {}

    async def start(
        self,
        client: NovitaClient,
        plan: MediaPlan,
        paid_for: Paid,
        *,
        budget: float = math.inf,
        save_to: str | None = None,
        on_progress: OnProgress | None = None,
        on_accepted: Callable[[str], None] | None = None,
        remark: str = "",
    ) -> Job:
        """Submit a planned media request. Returns once its task id is known, or its files if they come at once.

        Args:
            budget: Seconds that the caller waits. A request that takes longer runs on: the job is then still
                `SUBMITTING`, and `bring` with its key waits for it.
            on_accepted: Called with the task id, even if the caller has gone by then.
            remark: How the result differs from what was asked for; every answer about the job begins with it.
        """

        async def note(job: Job, answer: Accepted | MediaOutcome) -> Job:
            if isinstance(answer, Accepted):
                if on_accepted is not None:
                    on_accepted(answer.task_id)
                return await self._jobs.journal.accepted(job.key, answer.task_id)
            return await self._deliveries.keep(job, f"sync-{job.key[:16]}", answer)

        async def send(_: Job) -> Accepted | MediaOutcome:
            return await calls.submit(client, plan, uploading=max(budget, SHORT_WORK / 2))

        facts = MediaFacts(
            operation=plan.model.operation,
            save_to=save_to,
            mode=plan.model.mode,
            asked=_asked(plan),
            remark=remark or None,
            seed=plan.seed,
            look=calls.looking_at(plan.model),
        )
        return await self._jobs.submit_within(
            budget + SHORT_WORK,
            paid_for,
            kind="media",
            send=send,
            note=note,
            facts=facts,
            on_progress=on_progress,
        )

    async def made_here(
        self,
        paid_for: Paid,
        make: Callable[[], Awaitable[MediaOutcome]],
        facts: MediaFacts,
        on_progress: OnProgress,
        *,
        budget: float,
    ) -> Job:
        """Note something that this machine makes for free, as a job with files like any other.

        It survives its caller, and if it takes longer than `budget` seconds, it runs on as in `start`.
        """

        async def note(job: Job, outcome: MediaOutcome) -> Job:
            return await self._deliveries.keep(job, f"here-{job.key[:16]}", outcome)

        send: Callable[[Job], Awaitable[MediaOutcome]] = lambda _: make()  # noqa: E731
        return await self._jobs.submit_within(
            budget + SHORT_WORK, paid_for, kind="media", send=send, note=note, facts=facts, on_progress=on_progress
        )

    async def bring(
        self, client: NovitaClient, task_id: str, *, budget: float, on_progress: OnProgress | None = None
    ) -> Delivery:
        """Wait up to `budget` seconds for a media task, and fetch its files. It can be repeated after any interruption.

        Files that are not here within `SHORT_WORK` more seconds are fetched on after the call has been answered.

        Ids that this journal never saw work too, for as long as Novita knows them.

        Raises:
            NotFoundError: Novita does not know the task. NovitaError: A lasting fault.
        """
        task_id = bare_id(task_id)
        now = self._jobs.clock.now
        until = now() + budget + SHORT_WORK
        job = await self._jobs.journal.find(client.owner, task_id)
        if job is not None and job.kind == "media":
            job = await self._jobs.answered(job, budget, on_progress)
            budget = max(0.0, until - SHORT_WORK - now())
        if job is None and self._strangers and await strangers(self._jobs.journal, client.owner, [task_id]):
            raise no_such_task(task_id)
        if job is not None and job.kind != "media":
            if not any(self._jobs.store.in_memory(artifact) is not None for artifact in job.artifacts):
                raise _no_media(job, task_id)
            return await self._brought(job, partial(self._deliveries.fetch_again, job), until, on_progress)
        if job is not None and (job.task_id is None or self._deliveries.complete(job)):
            return self._deliveries.as_it_is(job)
        if job is not None and job.state is JobState.SUCCEEDED:
            delivery = await self._brought(job, partial(self._deliveries.fetch_again, job), until, on_progress)
            if not delivery.trouble or job.facts_as(MediaFacts).mode == "sync":
                return delivery
        real_id = job.task_id if job is not None and job.task_id else task_id
        looking = client.for_looking()
        ask = calls.looker(job.facts_as(MediaFacts).look if job is not None else None)
        begun = (job.accepted or job.created).timestamp() if job else None
        working_at = begun
        empty = False
        unasked = Unasked()

        async def look() -> Look[MediaOutcome]:
            nonlocal working_at, empty
            seen = await ask(looking, real_id)
            if seen.phase is Phase.WORKING:
                working_at = self._jobs.clock.wall()
            empty = seen.phase is Phase.SUCCEEDED and not seen.value.outputs and not seen.value.values
            return Look(Phase.WORKING, seen.value, note="done, but without files yet") if empty else seen

        try:
            with self._waiting_for(client.owner, real_id) as nudge:
                seen = await wait_until_done(
                    look,
                    clock=self._jobs.clock,
                    pace=Pace(await self._jobs.journal.durations(job.model) if job and job.model else ()),
                    budget=budget,
                    age=self._jobs.clock.wall() - begun if begun else None,
                    on_progress=on_progress,
                    nudge=nudge,
                    unasked=unasked,
                )
        except NotFoundError:
            if job is None or job.state is not JobState.SUCCEEDED:
                raise
            return Delivery(job, lost=tuple(artifact.index for artifact in self._deliveries.to_fetch(job)))

        async def end() -> Delivery:
            # Two calls for one task must not save its files or note its end twice.
            async with self._jobs.one_at_a_time(f"{client.owner}/{real_id}"):
                job = await self._jobs.journal.find(client.owner, real_id)
                if job is None and seen is None:
                    error = unasked.error
                    raise NovitaConnectionError(
                        f"Novita could not be asked about task {real_id}{f': {error.what}' if error else ' in time'}",
                        next_step=(error.next_step if error else "") or "Call get_task again in a minute.",
                    )
                job = job or await self._jobs.journal.adopt(client.owner, real_id, kind="media", tool="get_task")
                if empty and job.state is JobState.WORKING:
                    return await self._still_empty(job)
                if seen is None or seen.phase is Phase.WORKING:
                    progress, eta = (seen.progress, seen.eta) if seen else (None, None)
                    return Delivery(job, progress, eta, unasked=unasked.why)
                if seen.phase is not Phase.SUCCEEDED:
                    return Delivery(await self._jobs.journal.finish(job.key, JobState.FAILED, reason=seen.reason))
                if job.state is JobState.SUCCEEDED and not self._deliveries.to_fetch(job):
                    return self._deliveries.as_it_is(job)
                facts = MediaFacts()
                if job.state is JobState.WORKING and begun is not None and working_at is not None:
                    now = self._jobs.clock.wall()
                    if was_watched(begun, working_at, now):
                        facts = MediaFacts(took=round((working_at + now) / 2 - begun, 2))
                job = await self._deliveries.keep(job, real_id, seen.value, facts)
                return self._deliveries.given_up(await self._deliveries.fetch(job))

        return await self._brought(job, end, until, on_progress)

    async def _brought(
        self,
        job: Job | None,
        bring: Callable[[], Awaitable[Delivery]],
        until: float,
        on_progress: OnProgress | None,
    ) -> Delivery:
        """The result of `bring`, or the state at `until` (by the clock) while it runs on."""
        left = until - self._jobs.clock.now()
        delivery = await self._jobs.go_on(bring, on_progress, note="done; fetching its files", within=left)
        if delivery is not None:
            return delivery
        if job is None:
            raise NovitaConnectionError(
                "The task is done, and its files are still being fetched", next_step="Call get_task again in a minute."
            )
        now = await self._jobs.journal.find(job.owner, job.task_id or job.key) or job
        return Delivery(now, fetching=True)

    async def _still_empty(self, job: Job) -> Delivery:
        """The delivery of a task that succeeded without files. It stays open for a while, and then counts as failed."""
        now = self._jobs.clock.wall()
        since = job.facts_as(MediaFacts).empty_since
        if since is None:
            await self._jobs.journal.note(job.key, MediaFacts(empty_since=now))
        elif now - since >= EMPTY_FOR:
            return Delivery(await self._jobs.journal.finish(job.key, JobState.FAILED, reason=NOTHING_MADE))
        return Delivery(job, empty=True)

    def nudge(self, owner: str, task_id: str) -> bool:
        """Let every caller that waits for a task look now. Returns whether any caller waits."""
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

    async def artifact(self, client: NovitaClient, task_id: str, index: int) -> Artifact:
        """One finished file of an earlier task, with a live link where it has one; looks once, never waits.

        Raises:
            InputError: The task is not finished, failed, or has no such file. NotFoundError: nobody knows the task.
        """
        job = await self._jobs.journal.find(client.owner, task_id)
        if job is None or not any(a.path or a.alive(self._jobs.clock.wall()) for a in job.artifacts):
            job = (await self.bring(client, task_id, budget=0)).job
        if job.state is not JobState.SUCCEEDED:
            raise InputError(
                f"Task {task_id} has no files: it is {job.state}",
                next_step="Wait for it with get_task first." if job.state in OPEN_STATES else "",
            )
        for artifact in job.artifacts:
            if artifact.index == index:
                return artifact
        raise InputError(
            f"Task {task_id} has {counted(len(job.artifacts), 'file')}, counted from 0; there is no {index}"
        )


NOTHING_MADE = (
    "Novita says that it succeeded, but it made nothing, also when it was asked again later; its content check may "
    "have held it back"
)


def _asked(plan: MediaPlan) -> int | None:
    """How many files a request asks for, if more than one; otherwise None."""
    count = plan.model.arguments.get("count")
    value = get_path(plan.body, count.paths[0]) if count is not None and count.paths else None
    return value if type(value) is int and value > 1 else None


def bare_id(task_id: str) -> str:
    """The task's id from a text that may also name one of the task's files."""
    named = parse_reference(task_id)
    return named[0] if named else unquoted(task_id)


def no_such_task(task_id: str) -> NovitaError:
    """The error for an id that Novita does not know."""
    body = b'{"code": 404, "reason": "TASK_NOT_FOUND", "message": "task not found"}'
    return api_error(404, body, group="media", doing=f"looking at task {task_id}", spends=False)


def _no_media(job: Job, task_id: str) -> InputError:
    """The error for the id of a job that is not a media task, which says what to do with it."""
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
