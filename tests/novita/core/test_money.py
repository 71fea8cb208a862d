"""Money: exact in both directions, and never quietly something else."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from novita_mcp.novita.core.money import billing_from_usd, say_usd, show_usd, usd_from_billing

few = settings(derandomize=True, deadline=None, max_examples=200, database=None)
units = st.integers(min_value=-(10**15), max_value=10**15)


@pytest.mark.parametrize(
    ("raw", "usd"),
    [
        ("10000", "1"),
        (10000, "1"),
        ("1", "0.0001"),
        ("0", "0"),
        ("-250", "-0.025"),
        ("123456789012345", "12345678901.2345"),
    ],
)
def test_billing_units_are_a_hundredth_of_a_cent(raw: Any, usd: str) -> None:
    """Novita's pages: "10000" is 1 USD."""
    assert usd_from_billing(raw) == Decimal(usd)


@pytest.mark.parametrize("raw", [None, "", "12.5", 0.5, "NaN", "Infinity", "a lot", True, "1e-3", [], {}])
def test_what_is_no_whole_amount_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError):
        usd_from_billing(raw)


@few
@given(units)
def test_there_and_back_nothing_is_lost(count: int) -> None:
    assert billing_from_usd(usd_from_billing(count)) == count
    assert usd_from_billing(str(count)) == usd_from_billing(count)


@few
@given(st.lists(units, max_size=50))
def test_sums_are_exact(counts: list[int]) -> None:
    assert sum((usd_from_billing(str(count)) for count in counts), Decimal(0)) == usd_from_billing(sum(counts))


@pytest.mark.parametrize("amount", ["0.00005", "1.23456", "NaN", "Infinity"])
def test_no_amount_is_rounded_on_its_way_to_novita(amount: str) -> None:
    with pytest.raises(ValueError):
        billing_from_usd(Decimal(amount))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("12.5", "12.50"), ("0.0008", "0.0008"), ("3", "3.00"), ("1E+2", "100.00"), ("0", "0.00"), ("-1.2", "-1.20")],
)
def test_amounts_show_cents_and_no_needless_zeros(amount: str, shown: str) -> None:
    assert show_usd(Decimal(amount)) == shown


@few
@given(units)
def test_what_is_shown_is_what_it_is(count: int) -> None:
    amount = usd_from_billing(count)
    assert Decimal(show_usd(amount)) == amount


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        ("0", "$0.00"),
        ("0.00001338", "$0.0001 or less"),
        ("0.0001", "$0.0001"),
        ("0.00341", "$0.0035"),
        ("0.05", "$0.05"),
        ("0.99999", "$1.00"),
        ("3.14159", "$3.15"),
        ("1200", "$1200.00"),
    ],
)
def test_a_sentence_tells_two_to_four_decimals_and_never_a_lower_price(amount: str, told: str) -> None:
    assert say_usd(Decimal(amount)) == told
