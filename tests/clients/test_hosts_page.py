"""docs/hosts.md says what was seen: its tables are made of the kept results, and its figures are those of the tools."""

import pytest
from novita_mcp.server.app import choose_tools, toolsets_on
from novita_mcp.server.settings import Settings

from .results import CONFORMANCE, PAGE, TABLES, between, stored

needs_source = pytest.mark.skipif(not PAGE.is_file() or not CONFORMANCE.is_file(), reason="away from the source")


@needs_source
@pytest.mark.parametrize("name", sorted(TABLES))
def test_the_tables_are_those_of_the_results(name: str) -> None:
    """Rewritten by pytest -m clients --update-clients."""
    found = between(name).search(PAGE.read_text(encoding="utf-8"))
    assert found
    assert found[2].strip() == TABLES[name]()


def test_every_client_was_seen_over_both_transports() -> None:
    for name, row in stored().items():
        assert {*row.seen} == {"stdio", "http"}, name


@needs_source
def test_what_the_page_says_of_numbers_and_toolsets_holds() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert 40 < len(choose_tools(Settings())) < 128
    assert len(choose_tools(Settings(toolsets="all"))) <= 128
    chosen = [part.partition("`")[0] for part in page.split("`--toolsets ")[1:]]
    assert chosen
    for names in chosen:
        assert {"tasks", "models", *names.split(",")} == {*toolsets_on(Settings(toolsets=names))}
