"""What a media call will cost, as far as anybody has written it down. Exact decimals, never floats."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from ..core.costs import Cost, Family, assumed
from ..core.json_paths import Json, get_path
from .catalog_entry import Capability, MediaModel, Price
from .rules import effective

LONGEST_VIDEO = 30
"""Seconds that a video is taken to have where neither request nor model says: the longest reference a model takes."""
LONGEST_LYRICS = 4
"""Thousands of characters of lyrics, about as many as a song may have."""


def estimate(model: MediaModel, body: Mapping[str, Any]) -> Cost:
    """What a native request body will cost on this model."""
    native = cast(Json, body)
    fitting = [row for row in model.price if _fits(model, native, row)]
    main = next((row for row in fitting if not row.extra), None)
    extras = [row for row in fitting if row.extra]
    if main is None:
        known = "; ".join(f"{row.usd} USD per {_unit(row)} on top" for row in extras)
        return _unknown(model, native, f"The price of {model.id} is not documented{f' ({known})' if known else ''}.")
    total, notes = Decimal(0), list[str]()
    for row in (main, *extras):
        count = _count(model, native, row)
        if count is None:
            return _unknown(model, native, f"{row.usd} USD per {_unit(row)}; how many is not known beforehand.", main)
        each = Decimal(row.usd)
        for path in row.times:
            each *= _number(effective(model, native, path)) or 0
        each /= row.over
        total += each * count
        if row.per == "1M_characters":
            notes.append(f"{int(count * 1_000_000)} characters at {_plain(each)} USD per {_unit(row)}")
        else:
            notes.append(f"{_plain(count)} x {_plain(each)} USD per {_unit(row)}")
    source = "by Novita's documentation" if main.basis == "documented" else "by a third party's price list"
    return Cost(total.normalize() + 0, f"{' + '.join(notes)}, {source}.", main.basis)


def _unknown(model: MediaModel, body: Json, note: str, row: Price | None = None) -> Cost:
    """What it counts as where its price, or how much it buys, is not known: so much of its family, at the ceiling."""
    basis = row.basis if row is not None else "unknown"
    things = max(1, int(_of_argument(model, body, "count") or 1))
    family, amount = _measure(model, body)
    each = assumed(family, amount * things)
    return Cost(None, note, basis, ceiling=each.ceiling, things=things, asks=family == "second_of_video")


def _measure(model: MediaModel, body: Json) -> tuple[Family, Decimal]:
    """The family of one thing that a request makes, and how much of it that is at most."""
    if model.makes == "video":
        return "second_of_video", _seconds(model, body) or _longest_seconds(model)
    if model.makes == "voice" or {Capability.CLONE_VOICE, Capability.DESIGN_VOICE} & set(model.does):
        return "voice", Decimal(1)
    if Capability.TEXT_TO_SPEECH in model.does:
        return "thousand_characters", Decimal(_letters(model, body) or 0) / 1_000
    if Capability.LYRICS in model.does:
        return "thousand_characters", Decimal(LONGEST_LYRICS)
    if model.makes == "audio" or Capability.TRANSCRIBE in model.does:
        return "minute_of_sound", Decimal(1)  # songs are sold whole; a recording to write down has half a minute
    return "picture", Decimal(1)


def _longest_seconds(model: MediaModel) -> Decimal:
    """The longest video the model makes, as far as its schema says."""
    argument = model.arguments.get("duration")
    schema = model.field(argument.paths[0]) if argument and argument.paths else None
    allowed: list[Any] = [*(schema or {}).get("enum", ()), (schema or {}).get("maximum")]
    return max((found for one in allowed if (found := _number(one))), default=Decimal(LONGEST_VIDEO))


def _fits(model: MediaModel, body: Json, row: Price) -> bool:
    return all(effective(model, body, path) in allowed for path, allowed in row.when.items())


def _count(model: MediaModel, body: Json, row: Price) -> Decimal | None:
    """How many of the row's units the request asks for."""
    match row.per:
        case "image" | "video":
            return _of_argument(model, body, "count") or Decimal(1)
        case "second":
            seconds = _seconds(model, body)
            count = _of_argument(model, body, "count") or Decimal(1)
            return seconds * count if seconds else None
        case "1M_characters":
            letters = _letters(model, body)
            return None if letters is None else Decimal(letters) / 1_000_000
        case "frame":
            return None


def _seconds(model: MediaModel, body: Json) -> Decimal | None:
    return _of_argument(model, body, "duration") or _number(model.fixed.get("duration"))


def _letters(model: MediaModel, body: Json) -> int | None:
    argument = model.arguments.get("text")
    text = get_path(body, argument.paths[0]) if argument and argument.paths else None
    return len(text) if isinstance(text, str) else None


def _of_argument(model: MediaModel, body: Json, name: str) -> Decimal | None:
    argument = model.arguments.get(name)
    return _number(effective(model, body, argument.paths[0])) if argument and argument.paths else None


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value)
    return Decimal(text) if text.replace(".", "", 1).isdigit() else None


def _unit(row: Price) -> str:
    return "1,000,000 characters" if row.per == "1M_characters" else row.per


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
