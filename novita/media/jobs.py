"""Media jobs: submits them, waits for them, and saves their files, however often they are asked for."""

import logging
import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio

from ..core.client import NovitaClient
from ..core.errors import (
    ArtifactError,
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
from ..files.artifacts import Artifact, UnsavedError, parse_reference
from ..files.downloads import ExpiredLinkError
from ..files.kinds import media_type
from ..journal.facts import MediaFacts
from ..journal.jobs import Accepted, Jobs, Paid, name_of
from ..journal.journal import FINAL_STATES, OPEN_STATES, Job, JobState
from ..journal.team.strangers import strangers
from . import calls
from .mapping import MediaPlan
from .outcomes import MediaOutcome, MediaOutput

logger = logging.getLogger(__name__)

LONGEST_TEXT = 8_000
"""How many characters of a text result are kept in the journal and shown; a longer one is saved as a file, too."""


EMPTY_FOR = 600.0
"""Seconds for which a task that succeeded without files is looked at again, because files have come later before."""


SHORT_WORK = 2.0
"""Seconds beyond its wait for which a call still fetches a finished job's files; after that, fetching runs on alone."""


EXPIRED_AFTER = 3_600.0
"""Seconds after which a file that the storage refuses counts as expired rather than late."""


@dataclass(frozen=True)
class Delivery:
    """The present state of a job and its files.

    Args:
        progress: Percent, by the last look; `eta` likewise, in seconds.
        trouble: Why files could not be fetched.
        lost: Files that are gone for good: they are not on this machine, and Novita no longer serves them.
        empty: Novita says that the job succeeded, but lists no files yet.
        unasked: Why the last look at an unfinished job failed.
        fetching: The job is done, and its files are still being fetched.
    """

    job: Job
    progress: float | None = None
    eta: float | None = None
    trouble: str = ""
    lost: tuple[int, ...] = ()
    empty: bool = False
    unasked: str = ""
    fetching: bool = False


class MediaJobs:
    """Runs media jobs.

    Args:
        strangers: Callers are different people, so a task that the journal knows as another owner's is refused. On a
            user's own machine another owner may be the same user with an earlier key.
    """

    def __init__(self, jobs: Jobs, *, strangers: bool = False) -> None:
        self._jobs, self._strangers = jobs, strangers
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
            return await self._keep_outcome(job, f"sync-{job.key[:16]}", answer)

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
            return await self._keep_outcome(job, f"here-{job.key[:16]}", outcome)

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
            return await self._brought(job, partial(self._fetch_again, job), until, on_progress)
        if job is not None and (job.task_id is None or (job.state in FINAL_STATES and not self._to_fetch(job))):
            return self._as_it_is(job)
        if job is not None and job.state is JobState.SUCCEEDED:
            delivery = await self._brought(job, partial(self._fetch_again, job), until, on_progress)
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
            return Delivery(job, lost=tuple(artifact.index for artifact in self._to_fetch(job)))

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
                if job.state is JobState.SUCCEEDED and not self._to_fetch(job):
                    return self._as_it_is(job)
                facts = MediaFacts()
                if job.state is JobState.WORKING and begun is not None and working_at is not None:
                    now = self._jobs.clock.wall()
                    if was_watched(begun, working_at, now):
                        facts = MediaFacts(took=round((working_at + now) / 2 - begun, 2))
                job = await self._keep_outcome(job, real_id, seen.value, facts)
                return self._given_up(await self._fetch(job))

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

    def _as_it_is(self, job: Job) -> Delivery:
        """The delivery of a finished job that needs no fetching. Files that were deleted here and have no link are
        lost."""
        lost = [
            artifact.index
            for artifact in job.artifacts
            if artifact.url is None and artifact.kind != "text" and not self._here(artifact)
        ]
        return Delivery(job, lost=tuple(lost)) if job.state is JobState.SUCCEEDED else Delivery(job)

    def _here(self, artifact: Artifact) -> bool:
        return self._jobs.store.holds(artifact) or self._jobs.store.in_memory(artifact) is not None

    async def _still_empty(self, job: Job) -> Delivery:
        """The delivery of a task that succeeded without files. It stays open for a while, and then counts as failed."""
        now = self._jobs.clock.wall()
        since = job.facts_as(MediaFacts).empty_since
        if since is None:
            await self._jobs.journal.note(job.key, MediaFacts(empty_since=now))
        elif now - since >= EMPTY_FOR:
            return Delivery(await self._jobs.journal.finish(job.key, JobState.FAILED, reason=NOTHING_MADE))
        return Delivery(job, empty=True)

    def _given_up(self, delivery: Delivery) -> Delivery:
        """Mark files as lost that the storage refuses although their links are fresh, if they were here before or are
        old.

        This is not written to the journal, because the storage's refusal may be temporary.
        """
        job = delivery.job
        old = self._jobs.clock.wall() - job.created.timestamp() > EXPIRED_AFTER
        refused = [one for one in job.artifacts if one.index in delivery.lost]
        return replace(delivery, lost=tuple(one.index for one in refused if old or one.path is not None))

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

    async def _fetch_again(self, job: Job) -> Delivery:
        """Fetch missing files of a finished job by the links that are already known."""
        async with self._jobs.one_at_a_time(f"{job.owner}/{job.task_id}"):
            job = await self._jobs.journal.find(job.owner, job.task_id or job.key) or job
            away = [one for one in self._to_fetch(job) if self._jobs.store.in_memory(one) is None]
            if any(not artifact.alive(self._jobs.clock.wall()) for artifact in away):
                return Delivery(job, trouble="The links have expired.")
            return await self._fetch(job)

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

    async def _keep_outcome(
        self, job: Job, task_id: str, outcome: MediaOutcome, facts: MediaFacts | None = None
    ) -> Job:
        """Note the results of a finished job before any file is fetched. Bytes that came with the answer are saved."""
        now = datetime.fromtimestamp(self._jobs.clock.wall(), UTC)
        seed = outcome.seed if outcome.seed is not None else job.facts_as(MediaFacts).seed
        facts = facts or MediaFacts()
        if seed is not None:
            facts = facts.with_(MediaFacts(seed=seed))
        if outcome.values:
            facts = facts.with_(MediaFacts(values=outcome.values))
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
        kept = await self._jobs.journal.finish(
            job.key, JobState.SUCCEEDED, task_id=task_id, artifacts=artifacts, facts=facts
        )
        # Use the links as they came, because the journal removes secrets from its copies, which may then not work.
        return kept.model_copy(update={"artifacts": tuple(artifacts)})

    async def _save_inline(self, job: Job, artifact: Artifact, output: MediaOutput) -> Artifact:
        place: dict[str, Any] = {"name": name_of(job, artifact.index), "save_to": job.facts_as(MediaFacts).save_to}
        if output.text is None:
            saved = await self._jobs.store.save_bytes(output.data or b"", artifact, **place)
            if saved.duration_seconds is None and output.seconds is not None:
                return saved.model_copy(update={"duration_seconds": output.seconds})
            return saved
        if place["save_to"] is not None or (len(output.text) > LONGEST_TEXT and self._jobs.store.saves):
            artifact = await self._jobs.store.save_text(output.text, artifact, suffix=".txt", **place)
        return artifact.model_copy(update={"note": output.text[:LONGEST_TEXT]})

    def _to_fetch(self, job: Job) -> list[Artifact]:
        """Finished files that are not (or no longer) on disk; where none are saved, those with links to renew.

        What came with a request's answer is no task at Novita, which could give a fresh link.
        """
        if job.state is not JobState.SUCCEEDED:
            return []
        store, now, sync = self._jobs.store, self._jobs.clock.wall(), job.facts_as(MediaFacts).mode == "sync"

        def missing(artifact: Artifact) -> bool:
            if store.in_memory(artifact) is not None:
                return True
            if not artifact.url:
                return False
            return not store.holds(artifact) if store.saves else not sync and not artifact.alive(now)

        return [artifact for artifact in job.artifacts if missing(artifact)]

    async def _fetch(self, job: Job) -> Delivery:
        """Fetch the missing files. One that fails does not stop the others, and can be fetched later."""
        missing = {artifact.index for artifact in self._to_fetch(job)}
        artifacts: dict[int, Artifact] = {artifact.index: artifact for artifact in job.artifacts}
        trouble: list[str] = []
        lost: list[int] = []

        async def one(artifact: Artifact) -> None:
            try:
                artifacts[artifact.index] = await self._fetch_one(job, artifact)
            except ExpiredLinkError as error:
                lost.append(artifact.index)
                trouble.append(f"File {artifact.index}: {error}")
            except ArtifactError as error:
                trouble.append(f"File {artifact.index}: {error}")

        if missing and job.task_id:
            async with anyio.create_task_group() as group:
                for artifact in job.artifacts:
                    if artifact.index in missing:
                        group.start_soon(one, artifact)
            await self._jobs.journal.put_artifacts(job.owner, job.task_id, [artifacts[i] for i in sorted(artifacts)])
        job = job.model_copy(update={"artifacts": tuple(artifacts[i] for i in sorted(artifacts))})
        return Delivery(job, trouble=" ".join(trouble), lost=tuple(sorted(lost)))

    async def _fetch_one(self, job: Job, artifact: Artifact) -> Artifact:
        name, save_to = name_of(job, artifact.index), job.facts_as(MediaFacts).save_to
        try:
            return await self._jobs.store.fetch(artifact, name=name, save_to=save_to)
        except (InputError, UnsavedError) as error:
            if save_to is None:
                raise
            # The place was allowed when the job was sent. The files are paid for, so they are saved elsewhere.
            logger.warning("%s is saved in the usual folder: %s", artifact.name, error)
            return await self._jobs.store.fetch(artifact, name=name)


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
