"""Settings that nobody filled in: `${NOVITA_API_KEY}` as a host passes it on that expands nothing.

Light on purpose: settings are read before anything else is imported.
"""

import re
import unicodedata
from collections.abc import Mapping

_VARIABLE = re.compile(r"\$\{(?P<braced>[^{}]*)\}|\$(?P<plain>[A-Z_][A-Z0-9_]*)|%(?P<windows>[A-Z_][A-Z0-9_]*)%")
_BLANK = re.compile(r"\$?\{\{[^{}]*\}\}|<[^<>]*>|(?i:your[-_ ]?(?:novita)?[-_ ]?(?:api)?[-_ ]?key.*)")
_NO_KEY = re.compile(r"(?i)none|null|undefined|todo|change_?me|op://.*|(?:sk[-_])?(?:x{3,}|\*{3,}|\.{3,}).*")
"""What stands in configurations where a key should: nothing set, a vault's address, an example's dots."""


def unfilled(text: str) -> str | None:
    """What stands in a key's place, if it is no key but what should have become one."""
    found = _VARIABLE.search(text) or _BLANK.fullmatch(text.strip())
    return found[0] if found else None


def unfilled_key(text: str) -> str | None:
    """The same of a key, where still more is known to be none."""
    found = _NO_KEY.fullmatch(text.strip())
    return unfilled(text) or (found[0] if found else None)


def bare(text: str) -> str:
    """A key or an address without what was pasted around it: blanks, marks that nobody sees, quotes."""
    seen = "".join(one for one in text if unicodedata.category(one) not in ("Cf", "Zs") or one == " ").strip()
    while len(seen) > 1 and (seen[0], seen[-1]) in _QUOTES:
        seen = seen[1:-1].strip()
    return seen


_QUOTES = (('"', '"'), ("'", "'"), ("`", "`"), ("“", "”"), ("‘", "’"))


def bare_key(text: str) -> str:
    """A key without what was pasted around it, and without what a header says before it."""
    return re.sub(r"(?i)^(?:authorization:\s*)?bearer\s+", "", bare(text))


def expand(text: str, environment: Mapping[str, str]) -> str:
    """A path with the variables of the environment in it written out, as a shell does; unknown ones stay."""

    def value(found: re.Match[str]) -> str:
        name = found["braced"] or found["plain"] or found["windows"] or ""
        return environment.get(name.removeprefix("env:"), found[0])

    return _VARIABLE.sub(value, text)
