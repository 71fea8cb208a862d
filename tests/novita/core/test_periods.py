"""Periods in plain words: which days they are, and that nothing else is taken for one."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from novita_mcp.novita.core.errors import InputError
from novita_mcp.novita.core.periods import Period, read_period

TODAY = date(2026, 11, 25)  # a Wednesday


@pytest.mark.parametrize(
    ("words", "first", "last"),
    [
        ("today", "2026-11-25", "2026-11-25"),
        ("Yesterday", "2026-11-24", "2026-11-24"),
        ("this week", "2026-11-23", "2026-11-25"),
        ("last week", "2026-11-16", "2026-11-22"),
        (" This  Month ", "2026-11-01", "2026-11-25"),
        ("last_month", "2026-10-01", "2026-10-31"),
        ("last-month", "2026-10-01", "2026-10-31"),
        ("this quarter", "2026-10-01", "2026-11-25"),
        ("last quarter", "2026-07-01", "2026-09-30"),
        ("this year", "2026-01-01", "2026-11-25"),
        ("last year", "2025-01-01", "2025-12-31"),
        ("last 7 days", "2026-11-19", "2026-11-25"),
        ("the past 2 weeks", "2026-11-12", "2026-11-25"),
        ("last 3 months", "2026-08-26", "2026-11-25"),
        ("2026-10", "2026-10-01", "2026-10-31"),
        ("2026-11", "2026-11-01", "2026-11-25"),
        ("2025", "2025-01-01", "2025-12-31"),
        ("2026-10-05", "2026-10-05", "2026-10-05"),
        ("October", "2026-10-01", "2026-10-31"),
        ("in october 2025", "2025-10-01", "2025-10-31"),
        ("Dec", "2025-12-01", "2025-12-31"),
        ("2026-10-01 to 2026-10-15", "2026-10-01", "2026-10-15"),
        ("from 2026-10-01 until 2026-10-15", "2026-10-01", "2026-10-15"),
        ("2026-10-01..2026-10-15", "2026-10-01", "2026-10-15"),
        ("2026-10-01/2026-10-15", "2026-10-01", "2026-10-15"),
        ("2026-10-01 - 2026-10-15", "2026-10-01", "2026-10-15"),
        ("2025-11 to 2026-02", "2025-11-01", "2026-02-28"),
        ("2026-11-20 to today", "2026-11-20", "2026-11-25"),
        ("since 2026-11-01", "2026-11-01", "2026-11-25"),
        ("since october", "2026-10-01", "2026-11-25"),
        ("from 2026-11-01", "2026-11-01", "2026-11-25"),
        ("2026-10-01, 2026-10-15", "2026-10-01", "2026-10-15"),
        ("2026-10-01T00:00:00Z/2026-10-15T23:59:59+00:00", "2026-10-01", "2026-10-15"),
        ("2026-11-03 10:00", "2026-11-03", "2026-11-03"),
        ("2026/10", "2026-10-01", "2026-10-31"),
        ("10/2026", "2026-10-01", "2026-10-31"),
        ("5.10.2026", "2026-10-05", "2026-10-05"),
        ("25/10/2026", "2026-10-25", "2026-10-25"),
        ("10/25/2026", "2026-10-25", "2026-10-25"),
        ("2025/2026", "2025-01-01", "2026-11-25"),
        ("Oct 5, 2026", "2026-10-05", "2026-10-05"),
        ("5 October 2026", "2026-10-05", "2026-10-05"),
        ("the 5th of October", "2026-10-05", "2026-10-05"),
        ("December 1st", "2025-12-01", "2025-12-01"),
        ("from october 5 to october 7", "2026-10-05", "2026-10-07"),
        ("month", "2026-11-01", "2026-11-25"),
        ("month to date", "2026-11-01", "2026-11-25"),
        ("lastMonth", "2026-10-01", "2026-10-31"),
        ("7d", "2026-11-19", "2026-11-25"),
        ("7 days", "2026-11-19", "2026-11-25"),
        ("last seven days", "2026-11-19", "2026-11-25"),
        ("last 24 hours", "2026-11-24", "2026-11-25"),
        ("last hour", "2026-11-24", "2026-11-25"),
        ("48h", "2026-11-23", "2026-11-25"),
        ("two days ago", "2026-11-23", "2026-11-23"),
        ("a week ago", "2026-11-18", "2026-11-18"),
        ("Monday", "2026-11-23", "2026-11-23"),
        ("wednesday", "2026-11-25", "2026-11-25"),
        ("last wednesday", "2026-11-18", "2026-11-18"),
    ],
)
def test_words_and_dates_are_days(words: str, first: str, last: str) -> None:
    assert read_period(words, TODAY) == Period(date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    "words",
    [
        "",
        "soon",
        "2026-13",
        "2026-02-30",
        "0000-01",
        "last 0 days",
        "2026-10-15 to 2026-10-01",
        "a to b",
        "12",
        "10/11/2026",
        "zero days",
        "Smarch 3",
        "31 june",
        "no days ago",
        "from",
        "2026-11-03 99",
    ],
)
def test_what_is_no_period_says_what_would_be(words: str) -> None:
    with pytest.raises(InputError, match="2026-10-01 to 2026-10-15"):
        read_period(words, TODAY)


@pytest.mark.parametrize("words", ["2026-12", "2027", "2026-11-26", "since 2026-11-26"])
def test_what_has_not_begun_is_refused(words: str) -> None:
    with pytest.raises(InputError, match="today is 2026-11-25"):
        read_period(words, TODAY)


@settings(derandomize=True, deadline=None, max_examples=200, database=None)
@given(st.dates(date(2025, 1, 1), date(2030, 1, 1)), st.integers(0, 900))
def test_pieces_join_without_gap_or_overlap_and_none_is_longer_than_31_days(first: date, days: int) -> None:
    """query_usage_based_billing: keep one request within 31 days."""
    whole = Period(first, first + timedelta(days=days))
    pieces = list(whole.months())
    assert [piece.start for piece in pieces] == [whole.start, *(piece.end for piece in pieces[:-1])]
    assert pieces[-1].end == whole.end
    assert all(piece.end - piece.start <= 31 * 86_400 for piece in pieces)
    assert sum(piece.days for piece in pieces) == whole.days
