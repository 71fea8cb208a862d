"""Reads the measures and a small picture of a finished file without saving the file.

Over HTTP nothing is saved, and yet a model should see what it made. So a picture, or the beginning of a video, is
fetched into the spool; the bytes are deleted as soon as the small picture is made.
"""

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio.to_thread

from ..core.errors import ArtifactError
from .artifacts import Artifact, ArtifactStore
from .decoding import BUDGET
from .downloads import Downloader
from .kinds import HEAD_BYTES, sniff
from .parts import PartFile
from .pictures import Thumb, poster, probe, thumbnail, thumbnail_cost

logger = logging.getLogger(__name__)

MIB = 2**20
MOST_FETCHED = 20 * MIB
"""A file of up to so many bytes is fetched whole."""
BEGINNING = 3 * MIB
"""So many bytes from the beginning of a video usually contain its first frames."""
END = 2 * MIB
"""So many bytes from the end of a video contain its index, if the index is written last."""
WITHIN = 8.0
"""How many seconds one file may take."""


@dataclass(frozen=True)
class _Fetched:
    """What the partial file holds. `size` is the whole file's; `sha256` is known only if all of it was fetched."""

    head: bytes
    size: int | None
    sha256: str | None


async def look_at(store: ArtifactStore, artifact: Artifact, *, owner: str) -> tuple[Artifact, Thumb | None]:
    """The artifact with its measures, and a small picture. If it cannot be fetched: the artifact unchanged, and None.

    Args:
        owner: The owner of the file, since each may use only a share of the memory.
    """
    if store.spool is None or artifact.kind not in ("image", "video"):
        return artifact, None
    part = PartFile(store.spool, private=True)
    try:
        await anyio.to_thread.run_sync(part.open)
        stored = artifact.path is not None and (artifact.bytes or 0) <= MOST_FETCHED
        if artifact.kind == "image" or artifact.url is None or stored:
            return await _whole(store, artifact, part, owner)
        found = await _begin(store.downloader, artifact, part)
        seen, thumb = await _seen(artifact, part, found, owner)
        if thumb is not None or found.size is None or found.size <= BEGINNING:
            return seen, thumb
        # The beginning gave no picture, so the video's index is at its end.
        if found.size <= MOST_FETCHED:
            part.handle.seek(0)
            part.handle.truncate()
            return await _whole(store, artifact, part, owner)
        if found.size > store.max_bytes:
            return seen, None
        try:
            await _end(store.downloader, artifact, part, found.size)
        except ArtifactError as error:  # what the beginning showed is still good
            logger.info("the end of %s is not read: %s", artifact.name, error)
            return seen, None
        return await _seen(artifact, part, found, owner)
    except (ArtifactError, OSError) as error:
        logger.info("%s is not shown: %s", artifact.name, error)
        return artifact, None
    finally:
        part.discard()


async def _whole(store: ArtifactStore, artifact: Artifact, part: PartFile, owner: str) -> tuple[Artifact, Thumb | None]:
    return await _seen(artifact, part, await _fetch(store, artifact, part), owner)


async def _fetch(store: ArtifactStore, artifact: Artifact, part: PartFile) -> _Fetched:
    if artifact.path is not None or artifact.url is None:  # the file is in our own storage
        data = await store.read(artifact, max_bytes=MOST_FETCHED)
        await anyio.to_thread.run_sync(part.handle.write, data)
        return _Fetched(data[:HEAD_BYTES], len(data), artifact.sha256)
    by = replace(store.downloader, budget=WITHIN, tries=2)
    done = await by.download(artifact.url, part.handle, max_bytes=MOST_FETCHED, what=artifact.name)
    return _Fetched(done.head, done.size, done.sha256)


async def _begin(by: Downloader, artifact: Artifact, part: PartFile) -> _Fetched:
    seen = await replace(by, glance=WITHIN).peek(artifact.url or "", length=BEGINNING)
    await anyio.to_thread.run_sync(part.handle.write, seen.head)
    return _Fetched(seen.head[:HEAD_BYTES], seen.size, None)


async def _end(by: Downloader, artifact: Artifact, part: PartFile, size: int) -> None:
    """Fetch the end of a file into its place. The bytes between the beginning and the end stay zeros."""
    start = size - END
    seen = await replace(by, glance=WITHIN).peek(artifact.url or "", length=END, start=start)
    part.handle.seek(start)
    await anyio.to_thread.run_sync(part.handle.write, seen.head)


async def _seen(artifact: Artifact, part: PartFile, found: _Fetched, owner: str) -> tuple[Artifact, Thumb | None]:
    await anyio.to_thread.run_sync(part.handle.flush)
    kind = sniff(found.head)
    if kind is None or kind.kind != artifact.kind:
        return artifact, None
    measures = await anyio.to_thread.run_sync(probe, part.path, artifact.kind)
    learnt = {
        "mime": kind.mime,
        "bytes": found.size,
        "sha256": found.sha256,
        "width": measures.width,
        "height": measures.height,
        "duration_seconds": measures.duration,
    }
    seen = artifact.model_copy(update={name: value for name, value in learnt.items() if value is not None})
    return seen, await small_picture(part.path, artifact.kind, owner)


async def small_picture(source: bytes | Path, kind: str, owner: str) -> Thumb | None:
    """A small picture of a picture, or of a video's frame. None if decoding would take more than the whole budget."""
    if kind == "video":
        return (
            await anyio.to_thread.run_sync(poster, source, abandon_on_cancel=True) if isinstance(source, Path) else None
        )
    cost = await anyio.to_thread.run_sync(thumbnail_cost, source, abandon_on_cancel=True)
    if cost > BUDGET.total:
        return None
    return await BUDGET.run(partial(thumbnail, source), cost, caller=owner)
