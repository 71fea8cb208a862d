"""The catalogue of media models: what there is, which one to take, what else could do it.

The entries are data: catalog_image.json, catalog_video.json, catalog_audio.json. They are read on first use.
"""

import difflib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from .catalog_entry import Argument, Capability, Form, Json, MediaModel
from .errors import InputError, UnknownModelError
from .media_checks import leaf_problem
from .media_values import SHAPE, Frame, coerce, echo, language, types_of
from .native import breaks, put

__all__ = [
    "PREFERRED",
    "Capability",
    "MediaModel",
    "OldName",
    "able",
    "alternatives",
    "choose",
    "complaints",
    "media_model",
    "media_models",
    "not_models",
    "old_names",
]

# Which model a tool takes when none is named: the first that can honour the arguments. Listed ones lead; where only
# models said to be retired remain, they stand here too, because calling them is what the user was promised.
PREFERRED: Mapping[Capability, tuple[str, ...]] = {
    Capability.TEXT_TO_IMAGE: (
        "qwen-image-txt2img",
        "z-image-turbo",
        "flux-1-schnell",
        "hunyuan-image-3",
        "seedream-4.0",
        "seedream-5.0-lite",
        "flux-2-dev",
        "glm-image",
        "txt2img",
    ),
    Capability.EDIT_IMAGE: ("qwen-image-edit", "seedream-4.0", "seedream-4.5", "flux-1-kontext-dev", "flux-2-dev"),
    Capability.IMAGE_TO_IMAGE: ("img2img",),
    Capability.INPAINT: ("inpainting",),
    Capability.ERASE: ("cleanup", "image-eraser"),
    Capability.OUTPAINT: ("outpainting",),
    Capability.REMOVE_TEXT: ("remove-text",),
    Capability.MERGE_FACE: ("merge-face",),
    Capability.REIMAGINE: ("reimagine",),
    Capability.UPSCALE: ("upscale", "image-upscaler"),
    Capability.REMOVE_BACKGROUND: ("remove-background", "image-remove-background"),
    Capability.REPLACE_BACKGROUND: ("replace-background", "replace-background-async"),
    Capability.DESCRIBE_IMAGE: ("img2prompt",),
    Capability.TEXT_TO_VIDEO: (
        "kling-v3.0-std-t2v",
        "kling-v3.0-pro-t2v",
        "seedance-v1-lite-t2v",
        "minimax-hailuo-02",
        "vidu-q3-turbo-t2v",
    ),
    Capability.IMAGE_TO_VIDEO: (
        "kling-v3.0-std-i2v",
        "seedance-v1-lite-i2v",
        "minimax-hailuo-02",
        "kling-v3.0-pro-i2v",
        "vidu-q3-turbo-i2v",
    ),
    Capability.FIRST_LAST_FRAME: (
        "kling-v3.0-std-i2v",
        "seedance-v1-lite-i2v",
        "minimax-hailuo-02",
        "vidu-q3-turbo-f2v",
    ),
    Capability.REFERENCE_TO_VIDEO: ("vidu-q1-reference2video", "kling-o1-ref2v", "vidu-q2-reference2video"),
    Capability.MULTI_FRAME: ("vidu-q2-turbo-multiframe", "vidu-q2-pro-multiframe"),
    Capability.EXTEND_VIDEO: ("wan2.7-i2v",),
    Capability.EDIT_VIDEO: ("kling-o1-video-edit", "wan2.7-videoedit"),
    Capability.VIDEO_TO_VIDEO: ("kling-o1-ref2v", "wan2.6-v2v"),
    Capability.MOTION_CONTROL: ("kling-v3.0-motion-control", "kling-v2.6-pro-motion-control"),
    Capability.TRANSLATE_VIDEO: ("heygen-video-translate",),
    Capability.VIDEO_MERGE_FACE: ("video-merge-face",),
    Capability.TEMPLATE_VIDEO: ("vidu-q2-template2video",),
    Capability.TEXT_TO_SPEECH: (
        "minimax-speech-2.8-turbo",
        "minimax-speech-2.8-turbo-async",
        "fish-audio-text-to-speech",
        "minimax-speech-02-turbo",
        "glm-tts",
    ),
    Capability.TRANSCRIBE: ("glm-asr",),
    Capability.CLONE_VOICE: ("minimax-voice-cloning", "fish-audio-voice-cloning", "glm-tts-voice-clone"),
    Capability.DESIGN_VOICE: ("minimax-voice-design",),
    Capability.MUSIC: ("minimax-music",),
    Capability.LYRICS: ("minimax-music-lyrics",),
}

_FILES = ("catalog_image.json", "catalog_video.json", "catalog_audio.json")
_STATES = ("listed", "unlisted", "unconfirmed", "retired")


@dataclass(frozen=True)
class OldName:
    """What became of a V2 parameter.

    Args:
        now: Leaf names of its V3 fields; empty where it is gone.
        say: What replaced it, or why it is gone.
    """

    now: tuple[str, ...]
    say: str


@cache
def _data() -> tuple[Json, ...]:
    return tuple(json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8")) for name in _FILES)


@cache
def media_models() -> tuple[MediaModel, ...]:
    """Every model, in the order of the tables: image, video, audio."""
    return tuple(MediaModel.model_validate(entry) for table in _data() for entry in table["models"])


@cache
def not_models() -> Mapping[str, str]:
    """Documented media operations that are no models: operationId and why."""
    return {name: why for table in _data() for name, why in table["not_models"].items()}


@cache
def old_names() -> Mapping[str, OldName]:
    """The V2 image parameters by name (source: v2-to-v3.md of the API facts)."""
    rows = cast("dict[str, Json]", _data()[0]["old_names"])
    return {name: OldName(tuple(row["now"]), row["say"]) for name, row in rows.items()}


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")


@cache
def _by_key() -> Mapping[str, MediaModel]:
    # Ids win over the other names: an operationId of one model may read like the id of another.
    found = {_key(model.id): model for model in media_models()}
    for model in media_models():
        for name in (model.operation, *model.aliases):
            found.setdefault(_key(name), model)
    return found


def media_model(model: str) -> MediaModel:
    """The model of that id, operationId or alias; case and punctuation do not matter.

    Raises:
        UnknownModelError: Names the nearest ids.
    """
    key = _key(model)
    known = _by_key()
    if key in known:
        return known[key]
    for operation, why in not_models().items():
        if key == _key(operation):
            raise UnknownModelError(f"{model!r} is not a model ({why})", next_step=_SEE_LIST)
    near = difflib.get_close_matches(key, known, n=6, cutoff=0.5)
    ids = list(dict.fromkeys(known[name].id for name in near))[:4]
    hint = f"Did you mean {' or '.join(ids)}? " if ids else ""
    raise UnknownModelError(f"There is no media model {echo(model)}", next_step=f"{hint}{_SEE_LIST}")


_SEE_LIST = "list_media_models shows every model."


# What a model can honour ------------------------------------------------------------------------------------------


def able(
    model: MediaModel, arguments: Mapping[str, object], *, forms: Mapping[str, Collection[Form]] | None = None
) -> list[str]:
    """Names of the arguments the model cannot honour as given; None counts as not given.

    Args:
        forms: For file arguments, the forms the caller can bring them in; left out means any.
    """
    return list(complaints(model, arguments, forms=forms))


def complaints(
    model: MediaModel,
    arguments: Mapping[str, object],
    *,
    forms: Mapping[str, Collection[Form]] | None = None,
    rules: bool = True,
) -> dict[str, str]:
    """As `able`, with the reason for each; a reason reads on from the argument's name.

    Args:
        rules: Whether arguments that do not go together count; options may mend that.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if given.get("seed") in (-1, "-1"):  # everybody's word for "any", so no wish at all
        del given["seed"]
    found: dict[str, str] = {}
    shape: dict[str, object] = {}
    for name, value in given.items():
        argument = model.arguments.get(name)
        if argument is None:
            reason = _not_an_argument(model, name, value)
        elif argument.send:
            reason = _file_complaint(model, name, argument, value, (forms or {}).get(name))
        elif argument.as_ in ("size", "width_height", "ratio", "resolution"):
            shape[name] = value
            continue
        else:
            reason = _value_complaint(model, argument, value)
            if name in ("prompt", "text") and not str(value).strip():
                reason = "must not be empty"
        if reason:
            found[name] = reason
    frame = Frame.of(model)
    if shape and frame is not None:
        try:
            frame.fit(*(shape.get(name) for name in SHAPE))
        except ValueError as error:
            reason = str(error)
            named = [name for name in shape if reason.startswith(f"{name} must")]
            found |= {name: reason.removeprefix(f"{name} ") for name in named}
            found |= {} if named else dict.fromkeys(shape, f"cannot be met: {reason}")
    return found or (_rule_complaints(model, given) if rules else {})


def phrase(found: Mapping[str, str]) -> str:
    """Complaints as half a sentence; arguments with one reason stand together."""
    names: dict[str, list[str]] = {}
    for name, reason in found.items():
        names.setdefault(reason, []).append(f"`{name}`")
    return "; ".join(f"{' and '.join(who)} {reason}" for reason, who in names.items())


def _rule_complaints(model: MediaModel, given: Mapping[str, object]) -> dict[str, str]:
    """Which arguments break a rule together. A rule that touches the entry's constants is left to the plan."""
    body: Json = {}
    touched: dict[str, str] = {}
    for name, value in given.items():
        argument = model.arguments.get(name)
        if argument is None or "[" in "".join(argument.paths):
            continue
        for path in argument.paths:
            schema = model.field(path) or {}
            put(body, path, "file" if argument.send else native_value(argument, schema, value))
            touched[path] = name
        for path, native in argument.also.items():
            put(body, path, native)
    for rule in model.rules:
        paths = (*rule.when, *rule.need)
        names = list(dict.fromkeys(touched[path] for path in paths if path in touched))
        if names and not any(path in model.constants for path in paths) and breaks(model, body, rule):
            return {names[-1]: f"does not fit: {rule.say}"}
    return {}


def _not_an_argument(model: MediaModel, name: str, value: object) -> str | None:
    if name in model.fixed:
        always = model.fixed[name]
        if str(always).casefold() == str(value).strip().casefold() or (always == value and always is not True):
            return None
        return f"is always {always} on this model"
    if name == "count":
        return None if value == 1 else "is always 1 on this model"
    also = " and ".join(other for other in SHAPE if other in model.arguments) if name in SHAPE else ""
    return f"is not one of its arguments (it takes {also})" if also else "is not one of its arguments"


def _file_complaint(
    model: MediaModel, name: str, argument: Argument, value: object, forms: Collection[Form] | None
) -> str | None:
    if forms is not None and not set(forms) & set(argument.send):
        if argument.send == ("url",):
            return "is taken only as a public link (a URL, or task:<id>/<n> of a result whose link still works)"
        return f"is taken as {' or '.join(argument.send)} only"
    if argument.as_ != "list":
        return None if isinstance(value, str) else "must be one file"
    files = cast("list[Any]", value) if isinstance(value, list | tuple) else [value]
    most: int | None = len(argument.paths) if isinstance(argument.to, tuple) else None
    least = 1
    if isinstance(argument.to, str):
        schema = model.field(argument.to.partition("[")[0]) or {}
        most, least = schema.get("maxItems"), max(1, schema.get("minItems", 1)) if "[]" in argument.to else 1
        if any(
            a.to and str(a.to).startswith(argument.to.partition("[")[0])
            for n, a in model.arguments.items()
            if n != name
        ):
            least = 1  # another argument puts files into the same list
    if len(files) < least:
        return f"must hold at least {least} files"
    return f"may hold {most} at most (got {len(files)})" if most is not None and len(files) > most else None


def _value_complaint(model: MediaModel, argument: Argument, value: object) -> str | None:
    if argument.values:
        try:
            native_value(argument, {}, value)
        except ValueError as error:
            return str(error)
        return None
    for path in argument.paths:
        schema = model.field(path)
        if schema is not None and (reason := leaf_problem(schema, native_value(argument, schema, value))):
            return reason
    return None


def native_value(argument: Argument, schema: Json, value: object) -> Any:
    """A plain value as the model spells it. Raises ValueError where a table of values has no such row."""
    if argument.values:
        row = next((k for k in argument.values if k.casefold() == str(value).strip().casefold()), None)
        if row is None:
            raise ValueError(f"must be one of {', '.join(argument.values)} (got {echo(value)})")
        return argument.values[row]
    if argument.as_ == "language":
        return language(schema, value)
    return coerce(schema, value)


# Which model to take ----------------------------------------------------------------------------------------------


def alternatives(
    model: MediaModel,
    n: int = 3,
    *,
    arguments: Mapping[str, object] | None = None,
    forms: Mapping[str, Collection[Form]] | None = None,
    complete: bool = True,
) -> list[MediaModel]:
    """Living models with a capability of this one, best first; with `arguments`, only those that can honour them.

    Args:
        complete: Whether those that need more than the arguments are left out.
    """
    others = [
        other for other in media_models() if other.live and other.id != model.id and set(other.does) & set(model.does)
    ]
    others.sort(key=lambda other: (model.does[0] not in other.does, *_rank(other, model.does[0])))
    if arguments:
        others = [o for o in others if not able(o, arguments, forms=forms)]
        others = [o for o in others if not (complete and _missing(o, arguments))]
    return others[:n]


def choose(
    does: str | Sequence[str],
    arguments: Mapping[str, object],
    *,
    preferred: Sequence[str] | None = None,
    forms: Mapping[str, Collection[Form]] | None = None,
    options: Collection[str] = (),
) -> MediaModel:
    """The model to take when none is named.

    The first of `preferred` (default: this catalogue's own order) that can honour all arguments and misses none;
    then any living model with the capability, listed ones first, priced ones before others.

    Args:
        does: One capability, or several of which one is enough.
        options: Names of native fields that will be set; a model that has them goes before one that has not.

    Raises:
        InputError: None can; says what stands in the way on the nearest ones.
    """
    wanted = [Capability(one) for one in ([does] if isinstance(does, str) else does)]
    named = preferred if preferred is not None else [name for one in wanted for name in PREFERRED[one]]
    candidates = [media_model(name) for name in named]
    others = [m for m in media_models() if m.live and set(m.does) & set(wanted) and m not in candidates]
    candidates += sorted(others, key=lambda m: _rank(m, wanted[0]))
    reasons = [(m, complaints(m, arguments, forms=forms)) for m in candidates]
    honest = [m for m, found in reasons if not found]
    honest = [m for m in honest if all(option_paths(m, key) for key in options)] or honest
    for model in honest:
        if not _missing(model, arguments, options):
            return model
    if honest:  # what is missing, the plan will say
        return honest[0]
    reasons.sort(key=lambda pair: len(pair[1]))
    nearest: dict[str, list[str]] = {}
    for model, found in reasons[:3]:
        nearest.setdefault(phrase(found), []).append(model.id)
    what = " or ".join(one.replace("_", " ") for one in wanted)
    shown = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in nearest.items())
    raise InputError(f"No model for {what} takes these arguments together", next_step=f"Nearest: {shown}.")


def _rank(model: MediaModel, capability: Capability) -> tuple[int, int, bool, int]:
    order = PREFERRED[capability]
    place = order.index(model.id) if model.id in order else len(order)
    return _STATES.index(model.state), place, not model.price, media_models().index(model)


def option_paths(model: MediaModel, key: str) -> list[str]:
    """The native paths an option of that name (a leaf, or a dotted path) may mean; none are inside lists."""
    paths = [path for path in model.fields if "[]" not in path]
    return [key] if key in paths else [path for path in paths if path.rpartition(".")[2] == key]


def _missing(model: MediaModel, arguments: Mapping[str, object], options: Collection[str] = ()) -> list[str]:
    """Required native fields that neither the arguments, the options nor the entry would fill."""
    filled = [*model.constants, *(path for key in options for path in option_paths(model, key))]
    for name, value in arguments.items():
        if value is not None and name in model.arguments:
            argument = model.arguments[name]
            filled += [*(argument.paths or model.arguments["size"].paths), *argument.also]

    def has(path: str) -> bool:
        return any(one == path or one.startswith((f"{path}.", f"{path}[")) for one in filled)

    def walk(schema: Json, prefix: str) -> list[str]:
        lacking: list[str] = []
        for name in schema.get("required", ()):
            path, part = f"{prefix}{name}", schema["properties"][name]
            if "object" in types_of(part) and "properties" in part:
                lacking += walk(part, f"{path}.")
            elif not (has(path) or "default" in part or len(part.get("enum", ())) == 1 or _is_seed(model, path)):
                lacking.append(path)
        choices = [one["required"] for one in schema.get("anyOf", ()) if set(one) == {"required"}]
        if choices and not any(all(has(f"{prefix}{name}") for name in names) for names in choices):
            lacking.append(f"{prefix}{choices[0][0]}")
        return lacking

    return walk(model.input, "")


def _is_seed(model: MediaModel, path: str) -> bool:
    return "seed" in model.arguments and path in model.arguments["seed"].paths
