"""`novita-mcp install HOST` and `uninstall HOST`: write our entry into a host's configuration, and remove it again.

Everything else in the file stays byte for byte. The command shows the change and asks. It writes the file completely or
not at all; if the path is a link, it writes the file that the link leads to. The key goes only into the user's own
files, which are then readable by nobody else. A project's folder may be shared, so its file gets a reference to the
environment, and no path of this machine.
"""

import copy
import difflib
import json
import os
import shlex
import stat
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..config.places import journal_file, output_folder
from ..jsonc import changed, read_jsonc
from ..settings import SettingError, Settings
from ..starting import names_of_unsafe_starts, this_program, with_safe_starts
from .hosts import HOSTS, KEY, NO_KEY, Entry, Host, is_key
from .layout import say, whole

_SHARED = ["novita-mcp"]
"""The command in a project's file. It is found on the PATH of the person who opens the project."""


@dataclass(frozen=True)
class Installed:
    """Our entry as it is in a host's configuration.

    Args:
        command: The program that the host runs.
        args: The arguments of that program.
        environment: Its environment variables.
        key: The key itself, a reference to it (`${...}`), or empty.
        problem: Why the file could not be read; all other fields are then empty.
    """

    host: Host
    path: Path
    command: str = ""
    args: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    key: str = ""
    problem: str = ""

    @property
    def real_key(self) -> str | None:
        """The key, if the file contains the key itself."""
        return self.key if is_key(self.key) else None


def run_install(
    settings: Settings,
    host: str,
    *,
    project: Path | None,
    with_key: bool,
    only_print: bool,
    command: str | None,
    yes: bool,
    filed: bool = False,
    as_json: bool = False,
) -> int:
    """Write (or print) the entry for a host. Returns the exit code.

    Args:
        project: Write into this project's folder instead of the user's own configuration.
        with_key: Store the key even in a project's folder.
        command: The command that the host shall run, such as `uvx novita-mcp`; by default this program.
        yes: Do not ask.
        filed: The key is in the user's settings file or in the keyring, so the host's file needs none.
        as_json: Print JSON on stdout; the change and the question then go to stderr.

    Raises:
        SettingError: The host has no such file, the entry cannot be added to the file, or nobody agreed.
    """
    chosen = HOSTS[host]
    path = _file(chosen, project)
    entry = _entry(settings, chosen, shared=project is not None, with_key=with_key, command=command, filed=filed)
    if only_print:
        shown: Entry = {}
        chosen.put(shown, _hidden(entry, settings.api_key))
        text = with_entry(path, "", shown)
        sys.stdout.write(
            json.dumps({"host": host, "path": str(path), "text": text}) + "\n" if as_json else f"{path}\n{text}"
        )
        return 0
    before, config = read_entry_file(path)
    had = _key_of(chosen.ours(config))
    wanted = copy.deepcopy(config)
    chosen.put(wanted, entry)
    after = with_entry(path, before, wanted)
    ours = chosen.ours(wanted)
    told: dict[str, object] = {"host": host, "path": str(path), "changed": before != after}
    told |= {"command": [ours["command"], *ours["args"]], "backup": None, "made_private": False}
    if before == after:
        _told(told, [f"{chosen.title} already has this server: {whole(path)}"], as_json=as_json)
        return 0
    _agree(path, before, after, (settings.api_key or "", had), yes=yes, aside=as_json)
    key = _key_of(ours)
    path.parent.mkdir(parents=True, exist_ok=True)
    wide = is_key(key) and os.name != "nt" and path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    backup = rewrite(path, after, private=is_key(key), keep=not chosen.ours(config))
    lines: list[str] = []
    if backup:
        told["backup"] = str(backup)
        lines.append(f"The file as it was before is kept: {whole(backup)}")
    if wide:
        told["made_private"] = True
        lines.append(f"{whole(path)} holds a key: from now on only you may read it (0600).")
    lines += [f"Added novita to {chosen.title}: {whole(path)}", chosen.after]
    if project is not None and command is None:
        lines.append("It runs novita-mcp from the PATH of whoever opens the project.")
    lines.append("The key stays where your settings have it." if filed and not key else _where_key(key, path))
    _told({**told, "next": chosen.after}, lines, as_json=as_json)
    return 0


def run_uninstall(settings: Settings, host: str, *, project: Path | None, yes: bool, as_json: bool = False) -> int:
    """Remove what `run_install` wrote, and say what stays. Returns the exit code.

    Raises:
        SettingError: The host has no such file, the file cannot be read, or nobody agreed.
    """
    chosen = HOSTS[host]
    path = _file(chosen, project)
    before, config = read_entry_file(path)
    entry = chosen.ours(config)
    told: dict[str, object] = {"host": host, "path": str(path), "changed": bool(entry), "removed": False}
    if not entry:
        _told(told, [f"{chosen.title} does not know novita: {whole(path)}"], as_json=as_json)
        return 0
    backup = _backup_of(path)
    earlier = _text(backup) if backup.exists() else ""
    wanted = copy.deepcopy(config)
    chosen.take(wanted, _parsed(backup, earlier, like=path))
    after = with_entry(path, before, wanted)
    if path.suffix == ".toml" and (rest := after.rstrip()) and before.startswith(rest):
        # Our table was at the end of the file, and the blank line before it was added with it.
        after = earlier if earlier.rstrip() == rest else f"{rest}\n"
    emptied = not earlier and after.strip() in ("", "{}")
    _agree(path, before, "" if emptied else after, (_key_of(entry), settings.api_key or ""), yes=yes, aside=as_json)
    lines: list[str] = []
    if emptied and not path.is_symlink():
        path.unlink()
        told["removed"] = True
        lines.append(f"Removed novita from {chosen.title}, and {whole(path)}, which was made for it.")
    else:
        rewrite(path, after, private=False, keep=False)
        lines.append(f"Removed novita from {chosen.title}: {whole(path)}")
    stays: dict[str, str] = {"files": str(output_folder(settings))}
    if earlier and earlier == after:
        backup.unlink()
    elif earlier:
        stays["backup"] = str(backup)
        lines.append(f"The file as it was before novita stays: {whole(backup)}")
    journal = journal_file(settings)
    lines.append(f"Your files stay: {whole(output_folder(settings))}")
    if journal is not None:
        stays["journal"] = str(journal)
        lines.append(f"The journal stays: {whole(journal)}")
    _told({**told, "stays": stays}, lines, as_json=as_json)
    return 0


def _told(facts: dict[str, object], sentences: list[str], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        say(*filter(None, sentences))


def installed(home: Path, platform: str) -> Iterator[Installed]:
    """Our entries in this user's configurations, host by host. Hosts without an entry of ours are left out."""
    for host in HOSTS.values():
        path = host.user_file(home, platform)
        try:
            entry = host.ours(_config(path, path.read_text(encoding="utf-8-sig")))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            yield Installed(host, path, problem=str(error))
            continue
        if entry:
            environment = {str(name): str(value) for name, value in cast(Entry, entry.get("env") or {}).items()}
            yield Installed(
                host,
                path,
                str(entry.get("command") or ""),
                tuple(str(word) for word in entry.get("args") or ()),
                tuple(environment.items()),
                _key_of(entry),
            )


def _file(host: Host, project: Path | None) -> Path:
    if project is None:
        return host.user_file(Path.home(), sys.platform)
    if host.project_file is None:
        raise SettingError(f"{host.title} has no configuration for a single project; leave --project out")
    return project / host.project_file


def _text(path: Path) -> str:
    """The text of a file with its line ends unchanged; empty if there is no file."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} cannot be read ({error}); nothing was changed") from error


def read_entry_file(path: Path) -> tuple[str, Entry]:
    """A host's file, as text and parsed.

    Raises:
        SettingError: The file cannot be read or parsed; nothing was changed.
    """
    before = _text(path)
    return before, _parsed(path, before)


def _config(path: Path, text: str) -> Entry:
    """Parse the text of a file by the file's kind.

    Raises:
        ValueError: The text is not valid.
    """
    config: object = tomllib.loads(text) if path.suffix == ".toml" else read_jsonc(text)
    return cast(Entry, config) if isinstance(config, dict) else {}


def _parsed(path: Path, text: str, like: Path | None = None) -> Entry:
    """Parse a file that is to be changed. A TOML document keeps its comments.

    Raises:
        SettingError: The text is not valid; nothing was changed.
    """
    kind = (like or path).suffix
    try:
        if kind == ".toml":
            import tomlkit

            return cast(Entry, tomlkit.parse(text))
        config = read_jsonc(text.removeprefix(_BOM))
    except ValueError as error:  # tomlkit's errors are ValueErrors, too
        name = "TOML" if kind == ".toml" else "JSON"
        raise SettingError(
            f"{path} is not valid {name} ({error}); nothing was changed. --print shows what to add"
        ) from error
    if not isinstance(config, dict):
        raise SettingError(f"{path} does not hold a JSON object; nothing was changed")
    return cast(Entry, config)


_BOM = "\ufeff"
"""The byte order mark with which some Windows editors begin a file. It stays in the file."""


def with_entry(path: Path, before: str, wanted: Entry) -> str:
    """The text of a host's file that contains `wanted`, and otherwise is as in `before`."""
    if path.suffix == ".toml":
        import tomlkit

        return tomlkit.dumps(wanted)  # pyright: ignore[reportUnknownMemberType]
    mark = _BOM if before.startswith(_BOM) else ""
    return mark + changed(before.removeprefix(_BOM), wanted)


def _key_of(entry: Entry) -> str:
    environment: object = entry.get("env")
    return str(cast(Entry, environment).get(KEY) or "") if isinstance(environment, dict) else ""


def _entry(settings: Settings, host: Host, *, shared: bool, with_key: bool, command: str | None, filed: bool) -> Entry:
    words = shlex.split(command, posix=os.name != "nt") if command else _SHARED if shared else this_program()
    if not words:
        raise SettingError("--command is empty")
    entry: Entry = {"command": words[0], "args": words[1:]}
    if filed and not shared:  # the server itself reads the key from there, whoever starts it
        entry["env"] = {}
    elif settings.api_key and (with_key or not shared):
        entry["env"] = {KEY: settings.api_key}
    else:
        entry["env"] = {KEY: host.reference if host.reference and (shared or host.reaches) else NO_KEY}
    if settings.profile and not shared:
        entry["env"]["NOVITA_MCP_PROFILE"] = settings.profile
    return entry


def _hidden(entry: Entry, key: str | None) -> Entry:
    return json.loads(json.dumps(entry).replace(key, "<your key>")) if key else entry


def _agree(path: Path, before: str, after: str, keys: tuple[str, ...], *, yes: bool, aside: bool) -> None:
    """Show the changed lines, without keys, and ask for agreement; with `aside` on stderr.

    Raises:
        SettingError: The answer is no, or there is no answer.
    """
    out = sys.stderr if aside else sys.stdout
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))[2:]
    shown = "\n".join(line for line in lines if not line.startswith("@@"))
    for key in filter(is_key, keys):
        shown = shown.replace(key, "<your key>")
    out.write(f"{path}\n{shown}\n")
    if yes:
        return
    out.write("Make this change? [y/N] ")
    out.flush()
    try:
        answer = sys.stdin.readline()
    except OSError:  # there is no stdin
        answer = ""
    if not answer:
        out.write("\n")
        raise SettingError("nobody answered, so nothing was changed; --yes agrees beforehand")
    if answer.strip().casefold() not in ("y", "yes"):
        raise SettingError("nothing was changed")


def _where_key(key: str, path: Path) -> str:
    if is_key(key):
        return ""
    if key.startswith("${input:"):
        return "VS Code asks for your key when it starts the server."
    if key.startswith(("${", "{env:")):
        return f"The key is not in the file: set {KEY} in the environment it is started from."
    return f"No key was given: in {whole(path)}, put yours in place of {NO_KEY!r}."


def _backup_of(path: Path) -> Path:
    return path.with_name(path.name + ".before-novita")


def rewrite(path: Path, text: str, *, private: bool = False, keep: bool = True) -> Path | None:
    """Replace the text of a host's file completely or not at all. Returns the path of the copy from before our first
    change, or None if there is no copy.

    If the path is a link, the link stays, and the file that it leads to is written. Only the user can read a new file,
    because it may contain the key.

    Args:
        private: The file contains a key now, so take away the right of others to read it.
        keep: Make a copy of the old file, unless there is one already.
    """
    backup = _backup_of(path) if path.exists() and path.stat().st_size else None
    if backup and not keep and not backup.exists():
        backup = None
    if backup and not backup.exists():  # never replace the copy of the file as it was without any entry of ours
        with os.fdopen(os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(path.read_bytes())  # readable by the user only, because the old file may contain keys
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(text.encode("utf-8"))
        if target.exists() and not private:
            part.chmod(stat.S_IMODE(target.stat().st_mode))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return backup


def unsafe_files(home: Path, platform: str, folder: Path) -> Iterator[tuple[Host, Path, list[str]]]:
    """Hosts' files with unsafe entries, which start us so that a file of an opened project can replace a library.

    Looks at this user's files and at those of the project in `folder`. Each result names the unsafe entries.
    """
    for host in HOSTS.values():
        places = [host.user_file(home, platform), *([folder / host.project_file] if host.project_file else [])]
        for path in places:
            try:
                names = names_of_unsafe_starts(path)
            except (OSError, ValueError):
                continue  # `installed` reports files that cannot be read
            if names:
                yield host, path, names


def mend(path: Path) -> None:
    """Make every entry in a host's file start us safely. A copy of the old file stays beside it.

    Raises:
        OSError: The file cannot be written.
    """
    rewrite(path, with_safe_starts(path, path.read_bytes().decode("utf-8")))
