"""Keeps half emojis (lone surrogates) out of all texts that come in or go out.

JavaScript hosts cut texts in the middle of an emoji, and streams deliver its halves in two pieces. Python keeps such
halves in a `str`, but UTF-8 cannot encode them, so a later write fails. Adjacent halves are therefore joined, and a
lone one becomes U+FFFD, as in JavaScript's `toWellFormed`.
"""

import re

_RAW_HALF = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
"""A half encoded as three bytes, which UTF-8 forbids; Java and old databases do so (CESU-8)."""

_ESCAPED = re.compile(
    r"""(?xs)
    \\u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2}  # both halves: one character
    | (?P<alone> \\u[dD][89a-fA-F][0-9a-fA-F]{2} )
    | \\.                                                        # so that an escaped backslash is no beginning
    """
)


def well_formed(text: str) -> str:
    """`text` without halves: those that follow each other joined, the others U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


_LETTERS = re.compile(rb"[\x00-\x7f\xc0-\xfd]*")


def text_of(data: bytes) -> str:
    """Bytes that should be UTF-8 as text. What is not UTF-8 becomes U+FFFD.

    Bytes that are ASCII and Western letters of Latin-1, as old proxies write them, are read as such. Such a text has
    none of the bytes that continue a character in UTF-8, so a character that was cut is not mistaken for one.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1") if _LETTERS.fullmatch(data) else data.decode("utf-8", "replace")


def well_formed_text_of_json(data: bytes | str) -> str:
    """A JSON text without halves, whether plain or escaped, and without a byte order mark.

    Bytes that are not UTF-8 are read as `text_of` does. Invalid JSON stays invalid.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        escaped = _RAW_HALF.sub(lambda half: f"\\u{ord(half[0].decode('utf-8', 'surrogatepass')):04x}".encode(), data)
        text = text_of(escaped.removeprefix(b"\xef\xbb\xbf"))
    if "\\ud" in text or "\\uD" in text:
        text = _ESCAPED.sub(lambda found: "\\ufffd" if found["alone"] else found[0], text)
    return text
