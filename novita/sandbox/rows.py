"""The journal's rows about sandboxes, brought up to what is seen of them: how they stand, and what they go on costing.

A row gives a sandbox time: its creation, a resume, a new time-out. The newest one counts what the sandbox costs from
then on, at what the rest of its life costs as the least while it runs; the older ones keep what came up until then. A
sandbox is over when it is seen to be gone: then only its time counts.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from ..journal.facts import SandboxFacts
from ..journal.journal import Job, JobState, Journal
from ..journal.meters import Meters
from ..journal.rows import utc
from .prices import SandboxSize, prices
from .shapes import Sandbox

KIND = "sandbox"
"""Kind of the rows. Each has the sandbox's id as `facts.resource`."""
TOOLS = ("create_sandbox", "run_code", "change_sandbox")
"""The tools whose rows give a sandbox time."""
MARK, OWNER, JOB = "novita-mcp", "novita-mcp-owner", "novita-mcp-job"
"""Names in the metadata of a sandbox of ours: that it is, whose, and of which row. So it is found again although its
answer, or the whole journal, was lost."""
NEW = 60.0
"""Seconds for which a new sandbox may be missing from lists."""


@dataclass(frozen=True)
class KnownSandbox:
    """A sandbox that the journal takes to be there. `usd` is what all its rows count together."""

    id: str
    name: str
    begun: float
    ends_at: float | None
    paused_since: datetime | None
    usd: Decimal


def marks(job: Job) -> dict[str, str]:
    """The marks in the metadata of a sandbox of ours."""
    return {MARK: "1", OWNER: job.owner, JOB: job.key[:16]}


def facts_of(size: SandboxSize, seconds: float, now: float) -> SandboxFacts:
    """The facts of a row that gives a sandbox so many seconds from now on."""
    table = prices()
    return SandboxFacts(usd_per_hour=table.per_hour(size), whole=table.cost(size, seconds), ends_at=now + seconds)


async def note_given(journal: Journal, job: Job, sandbox_id: str, *, since: float | None = None) -> Job:
    """Novita took what a row asked for: from then on (Unix seconds; now) this row counts what the sandbox costs.

    Raises:
        JournalError: The journal cannot be written.
    """
    own = job.tool != "change_sandbox"
    task_id = sandbox_id if own else f"{sandbox_id}#{job.key[:8]}"
    await journal.accepted(job.key, task_id, SandboxFacts(resource=sandbox_id))
    noted = await journal.finish(job.key, JobState.SUCCEEDED, task_id=task_id)

    def write(meters: Meters) -> None:
        facts, now = noted.facts_as(SandboxFacts), meters.now if since is None else min(since, meters.now)
        for older in meters.about(job.owner, sandbox_id, TOOLS):
            if older.key != job.key:
                meters.set_rate(older, Decimal(0), at=now, running=False, over=True)
        newest = meters.set_rate(meters.job(job.key), 24 * (facts.usd_per_hour or Decimal(0)), at=now, running=True)
        if facts.whole is not None:
            meters.take(newest, facts.whole)

    await journal.meter(write)
    return noted


async def note_seen(journal: Journal, owner: str, sandbox: Sandbox) -> None:
    """Bring the rows of a sandbox up to how it stands now; one of ours without a row gets one. Said again, it changes
    nothing.

    Raises:
        JournalError: The journal cannot be used.
    """

    def write(meters: Meters) -> bool:
        rows = meters.about(owner, sandbox.id, TOOLS)
        if not rows:
            return False
        newest, now = rows[-1], meters.now
        known = newest.facts_as(SandboxFacts)
        ends = sandbox.ends_at.timestamp() if sandbox.ends_at else None
        if sandbox.state == "paused":
            if known.paused_since is None:
                at = min(now, known.ends_at) if known.ends_at else now
                newest = meters.note(newest, SandboxFacts(paused_since=round(at)))
                meters.set_rate(newest, Decimal(0), at=at, running=False, over=False)
            return True
        if known.ends_at != ends or known.paused_since is not None:
            newest = meters.note(newest, SandboxFacts(ends_at=ends, paused_since=None))
        began = sandbox.started_at.timestamp() if sandbox.started_at and not newest.segments else now
        meters.set_rate(newest, 24 * prices().per_hour(sandbox.shape), at=min(began, now), running=True)
        return True

    if await journal.meter(write) or sandbox.metadata.get(OWNER) != owner:
        return
    row = await journal.adopt(owner, sandbox.id, kind=KIND, tool="create_sandbox")
    await journal.note(row.key, SandboxFacts(resource=sandbox.id))
    await journal.finish(row.key, JobState.SUCCEEDED, task_id=sandbox.id)
    await journal.meter(write)


async def note_gone(journal: Journal, owner: str, sandbox_id: str, at: float | None = None) -> None:
    """A sandbox is there no more: its time counts until `at` (Unix seconds), or until its own end before that.

    Raises:
        JournalError: The journal cannot be used.
    """

    def write(meters: Meters) -> None:
        for row in meters.about(owner, sandbox_id, TOOLS):
            ends = row.facts_as(SandboxFacts).ends_at
            when = min(meters.now if at is None else at, ends if ends is not None else meters.now)
            meters.set_rate(row, Decimal(0), at=when, running=False, over=True)

    await journal.meter(write)


async def cost_so_far(journal: Journal, owner: str, sandbox_id: str) -> Decimal:
    """What all rows of a sandbox count together, USD.

    Raises:
        JournalError: The journal cannot be used.
    """
    rows = await journal.meter(lambda meters: meters.about(owner, sandbox_id, TOOLS))
    return sum((row.counted for row in rows), Decimal(0))


async def known_sandboxes(journal: Journal, owner: str | None) -> list[KnownSandbox]:
    """Sandboxes that run or are paused, by the journal; of one owner, or (None) of all on this machine."""

    def read(meters: Meters) -> list[KnownSandbox]:
        found: dict[str, KnownSandbox] = {}
        counted: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in meters.accepted(owner, KIND):
            facts = row.facts_as(SandboxFacts)
            if not (id := facts.resource):
                continue
            counted[id] += row.counted
            if facts.ended is None and facts.usd is None:
                paused = utc(facts.paused_since) if facts.paused_since is not None else None
                found[id] = KnownSandbox(id, row.title, row.begun, facts.ends_at, paused, Decimal(0))
        return [replace(each, usd=counted[each.id]) for each in found.values()]

    return await journal.meter(read)


async def adopt_lost(journal: Journal, owner: str, there: Iterable[Sandbox]) -> None:
    """Creates whose answer was lost take the sandbox that carries their mark; it has cost since it was started.

    The same call, made again, joins it: nobody was given more than that it was not known.
    """
    lost = await journal.recent(owner, limit=50, kind=KIND, states=(JobState.UNCONFIRMED,))
    marked = {each.metadata.get(JOB): each for each in there if each.metadata.get(OWNER) == owner}
    for row in lost:
        if row.task_id is None and (found := marked.get(row.key[:16])) is not None:
            since = found.started_at.timestamp() if found.started_at else row.begun
            await note_given(journal, row, found.id, since=since)
            await journal.take_back(row.key)
