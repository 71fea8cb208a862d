"""Settings that nobody filled in: `${NOVITA_API_KEY}` as a host passes it on that expands nothing.

Light on purpose: settings are read before anything else is imported.
"""

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\$\{(?P<braced>[^{}]*)\}|\$(?P<plain>[A-Z_][A-Z0-9_]*)|%(?P<windows>[A-Z_][A-Z0-9_]*)%")
_BLANK = re.compile(r"\{\{[^{}]*\}\}|<[^<>]*>|(?i:your[-_ ]?(?:novita)?[-_ ]?(?:api)?[-_ ]?key.*)")


def unfilled(text: str) -> str | None:
    """What stands in a key's place, if it is no key but what should have become one."""
    found = _VARIABLE.search(text) or _BLANK.fullmatch(text.strip())
    return found[0] if found else None


def expand(text: str, environment: Mapping[str, str]) -> str:
    """A path with the variables of the environment in it written out, as a shell does; unknown ones stay."""

    def value(found: re.Match[str]) -> str:
        name = found["braced"] or found["plain"] or found["windows"] or ""
        return environment.get(name.removeprefix("env:"), found[0])

    return _VARIABLE.sub(value, text)
