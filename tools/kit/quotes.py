"""Remembers prices that callers were shown and have not answered yet, because a yes does not cover a higher price."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...novita.core.clock import Clock

KEPT_SECONDS = 900.0
"""Seconds for which a quote is remembered. A later yes counts for the price at that time."""
_MOST = 4_096
HOW_TO_CALL = frozenset({"wait_seconds", "save_to", "confirm", "dry_run", "again"})
"""Arguments that say how to call rather than what is bought."""


@dataclass
class Quotes:
    """Quotes of one process, by owner and by what was asked for."""

    clock: Clock
    _shown: dict[tuple[str, str], tuple[float, Decimal]] = field(default_factory=dict[tuple[str, str], Any])

    def show(self, owner: str, keys: Iterable[str], usd: Decimal) -> None:
        """Remember that a price was shown, under each of its keys."""
        now = self.clock.now()
        for key in keys:
            self._shown.pop((owner, key), None)  # the newest stand last
            self._shown[owner, key] = (now, usd)
        while len(self._shown) > _MOST:
            del self._shown[next(iter(self._shown))]

    def latest(self, owner: str, keys: Iterable[str]) -> Decimal | None:
        """The price last shown under the first of the keys that has one; None if none was shown recently.

        Args:
            keys: The most exact first, so that a price for this very call comes before one for a similar call.
        """
        oldest = self.clock.now() - KEPT_SECONDS
        for key in keys:
            when, usd = self._shown.get((owner, key), (None, None))
            if when is not None and when >= oldest:
                return usd
        return None


def digest(arguments: Mapping[str, Any]) -> str:
    """A hash of what was asked for. The arguments themselves are not kept, because they may hold secrets."""
    wanted = {name: value for name, value in arguments.items() if name not in HOW_TO_CALL}
    return hashlib.sha256(json.dumps(wanted, sort_keys=True, default=str).encode()).hexdigest()[:24]
