"""Stores API keys in the system's keyring, by the package `keyring` (the extra novita-mcp[keyring]).

That package is imported only if the settings say `api_key = "keyring"`: finding a keyring takes time, and the system
may ask the user for a password.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from .config_file import ConfigFileError

T = TypeVar("T")
SERVICE = "novita-mcp"


class Ring(Protocol):
    """The functions of the package `keyring` that we use."""

    def get_password(self, service_name: str, username: str) -> str | None: ...
    def set_password(self, service_name: str, username: str, password: str) -> None: ...
    def delete_password(self, service_name: str, username: str) -> None: ...


def read_key(profile: str) -> str:
    """The key of a profile; an empty name means the settings outside any profile.

    Raises:
        ConfigFileError: This system has no keyring, it does not open, or it has no such key.
    """

    def read(ring: Ring) -> str | None:
        return ring.get_password(SERVICE, _name_of(profile))

    if found := _asked(read):
        return found
    named = f" --profile {profile}" if profile else ""
    raise ConfigFileError(f"the keyring has no key yet: `novita-mcp key set{named}` asks for it and keeps it")


def keep_key(profile: str, key: str) -> None:
    """Store a key in the keyring.

    Raises:
        ConfigFileError: This system has no keyring, or it does not open.
    """

    def keep(ring: Ring) -> None:
        ring.set_password(SERVICE, _name_of(profile), key)

    _asked(keep)


def forget_key(profile: str) -> bool:
    """Remove a key from the keyring. Returns whether there was one.

    Raises:
        ConfigFileError: This system has no keyring, or it does not open.
    """

    def forget(ring: Ring) -> bool:
        if ring.get_password(SERVICE, _name_of(profile)) is None:
            return False
        ring.delete_password(SERVICE, _name_of(profile))
        return True

    return _asked(forget)


def _name_of(profile: str) -> str:
    """The name under which the keyring shows the key."""
    return f"profile {profile}" if profile else "default"


def _asked(ask: Callable[[Ring], T]) -> T:
    try:
        import keyring
        import keyring.errors
    except ImportError as error:
        raise ConfigFileError("the package keyring is not installed: pip install 'novita-mcp[keyring]'") from error
    try:
        return ask(keyring)
    except keyring.errors.NoKeyringError as error:
        raise ConfigFileError("this system has no keyring that could be used") from error
    except keyring.errors.KeyringError as error:
        raise ConfigFileError(f"the keyring does not open: {error or type(error).__name__}") from error
