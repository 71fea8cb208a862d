"""Money, exactly: Novita's integer units to USD and back, in one place. Never floats.

Written by hand: libraries for money (py-moneyed) are about many currencies, and here is one.
"""

from decimal import ROUND_CEILING, Decimal

from .tolerant import an_amount

_MOST_UNITS = Decimal(10) ** 16
"""A million millions of dollars: what is counted in millionths of one still fits 64 bits."""
MICRO = Decimal(1_000_000)
"""Micro dollars in one: the journal counts in whole ones."""
BILLING_UNIT = Decimal("0.0001")
"""USD in one unit of the billing and budget routes, and of the flat prices of language models."""
GPU_UNIT = Decimal("0.00001")
"""USD in one raw unit of v1's GPU prices, as two independent clients read them; no page says so."""


def micro(usd: Decimal) -> int:
    """Whole micro dollars, rounded up: a cap must not be passed by what was rounded away."""
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
        ValueError: It is no whole count: rounding money is nobody's business here.
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

    Only where a field beside it has the exact one: nobody reads the sixth decimal, and a price is never told lower.

    Args:
        amount: Or the text of the field that has it.
    """
    amount = Decimal(amount)
    if 0 < amount < _PROSE:
        return f"${show_usd(_PROSE)} or less"
    return f"${show_usd(amount.quantize(_PROSE if abs(amount) < 1 else Decimal('0.01'), ROUND_CEILING))}"


def say_exactly(amount: Decimal | None) -> str:
    """An amount in a sentence, exact: "$0.10", "$0.0000125". For the price of one of many, which is multiplied, for
    limits that somebody sets, and for what is left."""
    return "an unknown price" if amount is None else f"${show_usd(amount)}"


def show_price(amount: Decimal | None) -> str:
    """USD without needless zeros, or "unknown"."""
    return "unknown" if amount is None else f"{amount.normalize():f}"
