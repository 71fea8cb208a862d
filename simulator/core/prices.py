"""Prices of a picture, a clip, a voice or a text that is read aloud: the rows of documentation/prices.json.

The first row that fits a request gives the price, and rows called "extra" are added. Without a row the price is
unknown. If a row depends on a field that the request omits and that has no default, the most expensive row counts.
"""

import json
import math
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any, cast

from .facts import Json, operations, request_schema

_ABSENT = object()


@cache
def _rows() -> Mapping[str, list[Json]]:
    return json.loads((Path(__file__).with_name("documentation") / "prices.json").read_text(encoding="utf-8"))[
        "operations"
    ]


def price_rows(operation_id: str) -> list[Json]:
    """The price rows of one operation, the most reliable source first. Empty if no price is known."""
    return _rows().get(operation_id, [])


def usd_each(
    operation_id: str,
    body: Json,
    *,
    seconds: float = 0,
    taken: float = 0,
    letters: int = 0,
    frames: int = 0,
    tokens: int = 0,
    picture: tuple[int, int] | None = None,
) -> float | None:
    """The price in dollars of one picture, clip or text that a request makes; None if no price is known.

    Args:
        seconds: Length of the clip that is made, or else of the file that was sent.
        taken: Length of a clip that was sent besides the one that is made.
        letters: Number of characters that are read aloud.
        tokens: Number of tokens of a picture that is sold by tokens.
        picture: Width and height of the picture that was sent.
    """
    rows = [row for row in price_rows(operation_id) if tokens or row["per"] != "1M_tokens"]
    fields = {path: _value(operation_id, body, path) for row in rows for path in (*row.get("when", {}), *_paths(row))}

    def fits(row: Json, *, strictly: bool) -> bool:
        def holds(value: Any, allowed: Any) -> bool:
            if isinstance(allowed, bool):
                return (value is not _ABSENT) is allowed
            return (not strictly and value is _ABSENT) or value in allowed

        return all(holds(fields[path], allowed) for path, allowed in row.get("when", {}).items())

    def cost(row: Json) -> Decimal:
        each = Decimal(row["usd"])
        for path in row.get("times", ()):
            each *= _factor(body, path, fields, picture)
        each /= Decimal(row.get("over", "1"))
        if "step" in row:
            each = each.quantize(Decimal(row["step"]), ROUND_HALF_UP)
        each = max(each, Decimal(row.get("least", "0")))
        match row["per"]:
            case "second":
                return each * Decimal(str(seconds + (taken if "input_too" in row else 0)))
            case "1M_characters":
                return each * letters / 1_000_000
            case "1M_tokens":
                return each * tokens / 1_000_000
            case "frame":
                return each * frames
            case "megapixel":
                return each * (math.ceil(picture[0] * picture[1] / 1_000_000) if picture else 1)
            case _:
                return each

    main = [row for row in rows if not row.get("extra") and fits(row, strictly=False)]
    if not main:
        return None
    sure = fits(main[0], strictly=True)
    total = cost(main[0]) if sure else max(cost(row) for row in main if row["basis"] == main[0]["basis"])
    total += sum((cost(row) for row in rows if row.get("extra") and fits(row, strictly=True)), Decimal(0))
    return float(total)


def _paths(row: Json) -> list[str]:
    return [path for path in row.get("times", ()) if not path.startswith("@") and "[]" not in path]


def _factor(body: Json, path: str, fields: Mapping[str, Any], picture: tuple[int, int] | None) -> Decimal:
    if path.startswith("@"):
        return Decimal((picture or (1024, 1024))[path == "@height"])
    head, listed, leaf = path.partition("[].")
    if listed:
        return sum((Decimal(str(item.get(leaf, 0))) for item in body.get(head, ())), Decimal(0))
    given = fields[path]
    return Decimal(str(given)) if isinstance(given, int | float) else Decimal(1)


def _value(operation_id: str, body: Json, path: str) -> Any:
    """A field as given, or its documented default."""
    here: Any = body
    for step in path.split("."):
        here = cast(Json, here).get(step, _ABSENT) if isinstance(here, dict) else _ABSENT
    return _default(operation_id, path) if here is _ABSENT or here is None else here


@cache
def _default(operation_id: str, path: str) -> Any:
    operation = operations()[operation_id]
    for kind in operation.request or {}:
        node = request_schema(operation, kind)
        for step in path.split("."):
            node = cast(Json, node.get("properties", {}).get(step, {}))
        if "default" in node:
            return node["default"]
    return _ABSENT
