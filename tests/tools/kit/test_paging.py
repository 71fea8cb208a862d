"""Long lists are shown page by page: every row once, and the last page says that it is the last."""

from novita_mcp.tools.kit.paging import page_of


def test_the_pages_of_a_list_hold_every_row_once() -> None:
    seen: list[int] = []
    offset: int | None = 0
    while offset is not None:
        page, offset = page_of(range(7), offset, 3)
        seen += page

    assert seen == list(range(7))


def test_a_list_that_fills_its_last_page_has_no_further_one() -> None:
    assert page_of([1, 2, 3, 4], 2, 2) == ([3, 4], None)


def test_an_offset_past_the_end_shows_nothing() -> None:
    assert page_of([1, 2], 5, 2) == ([], None)


def test_odd_bounds_are_read_as_the_nearest_sensible_ones() -> None:
    assert page_of([1, 2], -3, 0) == ([1], 1)
