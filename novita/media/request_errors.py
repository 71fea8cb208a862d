"""Explains what is wrong with a request to a media model, in the caller's words: unknown names, and schema errors."""

import difflib
import re
from typing import Any

from ..core.answers import an_object
from ..core.errors import InputError
from ..core.json_paths import Json, get_path
from ..core.json_text import is_list, is_object
from ..core.schema_errors import describe
from .catalog_entry import Argument, MediaModel
from .lookup import OldName, old_names, option_paths

# Names ------------------------------------------------------------------------------------------------------------


def find_option(model: MediaModel, key: str) -> str:
    """The native path that an option means. Raises InputError, with the nearest names, if there is none."""
    leaf = key.rpartition(".")[2]
    homes = option_paths(model, key)
    if homes:
        depth = min(path.count(".") for path in homes)
        nearest = [path for path in homes if path.count(".") == depth]
        if len(nearest) == 1:
            return nearest[0]
        raise InputError(
            f"The option {key!r} could be {' or '.join(nearest)} of {model.id}", next_step="Give the dotted path."
        )
    if "." not in key and model.input.get("additionalProperties") not in (None, False):
        return key
    raise InputError(f"{model.id} has no option {key!r}", next_step=_instead(model, leaf, model.input))


def refuse_unknown(model: MediaModel, schema: Json, body: Json, prefix: str) -> None:
    """Raise InputError for the first name that the schema does not know, and suggest what may have been meant."""
    properties: dict[str, Json] = schema.get("properties", {})
    for name, value in body.items():
        part = properties.get(name)
        if part is None:
            if schema.get("additionalProperties", True) is False:
                raise InputError(
                    f"{model.id} has no field `{prefix}{name}`", next_step=_instead(model, name, schema, prefix)
                )
            continue
        if is_object(value):
            refuse_unknown(model, part, value, f"{prefix}{name}.")
        elif is_list(value):
            for number, item in enumerate(value):
                if is_object(item):
                    refuse_unknown(model, part.get("items", {}), item, f"{prefix}{name}[{number}].")


def _instead(model: MediaModel, name: str, schema: Json, prefix: str = "") -> str:
    """What to write instead of an unknown name: its full path, its V3 name, or similar names."""
    fields = model.fields
    homes = [path for path in fields if path.rpartition(".")[2] == name and path != f"{prefix}{name}"]
    if homes and prefix != f"{homes[0].rpartition('.')[0]}.":
        return f"It belongs at `{homes[0]}`."
    inside = "units[" in prefix
    renamed = "inside `controlnet.units[]`"
    old = old_names().get(name)
    if old is not None and (renamed in old.say) <= inside:
        return _what_became(model, name, old, nested=inside)
    if name in model.arguments:
        written = " and ".join(f"`{path}`" for path in model.arguments[name].paths)
        written = written or " and ".join(f"`{path}`" for path in model.arguments["size"].paths)
        return f"In this model's own words it is {written}."
    names = list(an_object(schema.get("properties"))) if prefix else []
    names = names or [path for path in fields if "[]" not in path and not fields[path].get("properties")]
    leaves_of = {path.rpartition(".")[2]: path for path in reversed(names)}
    near = difflib.get_close_matches(name.casefold(), list(leaves_of), n=3, cutoff=0.55)
    if near:
        return f"Did you mean {' or '.join(f'`{leaves_of[one]}`' for one in near)}?"
    shown = ", ".join(names[:12])
    return f"Its fields are: {shown}{', ...' if len(names) > 12 else ''}."


def _what_became(model: MediaModel, name: str, old: OldName, *, nested: bool) -> str:
    here = [path for leaf in old.now for path in model.fields if path.rpartition(".")[2] == leaf]
    here = [path for path in here if ("[]" in path) is nested]
    if here:
        return f"`{name}` is an old V2 name, now `{here[0]}`: {old.say}."
    lacks = f"; {model.id} has no {' or '.join(f'`{leaf}`' for leaf in old.now)}" if old.now else ""
    return f"`{name}` is an old V2 name: {old.say}{lacks}."


def refuse_old_prompt(model: MediaModel, body: Json) -> None:
    loras = next((path for path in model.fields if path.endswith("loras")), None)
    prompt = model.arguments.get("prompt")
    if loras is None or prompt is None or not prompt.paths:
        return
    text = get_path(body, prompt.paths[0])
    if isinstance(text, str) and re.search(r"<lora:", text, re.IGNORECASE):
        raise InputError(
            "`<lora:...>` in the prompt is the old V2 way and has no effect",
            next_step=f"Give options.{loras.rpartition('.')[2]} = [{{model_name, strength}}] instead.",
        )


# Sentences --------------------------------------------------------------------------------------------------------


def schema_sentence(model: MediaModel, error: Any) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        path = f"{where}.{missing}" if where else missing
        return f"{model.id} needs {_label(model, path)}"
    if error.validator == "anyOf" and all(set(one) == {"required"} for one in error.validator_value):
        choices = [_label(model, path) for one in error.validator_value for path in one["required"]]
        return f"{model.id} needs {' or '.join(choices)}"
    if error.instance is None and error.validator == "type":  # an empty place in a list, before a file that is given
        return f"{model.id} needs {_label(model, where)}"
    files = [path for name in model.media_arguments() for path in model.arguments[name].paths]
    is_file = any(_plain(path).startswith(_plain(where)) for path in files)
    return f"{model.id}: {_label(model, where)} {describe(error, show=not is_file)}"


def schema_advice(model: MediaModel, error: Any) -> str:
    notes = ""
    if error.validator == "required":
        where = ".".join(str(step) for step in error.absolute_path)
        missing = [name for name in error.validator_value if name not in error.instance]
        paths = [f"{where}.{name}" if where else name for name in missing]
        notes = " ".join(
            f"{name}: {argument.note}."
            for name, argument in model.arguments.items()
            if argument.note and any(_covers(argument, path) for path in paths)
        )
    return f"{notes} describe_media_model({model.id!r}) shows its input.".lstrip()


def _label(model: MediaModel, path: str) -> str:
    """The name by which the caller knows a native path."""
    exact = [name for name, argument in model.arguments.items() if path in argument.paths]
    names = exact or [name for name, argument in model.arguments.items() if _covers(argument, path)]
    if names:
        return " or ".join(f"`{name}`" for name in names[:2])
    below = [
        name
        for name, argument in model.arguments.items()
        if any(one.startswith((f"{path}.", f"{path}[")) and "[*]" not in one for one in argument.paths)
    ]
    return " or ".join(f"`{name}`" for name in below[:2]) if below else f"the option `{path}`"


def _covers(argument: Argument, path: str) -> bool:
    return any(_plain(one) == _plain(path) for one in argument.paths)


def _plain(path: str) -> str:
    return re.sub(r"\[[^\]]*\]", "[]", path)
