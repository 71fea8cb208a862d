"""Spans of time in plain words, as whole UTC days: "this month", "last week", "2026-10", "2026-10-01 to 2026-10-15".

Written by hand: libraries that read dates from words (dateparser) guess, and we refuse what is ambiguous.
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from .errors import InputError

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """Days, both ends included."""

    first: date
    last: date

    @property
    def start(self) -> int:
        """Unix seconds of the first midnight."""
        return _midnight(self.first)

    @property
    def end(self) -> int:
        """Unix seconds of the midnight after the last day."""
        return _midnight(self.last + DAY)

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def months(self) -> "Iterator[Period]":
        """The same days in pieces of one calendar month at most."""
        first = self.first
        while first <= self.last:
            last = min(self.last, month_of(first).last)
            yield Period(first, last)
            first = last + DAY

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


def month_of(day: date) -> Period:
    """The calendar month a day is in."""
    return Period(day.replace(day=1), day.replace(day=calendar.monthrange(day.year, day.month)[1]))


def read_period(text: str, today: date) -> Period:
    """The days that a text means, without those after `today`.

    Raises:
        InputError: The text names no period, or one that has not begun yet.
    """
    words = re.sub(r"[\s_]+", " ", text.strip().casefold())
    words = re.sub(r"(?<=[a-z])-(?=[a-z0-9])", " ", words)  # "last-month"
    found = _range(words, today) or _single(words.removeprefix("in "), today)
    if found is None:
        raise InputError(f"{text[:60]!r} is no period", next_step=_HINT)
    if found.first > found.last:
        raise InputError(f"{text[:60]!r} ends before it begins", next_step=_HINT)
    if found.first > today:
        raise InputError(f"{text[:60]!r} has not begun yet: today is {today} (UTC)")
    return Period(found.first, min(found.last, today))


_HINT = 'Say "today", "this month", "last 7 days", "2026-10", or "2026-10-01 to 2026-10-15".'
_MONTHS = {name.casefold(): number for number, name in enumerate(calendar.month_name) if name} | {
    name.casefold(): number for number, name in enumerate(calendar.month_abbr) if name
}


def _range(words: str, today: date) -> Period | None:
    """`since X`, `X to Y`; the ends may be days, months or years."""
    words = words.removeprefix("from ").removeprefix("between ")
    if words.startswith("since "):
        begin = _single(words.removeprefix("since "), today)
        return Period(begin.first, max(begin.first, today)) if begin else None
    ends = re.split(r" ?(?:\.\.+|–|—|/) ?| (?:to|until|till|through|and|-) ", words)
    if len(ends) != 2:
        return None
    begin, end = _single(ends[0], today), _single(ends[1], today)
    return Period(begin.first, end.last) if begin and end else None


def _single(words: str, today: date) -> Period | None:
    if words in ("today", "now"):
        return Period(today, today)
    if words == "yesterday":
        return Period(today - DAY, today - DAY)
    if match := re.fullmatch(r"(this|current|last|previous) (week|month|quarter|year)", words):
        this = _around(match[2], today)
        return this if match[1] in ("this", "current") else _around(match[2], this.first - DAY)
    if match := re.fullmatch(r"(?:the )?(?:last|past) (\d{1,3}) (day|week|month)s?", words):
        return _back(int(match[1]), match[2], today)
    if match := re.fullmatch(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?", words):
        year, month, day = (int(part) if part else None for part in match.groups())
        return _dated(year or 0, month, day)
    if (match := re.fullmatch(r"([a-z]+)\.?(?: (\d{4}))?", words)) and match[1] in _MONTHS:
        month = _MONTHS[match[1]]
        year = int(match[2]) if match[2] else today.year - (month > today.month)
        return _dated(year, month, None)
    return None


def _around(unit: str, day: date) -> Period:
    if unit == "week":
        monday = day - timedelta(days=day.weekday())
        return Period(monday, monday + timedelta(days=6))
    if unit == "month":
        return month_of(day)
    if unit == "quarter":
        month = day.month - (day.month - 1) % 3
        return Period(date(day.year, month, 1), month_of(date(day.year, month + 2, 1)).last)
    return Period(date(day.year, 1, 1), date(day.year, 12, 31))


def _back(count: int, unit: str, today: date) -> Period | None:
    """The last so many days, weeks or months, today included."""
    if count == 0:
        return None
    if unit != "month":
        return Period(today - timedelta(days=count * (7 if unit == "week" else 1) - 1), today)
    index = today.year * 12 + today.month - 1 - count
    begun = month_of(date(index // 12, index % 12 + 1, 1))
    return Period(min(begun.first.replace(day=min(today.day, begun.last.day)) + DAY, today), today)


def _dated(year: int, month: int | None, day: int | None) -> Period | None:
    try:
        if month is None:
            return Period(date(year, 1, 1), date(year, 12, 31))
        if day is None:
            return month_of(date(year, month, 1))
        return Period(date(year, month, day), date(year, month, day))
    except ValueError:
        return None


def utc_day(unix: float) -> date:
    """The UTC day of a moment."""
    return datetime.fromtimestamp(unix, UTC).date()


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
