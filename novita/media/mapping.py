"""Turns common arguments into a model's own request body, and checks it before anything is sent.

A plan is always built in this order: arguments, options, the entry's constants, a seed if the model needs one, and the
documented defaults of required fields. Then the rules, the size and the schema are checked. Nothing changes silently.
"""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.costs import Cost
from ..core.errors import InputError
from ..core.json_paths import MISSING, Json, drop, get_path, leaves, put
from ..core.json_text import is_object, is_row
from ..core.schema_errors import first_error
from ..files.kinds import Form
from .catalog_entry import Argument, MediaModel
from .clips import Lengths
from .lookup import alternatives, complaints, native_value, phrase, settled
from .price_rows import reckon
from .pricing import estimate
from .request_errors import find_option, refuse_old_prompt, refuse_unknown, schema_advice, schema_sentence
from .rules import breaks
from .values import SHAPE, Frame, coerce, fit_image, form_of, mime_of, parse_size, types_of

__all__ = [
    "FILES",
    "MediaPlan",
    "MediaWish",
    "accept",
    "plan",
    "plan_native",
    "plan_wish",
    "price_of",
    "refuse_what_it_cannot",
]

FILES = ("image", "images", "end_image", "mask", "video", "audio")
"""Arguments that take files. They are put into the body first and in this order, because some models take them in one
list, and other arguments set fields of the list's items."""


@dataclass(frozen=True)
class MediaPlan:
    """A request that is ready to be sent.

    Args:
        body: The native body, complete and valid.
        seed: The seed in it, if any.
        rest: Bodies that are sent afterwards, for the further pieces of a long recording. Their texts are joined.
    """

    model: MediaModel
    method: str
    path: str
    body: Json
    seed: int | None
    estimate: Cost
    rest: tuple[Json, ...] = ()

    def let_go(self) -> None:
        """Empty the bodies after they were sent, because they may be large and are not needed during the wait."""
        for body in (self.body, *self.rest):
            body.clear()

    @property
    def files(self) -> tuple[str, ...]:
        """The fields that a multipart request sends as file parts. The body holds these files as data URIs."""
        if self.model.encoding == "json":
            return ()
        paths = (path for path, schema in self.model.fields.items() if "contentMediaType" in schema)
        return tuple(dict.fromkeys(path.partition("[")[0] for path in paths))

    @property
    def uploads(self) -> dict[str, str]:
        """Path -> data URI of each file that is uploaded before the request. In the body, its new id replaces it."""
        files = [argument for argument in self.model.arguments.values() if "asset_id" in argument.send]
        found = {path: get_path(self.body, path) for argument in files for path in argument.paths}
        return {path: file for path, file in found.items() if isinstance(file, str) and file.startswith("data:")}


def any_seed() -> int:
    """A random seed that every model accepts."""
    return random.randrange(1, 2**31 - 1)


@dataclass(frozen=True)
class MediaWish:
    """What is asked of a model, after `accept` has found that the model can do it.

    Args:
        arguments: By common name, including those that were given as options; none is None.
        options: Native fields by leaf name (`steps`) or dotted path (`request.steps`).
    """

    model: MediaModel
    arguments: Mapping[str, object]
    options: Mapping[str, object]


def accept(
    model: MediaModel,
    arguments: Mapping[str, object],
    options: Mapping[str, object] | None = None,
    *,
    forms: Mapping[str, Collection[Form]] | None = None,
) -> MediaWish:
    """Check arguments and options before any file is loaded, and sort them.

    Args:
        arguments: By common name; None counts as not given.
        options: Native fields, and common arguments that a tool does not carry.
        forms: See `choose`.

    Raises:
        InputError: The model cannot honour one of them.
    """
    together, native = settled(model, arguments, options or {})
    given = {name: value for name, value in together.items() if value is not None}
    if given.get("seed") in (-1, "-1"):  # this commonly means "any seed"
        del given["seed"]
    refuse_what_it_cannot(model, given, forms)
    return MediaWish(model, given, native)


def plan(
    model: MediaModel,
    arguments: Mapping[str, object],
    options: Mapping[str, object] | None = None,
    *,
    random_seed: Callable[[], int] = any_seed,
    image_size: tuple[int, int] | None = None,
    lengths: Lengths | None = None,
) -> MediaPlan:
    """`accept` and `plan_wish` in one step, for files that are already in a form the model takes.

    Raises:
        InputError: What stands in the way, in terms of the common arguments.
    """
    wish = accept(model, arguments, options)
    return plan_wish(wish, random_seed=random_seed, image_size=image_size, lengths=lengths)


def plan_wish(
    wish: MediaWish,
    *,
    random_seed: Callable[[], int] = any_seed,
    image_size: tuple[int, int] | None = None,
    lengths: Lengths | None = None,
) -> MediaPlan:
    """The native request for a wish whose files are already in a form the model takes.

    Args:
        random_seed: Asked only if the model wants a seed and none was given.
        image_size: Width and height of `image`, for models whose output follows it.
        lengths: Seconds of the clips, by the text that stands for each, for models whose price follows them.

    Raises:
        InputError: What stands in the way, in terms of the common arguments.
    """
    given = wish.arguments
    draft = _Draft(wish.model, given)
    for name in sorted(given, key=lambda n: FILES.index(n) if n in FILES else len(FILES)):
        if name in wish.model.arguments:
            draft.argument(name, wish.model.arguments[name], given[name])
    draft.picture, draft.lengths = image_size, lengths or {}
    draft.shape(given, image_size)
    draft.options(wish.options)
    draft.constants()
    draft.seed(random_seed)
    draft.required_defaults()
    return draft.finish()


def plan_native(model: MediaModel, native: Mapping[str, object]) -> MediaPlan:
    """The plan for a complete native body. It is checked, and nothing is added.

    Raises:
        InputError: Unknown, V2 or missing names, or a value the model does not take.
    """
    draft = _Draft(model)
    draft.body = _copy(dict(native))
    return draft.finish()


def price_of(model: MediaModel, arguments: Mapping[str, object]) -> Cost:
    """What a call with these common arguments would cost. A prompt or files that it would need may be absent.

    Raises:
        InputError: The model cannot honour an argument.
    """
    return estimate(model, _body_to_price(model, arguments))


def price_row_of(model: MediaModel, arguments: Mapping[str, object]) -> str:
    """The row of the price list that applies, in words; empty if there is none. It raises what `price_of` raises."""
    return reckon(model, _body_to_price(model, arguments)).row


def _body_to_price(model: MediaModel, arguments: Mapping[str, object]) -> dict[str, Any]:
    given = {name: value for name, value in arguments.items() if value is not None}
    refuse_what_it_cannot(model, given)
    draft = _Draft(model)
    for name in given:
        if name in model.arguments and not model.arguments[name].send:
            draft.argument(name, model.arguments[name], given[name])
    draft.shape(given, None)
    draft.constants()
    draft.required_defaults()
    return draft.body


def refuse_what_it_cannot(
    model: MediaModel, given: Mapping[str, object], forms: Mapping[str, Collection[Form]] | None = None
) -> None:
    """Raise InputError if the model cannot honour an argument, and name models that can. `forms` is as in `able`."""
    found = complaints(model, given, forms=forms, rules=False)
    if found:
        who = _who_can(model, given, forms)
        raise InputError(f"{model.id} cannot do this: {phrase(found)}", next_step=who)


def _who_can(
    model: MediaModel, given: Mapping[str, object], forms: Mapping[str, Collection[Form]] | None = None
) -> str:
    others = alternatives(model, arguments=given, forms=forms) if given else []
    if others:
        return f"Models that take all of this: {', '.join(other.id for other in others)}."
    others = alternatives(model, arguments=given, forms=forms, complete=False) if given else []
    if others:
        return f"Models that take this, but need more: {', '.join(other.id for other in others)}."
    return f"describe_media_model({model.id!r}) shows its input."


class _Draft:
    """A body that is being built. It notes which argument or option set each field."""

    def __init__(self, model: MediaModel, given: Mapping[str, object] | None = None) -> None:
        self.model = model
        self.given = given or {}
        self.body: Json = {}
        self.set_by: dict[str, str] = {}
        self.yielding: set[str] = set()
        self.picture: tuple[int, int] | None = None
        self.lengths: Lengths = {}

    # Filling ---------------------------------------------------------------------------------------------------

    def argument(self, name: str, argument: Argument, value: object) -> None:
        if argument.as_ in ("size", "width_height", "ratio", "resolution"):
            return  # shape() sets these together
        if argument.send:
            self._files(name, argument, value)
        else:
            for path in argument.paths:
                schema = self.model.field(path) or {}
                self._put(path, native_value(argument, schema, value), name, each=argument.each)
        for path, native in argument.also.items():
            self._put(path, _typed(native, value), name)

    def _files(self, name: str, argument: Argument, value: object) -> None:
        files = [str(one) for one in value] if is_row(value) else [str(value)]
        for number, file in enumerate(files):
            if isinstance(argument.to, tuple):
                path = argument.to[number]
            elif isinstance(argument.to, dict):
                path = argument.to.get(form_of(file), "")
                if not path:
                    raise InputError(f"`{name}` is taken as {' or '.join(argument.to)} only by {self.model.id}")
            else:
                path = argument.to
            self._put(path, file, name, each=_typed(argument.each, file))

    def shape(self, given: Mapping[str, object], image_size: tuple[int, int] | None) -> None:
        model, frame = self.model, Frame.of(self.model)
        if frame is None:
            return
        size = model.arguments["size"]
        asked = {name: given[name] for name in SHAPE if name in given and model.arguments[name].as_ != "value"}
        how = size.sizes.from_image if size.sizes else None
        try:
            if (
                image_size
                and how
                and ((how in ("same", "shape") and not asked) or (how == "larger" and set(asked) == {"aspect_ratio"}))
            ):
                found: tuple[int, int] | str = fit_image(frame, image_size, how, asked.get("aspect_ratio"))
            elif how == "larger" and "size" not in asked:
                raise InputError(f"{model.id} needs `size`: {size.note}")
            elif asked:
                found = frame.fit(*(asked.get(name) for name in SHAPE))
            elif how == "same" and frame.default:
                found = frame.default
            else:
                return
        except ValueError as error:
            raise InputError(f"{model.id} cannot do this size: {error}") from error
        # If only we chose the picture's own shape, the label is empty, and options may set another one.
        label = " and ".join(asked) or ("" if how == "shape" else "image")
        if isinstance(found, str):
            self._put(size.paths[0], found, label)
        elif size.as_ == "width_height":
            for path, side in zip(size.paths, found, strict=True):
                self._put(path, side, label)
        else:
            self._put(size.paths[0], _spell(model, size, found), label)

    def options(self, options: Mapping[str, object]) -> None:
        for key, value in options.items():
            if value is None:
                continue
            path = find_option(self.model, key)
            schema = self.model.field(path) or {}
            native = _copy(value) if isinstance(value, dict | list) else coerce(schema, value)
            if is_object(native):
                refuse_unknown(self.model, schema, native, f"{path}.")
                for inner, one in list(leaves(native, f"{path}.")):
                    self._put(inner, one, f"options.{key}")
                if not native:
                    self._put(path, {}, f"options.{key}")
            else:
                self._put(path, native, f"options.{key}")

    def constants(self) -> None:
        for path, value in self.model.constants.items():
            if get_path(self.body, path) is MISSING:
                self._put(path, _copy(value), "")
                self.yielding.add(path)
        # We chose the constants, not the caller, so a constant that breaks a rule is removed.
        for rule in self.model.rules:
            if not breaks(self.model, self.body, rule):
                continue
            for path in [*rule.need, *rule.when]:
                if path in self.yielding:
                    drop(self.body, path)
                    self.yielding.discard(path)
                    break

    def seed(self, random_seed: Callable[[], int]) -> None:
        argument = self.model.arguments.get("seed")
        if argument is None or get_path(self.body, argument.paths[0]) is not MISSING:
            return
        path = argument.paths[0]
        parent, _, leaf = path.rpartition(".")
        holder = self.model.field(parent) or {} if parent else self.model.input
        if leaf in holder.get("required", ()):
            most = (self.model.field(path) or {}).get("maximum", 2**31 - 1)
            self._put(path, random_seed() % (most + 1), "seed")

    def required_defaults(self) -> None:
        _fill(self.model.input, self.body)

    def _put(self, path: str, value: Any, label: str, *, each: Json | None = None) -> None:
        if label and "[]" not in path and "[*]" not in path:
            before = get_path(self.body, path)
            if before is not MISSING and before != value and self.set_by.get(path, label) != label:
                raise InputError(f"`{self.set_by[path]}` and `{label}` both set `{path}` of {self.model.id}; give one")
            self.set_by[path] = label
        put(self.body, path, value, each=each)

    # Checking --------------------------------------------------------------------------------------------------

    def finish(self) -> MediaPlan:
        model, body = self.model, self.body
        refuse_unknown(model, model.input, body, "")
        refuse_old_prompt(model, body)
        for rule in model.rules:
            if breaks(model, body, rule):
                who = " and ".join(f"`{self.set_by[path]}`" for path in (*rule.when, *rule.need) if path in self.set_by)
                what = f"{model.id}: {rule.say}{f' (see {who})' if who else ''}"
                raise InputError(what, next_step=_who_can(model, self.given))
        self._check_size()
        error = first_error(model.input, body)
        if error is not None:
            raise InputError(schema_sentence(model, error), next_step=schema_advice(model, error))
        return MediaPlan(model, model.method, model.path, body, self._seed_in_body(), self._price())

    def _price(self) -> Cost:
        return estimate(self.model, self.body, picture=self.picture, lengths=self.lengths)

    def _check_size(self) -> None:
        size = self.model.arguments.get("size")
        frame = Frame.of(self.model)
        if size is None or frame is None:
            return
        values = [get_path(self.body, path) for path in size.paths]
        pair = tuple(values) if size.as_ == "width_height" else parse_size(values[0])
        if pair and len(pair) == 2 and all(type(side) is int for side in pair):
            try:
                frame.check(*pair)
            except ValueError as error:
                raise InputError(f"{self.model.id} cannot do this size: {error}") from error

    def _seed_in_body(self) -> int | None:
        argument = self.model.arguments.get("seed")
        value = get_path(self.body, argument.paths[0]) if argument else None
        return value if type(value) is int and value >= 0 else None


def _typed(fields: Any, file: object) -> Any:
    """A copy of the fields, with the type of the file in place of `{mime}`."""
    if is_object(fields):
        return {name: _typed(one, file) for name, one in fields.items()}
    return mime_of(str(file)) if fields == "{mime}" else fields


def _spell(model: MediaModel, argument: Argument, size: tuple[int, int]) -> str:
    """`1024*768` or `1024x768`, as the model's other sizes are written."""
    schema = model.field(argument.paths[0]) or {}
    star = (
        r"\*" in schema.get("pattern", "")
        or "*" in str(schema.get("default", ""))
        or "*" in str(schema.get("enum", ""))
    )
    return f"{size[0]}{'*' if star else 'x'}{size[1]}"


def _fill(schema: Json, body: Json) -> None:
    """Fill in required fields for which the schema has a default or a single value."""
    for name in schema.get("required", ()):
        part: Json = schema["properties"][name]
        if name not in body:
            if "default" in part:
                body[name] = _copy(part["default"])
            elif len(part.get("enum", ())) == 1:
                body[name] = part["enum"][0]
            elif "object" in types_of(part) and "properties" in part:
                inner: Json = {}
                _fill(part, inner)
                if inner:
                    body[name] = inner
        elif isinstance(body[name], dict):
            _fill(part, body[name])


def _copy(value: Any) -> Any:
    if is_object(value):
        return {str(k): _copy(v) for k, v in value.items()}
    return [_copy(one) for one in value] if is_row(value) else value
