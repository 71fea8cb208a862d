"""The hosts that `install` knows: where each has its configuration, and how an entry of ours looks there.

Comments name the sources of the less known formats. docs/install.md shows how to set up Goose and the JetBrains IDEs by
hand.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..settings import SettingError

NAME = "novita"
KEY = "NOVITA_API_KEY"
NO_KEY = "your key from https://novita.ai/settings/key-management"
"""The placeholder that the user replaces by the key."""

_INPUT = "novita-key"
"""The name under which VS Code asks for the key and stores it in its own secret storage."""

Entry = dict[str, Any]
"""An object in a host's file. In this program our own entry always has the form `command`, `args` and `env`."""


@dataclass(frozen=True)
class Host:
    """One program that runs MCP servers.

    Args:
        user_file: Gives the path of this user's configuration, from the home folder and the platform.
        project_file: The path of a project's configuration in the project's folder; None if the host has none.
        section: The keys that lead to the object with the servers, by name.
        reference: The text by which the file refers to the key without containing it; None if the host has none.
        after: What the user has to do next.
        reaches: Whether the reference works by itself. A program started in a terminal sees the terminal's
            environment, and VS Code asks for the key; a desktop program does not see an `export`.
        extra: Further fields of a new entry.
        one_list: The host has command and arguments in one list, and calls `env` `environment`.
    """

    title: str
    user_file: Callable[[Path, str], Path]
    project_file: str | None
    section: tuple[str, ...]
    reference: str | None
    after: str
    reaches: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    one_list: bool = False

    def place(self, config: Entry) -> tuple[str, ...]:
        """The keys that lead to the servers in this file. Version 1 of opencode has them one level higher."""
        if self.one_list and isinstance(outer := config.get(self.section[0]), dict):
            held: list[object] = list(cast("dict[str, object]", outer).values())
            if "servers" not in outer and any(isinstance(one, dict) and "type" in one for one in held):
                return self.section[:1]
        return self.section

    def servers(self, config: Entry) -> Entry:
        """The entries of all servers in a parsed file; empty if there are none."""
        place = config
        for name in self.place(config):
            found: object = place.get(name)
            if not isinstance(found, dict):
                return {}
            place = cast(Entry, found)
        return place

    def ours(self, config: Entry) -> Entry:
        """Our entry as `command`, `args` and `env`, whatever the host calls them; empty if there is none."""
        found: object = self.servers(config).get(NAME)
        if not isinstance(found, dict):
            return {}
        entry = cast(Entry, found)
        if not self.one_list:
            return entry
        words = [str(word) for word in cast("list[object]", entry.get("command") or [])]
        return {"command": words[0] if words else "", "args": words[1:], "env": entry.get("environment", {})}

    def put(self, config: Entry, entry: Entry) -> None:
        """Write our entry into a parsed file. Fields that a user added stay; so does the key, if none is given.

        Raises:
            SettingError: The file has something else in the place of the servers.
        """
        place = config
        for name in self.place(config):
            found: object = place.setdefault(name, {})
            if not isinstance(found, dict):
                raise SettingError(f"{name!r} in the file is not an object")
            place = cast(Entry, found)
        old: object = place.get(NAME)
        if isinstance(old, dict) and "command" in old:
            self._renew(cast(Entry, old), entry)
        else:
            one = {"type": "local", "enabled": True} if self.place(config) == self.section[:1] else {"type": "local"}
            place[NAME] = {**one, **self._own(entry)} if self.one_list else {**self.extra, **entry}
        if f"${{input:{_INPUT}}}" in json.dumps(entry):
            inputs = cast("list[Entry]", config.setdefault("inputs", []))
            if not any(one.get("id") == _INPUT for one in inputs):
                inputs.append({"type": "promptString", "id": _INPUT, "description": "Novita API key", "password": True})

    def take(self, config: Entry, before: Entry) -> None:
        """Remove our entry from a parsed file, and the objects that were made for it: those that are empty now and that
        `before`, the file before we first changed it, does not have."""
        path = self.place(config)
        self.servers(config).pop(NAME, None)
        inputs: object = config.get("inputs")
        if isinstance(inputs, list) and f"${{input:{_INPUT}}}" not in json.dumps(config):
            config["inputs"] = [one for one in cast("list[Entry]", inputs) if one.get("id") != _INPUT]
        for names in (*(path[:depth] for depth in range(len(path), 0, -1)), ("inputs",)):
            holder, had = config, before
            for name in names[:-1]:
                holder, had = cast(Entry, holder.get(name, {})), cast(Entry, had.get(name, {}))
            if names[-1] in holder and not holder[names[-1]] and names[-1] not in had:
                del holder[names[-1]]

    def _own(self, entry: Entry) -> Entry:
        return {"command": [entry["command"], *entry["args"]], "environment": entry["env"]}

    def _renew(self, old: Entry, entry: Entry) -> None:
        made = self._own(entry) if self.one_list else entry
        old["command"] = made["command"]
        if not self.one_list:
            old["args"] = made["args"]
        given: Mapping[str, str] = entry["env"]
        if not given:
            return
        environment: Entry = old.setdefault("environment" if self.one_list else "env", {})
        for name, value in given.items():
            if name != KEY or is_key(value) or not environment.get(KEY):
                environment[name] = value


def is_key(text: str) -> bool:
    """Whether a text is a key, rather than a reference to one or a placeholder such as README's `your key`."""
    return len(text) >= 8 and " " not in text and not text.casefold().startswith(("${", "{env:", "your"))


def _claude_desktop(home: Path, platform: str) -> Path:
    return _application_data(home, platform) / "Claude" / "claude_desktop_config.json"


def _vscode(home: Path, platform: str) -> Path:
    return _application_data(home, platform) / "Code" / "User" / "mcp.json"


def _zed(home: Path, platform: str) -> Path:
    if platform == "win32":
        return _application_data(home, platform) / "Zed" / "settings.json"
    return Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "zed" / "settings.json"


def _application_data(home: Path, platform: str) -> Path:
    if platform == "darwin":
        return home / "Library" / "Application Support"
    if platform == "win32":
        return Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    return Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")


HOSTS: Mapping[str, Host] = {
    "claude-desktop": Host(
        "Claude Desktop",
        _claude_desktop,
        None,
        ("mcpServers",),
        None,
        "Quit Claude Desktop and open it again.",
    ),
    "claude-code": Host(
        "Claude Code",
        lambda home, _: home / ".claude.json",
        ".mcp.json",
        ("mcpServers",),
        "${NOVITA_API_KEY}",
        "Start claude again; /mcp shows the server.",
        reaches=True,
        extra={"type": "stdio"},
    ),
    "cursor": Host(
        "Cursor",
        lambda home, _: home / ".cursor" / "mcp.json",
        ".cursor/mcp.json",
        ("mcpServers",),
        "${env:NOVITA_API_KEY}",
        "Open Cursor's settings, MCP, and switch novita on.",
    ),
    "vscode": Host(
        "VS Code",
        _vscode,
        ".vscode/mcp.json",
        ("servers",),
        "${input:novita-key}",
        "Run 'MCP: List Servers' in VS Code and start novita.",
        reaches=True,
        extra={"type": "stdio"},
    ),
    "codex": Host(
        "Codex",
        lambda home, _: Path(os.environ.get("CODEX_HOME") or home / ".codex") / "config.toml",
        None,
        ("mcp_servers",),
        None,
        "Start codex again.",
        extra={"startup_timeout_sec": 60, "tool_timeout_sec": 120},
    ),
    "windsurf": Host(
        "Windsurf",
        lambda home, _: home / ".codeium" / "windsurf" / "mcp_config.json",
        None,
        ("mcpServers",),
        "${env:NOVITA_API_KEY}",
        "Press refresh in Windsurf's MCP settings.",
    ),
    "gemini-cli": Host(  # github.com/google-gemini/gemini-cli, docs/tools/mcp-server.md
        "Gemini CLI",
        lambda home, _: home / ".gemini" / "settings.json",
        ".gemini/settings.json",
        ("mcpServers",),
        "${NOVITA_API_KEY}",
        "Start gemini again; /mcp shows the server.",
        reaches=True,
    ),
    "zed": Host(  # zed.dev/docs/ai/mcp
        "Zed",
        _zed,
        None,
        ("context_servers",),
        None,
        "Zed's Agent Panel, Settings, shows the server.",
    ),
    "cline": Host(  # docs.cline.bot/mcp/mcp-overview: the file of Cline's command line
        "Cline",
        lambda home, _: Path(
            os.environ.get("CLINE_MCP_SETTINGS_PATH") or home / ".cline/data/settings/cline_mcp_settings.json"
        ),
        None,
        ("mcpServers",),
        None,
        "In the editor: Cline's MCP Servers, Configure, shows the server, or the file to put the same into.",
    ),
    "opencode": Host(  # opencode.ai/docs/mcp-servers, of versions 2 and 1
        "opencode",
        lambda home, _: Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "opencode" / "opencode.json",
        "opencode.json",
        ("mcp", "servers"),
        "{env:NOVITA_API_KEY}",
        "Start opencode again.",
        reaches=True,
        one_list=True,
    ),
}


def likely_host(home: Path, platform: str) -> str:
    """A host that seems to be installed here, because its configuration folder exists; or else the commonest host."""
    for name, host in HOSTS.items():
        folder = host.user_file(home, platform).parent
        if folder != home and folder.is_dir():
            return name
    return "claude-desktop"
