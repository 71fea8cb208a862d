"""docs/hosts.md says what was seen: its tables are made of the kept results, and its figures are those of the tools."""

import json
import re
import tomllib
from typing import Any

import pytest
from novita_mcp.server.app import choose_tools, toolsets_on
from novita_mcp.server.commands.hosts import HOSTS
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
    assert len(choose_tools(Settings(read_only=True))) < 40
    chosen = [part.partition("`")[0] for part in page.split("`--toolsets ")[1:]]
    assert chosen
    for names in chosen:
        assert len(choose_tools(Settings(toolsets=names))) < 40, names
        assert {"tasks", "models", *names.split(",")} == {*toolsets_on(Settings(toolsets=names))}


@needs_source
def test_every_entry_for_a_server_of_a_team_says_where_it_is_and_brings_the_key() -> None:
    page = PAGE.read_text(encoding="utf-8")
    entries = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    entries += [tomllib.loads(text) for text in re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    assert len(entries) == 8
    for entry in entries:
        place: Any = entry
        while "novita" not in place:
            place = next(inner for name, inner in place.items() if name != "inputs")
        ours = place["novita"]
        (address,) = (ours[name] for name in ("url", "serverUrl", "httpUrl") if name in ours)
        assert address == "https://mcp.example.com/mcp"
        assert ours.get("bearer_token_env_var") == "NOVITA_API_KEY" or re.fullmatch(
            r"Bearer (your-key|\$\{input:novita-key\})", ours["headers"]["Authorization"]
        )


@needs_source
def test_every_host_that_install_knows_has_a_row() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = page.partition("## What each host shows")[2].partition("\n## ")[0]
    for name, host in HOSTS.items():
        assert f"| {host.title} " in rows, name
        assert f"`{name}`" in page, name
    for host in ("Goose", "JetBrains"):
        assert f"| {host} " in rows, host
    columns = {row.count("|") for row in re.findall(r"^\| .*$", rows, re.MULTILINE)}
    assert columns == {9}
