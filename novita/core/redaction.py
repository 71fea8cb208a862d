"""Removes secrets from texts. Everything that leaves the process passes through here.

A secret is known as long as the object that `learn` returned for it exists (a client keeps its key's), and a while
longer. Known secrets are found in plain form, escaped (URL, JSON, HTML), in hex, and in base64 at any of its three
offsets. A secret of fewer than six letters would be found within ordinary words, so it is hidden only in fields of its
own.
"""

import base64
import hashlib
import html
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, Literal, TypeGuard, TypeVar
from urllib.parse import parse_qsl, unquote
from weakref import WeakValueDictionary

from .json_text import is_object, is_row

T = TypeVar("T")

MARK = "[secret]"
SHORTEST = 6
"""The length below which a secret is not searched for in texts."""

_REMEMBERED = 256
"""How many secrets stay known after their holders are gone, because an answer with one may still come."""
_CUT = 12
"""The length from which on a part of a secret is hidden, too, at the place where a text was cut."""


class Known:
    """A secret and the forms it is searched in."""

    __slots__ = ("__weakref__", "_patterns", "folded", "forms", "word")

    def __init__(self, word: str) -> None:
        self.word = word
        self.folded = _folded(word) if len(word) >= _CUT else ""
        raw = word.encode("utf-8", "surrogatepass")
        cores = {*_base64_cores(raw, base64.b64encode), *_base64_cores(raw, base64.urlsafe_b64encode)}
        self.forms = (word, raw.hex(), raw.hex().upper(), *sorted(cores))
        self._patterns: dict[tuple[str, bool], re.Pattern[str]] = {}

    def spans(self, text: str, decoded: tuple[str, ...], folded: str) -> Iterator[tuple[int, int]]:
        """The spans of `text` that hold the secret. `decoded` is the text without escapes, `folded` as in `_folded`."""
        for form in self.forms:
            plain = form in text
            if plain or any(form in each for each in decoded):
                yield from (found.span() for found in self._pattern(form, not plain or bool(decoded)).finditer(text))
        start = folded.find(self.folded) if self.folded else -1
        while start >= 0:
            yield start, start + len(self.folded)
            start = folded.find(self.folded, start + 1)
        if len(self.word) >= _CUT:
            yield from self._cut(text)

    def _cut(self, text: str) -> Iterator[tuple[int, int]]:
        """The span of a part of the secret at a place where the text ends or was shortened."""
        half = self.word[: max(SHORTEST, len(self.word) // 2)]
        start = text.find(half)
        while start >= 0:
            length = len(half)
            while length < len(self.word) and text[start + length : start + length + 1] == self.word[length]:
                length += 1
            rest = text[start + length : start + length + 3]
            if not rest or rest[0] in "\n…" or rest == "...":
                yield start, start + length
            start = text.find(half, start + 1)

    def _pattern(self, form: str, escaped: bool) -> re.Pattern[str]:
        pattern = self._patterns.get((form, escaped))
        if pattern is None:
            body = _LINE_BREAK.join(map(_any_spelling, form)) if escaped else re.escape(form)
            if form not in self.forms[:3]:  # the letters beside a core of base64 hold bits of the secret too
                body = rf"[A-Za-z0-9+/_\-]{{0,2}}{body}[A-Za-z0-9+/_\-]{{0,2}}={{0,2}}"
            pattern = self._patterns[form, escaped] = re.compile(body)
        return pattern


_live: WeakValueDictionary[str, Known] = WeakValueDictionary()
_late: dict[str, OrderedDict[str, Known]] = {"key": OrderedDict(), "word": OrderedDict()}
_lock = threading.Lock()


def owner_of(api_key: str | None) -> str:
    """16 hex digits that identify a key without revealing it; "anonymous" if there is none."""
    if not api_key:
        return "anonymous"
    return hashlib.sha256(b"novita-mcp owner\0" + api_key.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def owner_of_subject(issuer: str, subject: str) -> str:
    """32 hex digits that identify a subject (a person who signed in) of an issuer.

    A key's digits are fewer, so that the two are never confused.
    """
    named = f"novita-mcp subject\0{issuer.rstrip('/')}\0{subject}"
    return hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def is_subject(owner: str) -> bool:
    """Whether an owner is a person who signed in, rather than the holder of a key."""
    return len(owner) == 32


def learn(secret: str | None, kind: Literal["key", "word"] = "word") -> Known | None:
    """Hide `secret` in everything that leaves this process, while the returned object exists and for a while after.

    Args:
        kind: "key" for callers' keys. Anybody may send many of these, so they must not push other secrets out.
    """
    word = (secret or "").strip()
    if len(word) < SHORTEST:
        return None
    with _lock:
        known = _live.get(word)
        if known is None:
            known = _live[word] = Known(word)
        late = _late[kind]
        late[word] = known
        late.move_to_end(word)
        while len(late) > _REMEMBERED:
            late.popitem(last=False)
    return known


def without_secrets(value: T, *secrets: str, but: Iterable[str] = ()) -> T:
    """`value` (text, or data made of texts, lists and dictionaries) without any known secret.

    Args:
        secrets: More of them.
        but: Secrets that this value is meant to show.
    """
    spared = frozenset(but)
    with _lock:
        known = [each for each in _live.values() if each.word not in spared]
    known += [each for each in map(_temporary, secrets) if each is not None]
    texts: list[str] = []
    _each_text(value, lambda text: texts.append(text) or text)
    # Search all texts at once first, because there is nearly always nothing to hide.
    whole = "\n".join(texts)
    unescaped, folded = decoded(whole), _folded(whole)
    met = [each for each in known if any(each.spans(whole, unescaped, folded))]
    if not met:
        return value
    return _each_text(value, lambda text: _hide(text, met))


def part_without_secrets(before: str, part: str, after: str) -> str:
    """A part of a longer text without any known secret, even one that is only partly in it.

    Args:
        before: The text before the part; `after`: the text behind it. Each as long as a secret can be.
    """
    whole = before + part + after
    with _lock:
        known = list(_live.values())
    unescaped, folded = decoded(whole), _folded(whole)
    spans = sorted(span for each in known for span in each.spans(whole, unescaped, folded))
    kept: list[str] = []
    at, end = len(before), len(before) + len(part)
    for start, stop in spans:
        if stop > at and start < end:
            kept += [whole[at : max(at, start)], MARK]
            at = stop
    return "".join([*kept, whole[at:end]])


def bytes_hold_secret(data: bytes) -> bool:
    """Whether `data` holds a known secret in plain form."""
    with _lock:
        known = [each.word for each in _live.values()]
    return any(word.encode("utf-8", "surrogatepass") in data for word in known)


def holds(value: Any, secret: str) -> bool:
    """Whether `value` holds this secret, however it is spelled there."""
    known = _temporary(secret)
    if known is None:
        return False
    found = False

    def look(text: str) -> str:
        nonlocal found
        found = found or bool(list(known.spans(text, decoded(text), _folded(text))))
        return text

    _each_text(value, look)
    return found


def shown_address(url: str) -> str:
    """An address without the user name and password in it."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{f'{MARK}@' if '@' in host else ''}{host.rpartition('@')[2]}{slash}{path}"


def redact(text: str, *secrets: str) -> str:
    """For errors and logs: `text` without known secrets and without what looks like a key or a password."""
    return _LOOKS.sub(MARK, without_secrets(text, *secrets))


def without_secrets_json(text: str, *secrets: str) -> str:
    """A text without secrets; if it is JSON, it stays valid. Values of credential fields are hidden, however short."""
    if text[:1] in ("{", "["):
        try:
            data: object = json.loads(text)
        except (ValueError, RecursionError):
            return without_secrets(text, *secrets)
        clean = without_secrets(without_credentials(data), *secrets)
        return text if clean == data else json.dumps(clean)
    return without_secrets(text, *secrets)


def without_credentials(data: Any) -> Any:
    """`data` with the values of fields hidden whose names say that they hold a password, a key or a token."""
    if is_object(data):
        return {
            name: MARK if isinstance(held, str) and held and is_credential(name) else without_credentials(held)
            for name, held in data.items()
        }
    if is_row(data):
        return [without_credentials(each) for each in data]
    return data


def credentials_in(data: Any) -> Iterator[str]:
    """The values in `data` of fields whose names say that they hold a password, a key or a token.

    A pair `{key: name, value: text}` (an environment variable) is such a field, and so is a parameter of a link.
    """
    if isinstance(data, str):
        if "?" in data and "://" in data:
            yield from (value for name, value in parse_qsl(data.partition("?")[2]) if is_credential(name))
    elif _is_mapping(data):
        fields = dict(data)
        if set(fields) >= {"key", "value"}:
            fields[fields["key"] if isinstance(fields["key"], str) else ""] = fields["value"]
        for name, held in fields.items():
            if isinstance(held, str) and held.strip("*•") and is_credential(name):
                yield held
            else:
                yield from credentials_in(held)
    elif is_row(data):
        for each in data:
            yield from credentials_in(each)


def learn_credentials(answer: T) -> T:
    """Return Novita's answer unchanged, and from now on hide its credentials in all other fields.

    They are stored nowhere, so they are learnt anew from every answer that shows them.
    """
    for word in credentials_in(answer):
        learn(word)
    return answer


def is_credential(name: Any) -> bool:
    """Whether a field of this name holds a secret."""
    return isinstance(name, str) and _CREDENTIAL.fullmatch(name) is not None


_CREDENTIAL = re.compile(
    r"(?i)(?:.*[_\-.])?(?:passw(?:or)?d|passphrase|secret|authorization|api[_\-]?key|access[_\-]?key|secret[_\-]?key"
    r"|private[_\-]?key|(?:access|auth|bearer|refresh|session|id)[_\-]?token|token|credentials?)"
    r"|[a-z0-9]+(?-i:Password|Passwd|Secret|ApiKey|AccessKey|SecretKey|PrivateKey|Token)"
)

_LOOKS = re.compile(
    r"""(?ix)
    \b(?:sk|nv|pk)[-_][A-Za-z0-9_\-]{8,}                       # keys by their looks
    | (?<=bearer\s)[A-Za-z0-9._~+/=\-]{8,}
    | (?<=password["'\s:=]{1})["'\s:=]{0,3}[^\s"',}&]{3,}
    """,
)

_LINE_BREAK = r"(?:\r?\n|\\r\\n|\\n)?"


def _temporary(secret: str) -> Known | None:
    word = secret.strip()
    return _forms_of(word) if len(word) >= SHORTEST else None


@lru_cache(256)
def _forms_of(word: str) -> Known:
    return Known(word)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with each of its texts changed, names of fields too; the same object where nothing is."""
    if isinstance(value, str):
        return change(value)
    if _is_mapping(value):
        return {_each_text(name, change): _each_text(held, change) for name, held in value.items()}
    if is_row(value):
        changed = [_each_text(each, change) for each in value]
        return changed if isinstance(value, list) else tuple(changed)
    return value


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _hide(text: str, known: Iterable[Known]) -> str:
    """`text` with every span that belongs to a secret replaced; spans that touch are one."""
    unescaped, folded = decoded(text), _folded(text)
    spans = sorted(span for each in known for span in each.spans(text, unescaped, folded))
    if not spans:
        return text
    marks = [found.span() for found in re.finditer(re.escape(MARK), text)]
    parts: list[str] = []
    end = 0
    for start, stop in spans:
        if any(first <= start and stop <= last for first, last in marks):
            continue  # "secret" may be somebody's password
        if start >= end:
            parts += [text[end:start], MARK]
        end = max(end, stop)
    return "".join([*parts, text[end:]])


def _folded(text: str) -> str:
    """`text` in lower case, with spaces for characters that a status line drops. It has the length of `text`, or is
    empty."""
    folded = text.lower().replace("_", " ").replace("-", " ")
    return folded if len(folded) == len(text) else ""


def decoded(text: str) -> tuple[str, ...]:
    """`text` with its escapes and line breaks decoded; empty if it has none."""
    found: list[str] = []
    if "%" in text:
        once = unquote(text, errors="replace")
        found += [once, once.replace("+", " "), unquote(once, errors="replace")]
    elif "+" in text:
        found.append(text.replace("+", " "))
    if "&" in text:
        found.append(html.unescape(text))
    if "\\" in text:
        once = _ESCAPE.sub(_unescape, text)
        found += [once, _ESCAPE.sub(_unescape, once)]
    if "\n" in text or "\\n" in text:
        found.append(re.sub(_LINE_BREAK, "", text))
    return tuple(each for each in dict.fromkeys(found) if each != text)


_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[\"'\\/])")


def _unescape(found: re.Match[str]) -> str:
    code = found[0][1:]
    return chr(int(code[1:], 16)) if code[0] in "ux" else code


@cache
def _any_spelling(letter: str) -> str:
    """A pattern that matches one letter in any escaped form."""
    ways = [re.escape(letter)]
    percent = "".join(f"%(?:25)?{byte:02x}" for byte in letter.encode("utf-8", "surrogatepass"))
    ways.append(f"(?i:{percent})")
    if letter == " ":
        ways.append(r"\+")
    code = ord(letter)
    if code < 0x10000:
        ways.append(rf"\\{{1,3}}(?i:u{code:04x})")
    if code < 0x100:
        ways.append(rf"\\{{1,3}}(?i:x{code:02x})")
    if letter in "\"'\\/":
        ways.append(r"\\{1,3}" + re.escape(letter))
    ways.append(rf"(?i:&\#(?:0*{code}|x0*{code:x});)")
    named = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}.get(letter)
    if named:
        ways.append(f"&{named};")
    return f"(?:{'|'.join(ways)})"


def _base64_cores(raw: bytes, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    """The base64 letters of `raw` within a longer encoded text: one form for each offset modulo three."""
    for before, first in ((0, 0), (1, 2), (2, 3)):
        whole = encode(bytes(before) + raw).decode()
        core = whole[first : (before + len(raw)) * 8 // 6]
        if len(core) >= SHORTEST:
            yield core
