"""Settings that nobody filled in, such as `${NOVITA_API_KEY}` from a host that expands no variables, and what is pasted
around texts.

It imports little, because settings are read before anything else.
"""

import re
import unicodedata
from collections.abc import Mapping

_VARIABLE = re.compile(r"\$\{(?P<braced>[^{}]*)\}|\$(?P<plain>[A-Z_][A-Z0-9_]*)|%(?P<windows>[A-Z_][A-Z0-9_]*)%")
_BLANK = re.compile(r"\$?\{\{[^{}]*\}\}|<[^<>]*>|(?i:your[-_ ]?(?:novita)?[-_ ]?(?:api)?[-_ ]?key.*)")
_NO_KEY = re.compile(r"(?i)none|null|undefined|todo|change_?me|op://.*|(?:sk[-_])?(?:x{3,}|\*{3,}|\.{3,}).*")
"""Placeholders found in configurations in place of a key: a word for "nothing", a vault's address, dots."""


def unfilled(text: str) -> str | None:
    """The placeholder in a text, if it is one that should have been replaced by a value; otherwise None."""
    found = _VARIABLE.search(text) or _BLANK.fullmatch(text.strip())
    return found[0] if found else None


def unfilled_key(text: str) -> str | None:
    """The same for a key, for which more placeholders are known."""
    found = _NO_KEY.fullmatch(text.strip())
    return unfilled(text) or (found[0] if found else None)


def bare(text: str) -> str:
    """A key or an address without the spaces, invisible characters and quotes that were pasted around it."""
    seen = "".join(one for one in text if unicodedata.category(one) not in ("Cf", "Zs") or one == " ").strip()
    while len(seen) > 1 and (seen[0], seen[-1]) in _QUOTES:
        seen = seen[1:-1].strip()
    return seen


_QUOTES = (('"', '"'), ("'", "'"), ("`", "`"), ("“", "”"), ("‘", "’"))


def bare_key(text: str) -> str:
    """As `bare`, and without a header's "Bearer" before the key."""
    return re.sub(r"(?i)^(?:authorization:\s*)?bearer\s+", "", bare(text))


def expand(text: str, environment: Mapping[str, str]) -> str:
    """A path with its environment variables expanded, as a shell does; unknown ones are kept."""

    def value(found: re.Match[str]) -> str:
        name = found["braced"] or found["plain"] or found["windows"] or ""
        return environment.get(name.removeprefix("env:"), found[0])

    return _VARIABLE.sub(value, text)


_AROUND = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»", "<": ">"}
_MARKDOWN = re.compile(r"!?\[[^\[\]]*\]\((.+)\)", re.DOTALL)


def unquoted(text: str) -> str:
    """A text without the blanks, invisible marks, quotation marks, brackets or Markdown around it."""
    bare = _trimmed(text)
    if (linked := _MARKDOWN.fullmatch(bare)) is not None:
        bare = linked[1].strip()
    while len(bare) > 1 and _AROUND.get(bare[0]) == bare[-1]:
        bare = _trimmed(bare[1:-1])
    return bare


def _trimmed(text: str) -> str:
    """The text without spaces at its ends and without the direction marks that Windows puts before a copied path."""
    ends = "".join({one for one in text[:8] + text[-8:] if unicodedata.category(one) == "Cf"})
    return text.strip().strip(ends).strip() if ends else text.strip()
