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
"""From the best evidence of life to none."""
SURE: tuple[Sure, ...] = get_args(Sure)
_TURNED = str.maketrans("0123456789", "9876543210")


class Capability(StrEnum):
    """What a model can do; a tool picks its models by these."""

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
    """A typo in the tables fails when they are read, not in a call."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Sizes(_TableRow):
    """The sizes a model takes, as far as its schema does not say it. Pixels."""

    default: str | None = None
    """`1024x1024`; where the schema has no default."""
    only: tuple[str, ...] = ()
    """The whole list, for a width and a height that must form a pair."""
    words: tuple[str, ...] = ()
    """Size classes the model takes in place of a size, such as `2K`."""
    exact: tuple[str, ...] = ()
    """The only sizes that come out as asked, where any other is just a shape."""
    sides: tuple[int, int] | None = None
    pixels: tuple[int, int] | None = None
    max_ratio: float | None = None
    multiple: int = 1
    from_image: Literal["same", "shape", "larger"] | None = None
    """How a size that was not given follows the input picture: as large, of its shape, or a canvas around it."""


As = Literal["value", "size", "width_height", "ratio", "resolution", "media", "list", "hole_mask", "language"]


class Argument(_TableRow):
    """How a common argument becomes native fields.

    A path is dotted; `a[0]` is an item, `a[]` a new item, `a[*]` every item there is.
    """

    to: str | tuple[str, ...] | dict[Form, str] = ""
    """One path; several (width and height, or fields a list is spread over); or one per form of a file."""
    as_: As = Field(default="value", alias="as")
    """`ratio` and `resolution` work through the `size` argument; `hole_mask` is sent with what is white cut out."""
    send: tuple[Form, ...] = ()
    """For files: the forms the model takes, best first."""
    limits: MediaLimits | None = None
    sizes: Sizes | None = None
    values: dict[str, Any] = {}
    """Common value -> native value, where spelling alone does not do it."""
    each: Json = {}
    """Further fields of every item a list makes; `{n}` in them counts from 1, `{mime}` is the type of the file."""
    also: Json = {}
    """Native fields that must be set along with this argument; `{mime}` as before."""
    known: tuple[str, ...] = ()
    """Values known to work where the list is open (voices)."""
    note: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """All native paths this argument may fill."""
        if isinstance(self.to, str):
            return (self.to,) if self.to else ()
        return tuple(self.to.values()) if isinstance(self.to, dict) else self.to


class AnswerPart(_TableRow):
    """Where a result sits in a synchronous answer. Parts that are absent in an answer are passed over."""

    form: Literal["task", "task_v2", "url", "base64", "url_or_base64", "hex_or_url", "bytes", "text", "value"]
    at: str = ""
    """Dotted path, `[]` for every item; empty is the whole body. Of a task: the route that tells how it stands, where
    that is one of its own."""
    kind: Kind | None = None
    type_at: str | None = None
    """Path in the answer that names the file type."""
    type_in: str | None = None
    """Path in the request that names the file type."""


Unit = Literal[
    "image", "megapixel", "second", "video", "frame", "1M_characters", "1M_bytes", "1M_tokens", "voice", "song"
]


class Price(_TableRow):
    """One row of a price list, in USD. The first row whose `when` fits the native body counts."""

    usd: str
    per: Unit
    when: dict[str, list[Any] | bool] = {}
    """Native field -> the values it holds for; true and false ask for it to be there, or not."""
    times: tuple[str, ...] = ()
    """What the amount is multiplied with: native fields (those of a list, `a[].b`, are added up), and `@width` and
    `@height` of the input picture."""
    over: str = "1"
    """What the product is divided by."""
    step: str = ""
    """What the amount for one is rounded to."""
    least: str = "0"
    """What one costs at least."""
    seconds: int = 0
    """How long the result is, at most, where no field says."""
    follows: bool = False
    """The result is as long as the clip that goes in, where no field says."""
    input_seconds: int = 0
    """Seconds of each clip that goes in that are billed beside those that come out, where its length is not known."""
    next_megapixel: str = ""
    """What each further megapixel of a picture costs, where `usd` is for the first."""
    example: str = ""
    """A price by formula in words: `$0.0030 at 1024x1024, 20 steps`."""
    extra: bool = False
    """Comes on top of another row."""
    basis: Literal["documented", "maker", "third_party"]
    """documented: Novita's own word. maker: the model maker's list. third_party: anybody else's."""
    whose: str = ""
    """Whose price a third party tells."""
    source: str = ""
    """A key under `sources` of prices.json, or an address."""
    seen: str = ""
    """When it stood there."""
    note: str = ""

    @property
    def words(self) -> str:
        """The row as a list shows it: `$0.084 per second with sound false`."""
        return self.words_with(self.when)

    def words_with(self, when: Mapping[str, list[Any] | bool]) -> str:
        """The same under these conditions."""
        if self.example:
            return self.example
        where = " and ".join(f"{path.rpartition('.')[2]} {_told(values)}" for path, values in when.items())
        more = f", {say_exactly(Decimal(self.next_megapixel))} per further megapixel" if self.next_megapixel else ""
        unit = self.per.replace("1M_", "1M ").replace("_", " ")
        if self.per == "1M_bytes":  # what Novita calls characters
            unit = "1M characters, counted in bytes" if self.basis == "documented" else "1M bytes of text"
        return f"{say_exactly(Decimal(self.usd))} per {unit}{f' with {where}' if where else ''}{more}"


def _told(values: list[Any] | bool) -> str:
    """The values a condition allows, as a list shows them: no more than two, a truth as JSON has it."""
    if isinstance(values, bool):
        return "given" if values else "not given"
    said = [str(one).lower() if isinstance(one, bool) else str(one) for one in values]
    said = list(dict.fromkeys(said))
    return " or ".join(said) if len(said) < 3 else f"{said[0]} or alike"


class Tariff(_TableRow):
    """How Novita's site reckons a charge: expressions in CEL over the request's body, in units of 0.0001 USD.

    Args:
        charge: What is charged; `sku` is the price that counts, `characters` the length of the text.
        skus: Expression that is true where a price counts, and that price; the first that holds counts.
        unit: What a price is for, in the site's word.
        seen: When it was read, `YYYY-MM-DD`.
    """

    charge: str
    skus: tuple[tuple[str, int], ...]
    unit: str
    seen: str


class FieldRule(_TableRow):
    """What a JSON schema says badly: fields that go or do not go together.

    In `when` and `need`, a list holds allowed values (an absent field counts with its default, or as null); true asks
    for the field to be there, false for it to be absent.
    """

    when: dict[str, list[Any] | bool]
    need: dict[str, list[Any] | bool]
    say: str


class Life(_TableRow):
    """Whether a model still answers, as far as public signs tell.

    live: documented or answering, and in no notice. unlisted: in no notice, but gone from Novita's documentation index
    or pricing page. unknown: the signs disagree, or there are none. retired: a notice or a caller says so.
    """

    state: State = "unknown"
    date: str = ""
    """The day it went, or of the newest sign of life, as exactly as it is known: `2026-09-30` or `2026-08`."""
    confidence: Sure = "low"
    why: str = ""
    evidence: tuple[str, ...] = ()
    """Keys under `sources` of catalog/states.json."""
    replacement: str | None = None
    """The model to take instead."""
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
    """multipart: the fields that file arguments fill are sent as file parts."""
    parts: dict[str, str] = {}
    """Field -> the name of its file parts, where that is another."""
    input: Json
    """The native request body as a closed JSON schema without references."""
    constants: Json = {}
    """Native path -> value sent unless the caller says otherwise."""
    fixed: Json = {}
    """Common argument -> the only value this model knows, without a field for it."""
    arguments: dict[str, Argument]
    rules: tuple[FieldRule, ...] = ()
    answer: tuple[AnswerPart, ...]
    price: tuple[Price, ...] = ()
    tariff: Tariff | None = None
    """Novita's own reckoning, where it was read at run time; it goes before `price`."""
    life: Life = Life()
    """Here only for a model that catalog/states.json does not know."""
    source: str
    checked: str
    """The day the entry was last compared with the facts, `YYYY-MM-DD`."""

    @property
    def state(self) -> State:
        """What its `life` says."""
        return self.life.state

    @property
    def state_note(self) -> str:
        """Since when and why it is in its state, in a sentence or two."""
        life = self.life
        since = f"{'Retired' if life.state == 'retired' else 'Last seen'} {life.date}" if life.date else ""
        said = ": ".join(part for part in (since, life.why) if part)
        instead = f"Instead: {life.replacement}." if life.replacement else ""
        return " ".join(part for part in (f"{said}." if said else "", life.note, instead) if part)

    @property
    def live(self) -> bool:
        """Whether it may be picked without being asked for by name."""
        return self.state in ("live", "unlisted")

    @property
    def doubt(self) -> tuple[int, int, str]:
        """What orders models by evidence of life, the best first; of the retired, the one least surely gone."""
        place = STATES.index(self.state)
        if self.state != "retired":
            return place, SURE.index(self.life.confidence), ""
        # Of two that are gone for sure, the one that went last may still answer somewhere: digits turned round sort so.
        return place, -SURE.index(self.life.confidence), (self.life.date or "0").translate(_TURNED)

    def media_arguments(self) -> tuple[str, ...]:
        """Names of the arguments that take files; `arguments[name].send` says in which form."""
        return tuple(name for name, argument in self.arguments.items() if argument.send)

    @cached_property
    def fields(self) -> dict[str, Json]:
        """Every native path, with its schema; the items of a list are under `path[]`."""
        found: dict[str, Json] = {}
        _collect(self.input, "", found)
        return found

    def field(self, path: str) -> Json | None:
        """The schema at a path as an argument writes it."""
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
