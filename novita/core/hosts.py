"""Where Novita is, and which hosts can be. Apart from the client, which is heavy: settings are read before any call."""

import ipaddress
import re
from urllib.parse import urlsplit

from .placeholders import bare

API_HOST = "https://api.novita.ai"
ASSET_HOST = "https://assets.novitai.com"
"""Takes the videos that some tasks work on."""


def is_novita_itself(url: str) -> bool:
    """Whether an address is the API's own, however it is spelt; all others are simulators and stand-ins."""
    return (urlsplit(url).hostname or "").rstrip(".").lower() == urlsplit(API_HOST).hostname


def base_address(text: str) -> str:
    """Where Novita is, from an address as people paste it: without the path of a part of the API, which is added here.

    OpenAI's clients are set to `https://api.novita.ai/openai/v1`, and examples name `/v3`. What is Novita's own host is
    Novita's own address, also without a scheme, and never in the clear. Anything else stays, malformed or not.
    """
    pasted = bare(text)
    whole = pasted if "://" in pasted else f"https://{pasted}"
    try:
        if is_novita_itself(whole) and urlsplit(whole).port in (None, 80, 443):
            return API_HOST
    except ValueError:  # no address; whoever asks for one says so
        return pasted
    return _PART_OF_THE_API.sub("", pasted)


_PART_OF_THE_API = re.compile(
    r"(?i)(?:/+v3(?:/+async)?|(?:/+v3)?/+openai(?:/+v1)?(?:/+chat/+completions|/+models)?)?/*$"
)


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
