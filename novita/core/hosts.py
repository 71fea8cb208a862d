"""Novita's hosts, and checks of addresses. Kept apart from the client, which is slow to import, for the settings."""

import ipaddress
import re
from urllib.parse import urlsplit

from .placeholders import bare

API_HOST = "https://api.novita.ai"
ASSET_HOST = "https://assets.novitai.com"
"""Takes the videos that some tasks work on."""


def is_novita_itself(url: str) -> bool:
    """Whether an address is Novita's API, however it is spelt; any other is a simulator or stand-in."""
    return (urlsplit(url).hostname or "").rstrip(".").lower() == urlsplit(API_HOST).hostname


def base_address(text: str) -> str:
    """The base address of Novita's API from an address that people paste, without the path of a part of the API.

    OpenAI's clients use `https://api.novita.ai/openai/v1`, and examples name `/v3`; our routes add those parts.
    Novita's own host is always called by https, even if the scheme is missing. Any other address is kept as it is.
    """
    pasted = bare(text)
    whole = pasted if "://" in pasted else f"https://{pasted}"
    try:
        if is_novita_itself(whole) and urlsplit(whole).port in (None, 80, 443):
            return API_HOST
    except ValueError:  # not an address; `address_problem` reports it
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
    """What is wrong with an http(s) address in a setting; None if it is valid. The text does not quote the address."""
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
