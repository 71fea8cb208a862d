"""Proxies, hosts that need none, and certificates, as this machine's environment sets them.

httpx reads the same variables, but a single unusable one makes it fail for every host, with an error that does not
name the variable. Here each variable is read when a request needs it, and an error names it.
"""

import errno
import importlib.util
import ipaddress
import os
import re
import socket
import ssl
import urllib.request
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import certifi
import httpx

from ..placeholders import unfilled
from ..redaction import shown_address

_SCHEMES = ("http", "https", "socks5")
_NO_NETWORK = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})

_served_here: set[str] = set()


@contextmanager
def served_here(url: str) -> Generator[None]:
    """Within the block, call this address without a proxy, because this process itself serves it."""
    place = httpx.URL(url).netloc.decode("ascii")
    _served_here.add(place)
    try:
        yield
    finally:
        _served_here.discard(place)


class SettingOfTheWayError(httpx.ConnectError):
    """An environment variable that cannot be used has stopped a request. Nothing was sent.

    Args:
        what: The variable, and what is wrong with it.
        mend: How to fix it.
    """

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.mend = mend


class Proxy(NamedTuple):
    """A proxy and the variable that names it."""

    setting: str
    url: str

    @property
    def shown(self) -> str:
        """Its address without the password."""
        return shown_address(self.url).rpartition("@")[2].removeprefix(f"{self.url.partition('://')[0]}://").rstrip("/")


@dataclass(frozen=True)
class Surroundings:
    """The settings of the environment, read once.

    Args:
        proxies: Scheme of the requested address (`http`, `https`, or `all`) -> its proxy.
        exceptions: Hosts, domains and networks that need no proxy.
        system: Whether the proxies come from the operating system (Windows, macOS), which has its own exceptions.
    """

    proxies: Mapping[str, Proxy]
    exceptions: tuple[str, ...] = ()
    system: bool = False

    @staticmethod
    def read() -> "Surroundings":
        """Read the environment as it is now."""
        found = urllib.request.getproxies()
        proxies = {
            scheme: Proxy(_setting(scheme), url if "://" in url else f"http://{url}")
            for scheme in ("http", "https", "all")
            if (url := found.get(scheme, "").strip())
        }
        exceptions = tuple(entry for entry in re.split(r"[\s,]+", found.get("no", "").lower()) if entry)
        return Surroundings(proxies, exceptions, system=not urllib.request.getproxies_environment())

    def proxy_for(self, url: httpx.URL) -> Proxy | None:
        """The proxy to ask for `url`, if any."""
        proxy = self.proxies.get(url.scheme) or self.proxies.get("all")
        if proxy is None or url.netloc.decode("ascii") in _served_here:
            return None
        if any(_covers(entry, url) for entry in self.exceptions):
            return None
        return None if self.system and urllib.request.proxy_bypass(url.host) else proxy

    def problems(self) -> Iterator[SettingOfTheWayError]:
        """All settings that cannot be used, for any host."""
        for proxy in dict.fromkeys(self.proxies.values()):
            try:
                check_proxy(proxy)
            except SettingOfTheWayError as error:
                yield error
        try:
            certificates()
        except SettingOfTheWayError as error:
            yield error


def _setting(scheme: str) -> str:
    name = f"{scheme}_proxy"
    return next((found for found in (name, name.upper()) if os.environ.get(found)), f"the system's {scheme} proxy")


def _covers(entry: str, url: httpx.URL) -> bool:
    """Whether an entry of NO_PROXY, in lower case, means this host: `*`, a domain, an address or a network."""
    scheme, slashes, rest = entry.rpartition("://")
    if slashes and scheme not in (url.scheme, "all"):
        return False
    if rest == "*":
        return True
    place, mark, port = _parted(rest)
    if mark and port != str(url.port or {"https": 443}.get(url.scheme, 80)):
        return False
    host = url.host.lower().rstrip(".")
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(place, strict=False)
    except ValueError:
        domain = place.removeprefix("*").strip(".")
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _parted(entry: str) -> tuple[str, str, str]:
    """Host or network, a colon if there is one, and the port. IPv6 stands in brackets, or without a port."""
    bracketed = re.fullmatch(r"\[(?P<host>[^\]]*)\](?P<size>/\d+)?(?P<mark>:?)(?P<port>\d*)", entry)
    if bracketed:
        return bracketed["host"] + (bracketed["size"] or ""), bracketed["mark"], bracketed["port"]
    return (entry, "", "") if entry.count(":") > 1 else entry.partition(":")


def check_proxy(proxy: Proxy) -> httpx.Proxy:
    """The proxy as httpx takes it.

    Raises:
        SettingOfTheWayError: We cannot use this proxy.
    """
    mend = f"Correct or unset {proxy.setting}: it should look like http://host:port or socks5://host:port."
    if left := unfilled(proxy.url):
        raise SettingOfTheWayError(f"{proxy.setting} was not filled in: {left[:60]} stands in it", mend)
    scheme, _, rest = proxy.url.partition("://")
    scheme = scheme.lower()
    if scheme in ("socks", "socks5h"):  # GNOME's and curl's names; older versions of httpx know only "socks5"
        proxy, scheme = proxy._replace(url=f"socks5://{rest}"), "socks5"
    if scheme not in _SCHEMES:
        raise SettingOfTheWayError(f"{proxy.setting} names a kind of proxy that is not known here ({scheme})", mend)
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        mend = "Have the package socksio installed beside this server, or name another proxy."
        raise SettingOfTheWayError(f"{proxy.setting} names a SOCKS proxy, which needs the package socksio", mend)
    try:
        # httpx always lets the proxy resolve names, as "socks5h" asks for.
        asked = httpx.Proxy(proxy.url, ssl_context=certificates() if scheme == "https" else None)
        host, port = asked.url.host, asked.url.port
    except (httpx.InvalidURL, ValueError) as error:
        raise SettingOfTheWayError(f"{proxy.setting} is no address of a proxy", mend) from error
    if not host or (port is not None and not 1 <= port <= 65_535):
        raise SettingOfTheWayError(f"{proxy.setting} is no address of a proxy", mend)
    return asked


def certificates() -> ssl.SSLContext:
    """The certificates to trust: those that SSL_CERT_FILE or SSL_CERT_DIR names, else certifi's.

    Reading them takes as long as ten calls, so every pool of the process is given the same.

    Raises:
        SettingOfTheWayError: What they name cannot be read.
    """
    context = _read_certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    context.set_alpn_protocols(["http/1.1"])
    return context


@lru_cache(maxsize=4)
def _read_certificates(file: str | None, folder: str | None) -> ssl.SSLContext:
    if file:
        try:
            return ssl.create_default_context(cafile=file)
        except OSError as error:  # ssl.SSLError, too: no certificate is in it
            why = (
                "there is no such file" if isinstance(error, FileNotFoundError) else "no certificates can be read there"
            )
            raise _no_certificates("SSL_CERT_FILE", file, why) from error
    if folder:
        if not any(Path(part).is_dir() for part in folder.split(os.pathsep)):
            raise _no_certificates("SSL_CERT_DIR", folder, "there is no such folder")
        return ssl.create_default_context(capath=folder)
    return ssl.create_default_context(cafile=certifi.where())


def _no_certificates(setting: str, place: str, why: str) -> SettingOfTheWayError:
    return SettingOfTheWayError(
        f"{setting} is {place}, but {why}",
        f"Unset {setting} for this server, or name certificates that are there; then start it again.",
    )


class Trouble(NamedTuple):
    """Why no answer came, and what to do about it; `mend` is empty where only trying again helps."""

    what: str
    mend: str = ""
    lasting: bool = False
    """Whether trying again at once is useless."""


def trouble(error: httpx.RequestError, url: httpx.URL, around: Surroundings | None = None) -> Trouble:
    """What a failed request reveals about this machine's network settings. `what` is not redacted."""
    if isinstance(error, SettingOfTheWayError):
        return Trouble(str(error), error.mend, lasting=True)
    said = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return Trouble(
            said,
            "Set this machine's clock; if a proxy of your company opens TLS, name its certificate in SSL_CERT_FILE.",
            lasting=True,
        )
    if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return Trouble(said)
    proxy = (around or Surroundings.read()).proxy_for(url)
    if proxy is not None:
        mend = f"Start that proxy, correct or unset {proxy.setting}, or name {url.host} in NO_PROXY."
        return Trouble(f"{said}; asked through the proxy {proxy.shown} of {proxy.setting}", mend)
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Trouble(f"no network, or no such host: {url.host} was not found", CHECK_NETWORK)
    if any(isinstance(cause, OSError) and cause.errno in _NO_NETWORK for cause in causes):
        return Trouble(f"no network: there is no way to {url.host}", CHECK_NETWORK)
    return Trouble(said)


CHECK_NETWORK = "Check this machine's network connection, then try again."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that led to it."""
    if error is None:
        return
    yield error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            yield from _causes(inner)  # pyright: ignore[reportUnknownArgumentType]
    yield from _causes(error.__cause__ or error.__context__)
