"""The programs that run MCP servers, and how the configuration of each names us.

Where a format comes from stands beside it. Goose and the JetBrains IDEs are set up by hand, as docs/install.md shows.
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
"""Stands where the user puts the key."""

_INPUT = "novita-key"
"""VS Code asks for the key itself and keeps it in its own safe, under this name."""

Entry = dict[str, Any]
"""An object of a host's file. Ours, as the rest of this program sees it, has `command`, `args` and `env`."""


@dataclass(frozen=True)
class Host:
    """One program that runs MCP servers.

    Args:
        user_file: Its configuration for this user, made from the home folder and the platform.
        project_file: The same for one project, relative to its folder; None where it has none.
        section: Where in the file the servers stand, by name.
        reference: How the file refers to the key without holding it; None where it cannot.
        after: What the user does next.
        reaches: Whether that works without the user's doing: a terminal's environment reaches a program started there,
            and VS Code asks; a desktop program sees no `export`.
        extra: What a new entry says besides.
        one_list: The command and its arguments are one list, and what we call `env` is `environment`.
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
        """Where the servers stand in this very file: version 1 of opencode has them one floor higher."""
        if self.one_list and isinstance(outer := config.get(self.section[0]), dict):
            held: list[object] = list(cast("dict[str, object]", outer).values())
            if "servers" not in outer and any(isinstance(one, dict) and "type" in one for one in held):
                return self.section[:1]
        return self.section

    def servers(self, config: Entry) -> Entry:
        """The entries of all servers in a parsed file; empty where there are none."""
        place = config
        for name in self.place(config):
            found: object = place.get(name)
            if not isinstance(found, dict):
                return {}
            place = cast(Entry, found)
        return place

    def ours(self, config: Entry) -> Entry:
        """Our entry with `command`, `args` and `env`, whatever the host calls them; empty where there is none."""
        found: object = self.servers(config).get(NAME)
        if not isinstance(found, dict):
            return {}
        entry = cast(Entry, found)
        if not self.one_list:
            return entry
        words = [str(word) for word in cast("list[object]", entry.get("command") or [])]
        return {"command": words[0] if words else "", "args": words[1:], "env": entry.get("environment", {})}

    def put(self, config: Entry, entry: Entry) -> None:
        """Set ours in a parsed file. What a user added to it stays, and so does a key when none is given.

        Raises:
            SettingError: Something else stands where the servers belong.
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
        """Take ours out of a parsed file, and what was made for it alone: what `before` does not have and is empty."""
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
    """Whether it is a key: no reference, and no words like ours or README's that stand where one belongs."""
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
    """A host that seems to be on this machine, since the folder of its configuration is there; else the commonest."""
    for name, host in HOSTS.items():
        folder = host.user_file(home, platform).parent
        if folder != home and folder.is_dir():
            return name
    return "claude-desktop"
