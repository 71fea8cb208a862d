"""Text resources: the language models with their prices, one of them, and a batch."""

from ...novita.text.language_models import llm_models
from ..batches.batches import follow_batch
from ..batches.results import answer_batch
from ..kit.context import Caller
from ..overview.resources import ResourceSpec, as_json
from .chat import get_model, line_of


async def _models(caller: Caller) -> str:
    found = sorted(await llm_models(caller.novita), key=lambda model: model.id)
    return as_json([line_of(model).model_dump(mode="json", exclude_none=True) for model in found])


async def _model(caller: Caller, id: str) -> str:
    return as_json((await get_model(caller, id)).model_dump(mode="json", exclude_none=True))


async def _batch(caller: Caller, id: str) -> str:
    result = await answer_batch(caller, await follow_batch(caller, id, budget=0))
    return as_json(result.model_dump(mode="json", exclude_none=True))


async def _model_ids(caller: Caller, start: str) -> list[str]:
    return [model.id for model in await llm_models(caller.novita) if start.casefold() in model.id.casefold()]


async def _batch_ids(caller: Caller, start: str) -> list[str]:
    jobs = await caller.app.journal.recent(caller.owner, limit=100, kind="batch")
    return [job.task_id for job in jobs if job.task_id and job.task_id.startswith(start)]


TEXT_RESOURCES = (
    ResourceSpec("novita://models/llm", "Language models", "Language models with live prices.", _models),
    ResourceSpec(
        "novita://models/llm/{+id}",  # ids hold a slash
        "Language model",
        "One language model in full.",
        _model,
        complete={"id": _model_ids},
    ),
    ResourceSpec("novita://batches/{id}", "Batch", "One batch and its results.", _batch, complete={"id": _batch_ids}),
)
