"""Money, exactly: Novita's integer units to USD and back, in one place. Never floats."""

from decimal import Decimal, InvalidOperation

BILLING_UNIT = Decimal("0.0001")
"""USD in one unit of the billing routes."""


def usd_from_billing(raw: str | int | None) -> Decimal:
    """USD from a count of 0.0001 USD, which arrives as a string or an integer.

    Raises:
        ValueError: It is neither.
    """
    try:
        return Decimal(str(raw)) * BILLING_UNIT
    except InvalidOperation as error:
        raise ValueError(f"not an amount of money: {raw!r}") from error


def show_usd(amount: Decimal) -> str:
    """`12.5` as "12.50", `0.0008` as "0.0008": cents at least, no needless zeros after them."""
    text = f"{amount.normalize():f}"
    whole, _, part = text.partition(".")
    return f"{whole}.{part.ljust(2, '0')}"
