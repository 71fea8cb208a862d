"""Jobs: what was paid for is noted, never sent twice, and comes home, whoever gives up on the way."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
import pytest
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.errors import ArtifactError, JournalError, NotFoundError, NovitaConnectionError, NovitaError
from novita_mcp.novita.core.waiting import Progress
from novita_mcp.novita.files.artifacts import ArtifactStore
from novita_mcp.novita.files.folders import Folders
from novita_mcp.novita.journal.jobs import Jobs, Paid
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import Job, JobState
from novita_mcp.novita.media.jobs import MediaJobs
from novita_mcp.novita.media.lookup import media_model
from novita_mcp.novita.media.mapping import MediaPlan, plan
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.media.tasks import TaskStore
from novita_mcp.simulator.serving import Running

from ...building import QuickClock

pytestmark = pytest.mark.old_models

SPEND = "qwen_image_txt2img"
LOOK = "get_task_result"


class Bench:
    """Jobs on a simulator, and what they are made of."""

    def __init__(self, url: str, folder: Path, http: httpx.AsyncClient, background: Any) -> None:
        self.clock = QuickClock()
        self.folder = folder / "out"
        self.journal = Journal(folder / "journal.sqlite3", clock=self.clock)
        self.client = NovitaClient(http, DEFAULT_KEY, url, clock=self.clock)
        self.store = ArtifactStore(
            self.folder,
            allowed=Folders(self.folder, extra=(folder,), home=folder / "home", cwd=None),
            clock=self.clock,
            http=http,
            trusted_hosts=frozenset({url.removeprefix("http://")}),
        )
        self.jobs = Jobs(self.journal, self.store, background, self.clock, Caps())
        self.media = MediaJobs(self.jobs)

    async def start(self, model: str = "qwen-image-txt2img", **more: Any) -> Job:
        planned = fox(model)
        paid_for = Paid(
            owner=self.client.owner,
            tool="generate_image",
            model=planned.model.id,
            title="a fox",
            cost=planned.estimate,
        )
        return await self.media.start(self.client, planned, paid_for, **more)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file()) if self.folder.exists() else []

    async def rows(self) -> list[Job]:
        return await self.journal.recent(self.client.owner, limit=50)


def fox(model: str = "qwen-image-txt2img") -> MediaPlan:
    return plan(media_model(model), {"prompt": "a fox"})


@asynccontextmanager
async def bench(simulator: Running, folder: Path) -> AsyncGenerator[Bench]:
    """A server's worth of jobs; leaving it is the end of the process."""
    # No fixture: pytest-asyncio would leave the task group from another task than it was entered.
    async with new_http() as http, anyio.create_task_group() as background:
        made = Bench(simulator.url, folder, http, background)
        try:
            yield made
        finally:
            background.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await made.journal.close()


# Sending


async def test_a_submit_is_noted_before_it_is_sent(simulator: Running, world: World, tmp_path: Path) -> None:
    async with bench(simulator, tmp_path) as it:
        seen: list[JobState] = []

        async def send(job: Job) -> str:
            seen.extend(row.state for row in await Journal(it.journal.path).recent("me", limit=5))
            return "t1"

        async def note(job: Job, answer: str) -> Job:
            return await it.journal.accepted(job.key, answer)

        job, answer = await it.jobs.submit(
            Paid(owner="me", tool="t", model="m", title="x", cost=Cost(None)), kind="x", send=send, note=note
        )
        assert seen == [JobState.SUBMITTING]
        assert (job.state, job.task_id, answer) == (JobState.WORKING, "t1", "t1")


async def test_a_caller_that_leaves_during_the_submit_loses_nothing(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    world.trouble({"held": True}, operation=SPEND)
    async with bench(simulator, tmp_path) as it:
        with anyio.CancelScope() as scope:

            async def leave() -> None:
                while not world.count(SPEND):
                    await anyio.sleep(0.01)
                scope.cancel()

            async with anyio.create_task_group() as group:
                group.start_soon(leave)
                await it.start()
        assert scope.cancelled_caught
        world.troubles.clear()
        with anyio.fail_after(30):
            while not (rows := await it.rows()) or rows[0].task_id is None:
                await anyio.sleep(0.01)
        assert rows[0].task_id in world.area(TaskStore).tasks
        assert rows[0].state is JobState.WORKING
    assert world.count(SPEND) == 1


async def test_a_caller_that_leaves_before_the_submit_pays_nothing(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    async with bench(simulator, tmp_path) as it:
        with anyio.CancelScope() as scope:
            begun = it.journal.begin

            async def begin(**given: Any) -> Job:
                job = await begun(**given)
                scope.cancel()
                return job

            it.jobs.journal = replaced(it.journal, begin=begin)
            await it.start()
        assert scope.cancelled_caught
        (row,) = await it.rows()
        assert row.state is JobState.CANCELLED
        assert await it.journal.spent(it.client.owner) == 0
    assert world.count(SPEND) == 0


async def test_the_end_of_the_process_during_a_submit_leaves_a_row_that_says_so(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    world.trouble({"hang": True}, operation=SPEND)
    async with bench(simulator, tmp_path) as it:
        with anyio.move_on_after(0.2):
            await it.start()
    async with bench(simulator, tmp_path) as it:
        it.clock.naps.append(301)  # the same process number, long after
        (row,) = await it.rows()
        assert row.state is JobState.UNCONFIRMED
    assert world.count(SPEND) == 1


@pytest.mark.parametrize(
    ("effect", "state"),
    [
        ({"error": "ILLEGAL_PROMPT"}, JobState.REFUSED),
        ({"error": "BILLING_BALANCE_NOT_ENOUGH"}, JobState.REFUSED),
        ({"status": 500, "handled": True}, JobState.UNCONFIRMED),
        ({"reset": "after"}, JobState.UNCONFIRMED),
        ({"garbage": True, "handled": True}, JobState.UNCONFIRMED),
        ({"empty": True, "handled": True}, JobState.UNCONFIRMED),
        ({"html": True, "handled": True}, JobState.UNCONFIRMED),
        ({"status": 200, "body": "{}", "handled": True}, JobState.UNCONFIRMED),
        ({"status": 200, "body": '{"task_id": ""}', "handled": True}, JobState.UNCONFIRMED),
    ],
)
async def test_the_row_says_how_a_submit_ended(
    effect: dict[str, Any], state: JobState, simulator: Running, world: World, tmp_path: Path
) -> None:
    world.trouble(effect, operation=SPEND)
    async with bench(simulator, tmp_path) as it:
        with pytest.raises(NovitaError) as caught:
            await it.start()
        (row,) = await it.rows()
        assert row.state is state
        assert row.reason
        assert caught.value.billed == ("no" if state is JobState.REFUSED else "maybe")
        assert (row.key[:12] in caught.value.next_step) == (state is JobState.UNCONFIRMED)
    assert world.count(SPEND) == 1


@pytest.mark.parametrize("billed", [None, "maybe", "yes"])
async def test_an_error_that_does_not_say_counts_as_money_possibly_gone(
    billed: Any, simulator: Running, tmp_path: Path
) -> None:
    async def send(_: Job) -> None:
        raise NovitaError("unclear", billed=billed)

    async def note(job: Job, _: None) -> Job:
        return job

    async with bench(simulator, tmp_path) as it:
        paid_for = Paid(owner=it.client.owner, tool="t", model="m", title="a fox", cost=Cost(Decimal("0.10")))
        with pytest.raises(NovitaError):
            await it.jobs.submit(paid_for, kind="media", send=send, note=note)
        (row,) = await it.rows()
        assert row.state is JobState.UNCONFIRMED
        assert await it.journal.spent(it.client.owner) == Decimal("0.10")


class _Replaced:
    """A journal with some of its methods replaced; the rest is the real one."""

    def __init__(self, real: Journal, **methods: Any) -> None:
        self._real, self._methods = real, methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._real, name)


def replaced(real: Journal, **methods: Any) -> Journal:
    return cast(Journal, _Replaced(real, **methods))


async def broken(*_: Any, **__: Any) -> Job:
    raise JournalError("The journal cannot be used: disk I/O error", next_step="Check the disk.")


async def test_a_journal_that_fails_before_the_submit_stops_it(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    async with bench(simulator, tmp_path) as it:
        (tmp_path / "journal.sqlite3").mkdir()  # a folder is no journal
        with pytest.raises(JournalError, match="Nothing was billed"):
            await it.start()
    assert world.count(SPEND) == 0


async def test_a_journal_that_fails_after_the_submit_costs_not_the_task(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    async with bench(simulator, tmp_path) as it:
        it.jobs.journal = replaced(it.journal, accepted=broken, finish=broken)
        with pytest.raises(JournalError, match="It was billed") as caught:
            await it.start()
        (task_id,) = world.area(TaskStore).tasks
        assert task_id in str(caught.value)
        it.jobs.journal = it.journal
        delivery = await it.media.bring(it.client, task_id, budget=10)
        assert delivery.job.state is JobState.SUCCEEDED
        assert len(it.files()) == 1
    assert world.count(SPEND) == 1


async def test_a_journal_that_fails_hides_no_other_fault(simulator: Running, world: World, tmp_path: Path) -> None:
    world.trouble({"reset": "after"}, operation=SPEND)
    async with bench(simulator, tmp_path) as it:
        it.jobs.journal = replaced(it.journal, finish=broken)
        with pytest.raises(NovitaConnectionError, match="may have been billed"):
            await it.start()


async def test_a_picture_that_came_at_once_and_cannot_be_kept_is_said_to_be_paid(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    body = '{"images": ["' + "QUJD" * 30 + '"]}'  # base64 of no picture
    world.trouble({"status": 200, "body": body, "handled": True}, operation="seedream_4_0")
    async with bench(simulator, tmp_path) as it:
        with pytest.raises(ArtifactError, match="It was billed"):
            await it.start("seedream-4.0")
        (row,) = await it.rows()
        assert row.state is JobState.FAILED
        assert it.files() == []
    assert world.count("seedream_4_0") == 1


async def test_a_cap_stops_it_before_it_is_sent(simulator: Running, world: World, tmp_path: Path) -> None:
    async with bench(simulator, tmp_path) as it:
        it.jobs.caps = Caps(per_call=Decimal("0.001"))
        with pytest.raises(NovitaError, match="cap per call"):
            await it.start()
        assert await it.rows() == []
    assert world.count(SPEND) == 0


# Fetching


async def test_a_job_outlives_its_process(simulator: Running, world: World, tmp_path: Path) -> None:
    async with bench(simulator, tmp_path) as it:
        task_id = (await it.start()).task_id
    assert task_id is not None
    async with bench(simulator, tmp_path) as it:
        delivery = await it.media.bring(it.client, task_id, budget=45)
        assert delivery.job.state is JobState.SUCCEEDED
        assert [Path(artifact.path or "").name for artifact in delivery.job.artifacts] == it.files()
        again = await it.media.bring(it.client, task_id, budget=45)
        assert again.job.artifacts == delivery.job.artifacts
    assert world.count(SPEND) == 1
    assert world.count(LOOK) == 1


async def test_two_callers_of_one_task_save_it_once(simulator: Running, world: World, tmp_path: Path) -> None:
    async with bench(simulator, tmp_path) as it:
        task_id = (await it.start()).task_id or ""
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(lambda: it.media.bring(it.client, task_id, budget=45))
        assert len(it.files()) == 1


async def test_a_file_that_was_deleted_comes_again_by_its_link(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    async with bench(simulator, tmp_path) as it:
        job = await it.start()
        await it.media.bring(it.client, job.task_id or "", budget=45)
        for file in it.folder.iterdir():
            file.unlink()
        world.area(TaskStore).tasks.clear()  # Novita has forgotten the task, not the file
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(lambda: it.media.bring(it.client, job.task_id or "", budget=45))
        assert len(it.files()) == 1


async def test_a_link_that_has_expired_is_renewed(simulator: Running, world: World, tmp_path: Path) -> None:
    async with bench(simulator, tmp_path) as it:
        job = await it.start()
        world.trouble(
            {"status": 403, "body": "<Error>Request has expired</Error>"}, path="/_simulator/files/*", times=1
        )
        first = await it.media.bring(it.client, job.task_id or "", budget=45)
        assert "expired" in first.trouble
        assert first.job.state is JobState.SUCCEEDED
        world.advance(4000)
        second = await it.media.bring(it.client, job.task_id or "", budget=45)
        assert not second.trouble
        assert len(it.files()) == 1
    assert world.count(SPEND) == 1


async def test_a_place_that_is_no_longer_allowed_does_not_cost_the_file(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    async with bench(simulator, tmp_path) as it:
        job = await it.start(save_to=str(tmp_path / "elsewhere"))
        it.store.allowed = Folders(it.folder, home=tmp_path / "home", cwd=None)
        delivery = await it.media.bring(it.client, job.task_id or "", budget=45)
        assert not delivery.trouble
        assert len(it.files()) == 1


async def test_a_task_that_nobody_knows_is_not_waited_for(simulator: Running, world: World, tmp_path: Path) -> None:
    async with bench(simulator, tmp_path) as it:
        with pytest.raises(NotFoundError):
            await it.media.bring(it.client, "no-such-task", budget=600)
        assert it.clock.naps == []
        assert await it.rows() == []


async def test_a_task_started_elsewhere_is_fetched_too(simulator: Running, world: World, tmp_path: Path) -> None:
    async with bench(simulator, tmp_path) as it:
        await it.client.spend("POST", fox().path, doing="x", body=fox().body)
        (task_id,) = world.area(TaskStore).tasks
        delivery = await it.media.bring(it.client, task_id, budget=45)
        assert delivery.job.state is JobState.SUCCEEDED
        assert delivery.job.estimate == 0
        assert len(it.files()) == 1


async def test_a_failed_task_is_final_and_says_why(simulator: Running, world: World, tmp_path: Path) -> None:
    world.fail_next_task("no face in the picture")
    async with bench(simulator, tmp_path) as it:
        job = await it.start()
        failed = (await it.media.bring(it.client, job.task_id or "", budget=45)).job
        assert (failed.state, failed.reason) == (JobState.FAILED, "no face in the picture")


async def test_only_what_was_watched_to_its_end_counts_as_history(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    world.set(manual=True)
    async with bench(simulator, tmp_path) as it:
        watched = await it.start()
        await it.media.bring(it.client, watched.task_id or "", budget=45)
        (took,) = await it.journal.durations("qwen-image-txt2img")
        assert took < 600
        world.set(manual=False)
        late = await it.start()
        it.clock.naps.append(3600)  # the user comes back after lunch
        await it.media.bring(it.client, late.task_id or "", budget=45)
        assert await it.journal.durations("qwen-image-txt2img") == [took]


async def test_there_are_signs_of_life_while_a_big_file_comes(
    simulator: Running, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novita_mcp.novita.journal.jobs.HEARTBEAT", 0.05)
    world.trouble({"held": True}, path="/_simulator/files/*")
    notes: list[str] = []

    async def on_progress(seen: Progress) -> None:
        notes.append(seen.note)
        if notes.count("done; fetching its files") >= 2:
            world.troubles.clear()

    async with bench(simulator, tmp_path) as it:
        job = await it.start()
        await it.media.bring(it.client, job.task_id or "", budget=45, on_progress=on_progress)
    assert notes.count("done; fetching its files") >= 2
