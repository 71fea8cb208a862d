"""Numbers in sentences, with the noun in the singular or plural."""

from decimal import Decimal


def counted(number: int | float | Decimal, word: str) -> str:
    """`1 offer`, `2,000 offers`, `3 batches`, `1.5 hours`."""
    if number == 1:
        return f"1 {word}"
    shown = f"{number:,}" if isinstance(number, int) else f"{number:,.6f}".rstrip("0").rstrip(".")
    return f"{shown} {word}{'es' if word.endswith(('ch', 'x', 's')) else 's'}"
