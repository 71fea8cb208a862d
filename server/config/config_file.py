"""Reads the user's settings file: TOML, with the names of the settings, and with profiles.

    spend_limit_usd = 5

    [profiles.work]
    api_key = "keyring"
    toolsets = "default,gpu"

Every start looks for the file, so the TOML reader is imported only if there is one.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

KEYRING = "keyring"
"""The value of `api_key` that says: read the key from the system's keyring."""


class ConfigFileError(Exception):
    """The settings file, or the keyring it refers to, cannot be used; the message says why."""


@dataclass(frozen=True)
class ConfigFile:
    """The content of the settings file.

    Args:
        path: The place of the file, even if there is no file.
        values: The values by the names of the settings.
        profiles: The values of each profile, by its name.
    """

    path: Path
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


def config_path(environment: Mapping[str, str], home: Path | None = None, platform: str = sys.platform) -> Path:
    """The place of the file on this platform.

    It is the one that `platformdirs.user_config_dir` gives. Importing that package would take longer than everything
    else in this module.
    """
    home = home or Path(environment.get("HOME") or environment.get("USERPROFILE") or "~").expanduser()
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return base / "novita-mcp" / "config.toml"


def read_config(path: Path, known: Iterable[str]) -> ConfigFile:
    """The content of the file at `path`; it is empty if there is no file.

    Args:
        known: The names of settings.

    Raises:
        ConfigFileError: The file cannot be read, is not TOML, or has a name that is not a setting. A misspelt limit
            must be an error, because it would otherwise be no limit.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return ConfigFile(path)
    except (OSError, ValueError) as error:
        raise ConfigFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    import tomllib

    try:
        found = tomllib.loads(text)
    except ValueError as error:
        raise ConfigFileError(f"{path} is not valid TOML: {error}") from error
    profiles: object = found.pop("profiles", {})
    if not isinstance(profiles, dict):
        raise ConfigFileError(f"{path}: profiles are tables, [profiles.NAME]")
    names = tuple(known)
    _check(path, "", found, names)
    for name, values in cast("dict[str, Any]", profiles).items():
        if not isinstance(values, dict):
            raise ConfigFileError(f"{path}: profiles are tables, [profiles.{name}]")
        if not is_profile_name(name):
            raise ConfigFileError(f"{path}: a profile cannot be called {name!r}: letters, digits, - and _ only")
        _check(path, f" in profile {name}", cast("dict[str, Any]", values), tuple(n for n in names if n != "profile"))
    return ConfigFile(path, found, cast("dict[str, dict[str, Any]]", profiles))


def is_profile_name(name: str) -> bool:
    """Whether this name can be the name of a folder on every system."""
    return 0 < len(name) <= 64 and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name)


def _check(path: Path, where: str, values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name, value in values.items():
        if name not in known:
            import difflib  # needed only after a typing mistake

            near = difflib.get_close_matches(name, known, n=1)
            hint = f". Did you mean {near[0]}?" if near else ""
            raise ConfigFileError(f"{path}: {name}{where} is not a setting{hint}")
        if isinstance(value, dict):
            raise ConfigFileError(f"{path}: {name}{where} takes a value, not a table")


def as_text(name: str, value: object) -> str:
    """A value of the file in the form it would have in an environment variable."""
    if isinstance(value, list):
        joint = os.pathsep if name == "allowed_dirs" else ","
        return joint.join(str(part) for part in cast("list[object]", value))
    return str(value)
