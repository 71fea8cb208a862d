"""Read-only addresses: what there is, what was made, what it costs. Everything here can be had through tools too.

A resource is a row of a table: its address (a template where it has parameters), what it is, and the function that
reads it. Toolsets bring their own tables; they are joined here.
"""

from ...novita.account.balance import get_balance
from ...novita.core.errors import InputError
from ...novita.journal.journal import Job
from ...novita.media.lookup import media_models
from ..account.resources import ACCOUNT_RESOURCES
from ..batches.resources import BATCH_RESOURCES
from ..gpu import resources as resources_gpu
from ..kit.context import Caller
from ..kit.resources import Content, ResourceSpec, as_json
from ..media.media_models import describe_media_model
from ..media.results import whole_answer
from ..serverless import resources as resources_serverless
from ..text.resources import TEXT_RESOURCES
from .tasks import list_tasks


async def _all_models(_: Caller) -> str:
    return as_json(
        [
            {"id": model.id, "makes": model.makes, "does": list(model.does), "state": model.state}
            for model in media_models()
        ]
    )


async def _one_model(caller: Caller, id: str) -> str:
    return as_json((await describe_media_model(caller, id)).model_dump(mode="json", exclude_none=True))


async def _tasks(caller: Caller) -> str:
    return as_json((await list_tasks(caller, limit=50)).model_dump(mode="json", exclude_none=True))


async def _one_task(caller: Caller, id: str) -> str:
    delivery = await caller.app.media.bring(caller.novita, id, budget=0)
    return as_json((await whole_answer(caller, delivery)).model_dump(mode="json", exclude_none=True))


async def _artifact(caller: Caller, task_id: str, index: str) -> tuple[Content, str]:
    if not index.isdigit():
        raise InputError(f"Files are counted from 0; {index[:20]!r} is no number")
    found = await caller.app.media.artifact(caller.novita, task_id, int(index))
    if found.path is None and found.url is None:
        return found.note or "", "text/plain"
    data = await caller.app.jobs.store.read(found, max_bytes=64 * 2**20)
    return data, found.mime or "application/octet-stream"


async def _balance(caller: Caller) -> str:
    return as_json((await get_balance(caller.novita)).model_dump(mode="json"))


async def _model_ids(_: Caller, start: str) -> list[str]:
    return [model.id for model in media_models() if start.casefold() in model.id.casefold()]


async def _task_ids(caller: Caller, start: str) -> list[str]:
    jobs: list[Job] = await caller.app.journal.recent(caller.owner, limit=100, kind="media")
    return [job.task_id for job in jobs if job.task_id and job.task_id.startswith(start)]


async def _indexes(_: Caller, start: str) -> list[str]:
    return [number for number in map(str, range(10)) if number.startswith(start)]


def resources() -> tuple[ResourceSpec, ...]:
    """All of them, in the order a host lists them."""
    return (
        ResourceSpec("novita://models/media", "Media models", "Image, video and audio models.", _all_models),
        ResourceSpec(
            "novita://models/media/{id}",
            "Media model",
            "One media model in full.",
            _one_model,
            complete={"id": _model_ids},
        ),
        ResourceSpec("novita://tasks", "Tasks", "What was started through this server.", _tasks),
        ResourceSpec(
            "novita://tasks/{id}", "Task", "One media task and its files.", _one_task, complete={"id": _task_ids}
        ),
        ResourceSpec(
            "novita://artifacts/{task_id}/{index}",
            "Artifact",
            "The bytes of a finished file.",
            _artifact,
            None,
            complete={"task_id": _task_ids, "index": _indexes},
        ),
        *(
            ResourceSpec(uri, name, description, read, mime, table.COMPLETIONS.get(uri))
            for table in (resources_gpu, resources_serverless)
            for uri, (name, description, mime, read) in table.RESOURCES.items()
        ),
        ResourceSpec("novita://balance", "Balance", "What credit is left, in USD.", _balance),
        *ACCOUNT_RESOURCES,
        *TEXT_RESOURCES,
        *BATCH_RESOURCES,
    )
