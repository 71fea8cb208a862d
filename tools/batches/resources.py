"""Batches as resources: one batch and its results."""

from ..kit.context import Caller
from ..kit.resources import ResourceSpec, as_json
from .batches import follow_batch
from .results import answer_batch


async def _batch(caller: Caller, id: str) -> str:
    result = await answer_batch(caller, await follow_batch(caller, id, budget=0))
    return as_json(result.model_dump(mode="json", exclude_none=True))


async def _batch_ids(caller: Caller, start: str) -> list[str]:
    jobs = await caller.app.journal.recent(caller.owner, limit=100, kind="batch")
    return [job.task_id for job in jobs if job.task_id and job.task_id.startswith(start)]


BATCH_RESOURCES = (
    ResourceSpec("novita://batches/{id}", "Batch", "One batch and its results.", _batch, complete={"id": _batch_ids}),
)
