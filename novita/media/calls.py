"""Media calls: sends a planned request, and asks for a task's state. outcomes.py reads the answers."""

import base64
import binascii
import copy
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

import anyio
import anyio.to_thread

from ..core.answers import a_lifetime, a_number
from ..core.client import FilePart, NovitaClient, uploaded_too_slowly
from ..core.errors import InputError, NotFoundError, NovitaAPIError, NovitaConnectionError, NovitaError
from ..core.hosts import ASSET_HOST
from ..core.json_paths import dig, put
from ..core.json_text import is_list, is_object
from ..core.waiting import Look, Phase
from ..files.masks import hole_mask
from ..journal.jobs import Accepted
from .lookup import MediaModel
from .mapping import MediaPlan
from .outcomes import (
    MediaOutcome,
    MediaOutput,
    nsfw_of,
    percent_of,
    read_answer,
    read_task,
    string_output,
    task_id_of,
    values_at,
)

logger = logging.getLogger(__name__)

SYNC_PATIENCE = 240.0
"""Seconds for which a model that answers directly may stay silent while it works."""


async def submit(client: NovitaClient, plan: MediaPlan, *, uploading: float = math.inf) -> Accepted | MediaOutcome:
    """Send a planned request once, and each of its further pieces once, until one fails.

    Args:
        uploading: Seconds within which the files that are uploaded first, and the request, must be sent completely.

    Raises:
        NovitaAPIError, NovitaConnectionError: `billed` says what is known about the money.
    """
    if plan.uploads:
        with anyio.move_on_after(uploading) as scope:
            plan = await _uploaded(client, plan)
        if scope.cancelled_caught:
            raise uploaded_too_slowly(uploading, f"uploading the video for {plan.model.id}")
    outcome = await _submit_one(client, plan, uploading)
    return await _continued(client, plan, outcome) if plan.rest and isinstance(outcome, MediaOutcome) else outcome


_CONTEXT = 1_000
"""How many characters of the transcript so far are sent with the next piece, so that the model can continue it."""


async def _continued(client: NovitaClient, plan: MediaPlan, outcome: MediaOutcome) -> MediaOutcome:
    """The text with the texts of the further pieces appended. If a later piece fails, the paid ones are kept."""
    texts, values = [output.text or "" for output in outcome.outputs], dict(outcome.values)
    context = plan.model.arguments.get("prompt")
    for number, body in enumerate(plan.rest, 2):
        if context is not None and texts[-1]:
            body = {**body, context.paths[0]: " ".join(texts)[-_CONTEXT:]}
        try:
            further = await _submit_one(client, replace(plan, body=body, rest=()))
        except NovitaError as error:
            missing = f"pieces {number} to {len(plan.rest) + 1} of {len(plan.rest) + 1} of the recording: {error}"
            texts.append(f"[Missing: {missing}]")
            values["missing"] = missing
            break
        texts += [output.text or "" for output in further.outputs] if isinstance(further, MediaOutcome) else []
    whole = " ".join(text.strip() for text in texts if text.strip())
    return replace(outcome, outputs=(replace(outcome.outputs[0], text=whole),), values=values)


async def _submit_one(client: NovitaClient, plan: MediaPlan, uploading: float = math.inf) -> Accepted | MediaOutcome:
    body, files = await anyio.to_thread.run_sync(_multipart, plan) if plan.files else (plan.body, None)
    try:
        answer = await client.spend(
            plan.method,
            plan.path,
            body=body,
            files=files,
            doing=f"submitting to {plan.model.id}",
            as_json=False,
            read_timeout=SYNC_PATIENCE if plan.model.mode == "sync" else 60,
            sent_within=uploading,
        )
    except NovitaAPIError as error:  # if the error names a task, Novita has accepted the job
        if plan.model.mode == "async" and (task_id := task_id_of(plan.model, error.answer, bare=False)):
            return Accepted(task_id)
        raise
    return read_answer(plan.model, answer, plan.body)


async def _uploaded(client: NovitaClient, plan: MediaPlan) -> MediaPlan:
    """Upload every file that must be sent first, and return the plan with the files' ids. Uploads are free."""
    body = copy.deepcopy(plan.body)
    for path, file in plan.uploads.items():
        mime, data = _content(file, path)
        try:
            answer = await client.read(
                "PUT",
                "/video",
                content=data,
                mime=mime if mime == "video/mp4" else "application/octet-stream",
                host=ASSET_HOST,
                doing=f"uploading the video for {plan.model.id}",
            )
            asset = dig(answer.data, "assets_id")
            if not isinstance(asset, str | int) or not asset:
                raise NovitaConnectionError("Novita took the video but gave no id for it")
        except NovitaError as error:
            error.billed = "no"
            if isinstance(error, NotFoundError):
                error.gone = None  # the storage refused the file, which says nothing about the model
            raise
        put(body, path, str(asset))
    return replace(plan, body=body)


def _multipart(plan: MediaPlan) -> tuple[dict[str, Any], list[tuple[str, FilePart]]]:
    """A planned body as form fields and file parts. In the plan, the files are data URIs.

    Raises:
        InputError: The value of a file field is no data URI.
    """
    body, files = dict(plan.body), list[tuple[str, FilePart]]()
    holes = {path for one in plan.model.arguments.values() if one.as_ == "hole_mask" for path in one.paths}
    for name in plan.files:
        value: Any = body.pop(name, None)
        each = value if is_list(value) else [] if value is None else [value]
        for one in each:
            mime, data = _content(str(one), name)
            if name in holes:
                mime, data = "image/png", hole_mask(data)
            files.append((plan.model.parts.get(name, name), (f"{name}.{mime.rpartition('/')[2]}", data, mime)))
    return body, files


def _content(uri: str, name: str) -> tuple[str, bytes]:
    """Mime type and bytes of a data URI."""
    head, _, payload = uri.partition(",")
    try:
        data = base64.b64decode(payload, validate=True)
    except binascii.Error as error:
        raise InputError(f"`{name}` holds no valid base64", next_step="Give a path, a link or a data: URI.") from error
    return head.removeprefix("data:").partition(";")[0] or "application/octet-stream", data


Looking = Callable[[NovitaClient, str], Awaitable[Look[MediaOutcome]]]


def looking_at(model: MediaModel) -> str | None:
    """How tasks of a model are looked up, for `looker`; None for the usual way."""
    part = model.answer[0]
    return "v2" if part.form == "task_v2" else part.at or None


def looker(how: str | None) -> Looking:
    """The function that asks once for a task's state: on the usual route, that of V2, or one of the model's own."""
    if how is None:
        return look
    return look_v2 if how == "v2" else partial(look_at_own, how)


async def look_at_own(route: str, client: NovitaClient, task_id: str) -> Look[MediaOutcome]:
    """Ask once on the model's own route, which answers `{status, content: {url}, error: {message}}`, perhaps in
    `task`."""
    path = route.format(task_id=quote(task_id, safe=""))
    answer = await client.read("GET", path, doing=f"looking at task {task_id}")
    data: Any = answer.data
    told = dig(data, "task") if isinstance(dig(data, "task"), dict) else data
    if not is_object(told):
        raise NovitaConnectionError(f"Novita's answer about task {task_id} could not be read")
    found = told
    status = found.get("status")
    match status:
        case "succeeded":
            links = [dig(found, "content.url"), dig(found, "content.video_url")]
            outputs = tuple(MediaOutput("video", url=link) for link in links if isinstance(link, str) and link)
            return Look(Phase.SUCCEEDED, MediaOutcome(outputs), 100)
        case "failed" | "cancelled":
            reason = dig(found, "error.message") or f"Novita says no more than {status}"
            return Look(Phase.FAILED, MediaOutcome(), reason=str(reason))
        case "queued" | "running":
            return Look(Phase.WORKING, MediaOutcome(), note=str(status))
        case _:
            logger.warning("task status %r is not documented; still waiting", status)
            return Look(Phase.WORKING, MediaOutcome(), note="in an unknown state")


async def look(client: NovitaClient, task_id: str) -> Look[MediaOutcome]:
    """Ask once for a task's state (`GET /v3/async/task-result`)."""
    try:
        answer = await client.read(
            "GET", "/v3/async/task-result", params={"task_id": task_id}, doing=f"looking at task {task_id}"
        )
    except NovitaAPIError as error:
        if error.reason != "TASK_FAILED":  # Novita documents this error besides the status of that name
            raise
        return Look(Phase.FAILED, MediaOutcome(), reason=error.what)
    if not is_object(answer.data):
        raise NovitaConnectionError(f"Novita's answer about task {task_id} could not be read")
    return read_task(answer.data)


async def look_v2(client: NovitaClient, task_id: str) -> Look[MediaOutcome]:
    """The same for a task of the retired V2 routes (`GET /v2/progress`)."""
    answer = await client.read("GET", "/v2/progress", params={"task_id": task_id}, doing=f"looking at task {task_id}")
    data: Any = answer.data
    code = dig(data, "code")
    if code not in (None, 0, "0"):
        raise NovitaAPIError(
            f'Novita does not tell about task {task_id}: "{str(dig(data, "msg"))[:300]}"', status=200, reason=str(code)
        )
    links = [link for link in values_at(data, "data.imgs[]") if isinstance(link, str)]
    verdicts = values_at(data, "data.nsfw_detection_result[]")
    outcome = MediaOutcome(
        tuple(
            replace(string_output("image", link, None), nsfw=nsfw_of(verdicts[at]) if at < len(verdicts) else None)
            for at, link in enumerate(links)
        )
    )
    progress = percent_of((a_number(dig(data, "data.progress")) or 0) * 100)
    match dig(data, "data.status"):
        case 2:
            return Look(Phase.SUCCEEDED, outcome, 100)
        case 3 | 4 as status:
            reason = dig(data, "data.failed_reason") or ("it took too long" if status == 4 else "Novita gave no reason")
            return Look(Phase.FAILED, outcome, reason=str(reason))
        case status:
            note = {0: "starting", 1: "processing"}.get(status, "in an unknown state")
            return Look(Phase.WORKING, outcome, progress, a_lifetime(dig(data, "data.eta_relative")), note)
