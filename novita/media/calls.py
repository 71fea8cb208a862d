"""Media calls: send a planned request, read its answer in any documented shape, look at a task.

A model answers with a task id to look at, or at once with links, base64, hex, raw bytes or text. All of them
become an `MediaOutcome`; the catalogue entry says where the files sit, and every other known place is tried too.
"""

import base64
import binascii
import copy
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast
from urllib.parse import quote

import anyio.to_thread

from ..core.client import LOOK_FIRST, Answer, FilePart, NovitaClient, dig
from ..core.errors import InputError, NotFoundError, NovitaAPIError, NovitaConnectionError, NovitaError
from ..core.hosts import ASSET_HOST
from ..core.json_paths import put
from ..core.tolerant import a_lifetime, a_number, a_whole, load_json
from ..core.waiting import Look, Phase
from ..files.masks import hole_mask
from ..journal.jobs import Accepted
from .lookup import MediaModel
from .mapping import MediaPlan

logger = logging.getLogger(__name__)

Kind = Literal["image", "video", "audio", "text", "file"]

SYNC_PATIENCE = 240.0
"""Seconds a model that answers at once may stay silent while it works."""


@dataclass(frozen=True)
class MediaOutput:
    """One file (or text) of a finished job: exactly one of url, data and text is set.

    Args:
        ttl: Seconds the link lives.
        suffix: Its type in a word, as Novita or the request names it (`png`, `mp3`).
        seconds: Length of a sound, where Novita tells.
    """

    kind: Kind
    url: str | None = None
    data: bytes | None = None
    text: str | None = None
    ttl: float | None = None
    suffix: str | None = None
    seconds: float | None = None
    nsfw: float | None = None


@dataclass(frozen=True)
class MediaOutcome:
    """What a finished job made. `values` holds what is not a file (a voice id, timings)."""

    outputs: tuple[MediaOutput, ...] = ()
    seed: int | None = None
    values: dict[str, str] = field(default_factory=dict[str, str])


async def submit(client: NovitaClient, plan: MediaPlan) -> Accepted | MediaOutcome:
    """Send a planned request once; where it has further pieces, each of them once, until one fails.

    Raises:
        NovitaAPIError, NovitaConnectionError: `billed` says what is known about the money.
    """
    outcome = await _submit_one(client, plan)
    return await _continued(client, plan, outcome) if plan.rest and isinstance(outcome, MediaOutcome) else outcome


_CONTEXT = 1_000
"""Characters of what was said before that a model is told with the next piece."""


async def _continued(client: NovitaClient, plan: MediaPlan, outcome: MediaOutcome) -> MediaOutcome:
    """A text with those of the further pieces after it. What is paid for is kept, whatever becomes of a later piece."""
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


async def _submit_one(client: NovitaClient, plan: MediaPlan) -> Accepted | MediaOutcome:
    if plan.uploads:
        plan = await _uploaded(client, plan)
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
        )
    except NovitaAPIError as error:  # one that names a task has taken the job all the same
        if plan.model.mode == "async" and (task_id := _task_id(plan.model, error.answer, bare=False)):
            return Accepted(task_id)
        raise
    return read_answer(plan.model, answer, plan.body)


async def _uploaded(client: NovitaClient, plan: MediaPlan) -> MediaPlan:
    """The plan with every file that must be sent ahead replaced by the id Novita gave it. Uploads cost nothing."""
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
                error.gone = None  # of another host
            raise
        put(body, path, str(asset))
    return replace(plan, body=body)


def _multipart(plan: MediaPlan) -> tuple[dict[str, Any], list[tuple[str, FilePart]]]:
    """A planned body as form fields and file parts; in the plan the files are data URIs.

    Raises:
        InputError: A file is none.
    """
    body, files = dict(plan.body), list[tuple[str, FilePart]]()
    holes = {path for one in plan.model.arguments.values() if one.as_ == "hole_mask" for path in one.paths}
    for name in plan.files:
        value: Any = body.pop(name, None)
        each = cast("list[Any]", value) if isinstance(value, list) else [] if value is None else [value]
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


def read_answer(model: MediaModel, answer: Answer, body: Mapping[str, Any]) -> Accepted | MediaOutcome:
    """A submit's answer: a task id in either documented place, or the finished files. `body` is what was asked."""
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return _read_stream(model, answer, body)
    data = _json(answer)
    if data is None:
        if model.mode == "async" or not answer.body or _looks_like_text(answer):
            raise NovitaConnectionError(
                f"Novita accepted the request to {model.id} but its answer could not be read",
                billed="maybe",
                next_step=LOOK_FIRST,
            )
        kind: Kind = "audio" if model.makes in ("audio", "voice") else cast(Kind, model.makes)
        return MediaOutcome((MediaOutput(kind, data=answer.body, suffix=_asked_type(model, body)),))
    _refuse_error_in_success(model, data)
    if model.mode == "async":
        if not (task_id := _task_id(model, data, bare=True)):
            raise NovitaConnectionError(
                f"Novita accepted the request to {model.id} but named no task",
                billed="maybe",
                next_step=LOOK_FIRST,
            )
        return Accepted(task_id)
    return read_outcome(model, data, body)


def _task_id(model: MediaModel, data: Any, *, bare: bool) -> str:
    """The id of a task, in any documented place; empty: there is none.

    Args:
        bare: In a dialect of its own, whose tasks just have an id, that counts too.
    """
    found = dig(data, "task_id") or dig(data, "data.task_id") or dig(data, "task.task_id")
    if bare and model.answer[0].at:
        found = found or dig(data, "id")
    return str(found) if isinstance(found, str | int) and found else ""


def _read_stream(model: MediaModel, answer: Answer, body: Mapping[str, Any]) -> MediaOutcome:
    """Sound that came in pieces: hex in each event's `audio` or `data.audio`; the last event may repeat the whole."""
    pieces: list[str] = []
    whole = ""
    for line in answer.body.decode("utf-8", "replace").splitlines():
        if not line.startswith("data:") or line.removeprefix("data:").strip() in ("", "[DONE]"):
            continue
        try:
            event: object = load_json(line.removeprefix("data:"))
        except ValueError:
            continue  # one bad event does not cost the others
        if not isinstance(event, dict):
            continue
        seen = cast(dict[str, Any], event)
        _refuse_error_in_success(model, seen)
        piece = dig(seen, "data.audio") or seen.get("audio") or ""
        if (dig(seen, "data.status") or seen.get("status")) == 2:
            whole = str(piece)
        elif isinstance(piece, str):
            pieces.append(piece)
    text = "".join(pieces) or whole
    if not text:
        raise NovitaConnectionError(
            f"{model.id} streamed an answer without sound in it", billed="maybe", next_step=LOOK_FIRST
        )
    return MediaOutcome((MediaOutput("audio", data=_decode(text), suffix=_asked_type(model, body)),))


def _asked_type(model: MediaModel, body: Mapping[str, Any]) -> str | None:
    """The file type the request asked for, where the entry says which field names it."""
    for place in model.answer:
        if place.type_in and isinstance(found := dig(body, place.type_in), str):
            return found
    return None


def read_outcome(model: MediaModel, data: dict[str, Any], body: Mapping[str, Any]) -> MediaOutcome:
    """The files of an answer that came at once."""
    seconds = a_lifetime(dig(data, "extra_info.audio_length"))  # milliseconds
    outputs: list[MediaOutput] = []
    values: dict[str, str] = {}
    for place in model.answer:
        suffix = dig(data, place.type_at) if place.type_at else None
        kind: Kind = place.kind if place.kind in ("image", "video", "audio", "text") else "file"
        for value in _at(data, place.at):
            if place.form == "value":
                name = place.at.rsplit(".", 1)[-1]
                values["voice_id" if name in ("_id", "voice") else name] = str(value)
            elif place.form == "text":
                outputs.append(MediaOutput("text", text=str(value)))
            elif isinstance(value, str) and value:
                output = _string_output(kind, value, str(suffix) if suffix else _asked_type(model, body))
                outputs.append(replace(output, seconds=seconds / 1000 if seconds and kind == "audio" else None))
            elif isinstance(value, dict):
                outputs.extend(_object_outputs(cast(dict[str, Any], value)))
    if not outputs and not values:
        outputs = _result_lists(data)
    if not outputs and not values:
        raise NovitaConnectionError(
            f"{model.id} answered, but without anything that this server knows how to read",
            billed="yes",
            next_step="Report this to the makers of novita-mcp with the model's name.",
        )
    return MediaOutcome(tuple(outputs), _seed(data), values)


Looking = Callable[[NovitaClient, str], Awaitable[Look[MediaOutcome]]]


def looking_at(model: MediaModel) -> str | None:
    """How tasks of a model are looked at, for `looker`; None for the usual way."""
    part = model.answer[0]
    return "v2" if part.form == "task_v2" else part.at or None


def looker(how: str | None) -> Looking:
    """What asks once how a task stands: the usual route, that of V2, or one of the model's own."""
    if how is None:
        return look
    return look_v2 if how == "v2" else partial(look_at_own, how)


async def look_at_own(route: str, client: NovitaClient, task_id: str) -> Look[MediaOutcome]:
    """Ask once on a route of the model's own: `{status, content: {url}, error: {message}}`, perhaps under `task`."""
    path = route.format(task_id=quote(task_id, safe=""))
    answer = await client.read("GET", path, doing=f"looking at task {task_id}")
    data: Any = answer.data
    told = dig(data, "task") if isinstance(dig(data, "task"), dict) else data
    if not isinstance(told, dict):
        raise NovitaConnectionError(f"Novita's answer about task {task_id} could not be read")
    found = cast(dict[str, Any], told)
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
    """Ask once how a task stands (`GET /v3/async/task-result`)."""
    try:
        answer = await client.read(
            "GET", "/v3/async/task-result", params={"task_id": task_id}, doing=f"looking at task {task_id}"
        )
    except NovitaAPIError as error:
        if error.reason != "TASK_FAILED":  # documented as an answer of its own, beside the state of that name
            raise
        return Look(Phase.FAILED, MediaOutcome(), reason=error.what)
    data: Any = answer.data
    if not isinstance(data, dict):
        raise NovitaConnectionError(f"Novita's answer about task {task_id} could not be read")
    return read_task(cast(dict[str, Any], data))


async def look_v2(client: NovitaClient, task_id: str) -> Look[MediaOutcome]:
    """The same for a task of the retired V2 routes (`GET /v2/progress`)."""
    answer = await client.read("GET", "/v2/progress", params={"task_id": task_id}, doing=f"looking at task {task_id}")
    data: Any = answer.data
    code = dig(data, "code")
    if code not in (None, 0, "0"):
        raise NovitaAPIError(
            f'Novita does not tell about task {task_id}: "{str(dig(data, "msg"))[:300]}"', status=200, reason=str(code)
        )
    links = [link for link in _at(data, "data.imgs[]") if isinstance(link, str)]
    verdicts = list(_at(data, "data.nsfw_detection_result[]"))
    outcome = MediaOutcome(
        tuple(
            replace(_string_output("image", link, None), nsfw=_nsfw(verdicts[at]) if at < len(verdicts) else None)
            for at, link in enumerate(links)
        )
    )
    progress = _percent((a_number(dig(data, "data.progress")) or 0) * 100)
    match dig(data, "data.status"):
        case 2:
            return Look(Phase.SUCCEEDED, outcome, 100)
        case 3 | 4 as status:
            reason = dig(data, "data.failed_reason") or ("it took too long" if status == 4 else "Novita gave no reason")
            return Look(Phase.FAILED, outcome, reason=str(reason))
        case status:
            note = {0: "starting", 1: "processing"}.get(status, "in an unknown state")
            return Look(Phase.WORKING, outcome, progress, a_lifetime(dig(data, "data.eta_relative")), note)


def read_task(data: dict[str, Any]) -> Look[MediaOutcome]:
    """A task result. A status nobody documented counts as still working, and is logged."""
    status = dig(data, "task.status")
    percent, eta = _percent(dig(data, "task.progress_percent")), a_lifetime(dig(data, "task.eta"))
    outcome = MediaOutcome(tuple(_result_lists(data)), _seed(data))
    match status:
        case "TASK_STATUS_SUCCEED":  # Novita's spelling
            return Look(Phase.SUCCEEDED, outcome, 100)
        case "TASK_STATUS_FAILED":
            reason = dig(data, "task.reason") or "Novita gave no reason"
            return Look(Phase.FAILED, outcome, reason=str(reason))
        case "TASK_STATUS_QUEUED":
            note = "queued"
        case "TASK_STATUS_PROCESSING":
            note = "processing"
        case _:
            logger.warning("task status %r is not documented; still waiting", status)
            note = "in an unknown state"
    return Look(Phase.WORKING, outcome, percent, eta, note)


def _result_lists(data: dict[str, Any]) -> list[MediaOutput]:
    outputs: list[MediaOutput] = []
    for key in ("images", "videos", "audios", "image_urls", "binary_data_base64"):
        kind = _LIST_KINDS[key]
        for item in _at(data, f"{key}[]"):
            if isinstance(item, dict):
                outputs.extend(_object_outputs(cast(dict[str, Any], item)))
            elif isinstance(item, str) and item:
                outputs.append(_string_output(kind, item, None))
    return outputs


_LIST_KINDS: dict[str, Kind] = {
    "images": "image",
    "videos": "video",
    "audios": "audio",
    "image_urls": "image",
    "binary_data_base64": "image",
}


def _object_outputs(item: dict[str, Any]) -> Iterator[MediaOutput]:
    for kind in ("image", "video", "audio"):
        url = item.get(f"{kind}_url")
        if isinstance(url, str) and url:
            output = _string_output(kind, url, _text(item.get(f"{kind}_type")))
            yield MediaOutput(
                kind,
                output.url,
                output.data,
                ttl=a_lifetime(item.get(f"{kind}_url_ttl")),
                suffix=output.suffix,
                nsfw=_nsfw(item.get("nsfw_detection_result")),
            )


def _string_output(kind: Kind, value: str, suffix: str | None) -> MediaOutput:
    if value.startswith(("http://", "https://")):
        return MediaOutput(kind, url=value, suffix=suffix)
    if value.startswith("data:"):
        head, _, payload = value.partition(",")
        return MediaOutput(
            kind, data=_decode(payload), suffix=suffix or head[5:].split(";")[0].rpartition("/")[2] or None
        )
    return MediaOutput(kind, data=_decode(value), suffix=suffix)


def _decode(text: str) -> bytes:
    """Bytes from hex or base64, whichever it is: audio comes as hex, pictures as base64."""
    try:
        if len(text) % 2 == 0 and not text.strip("0123456789abcdefABCDEF"):
            return bytes.fromhex(text)
        return base64.b64decode(text, validate=False)
    except (ValueError, binascii.Error) as error:
        raise NovitaConnectionError(
            "Novita's answer held a file that could not be decoded",
            billed="yes",
            next_step="Ask again only if the user agrees to pay again.",
        ) from error


def _at(data: Any, path: str) -> Iterator[Any]:
    """Every value at a path such as `images[].image_url`, `data.audio`, `image_file`."""
    head, dot, rest = path.partition("[]")
    value: Any = dig(data, head.strip(".")) if head else data
    if not dot:
        if value is not None:
            yield value
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _at(item, rest.lstrip(".")) if rest else iter((item,))


def _refuse_error_in_success(model: MediaModel, data: dict[str, Any]) -> None:
    """HTTP 200 may carry an error: `base_resp.status_code`, or `{code, msg}` with a code that is not success."""
    code = dig(data, "base_resp.status_code")
    message = dig(data, "base_resp.status_msg")
    if code in (None, 0, "0") and "task_id" not in data and data.get("data") is None:
        flat = data.get("code")
        if flat not in (None, 0, 200, "0", "200", "success") and (data.get("msg") or data.get("message")):
            code, message = flat, data.get("msg") or data.get("message")
    if code not in (None, 0, "0"):
        raise NovitaAPIError(
            f'{model.id} refused the request ({code}): Novita says "{str(message)[:300]}"',
            status=200,
            reason=str(code),
            next_step="Correct the request; list_tasks and get_balance show whether it was billed.",
            billed="maybe",
        )


def _json(answer: Answer) -> dict[str, Any] | None:
    if not answer.body[:64].lstrip().startswith(b"{"):
        return None
    try:
        data: object = load_json(answer.body)
    except ValueError:
        return None
    return cast(dict[str, Any], data) if isinstance(data, dict) else None


def _looks_like_text(answer: Answer) -> bool:
    kind = answer.headers.get("content-type", "")
    return kind.startswith("text/html") or answer.body[:1] in (b"<", b"{")


def _seed(data: dict[str, Any]) -> int | None:
    """The seed really used: documented as a string, sometimes a number."""
    return a_whole(dig(data, "extra.seed"))


def _percent(value: Any) -> float | None:
    """How far it is; None where that is not told, as 0 does not tell it on most models."""
    found = a_number(value)
    return min(found, 100.0) if found is not None and found > 0 else None


def _nsfw(value: Any) -> float | None:
    """Likelihood in percent, where the check was asked for and worked."""
    if not isinstance(value, dict):
        return None
    verdict = cast(dict[str, Any], value)
    return a_number(verdict.get("confidence")) if verdict.get("valid") else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
