"""What a call costs before the fact, and the limits it is held to. Exact decimals, never floats.

One number counts: `Caps.counted`. It is what the caps take, what is held against the threshold above which the user is
asked, and what the question says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from .redaction import is_subject

Basis = Literal["documented", "maker", "third_party", "live", "unknown"]
"""Whose price it is: Novita's own word, the model maker's list, anybody else's, Novita's list as it is now."""
Family = Literal[
    "picture",
    "second_of_video",
    "minute_of_sound",
    "thousand_characters",
    "voice",
    "page",
    "hour_of_a_card",
    "million_tokens_read",
    "million_tokens_made",
]


DIFFERS: Mapping[str, str] = {
    "maker": "the maker's price; Novita's may differ",
    "third_party": "a third party's figure; Novita's may differ",
}
"""What is said of a figure that is not Novita's."""
_MARGIN = Decimal("1.5")
"""What such a figure is multiplied with where it is held against a limit: Novita may take more."""


class _Ceiling(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: Decimal
    basis: Literal["novita", "third_party", "maker", "assumption"]
    source: str


class _Ceilings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    note: str
    checked: str
    ceilings: dict[Family, _Ceiling]


@cache
def _table() -> _Ceilings:
    data = Path(__file__).with_name("ceilings.json").read_bytes()
    return TypeAdapter(_Ceilings).validate_json(data)


def ceiling(family: Family) -> Decimal:
    """USD that one of a kind counts as where nobody says what it costs: the dearest price seen."""
    return _table().ceilings[family].usd


@dataclass(frozen=True)
class Cost:
    """A price before the fact: an estimate, or where nobody says, a stated assumption.

    Args:
        usd: The estimate in US dollars; None where the price is not known.
        note: How it was reckoned, one sentence.
        basis: Whose price it is, or of nobody.
        words: The whole sentence that tells the price, where a sum alone would not do (by the hour).
        shown: The estimate as answers have it, where they do not leave out zeros at the end.
        ceiling: What all of it counts as where the price is not known.
        things: How many things it buys: each counts what the user settled for unknown prices, if anything.
        asks: Without a price the user is asked, whatever it counts as: machines, endpoints, videos.
    """

    usd: Decimal | None
    note: str = ""
    basis: Basis = "live"
    words: str = ""
    shown: str = ""
    ceiling: Decimal = Decimal(0)
    things: int = 1
    asks: bool = False

    @property
    def known(self) -> bool:
        return self.usd is not None


FREE = Cost(Decimal(0))
"""Of what costs nothing, such as deleting."""


def assumed(family: Family, amount: Decimal | int, *, note: str = "", things: int = 1, asks: bool = False) -> Cost:
    """A cost that nobody knows: so much of a kind, at its ceiling."""
    return Cost(None, note, "unknown", ceiling=ceiling(family) * amount, things=things, asks=asks)


class Caps(BaseModel):
    """Spending limits in USD, checked and taken in one step with the row that spends.

    Args:
        per_day: For this owner since midnight UTC, over all processes on this journal.
        team: Stands for the key that pays for several owners, where one does; with `team_per_day`, the same for all
            that it pays.
        unknown: What each thing without a known price counts as, where the user settled it; else its ceiling.
    """

    model_config = ConfigDict(frozen=True)

    per_call: Decimal | None = None
    per_run: Decimal | None = None
    per_day: Decimal | None = None
    team: str = ""
    team_per_day: Decimal | None = None
    unknown: Decimal | None = None

    def counted(self, cost: Cost) -> Decimal:
        """What a cost counts as: the one number for caps, threshold and question."""
        if cost.usd is not None:
            return cost.usd * _MARGIN if cost.basis in DIFFERS else cost.usd
        return cost.ceiling if self.unknown is None else self.unknown * cost.things

    def team_of(self, owner: str) -> str:
        """The team that an owner spends with: who signed in, and who brings the team's very key; empty: none."""
        return f"team {self.team}" if self.team and (owner == self.team or is_subject(owner)) else ""
