"""Limits how often one caller may call the server, or all its copies together if they share a PostgreSQL journal.

Memory stays bounded however many callers there are. This is written by hand because libraries (aiolimiter) make a
caller wait, while we refuse a call and tell the caller when to try again.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from ..novita.core.errors import JournalError
from ..novita.journal.journal import Journal
from ..novita.journal.team.allowances import forget_full, take_allowance

logger = logging.getLogger(__name__)

MOST_CALLERS = 10_000
"""How many callers are kept in memory; beyond that, the one that called longest ago is forgotten."""
_SWEEP_EVERY = 600.0
"""Seconds between two deletions of rows that are no longer needed."""


@dataclass
class _Allowance:
    left: float
    at: float


class RateLimit:
    """A token bucket for each caller, in this process. It holds the calls of one minute and refills steadily.

    Args:
        per_minute: Calls a minute; 0 means any number.
        most_callers: The most buckets to keep.
    """

    def __init__(
        self, per_minute: int, *, most_callers: int = MOST_CALLERS, now: Callable[[], float] = monotonic
    ) -> None:
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


class SharedRateLimit:
    """The same buckets, shared by all copies on one PostgreSQL journal. Without PostgreSQL this process has its own.

    After a refusal the process refuses the caller by itself until a call is possible again, so a flood of calls costs
    the database nothing. While the database does not answer, each copy counts for itself.

    Args:
        what: The name of what is counted; the rows in the database begin with it.
        shared: Returns the journal that the copies share; None if there is none, or not yet.
    """

    def __init__(
        self,
        what: str,
        per_minute: int,
        shared: Callable[[], Journal | None],
        *,
        most_callers: int = MOST_CALLERS,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.per_minute = per_minute
        self._what, self._shared, self._most, self._now = what, shared, most_callers, now
        self._alone = RateLimit(per_minute, most_callers=most_callers, now=now)
        self._refused: OrderedDict[str, float] = OrderedDict()
        self._swept = now()

    async def take(self, owner: str) -> float:
        """Take one; 0, or the seconds until there is one again."""
        if self.per_minute <= 0:
            return 0
        if (journal := self._shared()) is None:
            return self._alone.take(owner)
        if (left := self._refused.get(owner, 0.0) - self._now()) > 0:
            return left
        self._refused.pop(owner, None)
        try:
            wait = await take_allowance(journal, f"{self._what} {owner}", self.per_minute)
            if self._now() - self._swept > _SWEEP_EVERY:
                self._swept = self._now()
                await forget_full(journal)
        except JournalError as error:
            logger.warning("%s are counted by this copy alone: %s", self._what, error)
            return self._alone.take(owner)
        if wait:
            self._refused[owner] = self._now() + wait
            while len(self._refused) > self._most:
                self._refused.popitem(last=False)
        return wait
