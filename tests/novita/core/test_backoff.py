"""How long is waited before the next try: the pause of our own choice, and what the other side asks for."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.answers import DAY
from novita_mcp.novita.core.backoff import Backoff, RetryPolicy, asked_to_wait

NOW = 1_795_435_200.0  # Mon, 23 Nov 2026 12:00:00 GMT
HUGE = "9" * 5_000


def highest(low: float, high: float) -> float:
    return high


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        (["7"], 7),
        ([" 0.5 "], 0.5),
        (["0"], 0),
        (["Mon, 23 Nov 2026 12:01:00 GMT"], 60),
        (["Mon, 23 Nov 2020 12:01:00 GMT"], 0),
        (["Fri, 31 Dec 9999 23:59:59 GMT"], DAY),
        (["Mon, 01 Jan 0001 00:00:00 +2359"], 0),
        (["inf"], None),
        (["nan"], None),
        (["-5"], None),
        (["soon"], None),
        ([""], None),
        ([], None),
        (["1e9"], None),
        ([HUGE], DAY),
        (["5", "7"], 7),
        (["7", "soon"], 7),
        (["5", "Mon, 23 Nov 2026 12:01:00 GMT"], 60),
        (["5, 7"], 7),
        (["5, soon"], None),
    ],
)
def test_what_is_asked_for_is_read_and_never_more_than_a_day(headers: list[str], pause: float | None) -> None:
    assert asked_to_wait(httpx.Headers([("Retry-After", each) for each in headers]), NOW) == pause


@pytest.mark.parametrize("name", ["x-ratelimit-reset", "x-ratelimit-reset-requests", "ratelimit-reset"])
def test_headers_that_novita_does_not_document_ask_for_nothing(name: str) -> None:
    assert asked_to_wait(httpx.Headers({name: "30"}), NOW) is None
    assert asked_to_wait(httpx.Headers({name: "30", "retry-after": "2"}), NOW) == 2


@given(st.lists(st.text() | st.integers().map(str) | st.floats().map(str), max_size=3))
def test_whatever_headers_say_the_pause_is_none_or_within_a_day(headers: list[str]) -> None:
    sent = httpx.Headers([(b"retry-after", each.encode()) for each in headers])
    pause = asked_to_wait(sent, NOW)
    assert pause is None or 0 <= pause <= DAY


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(first=0.5, longest=3)
    assert [backoff.pause(attempt, jitter=highest) for attempt in range(5)] == [0.5, 1, 2, 3, 3]
    assert backoff.ceiling(100_000) == 3


def test_what_is_asked_for_is_waited_and_a_little_more() -> None:
    assert RetryPolicy(first=0.5).pause(2, 10, highest) == 10.2
    assert RetryPolicy().pause(0, 0, lambda low, high: low) == 0


@given(st.integers(0, 200), st.none() | st.floats(0, DAY))
def test_no_pause_is_shorter_than_what_was_asked_for(attempt: int, asked: float | None) -> None:
    assert (asked or 0) <= Backoff().pause(attempt, asked) <= (asked or 0) + 8
