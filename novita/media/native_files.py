"""Files in a model's own input: paths, links, data: URIs and earlier results become what the field takes.

The common arguments are converted before a request is planned. What comes in by `options` or as native input names
fields directly; a path there would be sent to Novita as if it were the picture, and be billed. Which fields take files
is read from the entry: from its arguments, and from the names and descriptions of fields that no argument fills.
"""

import base64
import binascii
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from anyio import to_thread

from ..core.errors import InputError
from ..core.json_paths import Json, every, put
from ..core.json_text import is_list, is_object
from ..files.artifacts import parse_reference
from ..files.inputs import Inputs
from ..files.kinds import HEAD_BYTES, Form, sniff
from ..files.media_limits import MediaLimits
from ..files.source import Expects, expects_of
from .catalog_entry import MediaModel
from .clips import clips_of, goes_by_clips
from .mapping import MediaPlan
from .price_rows import NOTHING_KNOWN, FilesSeen
from .pricing import estimate

_PATHLIKE = re.compile(
    r"(?i)(?:[~.]{0,2}[/\\]|~|[a-z]:[/\\]|file:|task:|novita:|data:|https?:)|.*\.(?:mp4|mov|webm|mkv)$"
)
_WORDS = re.compile(r"prompt|text|lyrics|title|description|tags")
"""Fields of words, in which anything may stand."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]+={0,2}\s*")


@dataclass(frozen=True)
class FileField:
    """A native field that takes a file: of which kind, and in which forms, best first."""

    expects: Expects
    forms: tuple[Form, ...]
    limits: MediaLimits | None = None


def file_fields(model: MediaModel) -> dict[str, FileField]:
    """The fields of a model that take files, by native path; items of lists stand under `path[]`."""
    found: dict[str, FileField] = {}
    for path, schema in model.fields.items():
        guessed = _guess(path, schema)
        if guessed is not None:
            found[path] = guessed
    for name in model.media_arguments():
        argument = model.arguments[name]
        homes: dict[str, tuple[Form, ...]] = (
            {path: (form,) for form, path in argument.to.items()}
            if isinstance(argument.to, dict)
            else dict.fromkeys(argument.paths, argument.send)
        )
        for path, forms in homes.items():
            found[_any_item(path)] = FileField(expects_of(name), forms, argument.limits)
    return found


def _any_item(path: str) -> str:
    return re.sub(r"\[[^\]]*\]", "[]", path)


_NAMES: tuple[tuple[str, Expects], ...] = (
    (r"(?:^|_)(?:image|picture|img|wm|mask)(?:_url|_base64|_file)?$|(?:^|_)images$", "image"),
    (r"(?:^|_)(?:video|clip)(?:_url|_base64|_file)?$|(?:^|_)videos$", "video"),
    (r"(?:^|_)audio(?:_url|_base64|_file)?$|^reference_voice$", "audio"),
)


def _guess(path: str, schema: Json) -> FileField | None:
    """What a field takes that no argument fills, as its name and its description say it."""
    kind: str | list[str] = schema.get("type", ())
    if "string" not in kind or "enum" in schema:
        return None
    leaf = path.rpartition(".")[2].removesuffix("[]")
    expects: Expects | None = next((one for pattern, one in _NAMES if re.search(pattern, leaf)), None)
    if "contentMediaType" in schema:  # a part of a form; in the plan it stands as a data URI
        return FileField(expects or "audio", ("data_uri",))
    if expects is None:
        return None
    said = f"{leaf} {schema.get('description', '')}".casefold()
    coded = "base64" in said
    linked = "url" in said or not coded
    return FileField(expects, (("url", "base64") if linked and coded else ("url",) if linked else ("base64",)))


async def with_files(plan: MediaPlan, inputs: Inputs, *, done: Collection[str] = ()) -> MediaPlan:
    """The plan with every file in its body found, checked and written as its field takes it.

    Args:
        done: Values that were converted already.

    Raises:
        InputError: A path, link or earlier result that cannot be used there, or content that is damaged.
    """
    body: Json = plan.body
    for path, field in file_fields(plan.model).items():
        for place, value in _texts_at(plan.body, path):
            if value in done:
                continue
            ready = await _ready(value, place, field, inputs)
            if ready != value:
                body = _copied(plan.body) if body is plan.body else body
                put(body, place, ready)
    await to_thread.run_sync(partial(_refuse_paths, plan, inputs))
    return plan if body is plan.body else replace(plan, body=body)


async def measured(plan: MediaPlan, inputs: Inputs, seen: FilesSeen = NOTHING_KNOWN) -> MediaPlan:
    """The plan at the price of its clips as long as they are, where the price goes by that.

    A link that cannot be looked at from here is left to Novita; its clip counts as the longest that may be.

    Args:
        seen: What is known of its files already.
    """
    clips = [clip for clip in clips_of(plan.model, plan.body) if clip not in seen.lengths]
    if not clips or not goes_by_clips(plan.model):
        return plan
    lengths = dict(seen.lengths)
    for clip in clips:
        with suppress(InputError):
            source = await inputs.load(clip, "video", limits=None)
            if source.duration:
                lengths[clip] = source.duration
    return replace(plan, estimate=estimate(plan.model, plan.body, picture=seen.picture, lengths=lengths))


def _refuse_paths(plan: MediaPlan, inputs: Inputs) -> None:
    """Refuse a path or an earlier result in a field that is not known to take files: it would go out as it is.

    Raises:
        InputError: There is one.
    """
    known = file_fields(plan.model)
    for path, schema in plan.model.fields.items():
        if path in known or "string" not in schema.get("type", ()) or _WORDS.search(path.rpartition(".")[2]):
            continue
        for place, value in _texts_at(plan.body, path):
            if parse_reference(value) or value.casefold().startswith("file:") or inputs.is_path(value):
                raise InputError(
                    f"`{place}` of {plan.model.id} is not known to take files, and {value[:80]!r} names one",
                    next_step="Give a public link if the model takes one there.",
                )


async def _ready(value: str, place: str, field: FileField, inputs: Inputs) -> str:
    ref, forms = value, field.forms
    if "asset_id" in forms:
        if not _PATHLIKE.match(value):
            return value  # an id of something that was sent ahead already
        forms = ("data_uri",)
    bare = re.match("(?i)(?:https?|data|task|novita|file):", value.lstrip()) is None
    if bare and _is_content(value, field.expects, place):
        ref = f"data:application/octet-stream;base64,{value}"
    link = "url" in forms and re.match("(?i)\\s*https?:", value) is not None
    try:
        if link and "url" in await inputs.forms(value, field.expects):
            return value.strip()  # as the caller wants it: Novita fetches it, or says that it cannot
        source = await inputs.load(ref, field.expects, limits=field.limits)
        return await source.as_form(forms)
    except InputError as error:
        error.what = f"`{place}`: {error.what}"
        raise


def _is_content(value: str, expects: Expects, place: str) -> bool:
    """Whether a text is the file itself as base64.

    Raises:
        InputError: It begins as that and goes on as something else.
    """
    start = re.sub(r"\s+", "", value[: HEAD_BYTES * 2])
    try:
        head = base64.b64decode(start[: len(start) // 4 * 4].translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        head = b""
    found = sniff(head)
    if len(value) > 1024 and (found is None or found.kind != expects) and _BASE64.fullmatch(value[:1024]):
        raise InputError(f"`{place}` looks like base64, but holds no {expects} that is known")
    return found is not None and found.kind in (expects, "video" if expects == "audio" else expects)


def _texts_at(body: Json, path: str) -> list[tuple[str, str]]:
    """Every text at a path whose lists are open, with the path that leads to it alone."""
    return [(place, value) for place, value in every(body, path) if isinstance(value, str) and value]


def _copied(value: Any) -> Any:
    if is_object(value):
        return {name: _copied(one) for name, one in value.items()}
    return [_copied(one) for one in value] if is_list(value) else value
