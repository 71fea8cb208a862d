"""Puts an endpoint's answer into a result: a small answer as it is, a long or binary one as a file."""

import json
from collections.abc import Sequence
from typing import Any, Literal, cast

from ...novita.core.errors import ArtifactError, InputError
from ...novita.core.words import counted
from ...novita.files.artifacts import Artifact, NameHint
from ...novita.files.kinds import HEAD_BYTES, media_type, sniff
from ...novita.journal.journal import Job
from ...novita.serverless.gateway import ServiceReply
from ..kit.context import Caller
from ..kit.pictures import pictures_of
from ..kit.saved_files import shown_file
from .results import CallResult

INLINE_JSON = 8_000
INLINE_TEXT = 16_000
FIRST_PART = 2_000


async def show_answer(
    caller: Caller,
    job: Job,
    task_id: str,
    result: CallResult,
    value: Any,
    text: str | None,
    reply: ServiceReply | None,
    save_to: str | None,
    *,
    kept: list[Artifact] | None = None,
) -> list[Artifact]:
    """Put an answer into the result: a small one as it is, a long or binary one as a file, with its first part shown.

    Args:
        kept: The files that were saved of the same answer before. If there are any, nothing is saved again.
    """
    shown = (
        json.dumps(value, ensure_ascii=False, indent=1) if value is not None and not isinstance(value, str) else text
    )
    is_json = value is not None and not isinstance(value, str)
    if shown is not None:
        fits = len(shown) <= (INLINE_JSON if is_json else INLINE_TEXT)
        if fits and isinstance(value, dict):
            result.result = cast(dict[str, Any], value)
        else:
            result.text = (
                shown if fits else f"{shown[:FIRST_PART]}... ({counted(len(shown) - FIRST_PART, 'more character')})"
            )
        if fits and save_to is None:
            return kept or [Artifact(task_id=task_id, index=0, kind="text", note=shown)]
    if not kept:
        try:
            kept = [await _keep(caller, job, task_id, shown, is_json, reply, save_to)]
        except (ArtifactError, InputError) as error:
            # The answer is paid for, so it is shown as far as possible even if it cannot be saved.
            result.next_step = f"The answer could not be saved: {error}"
            return []
    result.files = tuple(shown_file(caller, "the answer", each) for each in kept_of(caller, kept)) or None
    if caller.app.settings.thumbnails:
        result.show(await pictures_of(kept, caller))
    return kept


def kept_of(caller: Caller, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The artifacts whose content is still here: on disk, or in memory if they could be saved nowhere."""
    return [each for each in artifacts if each.path or caller.app.jobs.store.in_memory(each) is not None]


async def _keep(
    caller: Caller,
    job: Job,
    task_id: str,
    shown: str | None,
    is_json: bool,
    reply: ServiceReply | None,
    save_to: str | None,
) -> Artifact:
    store = caller.app.jobs.store
    name = NameHint(title=f"{job.title.partition(':')[0]} answer", day=job.created.date())
    if shown is not None:
        declared = media_type(reply.content_type) if reply is not None and not is_json else None
        suffix = ".json" if is_json else declared.suffix if declared is not None and declared.kind == "text" else ".txt"
        artifact = Artifact(task_id=task_id, index=0, kind="text")
        return await store.save_text(shown, artifact, suffix=suffix, name=name, save_to=save_to)
    body = reply.body if reply is not None else b""
    found = sniff(body[:HEAD_BYTES])
    kind: Literal["image", "video", "audio", "file"] = (
        found.kind if found is not None and found.kind != "text" else "file"
    )
    mime = reply.content_type.split(";")[0].strip() if reply is not None else None
    artifact = Artifact(task_id=task_id, index=0, kind=kind, mime=mime or None)
    if kind == "file" and found is None:
        return await store.save_text(body, artifact, suffix=".bin", name=name, save_to=save_to)
    return await store.save_bytes(body, artifact, name=name, save_to=save_to)
