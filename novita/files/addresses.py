"""Decides which addresses may be fetched: none inside our own network, unless it was named as trusted.

A host name is looked up once, all its IP addresses are judged, and the connection goes to a judged address itself.
Looking the name up again to connect would let a hostile name server give another answer the second time.
Written by hand: no library keeps httpx to the address that was judged.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import anyio
import httpx

from ..core.network.surroundings import Surroundings

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Reach = Literal["public", "private", "forbidden"]
Route = Literal["direct", "proxy", "bypass"]
"""How a host is reached: "direct" if no proxy is set up, "proxy" through it, "bypass" if it does not apply to the host.
"""

# Azure's host agent answers on a public address; every other metadata service is link-local or private.
_METADATA = frozenset({"168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254"})
_LOCAL_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


class AddressError(ValueError):
    """The address may not be fetched. The text says why, and of the address it names only the host."""


class UnknownHostError(AddressError):
    """The host name has no IP address."""


async def look_up(host: str, port: int) -> Sequence[str]:
    """The IP addresses of a host name, from the system's resolver."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def reach(address: str) -> Reach:
    """Whether an IP address is public, private, or forbidden to everyone (link-local and metadata)."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _inner(ip)
        if inner is not None:
            return reach(str(inner))
    if str(ip) in _METADATA or ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        return "forbidden"
    return "public" if ip.is_global else "private"


def _inner(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for: mapped, 6to4, NAT64, or the old compatible form."""
    if ip.ipv4_mapped or ip.sixtofour:
        return ip.ipv4_mapped or ip.sixtofour
    packed = ip.packed
    if packed.startswith(bytes.fromhex("0064ff9b0000000000000000")):
        return ipaddress.IPv4Address(packed[12:])
    if not any(packed[:12]) and int(ip) > 1:
        return ipaddress.IPv4Address(packed[12:])
    return None


def literal(host: str) -> str | None:
    """The IP address if the host is written as one, also in old spellings (`127.1`, `0x7f000001`, `2130706433`)."""
    bare = host.strip("[]").partition("%")[0]
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(bare)) if bare[:1].isdigit() else None
    except OSError:
        return None


@dataclass(frozen=True)
class Hop:
    """An address that was judged.

    Args:
        connect: The IP addresses to try until one answers. If there are none, the HTTP client looks up the name.
        private: Whether the address lies inside our own network.
    """

    url: httpx.URL
    connect: Sequence[str]
    private: bool

    def requests(self, headers: Mapping[str, str], timeout: httpx.Timeout) -> list[httpx.Request]:
        """GET requests to try in order until one connects.

        They carry only these headers, so that no key, no cookie and no default header of the client is sent along.
        """
        extensions: dict[str, object] = {"timeout": timeout.as_dict()}
        if not self.connect:
            return [httpx.Request("GET", self.url, headers=headers, extensions=extensions)]
        extensions["sni_hostname"] = self.url.raw_host.decode("ascii")
        # The connection is made to an IP address. It must not be kept and reused for another host name there.
        headers = {"Host": self.url.netloc.decode("ascii"), "Connection": "close", **headers}
        urls = [self.url.copy_with(host=address) for address in self.connect]
        return [httpx.Request("GET", url, headers=headers, extensions=extensions) for url in urls]


@dataclass(frozen=True)
class Guard:
    """Judges addresses before they are fetched.

    Args:
        trusted_hosts: Each a `host` or `host:port` that may be fetched wherever it lies (the simulator's
            `127.0.0.1:8123`).
        allow_private: Whether a link from the user may lead into the user's own network. A redirect from a public
            server never may, and link-local and metadata addresses are always refused.
    """

    trusted_hosts: Collection[str] = ()
    allow_private: bool = False
    resolve: Resolve = look_up

    def trusts(self, url: httpx.URL) -> bool:
        port = url.port or (443 if url.scheme == "https" else 80)
        return url.host in self.trusted_hosts or f"{url.host}:{port}" in self.trusted_hosts

    def glance(self, url: httpx.URL) -> Reach | None:
        """What a host shows without asking the resolver; None for an ordinary name."""
        ip = literal(url.host)
        if ip is not None:
            return reach(ip)
        name = url.host.casefold().rstrip(".")
        if name == "localhost" or name.endswith(_LOCAL_NAMES) or "." not in name:
            return "forbidden" if name.startswith("metadata.") else "private"
        return None

    async def judge(self, url: httpx.URL, *, before: Hop | None = None, route: Route = "direct") -> Hop:
        """The judged hop to take for `url`.

        Args:
            before: The hop that redirected here.
            route: Through a proxy only the written address is judged and no name is looked up: the proxy looks names
                up itself, and often no other resolver can be reached.

        Raises:
            AddressError: The address may not be fetched.
        """
        if url.scheme not in ("http", "https") or not url.host:
            raise AddressError("it is not an http or https link")
        if url.userinfo:
            raise AddressError("the link carries a user name or password")
        if self.trusts(url):
            return Hop(url, (), private=False)
        if before is not None and before.url.scheme == "https" and url.scheme == "http":
            raise AddressError(f"it redirects from https to plain http ({url.host})")
        allowed = self.allow_private and (before is None or before.private)
        known, number = self.glance(url), literal(url.host)
        if known == "forbidden":
            raise AddressError(f"{url.host} is a link-local or metadata address")
        if known == "private" and not allowed:
            raise AddressError(f"{url.host} is a private address")
        if number is not None:
            addresses: Sequence[str] = (number,)
        else:
            addresses = () if route == "proxy" else await self._addresses(url)
        judged = {known, *(reach(address) for address in addresses)}
        if "forbidden" in judged:
            raise AddressError(f"{url.host} is a link-local or metadata address")
        private = "private" in judged
        if private and not allowed:
            raise AddressError(f"{url.host} is a private address")
        return Hop(url, addresses if route == "direct" else (), private)

    async def _addresses(self, url: httpx.URL) -> Sequence[str]:
        try:
            found = await self.resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
        except (OSError, UnicodeError) as error:
            raise UnknownHostError(f"the host {url.host} was not found") from error
        if not found:
            raise UnknownHostError(f"the host {url.host} was not found")
        return found


def route_to(http: httpx.AsyncClient, url: httpx.URL) -> Route:
    """How `url` is reached from here: directly, through the proxy, or past it."""
    around = Surroundings.read() if http.trust_env else Surroundings({})
    if not (around.proxies.get(url.scheme) or around.proxies.get("all")):
        return "direct"
    return "proxy" if around.proxy_for(url) else "bypass"
