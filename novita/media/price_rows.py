"""Applies the price rows of a media model to a request: which row counts, and how many times. Decimals are exact."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ..core.answers import a_list
from ..core.costs import DIFFERS, Basis
from ..core.json_paths import MISSING, Json, get_path
from ..core.money import say_exactly
from ..core.words import counted
from .catalog_entry import MediaModel, Price, Tariff
from .clips import Lengths, clips_of, told_nothing_of_files, whole_seconds
from .rules import effective
from .tariffs import charged
from .values import parse_size

Size = tuple[int, int]

_FRAMES_A_SECOND, _LONGEST_CLIP = 30, 30
"""Frames per second and seconds that a clip is assumed to have if they are not known."""
_MEGAPIXEL = 2**20


@dataclass(frozen=True)
class FilesSeen:
    """What is known about the files of a request.

    Args:
        picture: Width and height of the input picture.
        lengths: The text that stands for a clip in the body -> its length in seconds.
    """

    picture: Size | None = None
    lengths: Lengths = field(default_factory=dict[str, float])


NOTHING_KNOWN = FilesSeen()


@dataclass(frozen=True)
class Reckoned:
    """The price that the rows give.

    Args:
        usd: US dollars; None if no source gives a price, or the amount is not known beforehand.
        note: How it was calculated, in one sentence.
        basis: Who gives the price.
        row: The row that was used, with the settings it is for; empty if there is none.
    """

    usd: Decimal | None
    note: str
    basis: Basis = "unknown"
    row: str = ""


def reckon(model: MediaModel, body: Json, files: FilesSeen = NOTHING_KNOWN) -> Reckoned:
    """Add up the rows that fit a native body.

    Args:
        files: What is known about the files in the body.
    """
    live = charged(model, body, letters_of(model, body))
    if live is not None and model.tariff is not None:
        return Reckoned(live.normalize() + 0, f"By Novita's own list of {model.tariff.seen}.", "documented")
    extras = [row for row in model.price if row.extra and not _open(model, body, row)]
    main = _main(model, body, files)
    if main is None:
        known = "; ".join(f"{row.words} on top" for row in extras)
        return Reckoned(None, f"The price of {model.id} is not documented{f' ({known})' if known else ''}.")
    total, notes, which = Decimal(0), list[str](), _which(model, body, main)
    for row in (main, *extras):
        count, each = _count(model, body, row, files), _each(model, body, row, files)
        if count is None or each is None:
            return Reckoned(None, f"{main.words}; how much that will be is not known beforehand.", main.basis, which)
        total += each * count
        notes.append(f"{_said(row, count, each)}{_taken_as(model, body, row, files)}")
    total = total.normalize() + 0
    whose = DIFFERS.get(main.basis, "by Novita's own price")
    return Reckoned(total, f"{' + '.join(notes)}, {whose}.", main.basis, which)


def _which(model: MediaModel, body: Json, main: Price) -> str:
    """A row in words. If the request does not say which row it is for, the words say that it is the dearest."""
    unsaid = [path.rpartition(".")[2] for path in _open(model, body, main) or ()]
    names = " and ".join(unsaid)
    return f"{main.words} (the dearest, as {names} is not said)" if unsaid else main.words


def _main(model: MediaModel, body: Json, files: FilesSeen) -> Price | None:
    """The first row that fits. If a field in its `when` is not given and has no default, the dearest row that may fit,
    of the same basis."""
    fitting = [row for row in model.price if not row.extra and _open(model, body, row) is not None]
    if not fitting or not _open(model, body, fitting[0]):
        return fitting[0] if fitting else None
    alike = [row for row in fitting if row.basis == fitting[0].basis]
    return max(alike, key=lambda row: (_each(model, body, row, files) or 0) * (_count(model, body, row, files) or 0))


def _open(model: MediaModel, body: Json, row: Price) -> Sequence[str] | None:
    """The fields of the row's `when` that have no value yet; None if the row does not fit."""
    unfilled: list[str] = []
    for path, allowed in row.when.items():
        value = effective(model, body, path)
        if isinstance(allowed, bool):
            if (value not in (MISSING, None, [])) is not allowed:
                return None
            continue
        if value is MISSING:
            unfilled.append(path)
        elif value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
            return None
    return unfilled


def _count(model: MediaModel, body: Json, row: Price, files: FilesSeen) -> Decimal | None:
    """How many units of the row the request asks for; None if that is not known."""
    things = argument_value(model, body, "count") or Decimal(1)
    match row.per:
        case "image" | "video":
            return things
        case "megapixel":
            size = _size(model, body) or files.picture
            return things * math.ceil(size[0] * size[1] / 1_000_000) if size else None
        case "second":
            seconds = seconds_of(model, body) or _as_long(model, body, row, files)
            return (seconds + _clip_seconds(model, body, row, files)) * things if seconds else None
        case "1M_characters" | "1M_bytes":
            text = _text_of(model, body)
            if text is None:
                return Decimal(0) if row.extra else None
            return Decimal(len(text if row.per == "1M_characters" else text.encode())) / 1_000_000
        case "voice" | "song":
            return Decimal(1)
        case "frame":
            known = _known_lengths(model, body, files)
            return things * _FRAMES_A_SECOND * (known[0] if known and known[0] else _LONGEST_CLIP)
        case "1M_tokens":
            return None


def _known_lengths(model: MediaModel, body: Json, files: FilesSeen) -> list[Decimal | None]:
    """The seconds of each clip in a body; None for a clip of unknown length. A body that has no files yet counts as one
    such clip."""
    found = [files.lengths.get(clip) for clip in clips_of(model, body)]
    if not found and "video" in model.arguments and told_nothing_of_files(model, body):
        found = [None]
    return [None if one is None else whole_seconds(one) for one in found]


def _as_long(model: MediaModel, body: Json, row: Price, files: FilesSeen) -> Decimal | None:
    """The length of a result if no field gives it: that of the input clip, or the greatest possible."""
    known = _known_lengths(model, body, files) if row.follows else []
    if known and known[0] is not None:
        return min(known[0], Decimal(row.seconds)) if row.seconds else known[0]
    return Decimal(row.seconds) if row.seconds else None


def _clip_seconds(model: MediaModel, body: Json, row: Price, files: FilesSeen) -> Decimal:
    """The seconds that are billed for the input clips."""
    if not row.input_seconds:
        return Decimal(0)
    known = _known_lengths(model, body, files)
    return sum((Decimal(row.input_seconds) if one is None else one for one in known), Decimal(0))


def _taken_as(model: MediaModel, body: Json, row: Price, files: FilesSeen) -> str:
    """A text that says what was assumed about a clip of unknown length."""
    by_result = row.follows and seconds_of(model, body) in (None, Decimal(0))
    if not (by_result or row.input_seconds or row.per == "frame"):
        return ""
    known = _known_lengths(model, body, files)
    if None not in known and known:
        return f" (with the {plain(sum(one or 0 for one in known) + Decimal(0))} s of the clip)"
    longest = row.seconds if by_result else row.input_seconds or _LONGEST_CLIP
    return f" (for a clip of {longest} s, since its length is not known)" if known else ""


def _each(model: MediaModel, body: Json, row: Price, files: FilesSeen) -> Decimal | None:
    """The price of one unit of the row, by its formula; None if a part of the formula is not known."""
    each = Decimal(row.usd)
    for path in row.times:
        factor = _factor(model, body, path, files.picture)
        if factor is None:
            return None
        each *= factor
    each /= Decimal(row.over)
    if row.step:
        each = each.quantize(Decimal(row.step), ROUND_HALF_UP)
    if row.next_megapixel:
        size = _size(model, body)
        further = math.ceil(size[0] * size[1] / _MEGAPIXEL) - 1 if size else 0
        each += Decimal(row.next_megapixel) * further
    return max(each, Decimal(row.least))


def _factor(model: MediaModel, body: Json, path: str, picture: Size | None) -> Decimal | None:
    if path.startswith("@"):
        return Decimal(picture[path == "@height"]) if picture else None
    head, listed, leaf = path.partition("[].")
    if not listed:
        return number(effective(model, body, path))
    items: Any = get_path(body, head)
    rows = a_list(items)
    default = (model.field(path) or {}).get("default")
    found = [number(row.get(leaf, default)) for row in rows]
    return sum((one for one in found if one is not None), Decimal(0)) if found and None not in found else None


def seconds_of(model: MediaModel, body: Json) -> Decimal | None:
    """The length of the result, if fields or the model give it. If the result has several parts, their sum."""
    lists = [path for path in model.fields if path.endswith("[].duration")]
    parts = next((path for path in lists if get_path(body, path.removesuffix("[].duration")) is not MISSING), None)
    if parts is not None:
        return _factor(model, body, parts, None)
    return argument_value(model, body, "duration") or number(model.fixed.get("duration"))


def letters_of(model: MediaModel, body: Json) -> int | None:
    """Characters of the text to be spoken."""
    text = _text_of(model, body)
    return len(text) if text is not None else None


def _text_of(model: MediaModel, body: Json) -> str | None:
    argument = model.arguments.get("text")
    text = get_path(body, argument.paths[0]) if argument and argument.paths else None
    return text if isinstance(text, str) else None


def argument_value(model: MediaModel, body: Json, name: str) -> Decimal | None:
    """The number that a common argument became, or its documented default."""
    argument = model.arguments.get(name)
    return number(effective(model, body, argument.paths[0])) if argument and argument.paths else None


def _size(model: MediaModel, body: Json) -> Size | None:
    argument = model.arguments.get("size")
    if argument is None or not argument.paths:
        return None
    values = [effective(model, body, path) for path in argument.paths]
    if argument.as_ == "width_height":
        sides = [number(value) for value in values]
        return (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None
    return parse_size(values[0])


def number(value: object) -> Decimal | None:
    """A field's value as a number, whether the model writes it as a number or as a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value)
    return Decimal(text) if text.replace(".", "", 1).isdigit() else None


def _said(row: Price, count: Decimal, each: Decimal) -> str:
    if row.per in ("1M_characters", "1M_bytes"):
        kind = "character" if row.per == "1M_characters" else "UTF-8 byte"
        unit = "characters" if row.basis == "documented" else f"{kind}s"
        return f"{counted(int(count * 1_000_000), kind)} at {say_exactly(each)} per 1,000,000 {unit}"
    if row.times and not row.example:  # pictures of a series
        count, each = count * each / Decimal(row.usd), Decimal(row.usd)
    return f"{plain(count)} x {say_exactly(each)} per {row.per}"


def plain(amount: Decimal) -> str:
    """An amount as plain digits, without an exponent and without zeros at the end."""
    return f"{amount.normalize():f}"


def price_line(model: MediaModel) -> str:
    """The price of a model in one line. `estimate_cost` explains prices that depend on more than a few fields."""
    rows = [row for row in model.price if not row.extra]
    if model.tariff is not None:
        return _by_tariff(model.tariff)
    if not rows:
        return "unknown"
    best = [row for row in rows if row.basis == rows[0].basis]
    alike: dict[tuple[str, ...], list[Price]] = {}
    for row in best:
        alike.setdefault((row.usd, row.per, row.next_megapixel, row.example), []).append(row)
    said = [words for group in alike.values() for words in _words_of(group, several=len(alike) > 1)]
    more = f" and {len(said) - 3} more, by its settings" if len(said) > 3 else ""
    line = "; ".join(said[:3]) + more
    return line if rows[0].basis == "documented" else f"about {line} ({DIFFERS[rows[0].basis]})"


def _words_of(alike: Sequence[Price], *, several: bool) -> list[str]:
    """Rows with the same price, in words. If the model has other prices too, the conditions that these rows share are
    added."""
    first = alike[0]
    if not several:
        return [first.words_with({})]
    common = {path: told for path, told in first.when.items() if all(row.when.get(path) == told for row in alike)}
    return [first.words_with(common)] if common else list(dict.fromkeys(row.words for row in alike))


def priced_on(model: MediaModel) -> str:
    """The day on which the price of a model was read, as exactly as it is known; empty if it has no price."""
    if model.tariff is not None:
        return model.tariff.seen
    return model.price[0].seen if model.price else ""


def _by_tariff(tariff: Tariff) -> str:
    amounts = sorted({units for _, units in tariff.skus})
    shown = " to ".join(say_exactly(Decimal(units) / 10_000) for units in dict.fromkeys((amounts[0], amounts[-1])))
    unit = f" per {tariff.unit.replace('1M_', '1M ').replace('_', ' ')}" if tariff.unit else ""
    more = ", by its settings" if len(amounts) > 1 else ""
    return f"{shown}{unit}{more} (Novita's list of {tariff.seen})"
