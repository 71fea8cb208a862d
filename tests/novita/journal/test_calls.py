"""Jobs.call: a paid call that ends with its caller, and a row that says what it cost however it ended."""

from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path

import anyio
import httpx
import pytest
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.errors import InputError, NovitaConnectionError, NovitaError, SpendRefusedError
from novita_mcp.novita.files.artifacts import ArtifactStore
from novita_mcp.novita.files.folders import Folders
from novita_mcp.novita.journal.jobs import Jobs, Paid, Tally
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import Job, JobState

from ..conftest import FakeClock

OWNER = "somebody"


@pytest.fixture
async def jobs(tmp_path: Path, clock: FakeClock, http: httpx.AsyncClient) -> AsyncGenerator[Jobs]:
    store = ArtifactStore(
        tmp_path / "out", allowed=Folders(tmp_path / "out", home=None, cwd=None), clock=clock, http=http
    )
    journal = Journal(tmp_path / "journal.sqlite3", clock=clock)
    background = anyio.create_task_group()  # not entered: a call uses none
    yield Jobs(journal, store, background, clock, Caps(per_day=Decimal(1)))
    await journal.close()


async def made(jobs: Jobs, work: "PaidWork", estimate: str = "0.10") -> tuple[Job, str]:
    return await jobs.call(
        Paid(owner=OWNER, tool="chat", model="m", title="a question", cost=Cost(Decimal(estimate))), work=work.run
    )


class PaidWork:
    """A call that writes a little, costs a little, and then ends as told."""

    def __init__(self, error: Exception | None = None, *, cost: str | None = "0.02", trouble: str = "") -> None:
        self._error, self._cost, self._trouble = error, cost, trouble

    async def run(self, job: Job, tally: Tally) -> str:
        tally.text, tally.trouble = "Foxes are", self._trouble
        tally.usd = Decimal(self._cost) if self._cost else None
        if self._error is not None:
            raise self._error
        return tally.text


class EndlessCall(PaidWork):
    """A call that never ends by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = anyio.Event()

    async def run(self, job: Job, tally: Tally) -> str:
        await super().run(job, tally)
        self.begun.set()
        await anyio.sleep_forever()
        raise AssertionError("nothing wakes it")


async def row(jobs: Jobs) -> Job:
    (found,) = await jobs.journal.recent(OWNER, limit=5)
    return found


async def test_a_call_counts_what_it_cost_not_what_it_might_have(jobs: Jobs) -> None:
    job, value = await made(jobs, PaidWork())
    assert (value, job.state, job.kind, job.facts.usd) == ("Foxes are", JobState.SUCCEEDED, "call", Decimal("0.02"))
    assert await jobs.journal.spent(OWNER) == Decimal("0.02")


@pytest.mark.parametrize(
    ("work", "state", "counted"),
    [
        (PaidWork(trouble="It was cut"), JobState.FAILED, "0.02"),
        (PaidWork(InputError("no"), cost=None), JobState.REFUSED, "0"),
        (PaidWork(NovitaConnectionError("lost", billed="maybe"), cost=None), JobState.UNCONFIRMED, "0.10"),
        (PaidWork(NovitaError("unclear"), cost=None), JobState.UNCONFIRMED, "0.10"),
        (PaidWork(NovitaConnectionError("after a part", billed="maybe")), JobState.FAILED, "0.02"),
        (PaidWork(RuntimeError("a fault of ours"), cost=None), JobState.UNCONFIRMED, "0.10"),
    ],
    ids=["cut", "refused", "lost", "unclear", "partly", "fault"],
)
async def test_every_end_is_noted(jobs: Jobs, work: PaidWork, state: JobState, counted: str) -> None:
    try:
        await made(jobs, work)
    except (NovitaError, RuntimeError):
        assert state is not JobState.SUCCEEDED
    assert (await row(jobs)).state is state
    assert await jobs.journal.spent(OWNER) == Decimal(counted)


async def test_a_cancelled_call_ends_at_once_and_keeps_what_it_wrote(jobs: Jobs) -> None:
    work = EndlessCall()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(made, jobs, work)
            await work.begun.wait()
            group.cancel_scope.cancel()
    found = await row(jobs)
    assert (found.state, found.reason) == (JobState.CANCELLED, "Cancelled by the caller.")
    assert await jobs.journal.spent(OWNER) == Decimal("0.02")
    (kept,) = found.artifacts
    assert kept.path is not None
    assert Path(kept.path).read_text() == "Foxes are"


async def test_a_call_over_a_cap_is_not_made(jobs: Jobs) -> None:
    with pytest.raises(SpendRefusedError):
        await made(jobs, PaidWork(), estimate="1.01")
    assert await jobs.journal.recent(OWNER, limit=5) == []
