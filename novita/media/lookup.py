"""Chooses a model, checks which arguments it can honour, and finds alternatives."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from ..core.errors import InputError
from ..core.json_paths import Json, put
from ..core.json_text import is_row
from ..core.schema_errors import echo, leaf_problem
from ..core.words import counted
from ..files.kinds import Form
from .catalog_entry import Argument, Capability, MediaModel
from .catalogue import (
    OldName,
    able_to,
    advised,
    chain,
    doubtful,
    media_model,
    media_models,
    not_models,
    old_names,
    once,
)
from .rules import breaks
from .values import SHAPE, Frame, coerce, language, types_of

__all__ = [
    "Capability",
    "MediaModel",
    "NothingLivesError",
    "OldName",
    "able",
    "able_to",
    "advised",
    "alternatives",
    "chain",
    "choose",
    "complaints",
    "media_model",
    "media_models",
    "not_models",
    "old_names",
]


class NothingLivesError(InputError):
    """No model for this is known to be alive, and the models that may be gone have been tried."""


# What a model can honour ------------------------------------------------------------------------------------------


def able(
    model: MediaModel, arguments: Mapping[str, object], *, forms: Mapping[str, Collection[Form]] | None = None
) -> list[str]:
    """Names of the arguments that the model cannot honour. An argument that is None counts as not given.

    Args:
        forms: File argument -> the forms in which the caller can send it; without an entry, any form.
    """
    return list(complaints(model, arguments, forms=forms))


def complaints(
    model: MediaModel,
    arguments: Mapping[str, object],
    *,
    forms: Mapping[str, Collection[Form]] | None = None,
    rules: bool = True,
) -> dict[str, str]:
    """The arguments that the model cannot honour (see `able`), each with a reason that reads on from its name.

    Args:
        rules: Whether to report arguments that do not go together. Options may still resolve that.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if given.get("seed") in (-1, "-1"):  # commonly means "any seed", so it needs no support by the model
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
    """Complaints as part of a sentence. Arguments with the same reason are joined."""
    names: dict[str, list[str]] = {}
    for name, reason in found.items():
        names.setdefault(reason, []).append(f"`{name}`")
    return "; ".join(f"{' and '.join(who)} {reason}" for reason, who in names.items())


def _rule_complaints(model: MediaModel, given: Mapping[str, object]) -> dict[str, str]:
    """The arguments that break a rule together. Rules about the entry's constants are checked later, by the plan."""
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
    files = value if is_row(value) else [value]
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
        return f"must hold at least {counted(least, 'file')}"
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
    """A plain value as the model spells it. Raises ValueError if the argument's table of values does not have it."""
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
    without: Collection[str] = (),
) -> list[MediaModel]:
    """Living models that share a capability with this one, the best first.

    Args:
        arguments: Only models that can honour these are returned.
        complete: Whether models that need more than the arguments are left out.
        without: Ids of models that are left out.
    """
    kin = (other for one in model.does for other in chain(one))
    others = [other for other in advised(kin) if other.id not in (model.id, *without)]
    if arguments:
        others = [o for o in others if not able(o, arguments, forms=forms)]
        others = [o for o in others if not (complete and lacking(o, arguments))]
    return others[:n]


def choose(
    does: str | Sequence[str],
    arguments: Mapping[str, object],
    *,
    preferred: Sequence[str] | None = None,
    forms: Mapping[str, Collection[Form]] | None = None,
    options: Mapping[str, object] | None = None,
    without: Collection[str] = (),
) -> MediaModel:
    """The model for a call that names none.

    This is the first living model of the capability's chain that can honour all arguments and needs nothing else. If
    no living model has the capability, or none has one of the arguments at all (such as a checkpoint), models that may
    be gone follow, the least doubtful first.

    Args:
        does: One capability, or several of which one is enough.
        preferred: Ids of models that are used instead of the chain.
        options: Native fields by name, or common arguments that a tool does not have. A model that has all the fields
            is preferred.
        without: Ids of models that are known to be gone.

    Raises:
        InputError: No model can; the error says why the nearest ones cannot.
    """
    wanted = [Capability(one) for one in ([does] if isinstance(does, str) else does)]
    living = once(model for one in wanted for model in chain(one))
    candidates = [media_model(name) for name in preferred] if preferred is not None else living
    if preferred is None and not _known(candidates, arguments):
        candidates += once(model for one in wanted for model in doubtful(one))
    what = " or ".join(one.replace("_", " ") for one in wanted)
    if preferred is None and candidates and all(model.id in without for model in candidates):
        names = ", ".join(model.id for model in candidates[:3])
        raise NothingLivesError(f"No model for {what} is known to live; {names} did not answer when asked last")
    candidates = [model for model in candidates if model.id not in without]
    reasons: list[tuple[MediaModel, dict[str, str]]] = []
    second: list[tuple[bool, bool, MediaModel]] = []  # lacks a field of the options; lacks something; the model
    for model in candidates:
        together, native = settled(model, arguments, options or {})
        found = complaints(model, together, forms=forms)
        reasons.append((model, found))
        if not found:
            knows, lacks = all(option_paths(model, key) for key in native), lacking(model, together, native)
            if knows and not lacks:
                return model
            second.append((not knows, bool(lacks), model))
    if second:  # making the plan reports what is missing
        model = min(second, key=lambda each: each[:2])[2]
        _refuse_a_detour(model, arguments, options or {}, [found for _, found in reasons if found])
        return model
    reasons = [pair for pair in reasons if pair[0].live] or reasons
    reasons.sort(key=lambda pair: len(pair[1]))
    nearest: dict[str, list[str]] = {}
    for model, found in reasons[:3]:
        nearest.setdefault(phrase(found), []).append(model.id)
    shown = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in nearest.items())
    # The error may say "no model" only if no model can do it, including those that may be gone.
    others = [model for model in able_to(wanted) if model not in candidates]
    dead = [m for m in others if not complaints(m, settled(m, arguments, options or {})[0], forms=forms)]
    which = "that is known to live " if dead and preferred is None else "that knows the voice " if dead else ""
    raise InputError(f"No model for {what} {which}takes these arguments together", next_step=f"Nearest: {shown}.")


def _refuse_a_detour(
    model: MediaModel,
    arguments: Mapping[str, object],
    options: Mapping[str, object],
    others: Sequence[Mapping[str, str]],
) -> None:
    """Refuse a model that lacks something and was only left because no other takes one of the arguments.

    Args:
        others: What each of the other models does not take.

    Raises:
        InputError: It names the argument that led to this model. What the model lacks alone would be a riddle.
    """
    together, native = settled(model, arguments, options)
    lacks = lacking(model, together, native)
    led = set[str].intersection(*map(set, others)) & common_arguments() & arguments.keys() if others else set[str]()
    if not lacks or not led:
        return
    named = [next((name for name, one in model.arguments.items() if path in one.paths), path) for path in lacks]
    notes = "".join(f" {name}: {model.arguments[name].note}." for name in named if name in model.arguments)
    cause, more = (" and ".join(f"`{name}`" for name in sorted(names)) for names in (led, named))
    # No advice names a model that is gone, as the caller might then ask for it by name.
    who = "a model that is said to be switched off" if model.state == "retired" else model.id
    raise InputError(
        f"What takes {cause} needs more: {who} needs {more}",
        next_step=f"Leave out {cause}, or give {more} too.{notes}",
    )


def _known(models: Sequence[MediaModel], arguments: Mapping[str, object]) -> bool:
    """Whether one of the models has all these arguments, whatever their values. `count` and `seed` do not matter."""
    names = {name for name, value in arguments.items() if value is not None} - {"count", "seed"}
    return any(names <= {*model.arguments, *model.fixed} for model in models)


@cache
def common_arguments() -> frozenset[str]:
    """The names of all common arguments of all models, except those that take files."""
    return frozenset(
        name for model in media_models() for name, argument in model.arguments.items() if not argument.send
    )


def settled(
    model: MediaModel, arguments: Mapping[str, object], options: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    """The arguments and the native options of a call, after common arguments have been moved out of the options.

    A tool does not have every common argument, so `options` may hold one under its common name. If the model has a
    native field of the same name, the field is meant, except in three cases: the argument sets this field and others
    besides; it decides which of several fields of that name is meant; or it takes a spelling that the field does not.

    Raises:
        InputError: An argument is given in both places, with different values.
    """
    given, native = dict(arguments), dict[str, object]()
    for key, value in options.items():
        if key not in common_arguments() or _is_native(model, key, value):
            native[key] = value
        elif value is not None and given.get(key) not in (None, value):
            raise InputError(f"`{key}` is given twice, as {echo(given[key])} and in options as {echo(value)}")
        elif value is not None:
            given[key] = value
    return given, native


def _is_native(model: MediaModel, key: str, value: object) -> bool:
    homes, argument = option_paths(model, key), model.arguments.get(key)
    if not homes or argument is None or not set(homes) & set(argument.paths):
        return bool(homes)
    if len(homes) > 1 or argument.also:
        return False
    schema = model.field(homes[0]) or {}
    return isinstance(value, dict | list) or leaf_problem(schema, coerce(schema, value)) is None


def option_paths(model: MediaModel, key: str) -> list[str]:
    """The native paths that an option may mean. It is named by a dotted path or its last part; lists are left out."""
    paths = [path for path in model.fields if "[]" not in path]
    return [key] if key in paths else [path for path in paths if path.rpartition(".")[2] == key]


def lacking(model: MediaModel, arguments: Mapping[str, object], options: Collection[str] = ()) -> list[str]:
    """Required native fields that neither the arguments, the options nor the entry would fill."""
    filled = [*model.constants, *(path for key in options for path in option_paths(model, key))]
    for name, value in arguments.items():
        if value is not None and name in model.arguments:
            argument = model.arguments[name]
            filled += [*(argument.paths or model.arguments["size"].paths), *argument.also]
    size = model.arguments.get("size")
    if size and size.sizes and size.sizes.from_image == "same" and arguments.get("image") is not None:
        filled += size.paths

    def has(path: str) -> bool:
        return any(one == path or one.startswith((f"{path}.", f"{path}[")) for one in filled)

    def walk(schema: Json, prefix: str) -> list[str]:
        absent: list[str] = []
        for name in schema.get("required", ()):
            path, part = f"{prefix}{name}", schema["properties"][name]
            if "object" in types_of(part) and "properties" in part:
                absent += walk(part, f"{path}.")
            elif not (has(path) or "default" in part or len(part.get("enum", ())) == 1 or _is_seed(model, path)):
                absent.append(path)
        choices = [one["required"] for one in schema.get("anyOf", ()) if set(one) == {"required"}]
        if choices and not any(all(has(f"{prefix}{name}") for name in names) for names in choices):
            absent.append(f"{prefix}{choices[0][0]}")
        return absent

    return walk(model.input, "")


def _is_seed(model: MediaModel, path: str) -> bool:
    return "seed" in model.arguments and path in model.arguments["seed"].paths
