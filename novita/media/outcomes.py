"""Reads answers of media models: a task id, or finished files in any documented form (link, base64, hex, bytes, text).

The catalogue entry says where an answer holds its files. All other known places are tried too.
"""

import base64
import binascii
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..core.answers import a_lifetime, a_number, a_whole, an_object
from ..core.client import LOOK_FIRST, Answer
from ..core.errors import NovitaAPIError, NovitaConnectionError
from ..core.events import events_of
from ..core.json_paths import dig, every
from ..core.json_text import is_object, load_json
from ..core.waiting import Look, Phase
from ..journal.jobs import Accepted
from .lookup import MediaModel

logger = logging.getLogger(__name__)

Kind = Literal["image", "video", "audio", "text", "file"]


@dataclass(frozen=True)
class MediaOutput:
    """One file or text of a finished job. Exactly one of url, data and text is set.

    Args:
        ttl: How many seconds the link is valid.
        suffix: The file type as Novita or the request names it (`png`, `mp3`).
        seconds: The length of a sound, if Novita gives it.
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


def read_answer(model: MediaModel, answer: Answer, body: Mapping[str, Any]) -> Accepted | MediaOutcome:
    """Read the answer to a request: a task id in either documented place, or finished files. `body` is the request."""
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
        kind: Kind = "audio" if model.makes == "voice" else model.makes
        return MediaOutcome((MediaOutput(kind, data=answer.body, suffix=_asked_type(model, body)),))
    _refuse_error_in_success(model, data)
    if model.mode == "async":
        if not (task_id := task_id_of(model, data, bare=True)):
            raise NovitaConnectionError(
                f"Novita accepted the request to {model.id} but named no task",
                billed="maybe",
                next_step=LOOK_FIRST,
            )
        return Accepted(task_id)
    return read_outcome(model, data, body)


def task_id_of(model: MediaModel, data: Any, *, bare: bool) -> str:
    """The id of a task from any documented place; empty if there is none.

    Args:
        bare: Whether a plain `id` counts too, for models whose own status route names tasks so.
    """
    found = dig(data, "task_id") or dig(data, "data.task_id") or dig(data, "task.task_id")
    if bare and model.answer[0].at:
        found = found or dig(data, "id")
    return str(found) if isinstance(found, str | int) and found else ""


def _read_stream(model: MediaModel, answer: Answer, body: Mapping[str, Any]) -> MediaOutcome:
    """Join sound that came in pieces, as hex in `audio` or `data.audio` of each event. The last may repeat it all."""
    pieces: list[str] = []
    whole = ""
    for event in events_of(answer.body):
        try:
            seen = an_object(load_json(event.data))
        except ValueError:
            continue  # a broken event must not cost the others, and the end mark is no event
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
    """The file type that the request asked for, if the entry says which field names it."""
    for place in model.answer:
        if place.type_in and isinstance(found := dig(body, place.type_in), str):
            return found
    return None


def read_outcome(model: MediaModel, data: dict[str, Any], body: Mapping[str, Any]) -> MediaOutcome:
    """Read the files of an answer that came at once."""
    seconds = a_lifetime(dig(data, "extra_info.audio_length"))  # milliseconds
    outputs: list[MediaOutput] = []
    values: dict[str, str] = {}
    for place in model.answer:
        suffix = dig(data, place.type_at) if place.type_at else None
        kind: Kind = place.kind if place.kind in ("image", "video", "audio", "text") else "file"
        for value in values_at(data, place.at):
            if value is None:
                continue
            if place.form == "value":
                name = place.at.rsplit(".", 1)[-1]
                values["voice_id" if name in ("_id", "voice") else name] = str(value)
            elif place.form == "text":
                outputs.append(MediaOutput("text", text=str(value)))
            elif isinstance(value, str) and value:
                output = string_output(kind, value, str(suffix) if suffix else _asked_type(model, body))
                outputs.append(replace(output, seconds=seconds / 1000 if seconds and kind == "audio" else None))
            elif is_object(value):
                outputs.extend(_object_outputs(value))
    if not outputs and not values:
        outputs = _result_lists(data)
    if not outputs and not values:
        raise NovitaConnectionError(
            f"{model.id} answered, but without anything that this server knows how to read",
            billed="yes",
            next_step="Report this to the makers of novita-mcp with the model's name.",
        )
    return MediaOutcome(tuple(outputs), _seed(data), values)


def read_task(data: dict[str, Any]) -> Look[MediaOutcome]:
    """Read a task result. An undocumented status counts as still working, and is logged."""
    status = dig(data, "task.status")
    percent, eta = percent_of(dig(data, "task.progress_percent")), a_lifetime(dig(data, "task.eta"))
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
        for item in values_at(data, f"{key}[]"):
            if is_object(item):
                outputs.extend(_object_outputs(item))
            elif isinstance(item, str) and item:
                outputs.append(string_output(kind, item, None))
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
            output = string_output(kind, url, _text(item.get(f"{kind}_type")))
            yield MediaOutput(
                kind,
                output.url,
                output.data,
                ttl=a_lifetime(item.get(f"{kind}_url_ttl")),
                suffix=output.suffix,
                nsfw=nsfw_of(item.get("nsfw_detection_result")),
            )


def string_output(kind: Kind, value: str, suffix: str | None) -> MediaOutput:
    if value.startswith(("http://", "https://")):
        return MediaOutput(kind, url=value, suffix=suffix)
    if value.startswith("data:"):
        head, _, payload = value.partition(",")
        return MediaOutput(
            kind, data=_decode(payload), suffix=suffix or head[5:].split(";")[0].rpartition("/")[2] or None
        )
    return MediaOutput(kind, data=_decode(value), suffix=suffix)


def _decode(text: str) -> bytes:
    """The bytes of a text in hex or base64. Sound comes as hex, and pictures as base64."""
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


def values_at(data: Any, path: str) -> list[Any]:
    """Every value at a path such as `images[].image_url`, `data.audio`, `image_file`."""
    return [value for _, value in every(data, path)]


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
        data = load_json(answer.body)
    except ValueError:
        return None
    return data if is_object(data) else None


def _looks_like_text(answer: Answer) -> bool:
    kind = answer.headers.get("content-type", "")
    return kind.startswith("text/html") or answer.body[:1] in (b"<", b"{")


def _seed(data: dict[str, Any]) -> int | None:
    """The seed that was really used. It is documented as a string, but is sometimes a number."""
    return a_whole(dig(data, "extra.seed"))


def percent_of(value: Any) -> float | None:
    """The progress in percent; None if it is unknown. Most models always say 0, so 0 counts as unknown."""
    found = a_number(value)
    return min(found, 100.0) if found is not None and found > 0 else None


def nsfw_of(value: Any) -> float | None:
    """The likelihood in percent, if the check was asked for and worked."""
    verdict = an_object(value)
    return a_number(verdict.get("confidence")) if verdict.get("valid") else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
