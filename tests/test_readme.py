"""Every snippet and command of the README and the docs can be parsed, and every name in them exists."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.server.cli import parser
from novita_mcp.server.install import HOSTS, KEY
from novita_mcp.server.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "simulator" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for name, text in BLOCK.findall((ROOT / "README.md").read_text()) if name == kind]


def commands() -> list[list[str]]:
    """Every command line in the README's shell blocks, cut at && and pipes."""
    lines = [line for kind in ("sh", "console") for text in blocks(kind) for line in text.splitlines() if line.strip()]
    return [shlex.split(part) for line in lines for part in re.split(r"&&|\|", line)]


def test_a_hosts_json_names_our_server_and_where_the_key_goes() -> None:
    found: list[dict[str, Any]] = [json.loads(text) for text in blocks("json")]
    assert found
    for config in found:
        (entry,) = (config.get("mcpServers") or config["servers"]).values()
        assert entry["command"] == "uvx"
        assert entry["args"] == ["novita-mcp"]
        assert KEY in entry["env"]


def test_codex_gets_time_for_the_first_start() -> None:
    (config,) = (tomllib.loads(text) for text in blocks("toml"))
    entry = config["mcp_servers"]["novita"]
    assert entry["startup_timeout_sec"] >= 30
    assert KEY in entry["env"]


def test_our_own_commands_are_ones_the_command_line_takes() -> None:
    text = (ROOT / "README.md").read_text()
    inline = [shlex.split(found) for found in re.findall(r"`(novita-mcp[^`<]*)`", text)]
    ours = [words[1:] for words in (*commands(), *inline) if Path(words[0]).name == "novita-mcp" and words[1:]]
    assert len(ours) > 5
    for words in ours:
        if words[0].endswith(".mcpb"):
            continue
        known = words if not {"HOST", "NAME", "schema", "call"} & set(words) else ["install", next(iter(HOSTS))]
        parser().parse_args([word.replace("{...}", "{}") for word in known])


def test_other_programs_are_called_as_they_are_documented() -> None:
    found = {words[0] for words in commands()}
    assert found >= {"python3", "claude", "docker"}
    for words in commands():
        if words[:2] == ["docker", "run"] and "serve" in words:
            parser().parse_args(words[words.index("novita-mcp") + 1 :])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_named_is_one(page: Path) -> None:
    known = {field.metadata["env"] for field in Settings.__dataclass_fields__.values()}
    assert set(re.findall(r"\bNOVITA_(?:MCP_|API_|BASE_)[A-Z_]+\b", page.read_text())) <= known
