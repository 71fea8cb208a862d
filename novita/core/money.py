"""Converts Novita's integer units to USD and back, exactly, without floats.

Written by hand: libraries for money (py-moneyed) are for several currencies, and we have one.
"""

from decimal import ROUND_CEILING, Decimal

from .answers import an_amount

_MOST_UNITS = Decimal(10) ** 16
"""A million millions of dollars; counted in micro dollars, this still fits 64 bits."""
MICRO = Decimal(1_000_000)
"""Micro dollars in one dollar. The journal counts in whole micro dollars."""
BILLING_UNIT = Decimal("0.0001")
"""USD in one unit of the billing and budget routes, and of the flat prices of language models."""
GPU_UNIT = Decimal("0.00001")
"""USD in one raw unit of v1's GPU prices. Undocumented; two independent clients read them so."""


def micro(usd: Decimal) -> int:
    """Whole micro dollars, rounded up, so that rounding never lets a call pass a cap."""
    return int((usd * MICRO).to_integral_value(ROUND_CEILING))


def usd_from_billing(raw: str | int | None) -> Decimal:
    """USD from a count of 0.0001 USD, which arrives as a string or an integer.

    Raises:
        ValueError: It is neither.
    """
    units = an_amount(raw, _MOST_UNITS)
    if units is None or units != units.to_integral_value():
        raise ValueError(f"not a whole amount of money: {str(raw)[:40]!r}")
    return units * BILLING_UNIT


def billing_from_usd(amount: Decimal) -> int:
    """The count of 0.0001 USD in an amount.

    Raises:
        ValueError: It is not a whole count; amounts are never rounded silently.
    """
    units = amount / BILLING_UNIT
    if not units.is_finite() or units != units.to_integral_value():
        raise ValueError(f"{amount} USD is no whole number of 0.0001 USD")
    return int(units)


def show_usd(amount: Decimal) -> str:
    """`12.5` as "12.50", `0.0008` as "0.0008": cents at least, no needless zeros after them."""
    text = f"{amount.normalize():f}"
    whole, _, part = text.partition(".")
    return f"{whole}.{part.ljust(2, '0')}"


_PROSE = Decimal("0.0001")


def say_usd(amount: Decimal | str) -> str:
    """An amount in a sentence: "$12.50", "$0.0034", "$0.0001 or less"; two to four decimals, rounded up.

    Use it only if a field beside the sentence has the exact amount. It rounds up, so that no price looks too low.

    Args:
        amount: The amount, or the text of the field that holds it.
    """
    amount = Decimal(amount)
    if 0 < amount < _PROSE:
        return f"${show_usd(_PROSE)} or less"
    return f"${show_usd(amount.quantize(_PROSE if abs(amount) < 1 else Decimal('0.01'), ROUND_CEILING))}"


def say_exactly(amount: Decimal | None) -> str:
    """An exact amount in a sentence: "$0.10", "$0.0000125". For unit prices, which readers multiply, for limits that
    somebody sets, and for balances."""
    return "an unknown price" if amount is None else f"${show_usd(amount)}"


def show_price(amount: Decimal | None) -> str:
    """USD without needless zeros, or "unknown"."""
    return "unknown" if amount is None else f"{amount.normalize():f}"
