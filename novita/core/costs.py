"""The cost of a call before it is made, and the limits that it is checked against. Exact decimals, never floats.

`Caps.counted` is the one number that matters: it counts under the caps, it is compared with the threshold above which
the user is asked, and it is shown in the question.
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
"""Where a price comes from: Novita's documentation, the model maker's list, a third party, or Novita's live list."""
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
"""The remark that goes with a price that is not Novita's."""
_MARGIN = Decimal("1.5")
"""The factor on such a price when it is checked against a limit, because Novita may charge more."""


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
    """USD that a thing without a known price counts as: the highest price seen in its family."""
    return _table().ceilings[family].usd


@dataclass(frozen=True)
class Cost:
    """A price before the call: an estimate, or an assumption if the price is unknown.

    Args:
        usd: The estimate in US dollars; None if the price is unknown.
        note: How it was calculated, in one sentence.
        basis: Where the price comes from.
        words: The whole sentence that states the price, if a sum alone would mislead (a price by the hour).
        shown: The estimate as answers show it, if they keep its trailing zeros.
        ceiling: What all of it counts as if the price is unknown.
        things: How many things it buys; each counts the amount that the user set for unknown prices, if any.
        asks: Whether the user is always asked if the price is unknown: for machines, endpoints, videos.
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
"""The cost of free acts, such as deleting."""


def assumed(family: Family, amount: Decimal | int, *, note: str = "", things: int = 1, asks: bool = False) -> Cost:
    """An unknown cost: this amount of things of one family, each at the family's ceiling."""
    return Cost(None, note, "unknown", ceiling=ceiling(family) * amount, things=things, asks=asks)


class Caps(BaseModel):
    """Spending limits in USD. They are checked in the same transaction that writes the paid job's row.

    Args:
        per_day: For this owner since midnight UTC, over all processes on this journal.
        team: Identifies the key that pays for several owners, if one does; `team_per_day` limits all of them together.
        unknown: What each thing without a known price counts as, if the user set that; otherwise its ceiling.
    """

    model_config = ConfigDict(frozen=True)

    per_call: Decimal | None = None
    per_run: Decimal | None = None
    per_day: Decimal | None = None
    team: str = ""
    team_per_day: Decimal | None = None
    unknown: Decimal | None = None

    def counted(self, cost: Cost) -> Decimal:
        """The amount in USD that a cost counts as, for the caps, the threshold and the question."""
        if cost.usd is not None:
            return cost.usd * _MARGIN if cost.basis in DIFFERS else cost.usd
        return cost.ceiling if self.unknown is None else self.unknown * cost.things

    def team_of(self, owner: str) -> str:
        """The team under whose cap an owner spends (whoever signed in or has the team's key); empty if none."""
        return f"team {self.team}" if self.team and (owner == self.team or is_subject(owner)) else ""
