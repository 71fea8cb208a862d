"""Pictures as a model sees them beside an answer: small ones of what was made, wherever it is."""

from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio import to_thread

from ...novita.files.artifacts import Artifact
from ...novita.files.glances import look_at, small_picture
from ...novita.files.kinds import HEAD_BYTES, sniff
from ...novita.files.pictures import Thumb, fit_thumbnails
from .context import Caller
from .toolset import Picture

_SHOWN_WHOLE = 400_000
"""Bytes up to which a picture that could be saved nowhere is shown as it is: so it is had at least there."""
_FOR_HOSTS = ("image/png", "image/jpeg", "image/webp", "image/gif")
_AT_ONCE = 2
"""Files of one call that are fetched at a time only to be shown."""
_WITHIN = 12.0
"""Seconds that all of them may take; what is not there by then is not shown."""


async def pictures_of(artifacts: Sequence[Artifact], caller: Caller) -> list[Picture]:
    """Thumbnails of pictures and poster frames of videos, all together small enough for any host."""
    return (await seen_of(artifacts, caller))[1]


async def seen_of(
    artifacts: Sequence[Artifact], caller: Caller, *, coming: bool = False
) -> tuple[list[Artifact], list[Picture]]:
    """The artifacts with what was learnt by looking at them, and the pictures to show.

    What is on this machine is decoded one after the other; what is not is fetched for that, and not kept.

    Args:
        coming: Whether what is not here yet is on its way; then it is shown once it is.
    """
    seen = dict(enumerate(artifacts))
    thumbs: dict[int, Thumb | None] = {}
    away: list[int] = []
    for place, artifact in enumerate(artifacts):
        kept = caller.app.jobs.store.in_memory(artifact)
        path = Path(artifact.path or "")
        if artifact.kind not in ("image", "video"):
            continue
        if kept is not None:
            thumbs[place] = _whole(kept) or await small_picture(kept, artifact.kind, caller.owner)
        elif artifact.path and await to_thread.run_sync(path.is_file):
            thumbs[place] = await small_picture(path, artifact.kind, caller.owner)
        elif caller.app.settings.http or not coming:
            away.append(place)
    with anyio.move_on_after(_WITHIN):
        turns = anyio.Semaphore(_AT_ONCE)

        async def look(place: int) -> None:
            async with turns:
                found = await look_at(caller.app.jobs.store, artifacts[place], owner=caller.owner)
                seen[place], thumbs[place] = found

        async with anyio.create_task_group() as group:
            for place in away:
                group.start_soon(look, place)
    ordered = [thumbs[place] for place in sorted(thumbs)]
    fitting = await to_thread.run_sync(fit_thumbnails, ordered, abandon_on_cancel=True)
    return list(seen.values()), [Picture(data=thumb.data, mime=thumb.mime) for thumb in fitting if thumb is not None]


def _whole(data: bytes) -> Thumb | None:
    found = sniff(data[:HEAD_BYTES])
    if len(data) > _SHOWN_WHOLE or found is None or found.mime not in _FOR_HOSTS:
        return None
    return Thumb(data, found.mime)
