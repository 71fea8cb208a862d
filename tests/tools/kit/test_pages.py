"""Long lists are given out in pages, and each page says where the next one begins."""

import pytest
from novita_mcp.tools.kit.pages import page_of


@pytest.mark.parametrize(
    ("offset", "limit", "rows", "following"),
    [
        (0, 2, (0, 1), 2),
        (3, 2, (3, 4), None),
        (4, 9, (4,), None),
        (9, 2, (), None),
        (-5, 0, (0,), 1),
        (1, 4, (1, 2, 3, 4), None),
    ],
)
def test_pages_follow_each_other_to_the_end(
    offset: int, limit: int, rows: tuple[int, ...], following: int | None
) -> None:
    page = page_of(range(5), offset, limit)
    assert (page.rows, page.total, page.next_offset) == (rows, 5, following)
