"""API keys in the system's own keyring, for those who have the package `keyring` (novita-mcp[keyring]).

It is imported only where `api_key = "keyring"` says so: finding a keyring takes time, and may ask for a password.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from .config_file import ConfigFileError

T = TypeVar("T")
SERVICE = "novita-mcp"


class Ring(Protocol):
    """What the package offers."""

    def get_password(self, service_name: str, username: str) -> str | None: ...
    def set_password(self, service_name: str, username: str, password: str) -> None: ...
    def delete_password(self, service_name: str, username: str) -> None: ...


def read_key(profile: str) -> str:
    """The key of a profile, or of no profile.

    Raises:
        ConfigFileError: There is no keyring here, it does not open, or it has no such key.
    """

    def read(ring: Ring) -> str | None:
        return ring.get_password(SERVICE, _name_of(profile))

    if found := _asked(read):
        return found
    named = f" --profile {profile}" if profile else ""
    raise ConfigFileError(f"the keyring has no key yet: `novita-mcp key set{named}` asks for it and keeps it")


def keep_key(profile: str, key: str) -> None:
    """Keep a key.

    Raises:
        ConfigFileError: There is no keyring here, or it does not open.
    """

    def keep(ring: Ring) -> None:
        ring.set_password(SERVICE, _name_of(profile), key)

    _asked(keep)


def forget_key(profile: str) -> bool:
    """Take a key out; whether there was one.

    Raises:
        ConfigFileError: There is no keyring here, or it does not open.
    """

    def forget(ring: Ring) -> bool:
        if ring.get_password(SERVICE, _name_of(profile)) is None:
            return False
        ring.delete_password(SERVICE, _name_of(profile))
        return True

    return _asked(forget)


def _name_of(profile: str) -> str:
    """Under which name the keyring shows it."""
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
