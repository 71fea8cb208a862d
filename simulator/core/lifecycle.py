"""Which media models Novita has switched off, and the notices that said so: documentation/lifecycle.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class KnownModel:
    """One media model and what was known of it when the facts were gathered."""

    id: str
    operation: str
    title: str
    makes: str
    state: Literal["live", "unlisted", "unknown", "retired"]
    gone: str = ""
    """The day on which Novita switched the model off."""


@dataclass(frozen=True)
class Notice:
    """Novita's announcement that it switches models, each (name, replacement or None), off on the day `retires`.

    `retires` may also name the minute.
    """

    page: str
    dated: str
    retires: str
    rows: tuple[tuple[str, str | None], ...]


@cache
def _book() -> dict[str, Any]:
    return json.loads((Path(__file__).with_name("documentation") / "lifecycle.json").read_text(encoding="utf-8"))


@cache
def known_models() -> Mapping[str, KnownModel]:
    """By operationId."""
    return {row["operation"]: KnownModel(id, **row) for id, row in _book()["models"].items()}


@cache
def notices() -> tuple[Notice, ...]:
    """The oldest first, as in the facts."""
    books = [book.values() for book in _book()["notices"]]
    return tuple(
        Notice(page, dated, retires, tuple((row["name"], row["replacement"]) for row in rows))
        for page, dated, retires, rows in books
    )


def is_retired(operation_id: str) -> bool:
    known = known_models().get(operation_id)
    return known is not None and known.state == "retired"
