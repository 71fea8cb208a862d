"""Pictures as a model sees them beside an answer: small ones of what was saved."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from anyio import to_thread

from ...novita.files.artifacts import Artifact
from ...novita.files.decoding import BUDGET
from ...novita.files.kinds import HEAD_BYTES, sniff
from ...novita.files.pictures import Thumb, fit_thumbnails, poster, thumbnail, thumbnail_cost
from .context import Caller
from .toolset import Picture

_SHOWN_WHOLE = 400_000
"""Bytes up to which a picture that could be saved nowhere is shown as it is: so it is had at least there."""
_FOR_HOSTS = ("image/png", "image/jpeg", "image/webp", "image/gif")


async def pictures_of(artifacts: Sequence[Artifact], caller: Caller) -> list[Picture]:
    """Thumbnails of saved pictures and poster frames of saved videos, all together small enough for any host.

    One after the other, and none of a picture that would take more memory than everything decoded here may.
    """
    thumbs: list[Thumb | None] = []
    for artifact in artifacts:
        if artifact.kind not in ("image", "video"):
            continue
        kept = caller.app.jobs.store.in_memory(artifact)
        if kept is not None and artifact.kind == "image":
            thumbs.append(_whole(kept) or await _small(kept, caller.owner))
        elif artifact.path and artifact.kind == "image":
            thumbs.append(await _small(Path(artifact.path), caller.owner))
        elif artifact.path:
            thumbs.append(await to_thread.run_sync(poster, Path(artifact.path), abandon_on_cancel=True))
    fitting = await to_thread.run_sync(fit_thumbnails, thumbs, abandon_on_cancel=True)
    return [Picture(data=thumb.data, mime=thumb.mime) for thumb in fitting if thumb is not None]


async def _small(source: bytes | Path, owner: str) -> Thumb | None:
    cost = await to_thread.run_sync(thumbnail_cost, source, abandon_on_cancel=True)
    if cost > BUDGET.total:
        return None
    return await BUDGET.run(partial(thumbnail, source), cost, caller=owner)


def _whole(data: bytes) -> Thumb | None:
    found = sniff(data[:HEAD_BYTES])
    if len(data) > _SHOWN_WHOLE or found is None or found.mime not in _FOR_HOSTS:
        return None
    return Thumb(data, found.mime)
