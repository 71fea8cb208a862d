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
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text.strip())  # "lastMonth"
    words = re.sub(r"[\s_]+", " ", words.casefold())
    words = re.sub(r"(?<=[a-z])-(?=[a-z0-9])", " ", words)  # "last-month"
    words = _CLOCK.sub("", words)
    found = _range(words, today) or _single(re.sub(r"^(?:in|on|the) ", "", words), today)
    if found is None:
        raise InputError(f"{text[:60]!r} is no period", next_step=_HINT)
    if found.first > found.last:
        raise InputError(f"{text[:60]!r} ends before it begins", next_step=_HINT)
    if found.first > today:
        raise InputError(f"{text[:60]!r} has not begun yet: today is {today} (UTC)")
    return Period(found.first, min(found.last, today))


_CLOCK = re.compile(r"(?<=\d-\d\d)[t ]\d\d:\d\d[\d:.]*(?: ?z|[+-]\d\d:?\d\d)?")
"""The time of day in "2026-10-01T00:00:00Z": periods are whole days."""
_SAME = {
    "now": "today",
    "day": "today",
    "month to date": "this month",
    "mtd": "this month",
    "year to date": "this year",
    "ytd": "this year",
}
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10}
_MANY = rf"(\d{{1,3}}|{'|'.join(_COUNTS)})"
_DAYS = [name.casefold() for name in calendar.day_name]
_HINT = 'Say "today", "this month", "last 7 days", "2026-10", or "2026-10-01 to 2026-10-15".'
_MONTHS = {name.casefold(): number for number, name in enumerate(calendar.month_name) if name} | {
    name.casefold(): number for number, name in enumerate(calendar.month_abbr) if name
}


def _range(words: str, today: date) -> Period | None:
    """`since X`, `X to Y`; the ends may be days, months or years."""
    words = words.removeprefix("between ")
    ends = _TO.split(words.removeprefix("from "))
    if len(ends) == 1:
        words = re.sub("^from ", "since ", words)
    if words.startswith("since "):
        begin = _single(words.removeprefix("since "), today)
        return Period(begin.first, max(begin.first, today)) if begin else None
    if len(ends) != 2:
        return None
    begin, end = _single(ends[0], today), _single(ends[1], today)
    return Period(begin.first, end.last) if begin and end else None


_TO = re.compile(
    r" ?(?:\.\.+|–|—|(?<=\d\d-\d\d)[/,]|(?<=^\d{4})/(?=\d{4}$)) ?| (?:to|until|till|through|and|-) ", re.ASCII
)


def _single(words: str, today: date) -> Period | None:
    words = _SAME.get(words, words)
    if words == "today":
        return Period(today, today)
    if words == "yesterday":
        return Period(today - DAY, today - DAY)
    if match := re.fullmatch(r"(?:(this|current|last|previous) )?(week|month|quarter|year)", words):
        this = _around(match[2], today)
        return _around(match[2], this.first - DAY) if match[1] in ("last", "previous") else this
    if match := re.fullmatch(rf"(?:(?:the )?(?:last|past) )?{_MANY} ?(h|d|hour|day|week|month)s?", words):
        return _back(_count(match[1]), match[2], today)
    if match := re.fullmatch(r"(?:last|past) (hour|day)", words):
        return _back(1, match[1], today)
    if match := re.fullmatch(rf"{_MANY} (day|week)s? ago", words):
        ago = timedelta(days=_count(match[1]) * (7 if match[2] == "week" else 1))
        return Period(today - ago, today - ago) if ago else None
    if match := re.fullmatch(rf"(last )?({'|'.join(_DAYS)})", words):
        ago = (today.weekday() - _DAYS.index(match[2])) % 7
        day = today - timedelta(days=ago or (7 if match[1] else 0))
        return Period(day, day)
    return _written_date(words, today)


def _written_date(words: str, today: date) -> Period | None:
    """A year, a month or a day: 2026-10-05, 2026/10, 10/2026, 5.10.2026, October, 5th of October, Oct 5, 2026."""
    if match := re.fullmatch(r"(\d{4})(?:[-/](\d{1,2}))?(?:[-/](\d{1,2}))?", words):
        year, month, day = (int(part) if part else None for part in match.groups())
        return _dated(year or 0, month, day)
    if match := re.fullmatch(r"(?:(\d{1,2})\.)?(\d{1,2})[./](\d{4})", words):
        return _dated(int(match[3]), int(match[2]), int(match[1]) if match[1] else None)
    if match := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", words):  # day first or month first: taken where that shows
        found = {_dated(int(match[3]), int(match[month]), int(match[3 - month])) for month in (1, 2)} - {None}
        return found.pop() if len(found) == 1 else None
    match = re.fullmatch(r"(?P<d>\d{1,2})(?:st|nd|rd|th)?(?: of)? (?P<m>[a-z]+)\.?(?:,? (?P<y>\d{4}))?", words)
    match = match or re.fullmatch(r"(?P<m>[a-z]+)\.? (?P<d>\d{1,2})(?:st|nd|rd|th)?(?:,? (?P<y>\d{4}))?", words)
    if match and match["m"] in _MONTHS:
        month, day = _MONTHS[match["m"]], int(match["d"])
        later = (month, day) > (today.month, today.day)
        return _dated(int(match["y"]) if match["y"] else today.year - later, month, day)
    if (match := re.fullmatch(r"([a-z]+)\.?(?: (\d{4}))?", words)) and match[1] in _MONTHS:
        month = _MONTHS[match[1]]
        year = int(match[2]) if match[2] else today.year - (month > today.month)
        return _dated(year, month, None)
    return None


def _count(word: str) -> int:
    """A number in digits or in letters."""
    return int(word) if word.isdecimal() else _COUNTS[word]


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
    """The last so many hours, days, weeks or months, today included."""
    if count == 0:
        return None
    if unit.startswith("h"):  # whole days in which those hours lie
        return Period(today - timedelta(days=-(-count // 24)), today)
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
