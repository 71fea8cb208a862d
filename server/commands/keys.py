"""`novita-mcp key set` and `key forget`: store an API key in the system's keyring, and name it in the user's file."""

import getpass
import sys
from typing import Any, cast

from ..config.config_file import KEYRING, ConfigFile, ConfigFileError, is_profile_name
from ..config.keyring_keys import forget_key, keep_key
from ..settings import SettingError
from .install import rewrite
from .layout import say, whole


def run_key(action: str, config: ConfigFile, profile: str) -> int:
    """Ask for a key and store it (`set`), or remove it (`forget`). Returns the exit code.

    Raises:
        SettingError: No key was given, the profile's name is not allowed, or the keyring cannot be used.
    """
    if profile and not is_profile_name(profile):
        raise SettingError(f"a profile cannot be called {profile!r}: letters, digits, - and _ only")
    try:
        if action == "forget":
            gone = forget_key(profile)
        else:
            keep_key(profile, _asked_for())
            gone = False
    except ConfigFileError as error:
        raise SettingError(str(error)) from error
    changed = _write(config, profile, present=action == "set")
    if action == "set":
        say("The key is stored in the system's keyring.")
    else:
        say("The key was removed from the system's keyring." if gone else "The keyring had no such key.")
    if changed:
        where = f"[profiles.{profile}] of {whole(config.path)}" if profile else whole(config.path)
        say(f"{where} {'now' if action == 'set' else 'no longer'} says that the key is there.")
    return 0


def _asked_for() -> str:
    """Read the key from the terminal without showing it, or from a pipe."""
    try:
        key = getpass.getpass("Novita API key: ") if sys.stdin.isatty() else sys.stdin.readline()
    except EOFError:
        key = ""
    if not key.strip():
        raise SettingError("no key was given; nothing was changed")
    return key.strip()


def _write(config: ConfigFile, profile: str, *, present: bool) -> bool:
    """Write `api_key = "keyring"` into the file, or remove it; the rest stays. Returns whether the file changed."""
    import tomlkit

    path = config.path
    document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    place = cast("dict[str, Any]", document)
    for name in ("profiles", profile) if profile else ():
        if name not in place:
            if not present:
                return False
            place[name] = tomlkit.table(is_super_table=name == "profiles")
        place = cast("dict[str, Any]", place[name])
    if (place.get("api_key") == KEYRING) == present:
        return False
    if present:
        place["api_key"] = KEYRING
    else:
        del place["api_key"]
    rewrite(path, tomlkit.dumps(document), keep=False)  # pyright: ignore[reportUnknownMemberType]
    return True
