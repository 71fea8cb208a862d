"""A look at a finished file that stays where it is: what it measures, and a small picture of it.

Over HTTP nothing is saved, and yet a model should see what it made. So a picture is fetched into the spool, and of a
video its beginning; once it was looked at, the bytes are dropped.
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
"""Bytes of a file that is fetched whole to be looked at."""
BEGINNING = 3 * MIB
"""Bytes of a video in which its first frames are, as a rule."""
END = 2 * MIB
"""Bytes of a video in which its index is, where that stands last."""
WITHIN = 8.0
"""Seconds for one file."""


@dataclass(frozen=True)
class _Fetched:
    """What is in the part now. `size` is the file's; `sha256` is known where all of it is here."""

    head: bytes
    size: int | None
    sha256: str | None


async def look_at(store: ArtifactStore, artifact: Artifact, *, owner: str) -> tuple[Artifact, Thumb | None]:
    """The artifact with what was learnt of it, and a small picture; as it was, and None, where it cannot be had.

    Args:
        owner: Whose it is, for the share of memory each may take.
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
        # Its index stands at its end.
        if found.size <= MOST_FETCHED:
            part.handle.seek(0)
            part.handle.truncate()
            return await _whole(store, artifact, part, owner)
        if found.size > store.max_bytes:
            return seen, None
        try:
            await _end(store.downloader, artifact, part, found.size)
        except ArtifactError as error:  # what was learnt of its beginning stands
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
    if artifact.path is not None or artifact.url is None:  # in storage of ours
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
    """Put the end of a file where it belongs; what is between it and the beginning stays a hole."""
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
    """A picture made small, or a frame of a video; None of what would take more memory than may be decoded at all."""
    if kind == "video":
        return (
            await anyio.to_thread.run_sync(poster, source, abandon_on_cancel=True) if isinstance(source, Path) else None
        )
    cost = await anyio.to_thread.run_sync(thumbnail_cost, source, abandon_on_cancel=True)
    if cost > BUDGET.total:
        return None
    return await BUDGET.run(partial(thumbnail, source), cost, caller=owner)
