"""Reads the arguments that hosts and people send, as the tool's schema means them, for all tools.

Hosts send null, "", [] or {} for arguments that nobody set, and some send lists and objects as JSON text. People spell
format names as they know them, and use argument names of other services.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from .written_values import (
    as_list,
    as_object,
    written_boolean,
    written_file,
    written_json,
    written_number,
    written_text,
)

Json = dict[str, Any]


class ArgumentError(Exception):
    """An argument that cannot be read. The text is for the model. It quotes no value, because that may be a secret."""


def read_arguments(schema: Json, given: Mapping[str, Any]) -> Json:
    """The arguments as the tool gets them, without those that nobody set.

    An optional argument is dropped if it is null, an empty string, list or object, or a 0 below its lower bound. Null
    and empty members of lists and options are dropped likewise. JSON text is parsed only if the schema wants an array
    or object. A single value becomes a list of one if the schema wants a list.

    Raises:
        ArgumentError: An argument is unknown, or is a number that no tool can use.
    """
    known: Mapping[str, Json] = schema.get("properties", {})
    required: Sequence[str] = schema.get("required", ())
    read: Json = {}
    for name, raw in given.items():
        if name not in known:
            if _of_the_host(name, raw, given, list(known)):
                continue
            raise ArgumentError(unknown_argument(name, list(known)))
        value = _spelled(known[name], _parsed(known[name], _written(name, known[name], raw)))
        if name not in required:
            value = _without_blanks(name, known[name], value)
            if says_nothing(known[name], value):
                continue
        if (where := _odd_number(_number(known[name], value), name)) is not None:
            raise ArgumentError(f"{where}: NaN, Infinity and numbers beyond 64 bits are not accepted.")
        read[name] = _within(known[name], value) if name in BROUGHT_WITHIN else value
    return read


def unwrapped(schema: Json, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments, taken out of the extra object into which some hosts put them all."""
    known: Mapping[str, Json] = schema.get("properties", {})
    if len(given) != 1:
        return given
    ((name, raw),) = given.items()
    inner = read_json_object(raw) if name not in known and name in _WRAPPINGS else None
    return given if inner is None else inner


_WRAPPINGS = frozenset({"arguments", "args", "kwargs", "input", "params", "parameters", "tool_input"})
_HOSTS_OWN = frozenset({"_meta", "sessionId", "toolCallId", "task_progress", "random_string", "security_risk"})
"""Arguments that hosts add for their own use: n8n, Cline, Cursor (for tools without arguments), OpenHands."""
_WITH_A_CALL_ID = frozenset({"action", "chatInput", "tool"})
"""Arguments that n8n adds besides. Without n8n's others, such an argument may be meant for the tool."""


def _of_the_host(name: str, raw: Any, given: Mapping[str, Any], known: Sequence[str]) -> bool:
    """Whether an argument that the tool does not have can be ignored: a host added it, or it is empty."""
    if name in _HOSTS_OWN or (name in _WITH_A_CALL_ID and given.keys() & {"toolCallId", "sessionId"}):
        return True
    return says_nothing({}, raw) and not meant_by(name, known)


def _written(name: str, schema: Json, value: Any) -> Any:
    """A value that a person wrote, converted to what its schema means."""
    kind = schema.get("type")
    if kind == "string":
        return written_text(name, value)
    if name in _FILE_LISTS:
        return written_file(_json_in(value))
    if not isinstance(value, str) or not value.strip():
        return value
    if kind in ("number", "integer"):
        return written_number(name, kind, value)
    if kind == "boolean":
        return written_boolean(value)
    found = _json_in(value)
    if isinstance(found, str) and (name == "ports" or name.endswith("_ids")):  # neither holds commas or spaces
        return re.split(r"[\s,;]+", found.strip())
    if isinstance(found, str) and name == "env" and "=" in found:  # a line each, as in a .env file
        return [line.strip() for line in found.splitlines() if line.strip()]
    return value


_FILE_LISTS = frozenset({"images", "files"})


BROUGHT_WITHIN = frozenset({"wait_seconds", "limit", "offset"})
"""Arguments that are never refused for being out of bounds; the nearest allowed value is used."""


PLACES_COUNT = frozenset({"texts", "documents"})
"""Lists whose results refer to positions. An empty text in one is an error, because dropping it would shift them."""


def _within(schema: Json, value: Any) -> Any:
    number = _number(schema, value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        return value
    number = min(number, schema.get("maximum", number))
    return max(number, schema.get("minimum", number))


AGAIN = "again"
"""An argument of every tool that spends, which no schema lists. It asks for a new result of an equal call."""
_AGAIN_OF_OLD = "allow_duplicate"
"""The earlier name of this argument, among the options."""


def read_again(given: Mapping[str, Any]) -> tuple[bool, Json]:
    """Whether a new result is wanted, and the arguments without the one that says so.

    Raises:
        ArgumentError: The argument is neither true nor false.
    """
    rest = {name: value for name, value in given.items() if name != AGAIN}
    value = given.get(AGAIN)
    options = read_json_object(rest.get("options"))
    if options is not None and isinstance(options.get(_AGAIN_OF_OLD), bool):
        value = options[_AGAIN_OF_OLD] or value
        rest["options"] = {name: value for name, value in options.items() if name != _AGAIN_OF_OLD}
    try:
        return not says_nothing(_SWITCH, value) and _YES_OR_NO.validate_python(value), rest
    except ValidationError:
        raise ArgumentError(f"{AGAIN} is true or false.") from None


_SWITCH: Json = {"type": "boolean"}
_YES_OR_NO = TypeAdapter(bool)
"""Reads every spelling that the switches of the schema take, such as "yes" and "on"."""


def read_json_object(value: Any) -> Json | None:
    """An object, also one that came as JSON text."""
    found = _parsed({"type": "object"}, value)
    return cast(Json, found) if isinstance(found, dict) else None


def says_nothing(schema: Json, value: Any) -> bool:
    """Whether a host sends this value for an argument that nobody set."""
    if value is None or (isinstance(value, str | list | dict) and not value):
        return True
    if isinstance(value, str):  # spaces may be meant as a text, such as a stop sequence or a suffix
        return value.strip().casefold() in _NOTHING and ("enum" in schema or schema.get("type") in _NO_TEXT)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and value == 0 and schema.get("minimum", 0) > 0


_NOTHING = frozenset({"", "null", "none", "undefined"})
_NO_TEXT = frozenset({"number", "integer", "boolean"})
"""Types for which a text such as "null" means that nothing is set."""


def _without_blanks(name: str, schema: Json, value: Any) -> Any:
    """A list without empty texts, or options without unset ones; any other value unchanged."""
    items = cast(Json, schema.get("items", {}))
    if isinstance(value, list) and items.get("type") == "string" and name not in PLACES_COUNT:
        return [each for each in cast("list[Any]", value) if not says_nothing(items, each)]
    if name == "options" and isinstance(value, dict):
        return {key: each for key, each in cast(Json, value).items() if not says_nothing({}, each)}
    return cast(Any, value)


def _parsed(schema: Json, value: Any) -> Any:
    """A list or an object, also from JSON text or from a list of one; a text from a list of one.

    Any other value is returned unchanged.
    """
    kind, items = schema.get("type"), cast(Json, schema.get("items", {}))
    of_objects = items.get("type") == "object"
    if kind not in ("array", "object"):
        several = cast("list[Any]", value) if isinstance(value, list) else list[Any]()
        return several[0] if len(several) == 1 and isinstance(several[0], str) else cast(Any, value)
    found = as_object(_json_in(value)) if kind == "object" else _json_in(value)
    if (
        found is None
        or isinstance(found, list if kind == "array" else dict)
        or (of_objects and isinstance(found, dict))
    ):
        value = cast(Any, found)
    if kind == "object" or value is None:
        return value
    if isinstance(value, dict) and not of_objects:
        value = as_list(cast(Json, value))
    listed = cast("list[Any]", value) if isinstance(value, list) else _alone(items, value)
    if listed is None:
        return cast(Any, value)
    return [_json_in(each) for each in listed] if of_objects else listed


def _json_in(value: Any) -> Any:
    """The list, object or null that a JSON text holds (a blank text is null); any other value unchanged."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        found: Any = written_json(value)
    except ValueError:
        return value
    return found if found is None or isinstance(found, list | dict) else value  # pyright: ignore[reportUnknownVariableType]


_CUT_LIST = re.compile(r"\s*\[\s*[\"{\[]")


def _alone(items: Json, value: Any) -> list[Any] | None:
    """A single value as a list, if the schema wants a list; None if it cannot be one."""
    if isinstance(value, dict):
        return [cast(Any, value)] if value and items.get("type") == "object" else None
    if isinstance(value, bool) or items.get("type") == "object":
        return None
    if isinstance(value, str):
        if _CUT_LIST.match(value):  # JSON that was cut off
            return None
        return [part.strip() for part in value.split(",")] if "enum" in items else [value]
    return [value]


_OTHER_NAMES = {
    **dict.fromkeys(("jpg", "jpe", "jfif"), "jpeg"),
    **dict.fromkeys(("done", "finished", "completed", "complete", "success", "succeed"), "succeeded"),
    **dict.fromkeys(("error", "failure"), "failed"),
    **dict.fromkeys(("running", "pending", "inprogress", "processing"), "working"),
    "canceled": "cancelled",
    "wave": "wav",
    "ondemand": "onDemand",
    "daily": "day",
    "llm": "chat",
}


def _spelled(schema: Json, value: Any) -> Any:
    """A value in the spelling of the schema's enum, from any case, or with a dot or a media type before it."""
    if isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        return [_spelled(cast(Json, items), each) for each in cast("list[Any]", value)]
    names = cast("list[Any]", schema.get("enum", []))
    if not isinstance(value, str) or not value or value in names:
        return cast(Any, value)
    plain = _bare(value.rpartition("/")[2])
    meant = _bare(_OTHER_NAMES.get(plain, plain))
    found = [name for name in names if isinstance(name, str) and _bare(name) in (meant, meant.removesuffix("s"))]
    return found[0] if len(found) == 1 else value


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _number(schema: Json, value: Any) -> Any:
    """The number in a text, for checks; any other value unchanged."""
    if isinstance(value, str) and schema.get("type") in ("number", "integer"):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _odd_number(value: Any, where: str) -> str | None:
    """The path in a value of a number that JSON or a database cannot hold; None if there is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return where
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return where
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = cast("Json", value).items()
    elif isinstance(value, list):
        inner = enumerate(cast("list[Any]", value))
    return next((found for name, each in inner if (found := _odd_number(each, f"{where}.{name}"))), None)


_MEANT: Mapping[str, str] = {
    "count": "n num num_images number_of_images n_images image_num num_outputs batch_size samples gpu_count num_gpus "
    "gpus",
    "gpu": "gpu_type gpu_name gpu_model",
    "size": "width height w h image_size dimensions",
    "save_to": "output_dir output_path output_file output out filename file_name save_path path folder directory "
    "dest destination download_path",
    "image": "image_url input_image init_image image_path source_image photo img picture url",
    "images": "reference_images image_urls input_images references pictures",
    "mask": "mask_image mask_url",
    "end_image": "last_image last_frame end_frame tail_image",
    "video": "video_url input_video video_path url",
    "audio": "audio_url audio_file input_audio audio_path url",
    "sound": "generate_audio with_audio enable_audio",
    "aspect_ratio": "ratio aspect ar",
    "format": "output_format image_format file_type audio_format extension",
    "duration": "seconds length duration_seconds video_length",
    "resolution": "quality",
    "model": "model_name model_id engine",
    "checkpoint": "sd_model base_model",
    "voice": "voice_id voice_name speaker",
    "language": "lang locale",
    "strength": "denoise denoising_strength image_strength",
    "scale": "upscale factor scale_factor upscale_factor",
    "prompt": "description instruction instructions text_prompt",
    "system": "system_prompt system_message instructions",
    "max_tokens": "max_new_tokens max_completion_tokens max_output_tokens max_length",
    "response_schema": "json_schema response_format schema",
    "tools": "functions",
    "thinking": "reasoning enable_thinking",
    "texts": "input inputs",
    "input": "inputs params parameters arguments",
    "documents": "docs passages texts",
    "query": "q search search_query keywords",
    "urls": "url links pages",
    "wait_seconds": "timeout wait max_wait poll_seconds",
    "task_id": "id job_id prediction_id request_id task",
    "period": "month date dates day week year since start start_date from date_range time_range range",
    "state": "status",
    "by": "group_by groupby",
    "webhook_url": "callback callback_url webhook",
    "confirm": "confirmed yes approve force",
    "dry_run": "simulate preview estimate",
    "options": "negative_prompt steps num_inference_steps guidance_scale cfg cfg_scale scheduler sampler sampler_name "
    "lora loras top_p top_k stop fps",
}
"""Another service's name -> our argument. The hint is given only if the tool has that argument."""

_SOME_MODELS = (
    "aspect_ratio camera_fixed checkpoint count duration emotion format fps language negative_prompt pitch resolution "
    "sample_rate seed size sound speed strength voice volume webhook_url"
)
"""Fields that media tools without such an argument accept among their options, if the model has them."""

_HOW = {
    "size": ", as in size='1024x768'",
    "save_to": ", which takes a folder or a file",
    "options": ", which holds arguments that only some models have",
}


def meant_by(name: str, known: Sequence[str]) -> str:
    """The tool's argument that an unknown name probably means; empty if that is unclear."""
    plain = _plain(name)
    others = [ours for ours, names in _MEANT.items() if ours in known and plain in names.split()]
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.75)
    return plain if plain in known else next(iter(others or near), "")


def _plain(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip()).casefold().replace("-", "_")


def unknown_argument(name: str, known: Sequence[str]) -> str:
    """The sentence that there is no such argument, with the one that is probably meant."""
    plain = _plain(name)
    if plain not in known and plain in _SOME_MODELS.split() and "options" in known:
        # The name is a field of other tools, so a similar name of this tool means something else.
        return f"Unknown argument {name[:60]!r}. Did you mean 'options', as in options={{{plain!r}: ...}}?"
    if meant := meant_by(name, known):
        hint = f"Did you mean {meant!r}{_HOW.get(meant, '')}?"
    elif not known:
        hint = "This tool takes no arguments."
    else:
        hint = f"Known arguments: {', '.join(known)}."
        hint += " Arguments that only some models have go in 'options'." if "options" in known else ""
    return f"Unknown argument {name[:60]!r}. {hint}"
