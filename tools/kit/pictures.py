"""The small pictures beside an answer, which show the model what was made, wherever the files are."""

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
"""A picture that could be saved nowhere is shown unchanged if it has at most so many bytes, so that it is not lost."""
_FOR_HOSTS = ("image/png", "image/jpeg", "image/webp", "image/gif")
_AT_ONCE = 2
"""How many files of one call are fetched in parallel if they are only shown."""
_WITHIN = 12.0
"""Seconds that fetching them all may take. Files that have not arrived by then are not shown."""


async def pictures_of(artifacts: Sequence[Artifact], caller: Caller) -> list[Picture]:
    """Small pictures of the files: thumbnails of pictures and frames of videos, together small enough for any host."""
    return (await seen_of(artifacts, caller))[1]


async def seen_of(
    artifacts: Sequence[Artifact], caller: Caller, *, coming: bool = False
) -> tuple[list[Artifact], list[Picture]]:
    """The artifacts with the measures that looking at them showed, and the pictures to show.

    Files on this machine are decoded one after the other. Other files are fetched for that and not kept.

    Args:
        coming: Whether files that are not here yet are being saved. Then they are shown once they are saved.
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
