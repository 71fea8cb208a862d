"""Media resources: the models, the tasks and their files."""

from ...novita.core.errors import InputError
from ...novita.journal.journal import Job
from ...novita.media.lookup import media_models
from ..kit.context import Caller
from ..kit.resources import Content, ResourceSpec, as_json
from .freshness import up_to_date
from .media_models import describe_media_model
from .parts import media_jobs
from .results import whole_answer


def _list_of_models() -> str:
    return as_json(
        [
            {"id": model.id, "makes": model.makes, "does": list(model.does), "state": model.state}
            for model in media_models()
        ]
    )


async def _all_models(caller: Caller) -> str:
    await up_to_date(caller)
    return _list_of_models()


async def _one_model(caller: Caller, id: str) -> str:
    return as_json((await describe_media_model(caller, id)).model_dump(mode="json", exclude_none=True))


async def _one_task(caller: Caller, id: str) -> str:
    delivery = await caller.app.part(media_jobs).bring(caller.novita, id, budget=0)
    return as_json((await whole_answer(caller, delivery)).model_dump(mode="json", exclude_none=True))


async def _artifact(caller: Caller, task_id: str, index: str) -> tuple[Content, str]:
    if not index.isdigit():
        raise InputError(f"Files are counted from 0; {index[:20]!r} is no number")
    found = await caller.app.part(media_jobs).artifact(caller.novita, task_id, int(index))
    if found.path is None and found.url is None:
        return found.note or "", "text/plain"
    data = await caller.app.jobs.store.read(found, max_bytes=64 * 2**20)
    return data, found.mime or "application/octet-stream"


async def _model_ids(caller: Caller, start: str) -> list[str]:
    await up_to_date(caller)
    return [model.id for model in media_models() if start.casefold() in model.id.casefold()]


async def _task_ids(caller: Caller, start: str) -> list[str]:
    jobs: list[Job] = await caller.app.journal.recent(caller.owner, limit=100, kind="media")
    return [job.task_id for job in jobs if job.task_id and job.task_id.startswith(start)]


async def picture_references(caller: Caller, start: str) -> list[str]:
    """References (`task:<id>/<n>`) to finished pictures of this caller, newest first."""
    jobs: list[Job] = await caller.app.journal.recent(caller.owner, limit=100, kind="media")
    pictures = (artifact for job in jobs for artifact in job.artifacts if artifact.kind == "image")
    named = (f"task:{artifact.task_id}/{artifact.index}" for artifact in pictures)
    return [name for name in named if name.startswith(start)]


async def _indexes(_: Caller, start: str) -> list[str]:
    return [number for number in map(str, range(10)) if number.startswith(start)]


MEDIA_RESOURCES = (
    ResourceSpec(
        "novita://models/media",
        "Media models",
        "Image, video and audio models.",
        _all_models,
        size=lambda: len(_list_of_models().encode()),  # the size of the shipped list; news may change it a little
    ),
    ResourceSpec(
        "novita://models/media/{id}",
        "Media model",
        "One media model in full.",
        _one_model,
        complete={"id": _model_ids},
    ),
    ResourceSpec("novita://tasks/{id}", "Task", "One media task and its files.", _one_task, complete={"id": _task_ids}),
    ResourceSpec(
        "novita://artifacts/{task_id}/{index}",
        "Artifact",
        "The bytes of a finished file.",
        _artifact,
        None,
        complete={"task_id": _task_ids, "index": _indexes},
    ),
)
