"""Calls that ask for the same at the same moment, on a machine however busy."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest
from novita_mcp.novita.core.waiting import OnProgress
from novita_mcp.novita.journal.jobs import Jobs
from novita_mcp.novita.journal.rows import Job
from novita_mcp.simulator.core.world import World


@contextmanager
def answered_once_joined(world: World, joins: int, *, skip: int = 0) -> Generator[None]:
    """Novita takes what is posted once so many calls wait for the answer to another's; `skip` requests are first."""
    world.trouble({"held": True}, method="POST", times=-1, skip=skip)
    came, answered = list[str](), Jobs.answered

    async def counted(self: Jobs, job: Job, within: float, on_progress: OnProgress | None) -> Job:
        came.append(job.key)
        if len(came) == joins:
            world.troubles.clear()
        return await answered(self, job, within, on_progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Jobs, "answered", counted)
        yield
    assert len(came) >= joins
