"""Saves texts and tables that a call made as files: on disk, or in the spool if callers are remote."""

from typing import Literal

from pydantic import BaseModel, Field

from ...novita.files.artifacts import Artifact, NameHint
from ...novita.journal.jobs import call_id
from ...novita.journal.journal import Job
from .context import Caller


class SavedFile(BaseModel):
    """A file that this call made."""

    what: str = Field(description="What is in it.")
    path: str | None = Field(default=None, description="Where it is on this machine.")
    uri: str | None = Field(default=None, description="Resource that reads it.")
    bytes: int | None = Field(default=None, description="Size.")
    note: str | None = Field(default=None, description="Why it is not where it was to be.")


class SavedFiles:
    """Saves what one call made, and counts its files."""

    def __init__(self, caller: Caller, job: Job, *, title: str, save_to: str | None = None) -> None:
        self._caller = caller
        self._job = job
        self._title = title
        self._save_to = save_to
        self.artifacts: list[Artifact] = []
        self.files: list[SavedFile] = []

    async def put(self, what: str, data: str | bytes, suffix: str, *, kind: Literal["text", "file"] = "text") -> None:
        """Save a text or table on disk, or in the spool if callers are remote.

        Raises:
            InputError, ArtifactError: It cannot be saved there.
        """
        index = len(self.files)
        artifact = Artifact(task_id=call_id(self._job), index=index, kind=kind)
        name = NameHint(title=self._title if index == 0 else f"{self._title} {what}", owner=self._caller.owner)
        saved = await self._caller.app.jobs.store.save_text(
            data, artifact, suffix=suffix, name=name, save_to=self._save_to if index == 0 else None
        )
        self.artifacts.append(saved)
        self.files.append(shown_file(self._caller, what, saved))


def shown_file(caller: Caller, what: str, saved: Artifact) -> SavedFile:
    """A saved file as the caller sees it. A remote caller gets no path, since it cannot reach this machine's files."""
    return SavedFile(
        what=what,
        path=None if caller.app.settings.http else saved.path,
        uri=f"novita://artifacts/{saved.task_id}/{saved.index}",
        bytes=saved.bytes,
        note=None if saved.note == what else saved.note,
    )


async def keep_content(caller: Caller, title: str, data: bytes, save_to: str | None) -> SavedFile | None:
    """Save content that was fetched for free, such as a batch file. None if callers are remote."""
    store = caller.app.jobs.store
    if caller.app.settings.http and save_to is None:
        return None
    artifact = Artifact(task_id="", index=0, kind="file")
    saved = await store.save_text(data, artifact, suffix=".jsonl", name=NameHint(title=title), save_to=save_to)
    return SavedFile(what="all lines", path=saved.path, bytes=saved.bytes)
