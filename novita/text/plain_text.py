"""Text files in whatever encoding people's programs wrote them."""

from ..core.errors import InputError
from ..core.wellformed import well_formed

_FOREIGN = 1 / 3
"""Share of letters beyond ASCII up to which a text without an encoding is taken for Windows' Western European one."""


def decoded(data: bytes, name: str) -> str:
    """The text of a file: UTF-8, UTF-16 or UTF-32, with or without its mark, or Windows' Western European.

    Raises:
        InputError: It is none of these.
    """
    encoding = _encoding_of(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = _western(data)
    if text is None or "\0" in text[:4096]:
        raise InputError(f"{name} is no text in an encoding that is known", next_step="Save it as UTF-8.")
    return well_formed(text).removeprefix("\ufeff")


def _encoding_of(data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16")):
        if data.startswith(mark):
            return encoding
    if data.startswith(b"\xfe\xff"):
        return "utf-16"
    head = data[:1024]
    if head[1::2].count(0) > len(head) // 4 and not head[::2].count(0):
        return "utf-16-le"
    if head[::2].count(0) > len(head) // 4 and not head[1::2].count(0):
        return "utf-16-be"
    return "utf-8"


def _western(data: bytes) -> str | None:
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    foreign = sum(not letter.isascii() for letter in text)
    return text if foreign <= _FOREIGN * sum(letter.isalpha() for letter in text) else None
