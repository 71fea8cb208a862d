"""How much one caller may ask of one copy of the server. Memory stays bounded however many callers there are."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass
class _Allowance:
    left: float
    at: float


class RateLimit:
    """A bucket a caller that holds a minute's worth and refills steadily.

    Args:
        per_minute: 0 lets everything pass.
        most_callers: Buckets kept; beyond that the caller heard of longest ago is forgotten.
    """

    def __init__(self, per_minute: int, *, most_callers: int = 10_000, now: Callable[[], float] = monotonic) -> None:
        self.per_minute = per_minute
        self._most = most_callers
        self._now = now
        self._callers: OrderedDict[str, _Allowance] = OrderedDict()

    def take(self, owner: str) -> float:
        """Take one; 0, or the seconds until there is one again."""
        if self.per_minute <= 0:
            return 0
        now, a_second = self._now(), self.per_minute / 60
        has = self._callers.pop(owner, None) or _Allowance(self.per_minute, now)
        self._callers[owner] = has
        if len(self._callers) > self._most:
            self._callers.popitem(last=False)
        has.left = min(self.per_minute, has.left + (now - has.at) * a_second)
        has.at = now
        if has.left < 1:
            return (1 - has.left) / a_second
        has.left -= 1
        return 0

    def __len__(self) -> int:
        return len(self._callers)
