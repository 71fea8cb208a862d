"""What people install us by without typing: the plugin of Claude Code, and README's links for Cursor and VS Code."""

import base64
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
README, PLUGIN = ROOT / "README.md", ROOT / ".claude-plugin"
Json = dict[str, Any]

pytestmark = pytest.mark.skipif(not PLUGIN.is_dir(), reason="away from the source")


def read(name: str) -> Json:
    return json.loads((PLUGIN / name).read_text(encoding="utf-8"))


def shown(part: str) -> Json:
    """README's first JSON block that is an object with this part."""
    blocks = re.findall(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return next(found for found in map(json.loads, blocks) if part in found)


def link(start: str) -> dict[str, str]:
    """What the one link of README that begins so carries."""
    (found,) = re.findall(rf"\(({re.escape(start)}[^)\s]*)\)", README.read_text(encoding="utf-8"))
    carried: dict[str, list[str]] = parse_qs(urlsplit(str(found)).query, strict_parsing=True)
    return {name: value for name, (value,) in carried.items()}


def test_the_plugin_brings_the_server_as_readme_says_it_and_the_skills() -> None:
    plugin = read("plugin.json")
    ours = dict(plugin["mcpServers"]["novita"])
    theirs = dict(shown("mcpServers")["mcpServers"]["novita"])

    assert ours.pop("env").keys() == theirs.pop("env").keys() == {"NOVITA_API_KEY"}
    assert ours == theirs
    assert plugin["mcpServers"]["novita"]["env"] == {"NOVITA_API_KEY": "${NOVITA_API_KEY}"}, "a key stands in no file"
    assert plugin["skills"].startswith("./") and [*(ROOT / plugin["skills"]).glob("*/SKILL.md")]


def test_the_marketplace_offers_this_plugin() -> None:
    market, plugin = read("marketplace.json"), read("plugin.json")
    (offered,) = market["plugins"]

    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", market["name"]) and market["owner"]["name"]
    assert (offered["name"], offered["description"]) == (plugin["name"], plugin["description"])
    assert (ROOT / offered["source"] / ".claude-plugin" / "plugin.json").is_file()
    assert f"novita@{market['name']}" in README.read_text(encoding="utf-8")


def test_the_link_for_cursor_is_the_plain_configuration() -> None:
    carried = link("https://cursor.com/en/install-mcp?")

    assert carried["name"] == "novita"
    assert json.loads(base64.b64decode(carried["config"], validate=True)) == shown("mcpServers")["mcpServers"]["novita"]


def test_the_link_for_vs_code_asks_for_the_key_as_the_file_does() -> None:
    carried, file = link("https://insiders.vscode.dev/redirect/mcp/install?"), shown("servers")

    assert carried["name"] == "novita"
    assert json.loads(carried["config"]) == file["servers"]["novita"]
    assert json.loads(carried["inputs"]) == file["inputs"]
