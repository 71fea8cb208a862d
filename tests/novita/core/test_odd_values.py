"""The one door for numbers from others: what is infinite, huge, no number or text means "not told", never a fault."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from novita_mcp.novita.core.answers import MOST_COUNT, YEAR, a_count, a_lifetime, a_moment, a_number, a_whole, an_amount
from novita_mcp.novita.core.json_text import MOST_PARTS, load_json, read_json
from novita_mcp.novita.core.money import usd_from_billing

NOW = 1_795_435_200.0
HUGE = "9" * 5_000
ODD = [
    "Infinity",
    "-Infinity",
    "NaN",
    "1e999",
    "-1e999",
    "1e300",
    HUGE,
    f"-{HUGE}",
    '"soon"',
    '"1e999999999"',
    f'"{HUGE}"',
    *['"NaN"', '"²"', '"0x10"', "[]", "{}", "true", "null", '""', '" "', "-1", "1e17", '"-5"', "[1]"],
]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=2)
)


@pytest.mark.parametrize("text", ODD)
def test_no_number_is_a_fault(text: str) -> None:
    value: Any = load_json(f'{{"a": {text}}}')["a"]
    count = a_count(value)
    assert count is None or 0 <= count <= MOST_COUNT
    assert a_whole(value) is None or abs(a_whole(value) or 0) < 2**63
    assert a_moment(value) is None
    assert a_lifetime(value) is None
    assert an_amount(value) is None or abs(an_amount(value) or 0) < Decimal(10) ** 13


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(anything)
def test_whatever_comes_the_door_answers(value: Any) -> None:
    for read in (a_number, a_count, a_whole, a_moment, a_lifetime, an_amount):
        json.dumps(read(value), allow_nan=False, default=str)


def test_what_is_told_is_read() -> None:
    assert a_moment("1795435200") == datetime.fromtimestamp(NOW, UTC) == a_moment(NOW)
    assert (a_lifetime("3600"), a_lifetime(3_600), a_lifetime("0"), a_lifetime(11 * YEAR)) == (3_600, 3_600, None, None)
    assert (a_whole("-7"), a_whole(7.0), a_whole("7.0"), a_whole(7.5), a_whole(2**62)) == (-7, 7, 7, None, 2**62)
    assert (a_count("12"), a_count(2**53), a_count(2**53 + 1)) == (12, 2**53, None)
    assert (an_amount("0.0008"), an_amount(3), an_amount("1e13")) == (Decimal("0.0008"), Decimal(3), None)


@pytest.mark.parametrize("raw", ["Infinity", "NaN", "1e999999", "x", None, HUGE])
def test_money_that_is_none_is_refused_at_once(raw: str | None) -> None:
    with pytest.raises(ValueError, match="amount of money"):
        usd_from_billing(raw)


@pytest.mark.parametrize("read", [read_json, load_json])
def test_json_that_would_fill_the_memory_is_not_read(read: Any) -> None:
    """Three letters an empty list, a hundred bytes of memory each."""
    with pytest.raises(ValueError, match="lists and objects"):
        read("[" + "[]," * MOST_PARTS + "0]")
    assert len(read(json.dumps([[0]] * 1_000))) == 1_000
