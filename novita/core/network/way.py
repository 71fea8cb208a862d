"""The way that requests take: straight or through a proxy, and over which connections."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import httpcore
import httpx

from .limits import SENT_WITHIN, SentTooSlowlyError
from .pools import SmallPools
from .surroundings import Proxy, Surroundings, certificates, check_proxy

if TYPE_CHECKING:
    from .quick import QuickPool

_quick: "Callable[[], QuickPool] | None" = None
"""None until the server has imported it (server/warming.py): neither the start nor the first call waits for that."""


def take_the_quick_road(pool: "Callable[[], QuickPool]") -> None:
    """From now on send what goes straight to Novita over such connections, which take less processor time."""
    global _quick
    _quick = pool


@dataclass
class _Watch:
    """Bounds what httpcore waits for without end: a proxy that does not say that it speaks SOCKS, and the head of an
    answer that comes a byte at a time, or after hints that never stop.

    Args:
        handshake: Seconds for the proxy.
        head: Seconds for the head of the answer, from when the request is sent.
        sending: Seconds until the whole request must be sent.
    """

    handshake: float
    head: float
    sending: float
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    stream: httpcore.AsyncNetworkStream | None = None
    """What was opened to a proxy and is no connection yet: httpcore leaves it open."""
    sent: bool = True

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpcore tells about a request, as its extension `trace`."""
        _, _, what = event.partition(".")
        if what == "connect_tcp.complete":
            self.stream = info["return_value"]
        elif what == "setup_socks5_connection.started":
            self.scope.deadline = anyio.current_time() + self.handshake
        elif what == "setup_socks5_connection.complete":
            self.scope.deadline, self.stream = math.inf, None
        elif what == "send_request_headers.started":
            self.scope.deadline, self.sent, self.stream = anyio.current_time() + self.sending, False, None
        elif what == "receive_response_headers.started":
            self.scope.deadline, self.sent = anyio.current_time() + self.head, True
        elif what == "receive_response_headers.complete":
            self.scope.deadline = math.inf

    def too_late(self, request: httpx.Request) -> httpx.TimeoutException:
        """What to say once the deadline is over."""
        if self.stream is not None:
            return httpx.ConnectTimeout("it does not answer as a SOCKS proxy does", request=request)
        if not self.sent:
            return SentTooSlowlyError("the request was still being sent", request=request)
        return httpx.ReadTimeout("its answer comes too slowly", request=request)

    async def give_up(self) -> None:
        """Close what was opened and never became a connection."""
        if self.stream is not None:
            await self.stream.aclose()


@dataclass
class TheWay(httpx.AsyncBaseTransport):
    """A pool of connections for each way out that requests take: straight, or through a proxy.

    Args:
        quick: Whether all requests are for Novita, so that they may take the quick road where no proxy is needed.
    """

    around: Surroundings = field(default_factory=Surroundings.read)
    quick: bool = False
    _quick_pool: "QuickPool | None" = None
    _pools: dict[tuple[Proxy | None, bool], SmallPools] = field(
        default_factory=dict["tuple[Proxy | None, bool]", SmallPools]
    )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = self.around.proxy_for(request.url)
        if proxy is None and self.quick and _quick is not None:
            self._quick_pool = self._quick_pool or _quick()
            if self._quick_pool.takes(request):
                for other in [*self._pools.values()]:  # from before there was a quick one, for the most part
                    await other.close_rested()
                return await self._quick_pool.handle_async_request(request)
        pool = self._pool(proxy, request.url.scheme == "https")
        limits: Mapping[str, float | None] = request.extensions.get("timeout", {})
        watch = _Watch(
            limits.get("connect") or 10, limits.get("read") or math.inf, request.extensions.get(SENT_WITHIN, math.inf)
        )
        request.extensions = {**request.extensions, "trace": watch.trace}
        if proxy is None or not proxy.url.lower().startswith("socks"):
            return await self._watched(watch, pool, request)
        from socksio.exceptions import SOCKSError  # few have such a proxy; that it is installed was looked at

        try:
            return await self._watched(watch, pool, request)
        except SOCKSError as error:  # httpx has no word for it
            raise httpx.ProxyError(f"it does not speak SOCKS: {error}", request=request) from error
        finally:
            await watch.give_up()

    async def _watched(self, watch: _Watch, pool: SmallPools, request: httpx.Request) -> httpx.Response:
        with watch.scope:
            return await pool.handle_async_request(request)
        raise watch.too_late(request)

    def _pool(self, proxy: Proxy | None, sealed: bool) -> SmallPools:
        pool = self._pools.get((proxy, sealed))
        if pool is None:
            # Plain http needs no certificates, so none that cannot be read stand in its way.
            verify = certificates() if sealed else False
            asked = check_proxy(proxy) if proxy else None
            pool = self._pools[proxy, sealed] = SmallPools(
                lambda limits: httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits, proxy=asked)
            )
        return pool

    async def aclose(self) -> None:
        if self._quick_pool is not None:
            await self._quick_pool.aclose()
        for pool in self._pools.values():
            await pool.aclose()
