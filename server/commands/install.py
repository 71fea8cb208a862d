"""`novita-mcp install <host>`: write the server into a host's configuration.

Merges with what is there, keeps a backup beside it, writes whole or not at all. The key goes only into files of the
user's own; in a project's folder, which may be shared, it is a reference to the environment unless asked otherwise.
"""

import json
import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..settings import SettingError, Settings
from ..starting import names_of_unsafe_starts, this_program, with_safe_starts

NAME = "novita"
KEY = "NOVITA_API_KEY"
NO_KEY = "your key from https://novita.ai/settings/key-management"
"""Stands where the user puts the key."""

Entry = dict[str, Any]


@dataclass(frozen=True)
class Host:
    """One program that runs MCP servers.

    Args:
        user_file: Its configuration for this user, made from the home folder and the platform.
        project_file: The same for one project, relative to its folder; None where it has none.
        put: Sets our entry in the parsed file.
        reference: How the file refers to the key without holding it; None where it cannot.
        reaches: Whether that works without the user's doing: a terminal's environment reaches a program started there,
            and VS Code asks; a desktop program sees no `export`.
        after: What the user does next.
    """

    title: str
    user_file: Callable[[Path, str], Path]
    project_file: str | None
    put: Callable[[Entry, Entry], None]
    reference: str | None
    after: str
    reaches: bool = False

    def servers(self, config: Entry) -> Entry:
        """The entries of all servers in a parsed file; empty where there are none."""
        for key in ("mcpServers", "servers", "mcp_servers"):
            if isinstance(found := config.get(key), dict):
                return cast(Entry, found)
        return {}


@dataclass(frozen=True)
class Installed:
    """Our entry as it stands in a host's own configuration.

    Args:
        command: What the host runs.
        key: What stands for the key: the key itself, a reference (`${...}`), or nothing.
        problem: Why the file could not be read; the rest is then empty.
    """

    host: Host
    path: Path
    command: str = ""
    key: str = ""
    problem: str = ""

    @property
    def real_key(self) -> str | None:
        """The key, where the file holds one."""
        return self.key if _is_key(self.key) else None


def _put_servers(key: str, extra: Mapping[str, Any] | None = None) -> Callable[[Entry, Entry], None]:
    def put(config: Entry, entry: Entry) -> None:
        servers = config.setdefault(key, {})
        if not isinstance(servers, dict):
            raise SettingError(f"{key!r} in the file is not an object")
        old: object = cast(Entry, servers).get(NAME)
        if isinstance(old, dict) and "command" in old:
            _renew(cast(Entry, old), entry)
        else:
            servers[NAME] = {**(extra or {}), **entry}

    return put


def _renew(old: Entry, entry: Entry) -> None:
    """Ours is there: what is run changes, in place. What the user set stays, and so does a key when none is given."""
    old["command"], old["args"] = entry["command"], entry["args"]
    environment: Entry = old.setdefault("env", {})
    if _is_key(entry["env"][KEY]) or not environment.get(KEY):
        environment[KEY] = entry["env"][KEY]


def _is_key(text: str) -> bool:
    """Whether it is a key: no reference, and no words like ours or README's that stand where one belongs."""
    return len(text) >= 8 and " " not in text and not text.casefold().startswith(("${", "your"))


def _put_vscode(config: Entry, entry: Entry) -> None:
    """VS Code asks for the key itself and keeps it in its own safe."""
    _put_servers("servers", {"type": "stdio"})(config, entry)
    if "${input:novita-key}" in json.dumps(entry):
        inputs = cast(list[Entry], config.setdefault("inputs", []))
        if not any(one.get("id") == "novita-key" for one in inputs):
            inputs.append(
                {"type": "promptString", "id": "novita-key", "description": "Novita API key", "password": True}
            )


def _claude_desktop(home: Path, platform: str) -> Path:
    return _application_data(home, platform) / "Claude" / "claude_desktop_config.json"


def _vscode(home: Path, platform: str) -> Path:
    return _application_data(home, platform) / "Code" / "User" / "mcp.json"


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
        _put_servers("mcpServers"),
        None,
        "Quit Claude Desktop and open it again.",
    ),
    "claude-code": Host(
        "Claude Code",
        lambda home, _: home / ".claude.json",
        ".mcp.json",
        _put_servers("mcpServers", {"type": "stdio"}),
        "${NOVITA_API_KEY}",
        "Start claude again; /mcp shows the server.",
        reaches=True,
    ),
    "cursor": Host(
        "Cursor",
        lambda home, _: home / ".cursor" / "mcp.json",
        ".cursor/mcp.json",
        _put_servers("mcpServers"),
        "${env:NOVITA_API_KEY}",
        "Open Cursor's settings, MCP, and switch novita on.",
    ),
    "vscode": Host(
        "VS Code",
        _vscode,
        ".vscode/mcp.json",
        _put_vscode,
        "${input:novita-key}",
        "Run 'MCP: List Servers' in VS Code and start novita.",
        reaches=True,
    ),
    "codex": Host(
        "Codex",
        lambda home, _: Path(os.environ.get("CODEX_HOME") or home / ".codex") / "config.toml",
        None,
        _put_servers("mcp_servers", {"startup_timeout_sec": 60, "tool_timeout_sec": 120}),
        None,
        "Start codex again.",
    ),
    "windsurf": Host(
        "Windsurf",
        lambda home, _: home / ".codeium" / "windsurf" / "mcp_config.json",
        None,
        _put_servers("mcpServers"),
        "${env:NOVITA_API_KEY}",
        "Press refresh in Windsurf's MCP settings.",
    ),
}


def run_install(
    settings: Settings, host: str, *, project: Path | None, with_key: bool, only_print: bool, command: str | None
) -> int:
    """Write (or print) the entry for a host; the exit code.

    Args:
        project: Write into this project's folder instead of the user's own configuration.
        with_key: Store the key even in a project's folder.
        command: What the host runs, such as `uvx novita-mcp`; default: this very program.

    Raises:
        SettingError: The host has no such file, or the file cannot be merged with.
    """
    chosen = HOSTS[host]
    if project is not None and chosen.project_file is None:
        raise SettingError(f"{chosen.title} has no configuration for a single project; leave --project out")
    path = project / str(chosen.project_file) if project else chosen.user_file(Path.home(), sys.platform)
    entry = _entry(settings, chosen, shared=project is not None and not with_key, command=command)
    if only_print:
        shown: Entry = {}
        chosen.put(shown, _hidden(entry, settings.api_key))
        sys.stdout.write(f"{path}\n{_write(path, shown)}")
        return 0
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    after = _merged(path, before, chosen, entry)
    if before == after:
        sys.stdout.write(f"{chosen.title} has it already: {path}\n")
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    backup = rewrite(path, after)
    if backup:
        sys.stdout.write(f"As it was before novita: {backup}\n")
    sys.stdout.write(f"{chosen.title} now knows novita: {path}\n{chosen.after}\n")
    sys.stdout.write(_where_key(_key_of(_ours(path, after, chosen)), path))
    return 0


def installed(home: Path, platform: str) -> Iterator[Installed]:
    """What the configurations of this user say about us, host by host; hosts that do not know us are left out."""
    for host in HOSTS.values():
        path = host.user_file(home, platform)
        try:
            entry = _ours(path, path.read_text(encoding="utf-8"), host)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            yield Installed(host, path, problem=str(error))
            continue
        if entry:
            yield Installed(host, path, str(entry.get("command") or ""), _key_of(entry))


def _ours(path: Path, text: str, host: Host) -> Entry:
    """Our entry in a file's text; empty where there is none.

    Raises:
        ValueError: The text is not what it should be.
    """
    config: object = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text or "{}")
    entry: object = host.servers(cast(Entry, config)).get(NAME) if isinstance(config, dict) else None
    return cast(Entry, entry) if isinstance(entry, dict) else {}


def _key_of(entry: Entry) -> str:
    environment: object = entry.get("env")
    return str(cast(Entry, environment).get(KEY) or "") if isinstance(environment, dict) else ""


def _entry(settings: Settings, host: Host, *, shared: bool, command: str | None) -> Entry:
    words = command.split() if command else this_program()
    entry: Entry = {"command": words[0], "args": words[1:]}
    if settings.api_key and not shared:
        entry["env"] = {KEY: settings.api_key}
    else:
        entry["env"] = {KEY: host.reference if host.reference and (shared or host.reaches) else NO_KEY}
    return entry


def _hidden(entry: Entry, key: str | None) -> Entry:
    return json.loads(json.dumps(entry).replace(key, "<your key>")) if key else entry


def _where_key(key: str, path: Path) -> str:
    if _is_key(key):
        return ""
    if key.startswith("${input:"):
        return "It asks for your key when the server starts.\n"
    if key.startswith("${"):
        return f"The key is not in the file: set {KEY} in the environment it is started from.\n"
    return f"No key was given: in {path}, put yours in place of {NO_KEY!r}.\n"


def _merged(path: Path, before: str, host: Host, entry: Entry) -> str:
    """The file's new text.

    Raises:
        SettingError: It is not what it should be; nothing was changed.
    """
    if path.suffix == ".toml":
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        try:
            document = tomlkit.parse(before)
            host.put(cast(Entry, document), entry)
        except TOMLKitError as error:
            raise SettingError(
                f"{path} is not valid TOML ({error}); nothing was changed. --print shows what to add"
            ) from error
        return tomlkit.dumps(document)  # pyright: ignore[reportUnknownMemberType]
    try:
        config: object = json.loads(before) if before.strip() else {}
    except ValueError as error:
        raise SettingError(
            f"{path} cannot be read as JSON ({error}; comments are not kept); nothing was changed. "
            "--print shows what to add"
        ) from error
    if not isinstance(config, dict):
        raise SettingError(f"{path} does not hold a JSON object; nothing was changed")
    host.put(cast(Entry, config), entry)
    return _write(path, cast(Entry, config))


def _write(path: Path, config: Entry) -> str:
    if path.suffix == ".toml":
        import tomlkit

        return tomlkit.dumps(config)  # pyright: ignore[reportUnknownMemberType]
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def rewrite(path: Path, text: str) -> Path | None:
    """Give a host's file a new text, whole or not at all; where it is kept as it was before we first touched it.

    A new file is readable by the user only: it may hold the key.
    """
    backup = path.with_name(path.name + ".before-novita") if path.exists() and path.stat().st_size else None
    if backup and not backup.exists():  # the one from before novita was ever there is worth most
        with os.fdopen(os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(path.read_bytes())  # it may hold keys: nobody else reads it, whoever may read the file itself
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
            handle.write(text)
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return backup


def unsafe_files(home: Path, platform: str, folder: Path) -> Iterator[tuple[Host, Path, list[str]]]:
    """Hosts' files with entries that start us so that a file of an opened project can take a library's place.

    This user's files, and those of the project in `folder`; each with the names of such entries.
    """
    for host in HOSTS.values():
        places = [host.user_file(home, platform), *([folder / host.project_file] if host.project_file else [])]
        for path in places:
            try:
                names = names_of_unsafe_starts(path)
            except (OSError, ValueError):
                continue  # `installed` says which files cannot be read
            if names:
                yield host, path, names


def mend(path: Path) -> None:
    """Make every start of ours in a host's file safe. The file is kept as it was beside it.

    Raises:
        OSError: It cannot be written.
    """
    rewrite(path, with_safe_starts(path, path.read_text(encoding="utf-8-sig")))
