"""Where Novita is, and which hosts can be. Apart from the client, which is heavy: settings are read before any call."""

import ipaddress
import re
from urllib.parse import urlsplit

API_HOST = "https://api.novita.ai"
ASSET_HOST = "https://assets.novitai.com"
"""Takes the videos that some tasks work on."""


def is_novita_itself(url: str) -> bool:
    """Whether an address is the API's own, however it is spelt; all others are simulators and stand-ins."""
    return (urlsplit(url).hostname or "").rstrip(".").lower() == urlsplit(API_HOST).hostname


_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def host_can_be(host: str) -> bool:
    """Whether a host, in ASCII, can be one: an IPv6 address without brackets, or labels with dots between."""
    if ":" in host:
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError:
            return False
        return True
    bare = host.removesuffix(".")
    return len(bare) <= 253 and all(_LABEL.fullmatch(label) for label in bare.split("."))


def address_problem(url: str) -> str | None:
    """What is wrong with an http(s) address that somebody set; None where it is one. The address is not repeated."""
    try:
        parsed = urlsplit(url)
        host, port = parsed.hostname or "", parsed.port
        if parsed.scheme not in ("http", "https") or not host:
            return "is no whole http(s) address"
        if not host.isascii() or "xn--" in host:
            import idna  # not at every start: such hosts are rare

            host = idna.encode(host if host.isascii() else host.lower()).decode("ascii")
            idna.decode(host)
    except ValueError:  # a bracket that is not closed, a port that is none, a name that cannot be coded
        return "is malformed"
    if not host_can_be(host):
        return "names a host that cannot be"
    return f"has a port that cannot be ({port})" if port == 0 else None
