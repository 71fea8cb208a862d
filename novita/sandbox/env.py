"""Variables for a sandbox. Secrets are handled apart, and Novita's own key is never passed on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..core.errors import InputError
from ..core.redaction import SHORTEST, Known, learn, redact

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SECRET_WORD = re.compile(
    r"(?i)(?:password|passwd|passphrase|secret|token|api_?key|pgpass"  # at the end of a name
    r"|(?:^|_)(?:access_?key|private_?key|key|pass|pwd|credential|cred|auth|authorization|bearer|cookie|session_?id"
    r"|jwt|dsn|connection_?string|(?:database|db|mongo|redis|postgres|postgresql|mysql|amqp)_?(?:url|uri)))"
    r"s?(?:_?(?:id|value|[0-9]+))?$"
)
_SECRET_LOOKS = re.compile(
    r"(?:ghp|gho|ghs|github_pat|glpat|xox[abp]|hf|sk|pk|rk|nvta?)[-_][A-Za-z0-9_\-]{12,}|AKIA[0-9A-Z]{16}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.|-----BEGIN [A-Z ]*PRIVATE KEY|[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]+@"
)
LONGEST = 32 * 1024


@dataclass(frozen=True)
class Env:
    """Checked variables: `plain` may be shown; `secret` are hidden from every text that leaves the process."""

    plain: Mapping[str, str] = field(default_factory=dict[str, str])
    secret: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    _known: tuple[Known | None, ...] = field(default=(), repr=False, compare=False)

    @property
    def all(self) -> dict[str, str]:
        return {**self.plain, **self.secret}


def looks_secret(name: str, value: str) -> bool:
    """Whether the name or the value of a variable shows that it is secret."""
    return _SECRET_WORD.search(name) is not None or _SECRET_LOOKS.search(value) is not None or redact(value) != value


def check_env(plain: Mapping[str, str] | None, secret: Mapping[str, str] | None, *, own_key: str | None = None) -> Env:
    """Variables for a sandbox, checked.

    Args:
        own_key: The key that Novita is called with. Code in a sandbox could spend with it.

    Raises:
        InputError: A name is none, a value is too long, a secret stands among what may be shown, or it is the own key.
    """
    plain, secret = dict(plain or {}), dict(secret or {})
    for name, value in (*plain.items(), *secret.items()):
        if not _NAME.fullmatch(name):
            raise InputError(f"{name[:60]!r} is no name for an environment variable")
        if "\0" in value or len(value) > LONGEST:
            raise InputError(f"The value of {name} is longer than {LONGEST} letters, or holds a NUL")
        if own_key and own_key in value:
            raise InputError(
                f"{name} holds this server's own Novita key, which is never put into a sandbox: code in it could spend",
                next_step="Use another key, made for that purpose, in secret_env.",
            )
    if short := [name for name, value in secret.items() if len(value.strip()) < SHORTEST]:
        raise InputError(
            f"The secret in {short[0]} has fewer than {SHORTEST} letters: it could not be told from ordinary words",
            next_step="Give a longer one, or put it in env if it may be seen.",
        )
    if both := sorted(plain.keys() & secret.keys()):
        raise InputError(f"{both[0]} is in env and in secret_env")
    for name, value in plain.items():
        if looks_secret(name, value):
            raise InputError(
                f"{name} looks like a secret, and values in env are shown and kept",
                next_step=f"Give it in secret_env instead ({{{name!r}: ...}}): there it is hidden from every answer.",
            )
    return Env(plain, secret, tuple(learn(value) for value in secret.values()))
