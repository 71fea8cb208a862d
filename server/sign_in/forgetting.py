"""Removes a subject: the kept key, the journal's rows, and the files."""

from dataclasses import dataclass

from ...novita.files.s3 import remove_files
from ...novita.journal.subjects.forgetting import forget_owner
from ...tools.kit.context import App


@dataclass(frozen=True)
class Forgotten:
    """How much was removed."""

    key: bool
    jobs: int
    files: int


async def forget(app: App, owner: str) -> Forgotten:
    """Remove everything that this server keeps of a subject. Files, machines and jobs at Novita stay there.

    Raises:
        StillRunningError: Something that the subject pays for still runs. Nothing was removed.
        ArtifactError: The file storage cannot be used. The rows are already removed; call again to remove the files.
    """
    removed = await forget_owner(app.journal, owner)
    files = await remove_files(app.jobs.store, owner, removed.artifacts)
    return Forgotten(removed.key, removed.jobs, files)
