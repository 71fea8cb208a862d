"""The price rows of a media model, held against a request: which row counts, and how often. Exact decimals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, cast

from ..core.costs import DIFFERS, Basis
from ..core.json_paths import MISSING, Json, get_path
from .catalog_entry import MediaModel, Price, Tariff
from .rules import effective
from .tariffs import charged
from .values import parse_size

Size = tuple[int, int]

_FRAMES = 30 * 30
"""Frames that a clip is taken to have: thirty seconds of the usual thirty a second."""


@dataclass(frozen=True)
class Reckoned:
    """What the rows come to.

    Args:
        usd: US dollars; None where nobody says, or how much it buys is not known beforehand.
        note: How it was reckoned, one sentence.
        basis: Whose price it is.
    """

    usd: Decimal | None
    note: str
    basis: Basis = "unknown"


def reckon(model: MediaModel, body: Json, picture: Size | None = None) -> Reckoned:
    """Add up the rows that fit a native body.

    Args:
        picture: Width and height of the input picture, where they are known.
    """
    live = charged(model, body, letters_of(model, body))
    if live is not None and model.tariff is not None:
        return Reckoned(live.normalize() + 0, f"By Novita's own list of {model.tariff.seen}.", "documented")
    extras = [row for row in model.price if row.extra and not _open(model, body, row)]
    main = _main(model, body, picture)
    if main is None:
        known = "; ".join(f"{row.words} on top" for row in extras)
        return Reckoned(None, f"The price of {model.id} is not documented{f' ({known})' if known else ''}.")
    total, notes = Decimal(0), list[str]()
    for row in (main, *extras):
        count, each = _count(model, body, row, picture), _each(model, body, row, picture)
        if count is None or each is None:
            return Reckoned(None, f"{main.words}; how much that will be is not known beforehand.", main.basis)
        total += each * count
        notes.append(_said(row, count, each))
    total = total.normalize() + 0
    whose = DIFFERS.get(main.basis, "by Novita's own price")
    return Reckoned(total, f"{' + '.join(notes)}, {whose}.", main.basis)


def _main(model: MediaModel, body: Json, picture: Size | None) -> Price | None:
    """The first row that fits; where a field it asks for is not given and has no default, the dearest of its basis."""
    fitting = [row for row in model.price if not row.extra and _open(model, body, row) is not None]
    if not fitting or not _open(model, body, fitting[0]):
        return fitting[0] if fitting else None
    alike = [row for row in fitting if row.basis == fitting[0].basis]
    return max(
        alike, key=lambda row: (_each(model, body, row, picture) or 0) * (_count(model, body, row, picture) or 0)
    )


def _open(model: MediaModel, body: Json, row: Price) -> Sequence[str] | None:
    """Which fields of its `when` nobody has filled; None if the row does not fit."""
    unfilled: list[str] = []
    for path, allowed in row.when.items():
        value = effective(model, body, path)
        if value is MISSING:
            unfilled.append(path)
        elif value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
            return None
    return unfilled


def _count(model: MediaModel, body: Json, row: Price, picture: Size | None) -> Decimal | None:
    """How many of the row's units the request asks for."""
    things = argument_value(model, body, "count") or Decimal(1)
    match row.per:
        case "image" | "video":
            return things
        case "megapixel":
            size = _size(model, body) or picture
            return things * math.ceil(size[0] * size[1] / 1_000_000) if size else None
        case "second":
            seconds = seconds_of(model, body) or Decimal(row.seconds)
            return (seconds + row.input_seconds) * things if seconds else None
        case "1M_characters":
            letters = letters_of(model, body)
            return Decimal(letters) / 1_000_000 if letters is not None else Decimal(0) if row.extra else None
        case "voice" | "song":
            return Decimal(1)
        case "frame":
            return things * _FRAMES
        case "1M_tokens":
            return None


def _each(model: MediaModel, body: Json, row: Price, picture: Size | None) -> Decimal | None:
    """What one of the row's units costs, by its formula; None where a part of that is not known."""
    each = Decimal(row.usd)
    for path in row.times:
        factor = _factor(model, body, path, picture)
        if factor is None:
            return None
        each *= factor
    each /= Decimal(row.over)
    if row.step:
        each = each.quantize(Decimal(row.step), ROUND_HALF_UP)
    return max(each, Decimal(row.least))


def _factor(model: MediaModel, body: Json, path: str, picture: Size | None) -> Decimal | None:
    if path.startswith("@"):
        return Decimal(picture[path == "@height"]) if picture else None
    head, listed, leaf = path.partition("[].")
    if not listed:
        return number(effective(model, body, path))
    items: Any = get_path(body, head)
    rows = cast("list[Json]", items) if isinstance(items, list) else []
    default = (model.field(path) or {}).get("default")
    found = [number(row.get(leaf, default)) for row in rows]
    return sum((one for one in found if one is not None), Decimal(0)) if found and None not in found else None


def seconds_of(model: MediaModel, body: Json) -> Decimal | None:
    """How long the result will be, where a field or the model itself says so."""
    return argument_value(model, body, "duration") or number(model.fixed.get("duration"))


def letters_of(model: MediaModel, body: Json) -> int | None:
    """Characters of the text to be spoken."""
    argument = model.arguments.get("text")
    text = get_path(body, argument.paths[0]) if argument and argument.paths else None
    return len(text) if isinstance(text, str) else None


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
    """A field's value as a number, in whichever type the model writes it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value)
    return Decimal(text) if text.replace(".", "", 1).isdigit() else None


def _said(row: Price, count: Decimal, each: Decimal) -> str:
    if row.per == "1M_characters":
        return f"{int(count * 1_000_000)} characters at {plain(each)} USD per 1,000,000 characters"
    taken = " (a clip of 30 s)" if row.per == "frame" else ""
    return f"{plain(count)} x {plain(each)} USD per {row.per}{taken}"


def plain(amount: Decimal) -> str:
    """Digits only, without zeros at the end."""
    return f"{amount.normalize():f}"


def price_line(model: MediaModel) -> str:
    """The price of a model in one line; what depends on more than a few fields stays in `estimate_cost`."""
    rows = [row for row in model.price if not row.extra]
    if model.tariff is not None:
        return _by_tariff(model.tariff)
    if not rows:
        return "unknown"
    best = [row for row in rows if row.basis == rows[0].basis]
    said = list(dict.fromkeys(row.words for row in best))
    more = f" and {len(said) - 3} more, by its settings" if len(said) > 3 else ""
    line = "; ".join(said[:3]) + more
    return line if rows[0].basis == "documented" else f"about {line} ({DIFFERS[rows[0].basis]})"


def _by_tariff(tariff: Tariff) -> str:
    amounts = sorted({units for _, units in tariff.skus})
    shown = " to ".join(f"${plain(Decimal(units) / 10_000)}" for units in dict.fromkeys((amounts[0], amounts[-1])))
    unit = f" per {tariff.unit.replace('1M_', '1M ').replace('_', ' ')}" if tariff.unit else ""
    more = ", by its settings" if len(amounts) > 1 else ""
    return f"{shown}{unit}{more} (Novita's list of {tariff.seen})"
