"""Pictures as a model sees them beside an answer: small ones of what was saved."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from anyio import to_thread

from ...novita.files.artifacts import Artifact
from ...novita.files.decoding import BUDGET
from ...novita.files.pictures import Thumb, fit_thumbnails, poster, thumbnail, thumbnail_cost
from .toolset import Picture


async def pictures_of(artifacts: Sequence[Artifact], caller: str = "") -> list[Picture]:
    """Thumbnails of saved pictures and poster frames of saved videos, all together small enough for any host.

    One after the other, and none of a picture that would take more memory than everything decoded here may.
    """
    thumbs: list[Thumb | None] = []
    for artifact in artifacts:
        path = Path(artifact.path or "")
        if not artifact.path or artifact.kind not in ("image", "video"):
            continue
        if artifact.kind == "video":
            thumbs.append(await to_thread.run_sync(poster, path, abandon_on_cancel=True))
            continue
        cost = await to_thread.run_sync(thumbnail_cost, path, abandon_on_cancel=True)
        if cost <= BUDGET.total:
            thumbs.append(await BUDGET.run(partial(thumbnail, path), cost, caller=caller))
    fitting = await to_thread.run_sync(fit_thumbnails, thumbs, abandon_on_cancel=True)
    return [Picture(data=thumb.data, mime=thumb.mime) for thumb in fitting if thumb is not None]
