"""The types of one catalogue entry: what a media model takes, makes and costs, as data."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from ..core.json_paths import Json
from ..core.money import say_exactly
from ..files.kinds import Form
from ..files.media_limits import MediaLimits

State = Literal["live", "unlisted", "unknown", "retired"]
Sure = Literal["high", "medium", "low"]
Kind = Literal["image", "video", "audio", "text", "voice"]

STATES: tuple[State, ...] = get_args(State)
"""All states, ordered from the best evidence that a model works to the worst."""
SURE: tuple[Sure, ...] = get_args(Sure)
_TURNED = str.maketrans("0123456789", "9876543210")


class Capability(StrEnum):
    """What a model can do. Tools choose their models by capability."""

    TEXT_TO_IMAGE = "text_to_image"
    EDIT_IMAGE = "edit_image"
    IMAGE_TO_IMAGE = "image_to_image"
    INPAINT = "inpaint"
    ERASE = "erase"
    OUTPAINT = "outpaint"
    REMOVE_TEXT = "remove_text"
    MERGE_FACE = "merge_face"
    REIMAGINE = "reimagine"
    UPSCALE = "upscale"
    REMOVE_BACKGROUND = "remove_background"
    REPLACE_BACKGROUND = "replace_background"
    DESCRIBE_IMAGE = "describe_image"
    SPLIT_LAYERS = "split_layers"
    TEXT_TO_VIDEO = "text_to_video"
    IMAGE_TO_VIDEO = "image_to_video"
    FIRST_LAST_FRAME = "first_last_frame"
    REFERENCE_TO_VIDEO = "reference_to_video"
    MULTI_FRAME = "multi_frame"
    EXTEND_VIDEO = "extend_video"
    EDIT_VIDEO = "edit_video"
    VIDEO_TO_VIDEO = "video_to_video"
    MOTION_CONTROL = "motion_control"
    TRANSLATE_VIDEO = "translate_video"
    VIDEO_MERGE_FACE = "video_merge_face"
    TEMPLATE_VIDEO = "template_video"
    TEXT_TO_SPEECH = "text_to_speech"
    TRANSCRIBE = "transcribe"
    CLONE_VOICE = "clone_voice"
    DESIGN_VOICE = "design_voice"
    MUSIC = "music"
    LYRICS = "lyrics"


class _TableRow(BaseModel):
    """A row of the tables. A misspelt field fails when the tables are read, not later in a call.

    Empty dicts are made by factories, because pydantic would copy a default one, deeply, thousands of times.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Sizes(_TableRow):
    """What the schema of a model does not say about the sizes it takes, in pixels."""

    default: str | None = None
    """The default size, such as `1024x1024`, if the schema has none."""
    only: tuple[str, ...] = ()
    """All sizes, if width and height must form one of a few pairs."""
    words: tuple[str, ...] = ()
    """Words that the model takes instead of a size, such as `2K`."""
    exact: tuple[str, ...] = ()
    """Sizes that the model makes exactly. From any other size it takes only the shape."""
    sides: tuple[int, int] | None = None
    pixels: tuple[int, int] | None = None
    max_ratio: float | None = None
    multiple: int = 1
    from_image: Literal["same", "shape", "larger"] | None = None
    """How the size follows the input picture if none is given: equal to it, of its shape, or a larger canvas."""


As = Literal["value", "size", "width_height", "ratio", "resolution", "media", "list", "hole_mask", "language"]


class Argument(_TableRow):
    """How a common argument becomes native fields.

    Paths have dots. `a[0]` is the first item of a list, `a[]` adds an item, and `a[*]` means every item there is.
    """

    to: str | tuple[str, ...] | dict[Form, str] = ""
    """One path, several paths (for width and height, or for the items of a list), or one path per form of a file."""
    as_: As = Field(default="value", alias="as")
    """`ratio` and `resolution` set the native fields of `size`. `hole_mask` is sent with its white part transparent."""
    send: tuple[Form, ...] = ()
    """For files: the forms that the model takes; the preferred one comes first."""
    limits: MediaLimits | None = None
    sizes: Sizes | None = None
    values: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Common value -> native value, if they differ by more than spelling."""
    each: Json = Field(default_factory=dict[str, Any])
    """Further fields of each list item. `{n}` is replaced by the item's number from 1, `{mime}` by the file's type."""
    also: Json = Field(default_factory=dict[str, Any])
    """Native fields that must be set together with this argument; `{mime}` is replaced as in `each`."""
    known: tuple[str, ...] = ()
    """Values that are known to work, if the model takes more than any list names (voices)."""
    note: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """All native paths this argument may fill."""
        if isinstance(self.to, str):
            return (self.to,) if self.to else ()
        return tuple(self.to.values()) if isinstance(self.to, dict) else self.to


class AnswerPart(_TableRow):
    """Where an answer holds a result. A part that an answer does not have is skipped."""

    form: Literal["task", "task_v2", "url", "base64", "url_or_base64", "hex_or_url", "bytes", "text", "value"]
    at: str = ""
    """A path with dots, and `[]` for every item; empty means the whole body. For tasks of a model with a status route
    of its own, that route."""
    kind: Kind | None = None
    type_at: str | None = None
    """Path in the answer that names the file type."""
    type_in: str | None = None
    """Path in the request that names the file type."""


Unit = Literal[
    "image", "megapixel", "second", "video", "frame", "1M_characters", "1M_bytes", "1M_tokens", "voice", "song"
]


class Price(_TableRow):
    """One row of a price list, in USD. The first row whose `when` fits the native body is used."""

    usd: str
    per: Unit
    when: dict[str, list[Any] | bool] = Field(default_factory=dict[str, list[Any] | bool])
    """Native field -> the values for which the row holds; true means that the field must be given, false that it must
    not."""
    times: tuple[str, ...] = ()
    """The price is multiplied by these: native fields (the values of `a[].b` are added up), and `@width` and `@height`
    of the input picture."""
    over: str = "1"
    """The product of `times` is divided by this."""
    step: str = ""
    """The price of one unit is rounded to a multiple of this."""
    least: str = "0"
    """The least that one unit costs."""
    seconds: int = 0
    """The greatest length of the result in seconds, if no field tells its length."""
    follows: bool = False
    """True if the result is as long as the input clip and no field tells its length."""
    input_seconds: int = 0
    """Seconds that are billed for each input clip in addition to the result, if the clip's length is not known."""
    next_megapixel: str = ""
    """The price of each further megapixel, if `usd` is the price of the first one."""
    example: str = ""
    """An example that explains a price with a formula: `$0.0030 at 1024x1024, 20 steps`."""
    extra: bool = False
    """True if this price is added to that of another row."""
    basis: Literal["documented", "maker", "third_party"]
    """Who says so. documented: Novita itself. maker: the model's maker. third_party: anybody else."""
    whose: str = ""
    """The name of the third party."""
    source: str = ""
    """A key of `sources` in prices.json, or an address."""
    seen: str = ""
    """The day on which the source said so."""
    note: str = ""

    @property
    def words(self) -> str:
        """The row as a list shows it: `$0.084 per second with sound false`."""
        return self.words_with(self.when)

    def words_with(self, when: Mapping[str, list[Any] | bool]) -> str:
        """The same with these conditions in place of `when`."""
        if self.example:
            return self.example
        where = " and ".join(f"{path.rpartition('.')[2]} {_told(values)}" for path, values in when.items())
        more = f", {say_exactly(Decimal(self.next_megapixel))} per further megapixel" if self.next_megapixel else ""
        unit = self.per.replace("1M_", "1M ").replace("_", " ")
        if self.per == "1M_bytes":  # what Novita calls characters
            unit = "1M characters, counted in bytes" if self.basis == "documented" else "1M bytes of text"
        return f"{say_exactly(Decimal(self.usd))} per {unit}{f' with {where}' if where else ''}{more}"


def _told(values: list[Any] | bool) -> str:
    """The values that a condition allows, in words: at most two of them, with true and false as in JSON."""
    if isinstance(values, bool):
        return "given" if values else "not given"
    said = [str(one).lower() if isinstance(one, bool) else str(one) for one in values]
    said = list(dict.fromkeys(said))
    return " or ".join(said) if len(said) < 3 else f"{said[0]} or alike"


class Tariff(_TableRow):
    """How Novita's site calculates a charge: CEL expressions over the request's body, in units of 0.0001 USD.

    Args:
        charge: Calculates the charge; in it, `sku` is the price, and `characters` the length of the text.
        skus: Pairs of a condition and a price. The first condition that is true gives `sku`.
        unit: What a price is for, as the site calls it.
        seen: The day on which this was read, `YYYY-MM-DD`.
    """

    charge: str
    skus: tuple[tuple[str, int], ...]
    unit: str
    seen: str


class FieldRule(_TableRow):
    """Which fields go together, which is hard to say in a JSON schema: if `when` holds, `need` must hold too.

    A list names the allowed values; an absent field has its default, or null. True means that the field must be given,
    false that it must not.
    """

    when: dict[str, list[Any] | bool]
    need: dict[str, list[Any] | bool]
    say: str


class Life(_TableRow):
    """Whether a model still works, as far as public signs tell.

    live: it is documented or has answered, and no notice ends it. unlisted: no notice ends it, but Novita's
    documentation index or pricing page no longer names it. unknown: the signs disagree, or there are none. retired: a
    notice or a caller says that it no longer works.
    """

    state: State = "unknown"
    date: str = ""
    """The day on which it ended, or of the newest sign of life, as exactly as known: `2026-09-30` or `2026-08`."""
    confidence: Sure = "low"
    why: str = ""
    evidence: tuple[str, ...] = ()
    """Keys of `sources` in catalog/states.json."""
    replacement: str | None = None
    """The model to use instead."""
    note: str = ""


class MediaModel(_TableRow):
    """One media model operation of Novita."""

    id: str
    operation: str
    """Its operationId in the API facts."""
    aliases: tuple[str, ...] = ()
    title: str
    summary: str
    makes: Kind
    does: tuple[Capability, ...]
    method: Literal["POST"] = "POST"
    path: str
    mode: Literal["async", "sync"]
    encoding: Literal["json", "multipart"] = "json"
    """multipart: fields that hold files are sent as file parts."""
    parts: dict[str, str] = Field(default_factory=dict[str, str])
    """Field -> the name of its file parts, if the two differ."""
    input: Json
    """The native request body as a closed JSON schema without references."""
    constants: Json = Field(default_factory=dict[str, Any])
    """Native path -> the value that is sent unless the caller gives another one."""
    fixed: Json = Field(default_factory=dict[str, Any])
    """Common argument -> the only value that the model has, without a field to set it."""
    arguments: dict[str, Argument]
    rules: tuple[FieldRule, ...] = ()
    answer: tuple[AnswerPart, ...]
    price: tuple[Price, ...] = ()
    tariff: Tariff | None = None
    """Novita's own calculation of the charge, if it was read at run time. It is used instead of `price`."""
    life: Life = Life()
    """Given in an entry only if catalog/states.json does not know the model."""
    source: str
    checked: str
    """The day on which the entry was last compared with the facts, `YYYY-MM-DD`."""

    @property
    def state(self) -> State:
        """Whether the model still works, as `life` says."""
        return self.life.state

    @property
    def state_note(self) -> str:
        """One or two sentences that say since when and why the model is in its state."""
        life = self.life
        since = f"{'Retired' if life.state == 'retired' else 'Last seen'} {life.date}" if life.date else ""
        said = ": ".join(part for part in (since, life.why) if part)
        instead = f"Instead: {life.replacement}." if life.replacement else ""
        return " ".join(part for part in (f"{said}." if said else "", life.note, instead) if part)

    @property
    def live(self) -> bool:
        """Whether the model may be chosen for a call that names none."""
        return self.state in ("live", "unlisted")

    @property
    def doubt(self) -> tuple[int, int, str]:
        """A sort key: models with the best evidence of life come first, surely retired models come last."""
        place = STATES.index(self.state)
        if self.state != "retired":
            return place, SURE.index(self.life.confidence), ""
        # Of two retired models, the one that ended later is more likely to work still, so it comes first. Replacing
        # each digit d by 9 - d turns the order of dates around.
        return place, -SURE.index(self.life.confidence), (self.life.date or "0").translate(_TURNED)

    def media_arguments(self) -> tuple[str, ...]:
        """Names of the arguments that take files. `arguments[name].send` says in which forms."""
        return tuple(name for name, argument in self.arguments.items() if argument.send)

    @cached_property
    def fields(self) -> dict[str, Json]:
        """Every native path with its schema. The path of a list's items ends in `[]`."""
        found: dict[str, Json] = {}
        _collect(self.input, "", found)
        return found

    def field(self, path: str) -> Json | None:
        """The schema at a path that is written as in `Argument`."""
        return self.fields.get(_any_item(path))


def _any_item(path: str) -> str:
    head, bracket, rest = path.partition("[")
    if not bracket:
        return path
    return f"{head}[]{_any_item(rest.partition(']')[2])}"


def _collect(schema: Json, prefix: str, found: dict[str, Json]) -> None:
    for name, part in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        found[path] = part
        _collect(part, f"{path}.", found)
        items = part.get("items")
        if isinstance(items, dict):
            found[f"{path}[]"] = items  # pyright: ignore[reportArgumentType]
            _collect(items, f"{path}[].", found)  # pyright: ignore[reportUnknownArgumentType]
