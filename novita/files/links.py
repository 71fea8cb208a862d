"""Links that callers and storages give, parsed in one place: whole http(s) addresses of hosts that can be."""

import httpx

from ..core.errors import InputError
from ..core.hosts import host_can_be

_WHOLE = "Give a whole http(s) address, such as https://example.com/fox.png."


def parse_link(text: str, what: str = "The link") -> httpx.URL:
    """The parsed link.

    Args:
        what: How errors call it. The link itself is never repeated: it may carry a signature.

    Raises:
        InputError: It is malformed, no http(s) link, has no host that can be, or carries a password.
    """
    try:
        url = httpx.URL(text)
        host, _ = url.raw_host.decode("ascii"), url.host  # read here: it is decoded with every look
    except (httpx.InvalidURL, ValueError) as error:  # hosts that cannot be coded are ValueErrors of several kinds
        raise InputError(f"{what} is malformed", next_step=_WHOLE) from error
    if url.scheme not in ("http", "https"):
        raise InputError(f"{what} is no http or https link", next_step=_WHOLE)
    if not host:
        raise InputError(f"{what} has no host", next_step=_WHOLE)
    if url.userinfo or "\\" in text:
        raise InputError(f"{what} carries a user name or password, or a backslash", next_step="Give one without.")
    if url.port is not None and not 1 <= url.port <= 65_535:
        raise InputError(f"{what} is malformed: there is no port {url.port}", next_step=_WHOLE)
    if not host_can_be(host):
        raise InputError(f"{what} is malformed: no host can be called that", next_step=_WHOLE)
    return url
