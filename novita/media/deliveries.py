"""Saves what media jobs made: notes it, saves what came with an answer, and fetches the files behind links."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio

from ..core.errors import ArtifactError, InputError
from ..files.artifacts import Artifact, UnsavedError
from ..files.downloads import ExpiredLinkError
from ..files.kinds import media_type
from ..journal.facts import MediaFacts
from ..journal.jobs import Jobs, name_of
from ..journal.journal import FINAL_STATES, Job, JobState
from .outcomes import MediaOutcome, MediaOutput

logger = logging.getLogger(__name__)

LONGEST_TEXT = 8_000
"""How many characters of a text result are kept in the journal and shown. A longer text is also saved as a file."""

EXPIRED_AFTER = 3_600.0
"""Seconds after which a file that the storage refuses counts as expired; before that, it may only be late."""


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


class Deliveries:
    """Saves and fetches the files of media jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def keep(self, job: Job, task_id: str, outcome: MediaOutcome, facts: MediaFacts | None = None) -> Job:
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

    def to_fetch(self, job: Job) -> list[Artifact]:
        """Finished files that are not, or no longer, on disk. If this server saves no files: those whose links expired.

        Links that came in the answer to a request cannot be renewed, because Novita has no task for them.
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

    def complete(self, job: Job) -> bool:
        """Whether a job is over and has no file to fetch."""
        return job.state in FINAL_STATES and not self.to_fetch(job)

    async def fetch(self, job: Job) -> Delivery:
        """Fetch the missing files. One that fails does not stop the others, and can be fetched later."""
        missing = {artifact.index for artifact in self.to_fetch(job)}
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

    async def fetch_again(self, job: Job) -> Delivery:
        """Fetch missing files of a finished job by the links that are already known."""
        async with self._jobs.one_at_a_time(f"{job.owner}/{job.task_id}"):
            job = await self._jobs.journal.find(job.owner, job.task_id or job.key) or job
            away = [one for one in self.to_fetch(job) if self._jobs.store.in_memory(one) is None]
            if any(not artifact.alive(self._jobs.clock.wall()) for artifact in away):
                return Delivery(job, trouble="The links have expired.")
            return await self.fetch(job)

    def as_it_is(self, job: Job) -> Delivery:
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

    def given_up(self, delivery: Delivery) -> Delivery:
        """Mark files as lost that the storage refuses although their links are fresh, if they were here before or are
        old.

        This is not written to the journal, because the storage's refusal may be temporary.
        """
        job = delivery.job
        old = self._jobs.clock.wall() - job.created.timestamp() > EXPIRED_AFTER
        refused = [one for one in job.artifacts if one.index in delivery.lost]
        return replace(delivery, lost=tuple(one.index for one in refused if old or one.path is not None))
