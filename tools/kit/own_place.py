"""Copies the files of an earlier call to the place that a joining call names."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from anyio import to_thread
from pydantic import BaseModel

from ...novita.core.errors import ArtifactError, InputError
from ...novita.files.artifacts import Artifact
from ...novita.journal.jobs import name_of
from ...novita.journal.journal import Job
from .context import Caller
from .toolset import ToolResult

_NUMBER = re.compile(r"_\d{1,4}\Z")
"""The number that is added to a file name that was taken."""


async def check_own_place(caller: Caller) -> str | None:
    """The place that this call names for its files; None if it names none.

    Raises:
        InputError: Files cannot be saved there.
    """
    place = caller.meant().get("save_to")
    if place is not None:
        await to_thread.run_sync(caller.app.jobs.store.check_place, place)
    return place


async def in_own_place(caller: Caller, key: str, result: ToolResult, place: str) -> ToolResult:
    """The answer about an ended job, with its files copied to `place` and named by their new paths.
    A file that cannot be copied stays where it is, and the answer says why.
    """
    job = await caller.app.journal.row(key)
    if job is None:
        return result
    folder, name = await to_thread.run_sync(caller.app.jobs.store.allowed.place, place)
    moved: dict[str, str] = {}
    remarks: list[str] = []
    for artifact in job.artifacts:
        if artifact.path is not None and _is_there(Path(artifact.path), folder, name):
            continue
        try:
            copy = await _copied(caller, job, artifact, place)
        except (ArtifactError, InputError) as error:
            remarks.append(f"{artifact.name} could not be copied to the wanted place: {error.what.rstrip('.')}.")
            continue
        if copy is not None and copy.path is not None and artifact.path is not None:
            moved[artifact.path] = copy.path
        elif copy is not None:
            remarks.append(f"The text is saved as {copy.path}.")
    result = _renamed(result, moved)
    step = " ".join([getattr(result, "next_step", None) or "", *remarks]).strip()
    return result.model_copy(update={"next_step": step or None})


def _is_there(path: Path, folder: Path, name: str | None) -> bool:
    """Whether the first call saved the file there already. Of files with the same name the later ones are numbered."""
    return path.parent == folder and (name is None or _NUMBER.sub("", path.stem) == _NUMBER.sub("", Path(name).stem))


async def _copied(caller: Caller, job: Job, artifact: Artifact, place: str) -> Artifact | None:
    store, name = caller.app.jobs.store, name_of(job, artifact.index)
    if artifact.path is None and artifact.url is None and artifact.kind == "text" and artifact.note:
        suffix = ".json" if _is_json(artifact.note) else ".txt"
        return await store.save_text(artifact.note, artifact, suffix=suffix, name=name, save_to=place)
    if not store.holds(artifact) and store.in_memory(artifact) is None:
        return None  # the answer already says that the file is missing
    return await store.fetch(artifact, name=name, save_to=place)


def _is_json(text: str) -> bool:
    try:
        return text[:1] in ("{", "[") and isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


def _renamed(result: ToolResult, moved: Mapping[str, str]) -> ToolResult:
    """The answer with the paths of files replaced by the new ones."""

    def renamed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(renamed(each) for each in cast("tuple[Any, ...]", value))
        if isinstance(value, BaseModel) and (path := moved.get(str(getattr(value, "path", None)))):
            return value.model_copy(update={"path": path})
        return value

    if not moved:
        return result
    return result.model_copy(update={name: renamed(getattr(result, name)) for name in type(result).model_fields})
