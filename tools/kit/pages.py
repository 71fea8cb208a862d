"""Long lists, given out in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class ListPage(Generic[T]):
    """Some rows of a list.

    Args:
        total: How many rows the list has.
        next_offset: Where the next page begins; None where this is the last.
    """

    rows: tuple[T, ...]
    total: int
    next_offset: int | None


def page_of(rows: Sequence[T], offset: int, limit: int) -> ListPage[T]:
    """Up to `limit` rows from `offset` on; at least one, and from the first on, where an argument is less."""
    start = max(0, offset)
    end = start + max(1, limit)
    return ListPage(tuple(rows[start:end]), len(rows), end if end < len(rows) else None)
