"""Batches and files of this caller alone, where Novita shows those of everyone who pays with the same key."""

from collections.abc import Sequence

from ...novita.batches import batch_files
from ...novita.batches.batch_files import BatchFile, uploaded_by_another
from ...novita.batches.batches import Batch, list_batches
from ...novita.core.errors import NotFoundError
from ..kit.context import Caller


async def refuse_strangers(caller: Caller, batch_id: str) -> None:
    """Raise NotFoundError for a batch of another caller."""
    if await caller.strangers([batch_id.strip()]):
        raise NotFoundError(f"There is no batch {batch_id[:80]!r}", status=404, next_step="See list_batches.")


async def own_batches(caller: Caller) -> tuple[list[Batch], bool]:
    """The account's batches without those of other callers, and whether Novita has more."""
    found, more = await list_batches(caller.novita)
    others = await caller.strangers(each.id for each in found)
    return [each for each in found if each.id not in others], more


async def own_files(caller: Caller, files: Sequence[BatchFile] | None = None) -> list[BatchFile]:
    """Files without those that other callers uploaded, and those of their batches.

    Args:
        files: Those to choose from; all of the account if not given.
    """
    there = await batch_files.list_files(caller.novita) if files is None else list(files)
    if not caller.app.settings.http:
        return there
    batches, _ = await list_batches(caller.novita)
    others = await caller.strangers(each.id for each in batches)
    theirs = {file for each in batches if each.id in others for file in each.files}
    return [each for each in there if each.id not in theirs and not uploaded_by_another(each.filename, caller.owner)]


async def own_file(caller: Caller, file_id: str) -> BatchFile:
    """One file.

    Raises:
        NotFoundError: There is none, or it is another caller's.
    """
    file = await batch_files.get_file(caller.novita, file_id)
    if not await own_files(caller, [file]):
        raise NotFoundError(f"There is no file {file_id[:80]!r}", status=404, next_step="See list_files.")
    return file
