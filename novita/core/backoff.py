"""How long to wait before the same thing is asked again: one backoff, and one reading of what the other side asks for.

Written by hand, because the rule is ours: a read is repeated for a few seconds, a call that spends almost never, and a
pause that is asked for is kept or told. Libraries for retries (tenacity, stamina) know attempts, not money.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from .tolerant import DAY, a_header_date

LONGEST_PATIENCE = 20.0
"""Seconds. A Retry-After beyond this is told to the caller, not slept."""

Jitter = Callable[[float, float], float]
"""Draws a number between its two arguments."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Full jitter: after failed try n (from 0) a random time up to `min(longest, first * 2**n)` seconds."""

    first: float = 0.4
    longest: float = 8.0

    def ceiling(self, attempt: int) -> float:
        """The longest pause of our own choice after a try."""
        return min(self.longest, self.first * 2 ** min(attempt, 64))  # beyond that floats end

    def pause(self, attempt: int, asked: float | None = None, jitter: Jitter = random.uniform) -> float:
        """Seconds to wait after a try.

        Args:
            asked: Seconds the other side asks for: they are waited, and a little more, so that not all of those who
                were told the same come back at the same moment.
        """
        drawn = jitter(0, self.ceiling(attempt))
        return drawn if asked is None else asked + drawn * 0.1


@dataclass(frozen=True, kw_only=True)
class RetryPolicy(Backoff):
    """How often a read is repeated.

    A read that keeps failing is given up while its caller still waits: no pause of our own choice reaches past
    `within` seconds after the first try. A pause that Novita asks for is kept all the same.
    """

    attempts: int = 7
    within: float = 7.0


def asked_to_wait(headers: httpx.Headers, wall: float) -> float | None:
    """Seconds that an answer asks to wait by Retry-After, a day at most; None where it says nothing.

    Of several, as a proxy adds one to the server's own, the longest holds. Headers like `x-ratelimit-reset` are not
    read: Novita documents none, and others mean seconds, times or words by them.

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
