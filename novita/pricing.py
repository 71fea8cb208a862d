"""What a call will cost, as far as anybody has written it down. Exact decimals, never floats."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, cast

from .catalog_entry import Json, MediaModel, Price
from .native import effective, get_path


@dataclass(frozen=True)
class Estimate:
    """A price before the fact.

    Args:
        usd: US dollars; None where nobody says.
        basis: Where the price comes from: Novita's own pages, somebody else's list, or nowhere.
        note: How it was reckoned, one sentence.
        units: How many things it buys; each counts for itself where there is no price.
    """

    usd: Decimal | None
    basis: Literal["documented", "third_party", "unknown"]
    note: str
    units: int = 1


def estimate(model: MediaModel, body: Mapping[str, Any]) -> Estimate:
    """What a native request body will cost on this model."""
    native = cast(Json, body)
    fitting = [row for row in model.price if _fits(model, native, row)]
    main = next((row for row in fitting if not row.extra), None)
    extras = [row for row in fitting if row.extra]
    units = max(1, int(_of_argument(model, native, "count") or 1))
    if main is None:
        known = "; ".join(f"{row.usd} USD per {_unit(row)} on top" for row in extras)
        note = f"The price of {model.id} is not documented{f' ({known})' if known else ''}."
        return Estimate(None, "unknown", note, units)
    total, notes = Decimal(0), list[str]()
    for row in (main, *extras):
        count = _count(model, native, row)
        if count is None:
            note = f"{row.usd} USD per {_unit(row)}; how many is not known beforehand."
            return Estimate(None, main.basis, note, units)
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
    return Estimate(total.normalize() + 0, main.basis, f"{' + '.join(notes)}, {source}.", units)


def _fits(model: MediaModel, body: Json, row: Price) -> bool:
    return all(effective(model, body, path) in allowed for path, allowed in row.when.items())


def _count(model: MediaModel, body: Json, row: Price) -> Decimal | None:
    """How many of the row's units the request asks for."""
    match row.per:
        case "image" | "video":
            return _of_argument(model, body, "count") or Decimal(1)
        case "second":
            seconds = _of_argument(model, body, "duration") or _number(model.fixed.get("duration"))
            count = _of_argument(model, body, "count") or Decimal(1)
            return seconds * count if seconds else None
        case "1M_characters":
            text = get_path(body, model.arguments["text"].paths[0])
            return Decimal(len(text)) / 1_000_000 if isinstance(text, str) else None
        case "frame":
            return None


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
