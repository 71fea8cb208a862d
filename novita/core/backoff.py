"""How long to wait before a request is repeated: the backoff, and the reader of Retry-After.

Written by hand, because the rules are ours: a read is repeated for a few seconds, a call that spends almost never, and
a pause that the server asks for is either kept or reported to the caller. Libraries for retries (tenacity, stamina)
count attempts and know nothing of money.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from .answers import DAY, a_header_date

LONGEST_PATIENCE = 20.0
"""Seconds. A longer Retry-After is reported to the caller instead of waited for."""

Jitter = Callable[[float, float], float]
"""Draws a number between its two arguments."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Full jitter: after failed try n (from 0) a random time up to `min(longest, first * 2**n)` seconds."""

    first: float = 0.4
    longest: float = 8.0

    def ceiling(self, attempt: int) -> float:
        """The longest pause of our own choice after a try."""
        return min(self.longest, self.first * 2 ** min(attempt, 64))  # a larger power could overflow a float

    def pause(self, attempt: int, asked: float | None = None, jitter: Jitter = random.uniform) -> float:
        """Seconds to wait after a try.

        Args:
            asked: Seconds that the server asks for. The pause is slightly longer, so that callers who were told the
                same do not all return at the same moment.
        """
        drawn = jitter(0, self.ceiling(attempt))
        return drawn if asked is None else asked + drawn * 0.1


@dataclass(frozen=True, kw_only=True)
class RetryPolicy(Backoff):
    """How often a read is repeated.

    A read that keeps failing is given up while its caller still waits: none of our own pauses ends later than
    `within` seconds after the first try. A pause that Novita asks for is kept even if it ends later.
    """

    attempts: int = 7
    within: float = 7.0


def asked_to_wait(headers: httpx.Headers, wall: float) -> float | None:
    """Seconds that an answer asks to wait by Retry-After, a day at most; None if it has no such header.

    If a proxy has added a second header, the longer pause holds. Headers like `x-ratelimit-reset` are not read:
    Novita documents none, and other services put seconds, times or words in them.

    Args:
        wall: Unix seconds now.
    """
    named = [pause for each in headers.get_list("retry-after") if (pause := _pause(each, wall)) is not None]
    return max(named, default=None)


def _pause(header: str, wall: float) -> float | None:
    """Seconds of one header: a number, a date, or numbers that a proxy joined with commas."""
    numbers = [part.strip() for part in header.split(",")]
    if all(re.fullmatch(r"[0-9]+(\.[0-9]+)?", number) for number in numbers):
        return min(DAY, max(map(float, numbers)))
    moment = a_header_date(header)
    return min(DAY, max(0.0, moment - wall)) if moment is not None else None
