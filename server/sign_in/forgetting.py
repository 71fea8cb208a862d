"""A subject is removed: the key that was kept, the rows, and the files."""

from dataclasses import dataclass

from ...novita.files.s3 import remove_files
from ...novita.journal.subjects.forgetting import forget_owner
from ...tools.kit.context import App


@dataclass(frozen=True)
class Forgotten:
    """How much went."""

    key: bool
    jobs: int
    files: int


async def forget(app: App, owner: str) -> Forgotten:
    """Remove all that is kept of a subject. What it made or rents at Novita stays there.

    Raises:
        StillRunningError: Something that it pays for still runs. Nothing was removed.
        ArtifactError: The file storage cannot be used; the rows are gone, and the call may be made again.
    """
    removed = await forget_owner(app.journal, owner)
    files = await remove_files(app.jobs.store, owner, removed.artifacts)
    return Forgotten(removed.key, removed.jobs, files)
