"""Parses links from callers and storages in one place: complete http(s) addresses with a possible host name."""

import re

import httpx

from ..core.errors import InputError
from ..core.hosts import host_can_be

_PORT = re.compile(r"[^/?#]*//[^/?#]*:(\d+)(?:[/?#]|$)")
"""A port also in the digits of other scripts, which httpx reads and no other program does."""
_WHOLE = "Give a whole http(s) address, such as https://example.com/fox.png."


def parse_link(text: str, what: str = "The link") -> httpx.URL:
    """The parsed link.

    Args:
        what: What error texts call the link. They never repeat the link itself, since it may carry a signature.

    Raises:
        InputError: The link is malformed, is no http(s) link, has an impossible host name, or carries a password.
    """
    try:
        url = httpx.URL(text)
        host, _ = url.raw_host.decode("ascii"), url.host  # read here, since each reading decodes the name and may fail
    except (httpx.InvalidURL, ValueError) as error:  # impossible host names raise several kinds of ValueError
        raise InputError(f"{what} is malformed", next_step=_WHOLE) from error
    if url.scheme not in ("http", "https"):
        raise InputError(f"{what} is no http or https link", next_step=_WHOLE)
    if not host:
        raise InputError(f"{what} has no host", next_step=_WHOLE)
    if url.userinfo or "\\" in text:
        raise InputError(f"{what} carries a user name or password, or a backslash", next_step="Give one without.")
    if url.port is not None and not 1 <= url.port <= 65_535:
        raise InputError(f"{what} is malformed: there is no port {url.port}", next_step=_WHOLE)
    if (port := _PORT.match(text)) and not port[1].isascii():
        raise InputError(f"{what} is malformed: its port is not written in the digits 0 to 9", next_step=_WHOLE)
    if not host_can_be(host):
        raise InputError(f"{what} is malformed: a host cannot have this name", next_step=_WHOLE)
    return url
