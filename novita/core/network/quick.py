"""The quick road: requests that go straight to Novita, over aiohttp's connections.

With httpcore's a request takes twice the processor time (docs/performance.md). Only connections and the reading of
answers are aiohttp's. What it would do by itself is off: cookies, redirects, unpacking, headers of its own, and
sending a request once more. Each error says what is known of the request, because a paid one is sent again only if
not one byte of it was sent: `httpx.ConnectError`, `ConnectTimeout` and `PoolTimeout` mean this, all others do not.
"""

import asyncio
import math
import select
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from weakref import WeakSet

import aiohttp
import aiohttp.connector
import httpx
import yarl
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from . import limits
from .limits import SENT_WITHIN, Places, SentTooSlowlyError
from .surroundings import certificates

_PIECE = 2**16
"""A body is sent in pieces of this many bytes; httpx's write timeout is for one."""
_LONGEST_LINE = 100 * 1024
_MOST_HEADERS = 256
"""Such a line is as long as a whole head may be on the other road."""

_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError)
"""What aiohttp raises; timeouts are OSErrors, too."""


@dataclass(eq=False)
class _Call:
    """A request under way, how far it has come, and by when its present step must end."""

    request: httpx.Request
    timeouts: dict[str, float | None]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    length: int | None = field(init=False)
    """The length of its body, as its headers tell it."""
    has_body: bool = field(init=False)
    deadline: asyncio.Timeout | None = None
    """What ends the present step; None once the head of the answer is there."""
    at_once: bool = field(init=False)
    """Whether all of its body is there already."""
    kept: bool = False
    """Whether its connection has served another request."""
    transport: asyncio.Transport | None = None
    """Its connection, once there is one."""
    protocol: ResponseHandler | None = None
    send_by: float = math.inf
    begun: bool = False
    """Whether a byte may have been sent."""
    handed_over: int = 0
    """How many bytes of its body were given to the connection, which may still hold them back."""
    sent: bool = False
    """Whether all of it was sent."""
    failure: Exception | None = None
    """What the body raised while it was read to be sent."""

    def __post_init__(self) -> None:
        declared = self.request.headers.get("Content-Length")
        self.length = int(declared) if declared is not None else None
        self.at_once = isinstance(self.request.stream, httpx.ByteStream)
        self.has_body = bool(self.length) or "Transfer-Encoding" in self.request.headers

    def connected(self, protocol: ResponseHandler | None, transport: asyncio.Transport | None) -> None:
        """It has a connection: from now on it is being sent."""
        self.protocol, self.transport = protocol, transport
        self.send_by = self.loop.time() + self.request.extensions.get(SENT_WITHIN, math.inf)
        if not self.has_body:
            self.begun = self.open
            self.all_sent()
        elif self.send_by != math.inf:
            self.end_step_within(None)

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def all_sent(self) -> None:
        self.sent = True
        self.end_step_within(self.timeouts.get("read"))

    def end_step_within(self, seconds: float | None) -> None:
        if self.deadline is not None:
            by = self.send_by if not self.sent else math.inf
            if seconds is not None:
                by = min(by, self.loop.time() + seconds)
            self.deadline.reschedule(None if by == math.inf else by)

    def too_late(self) -> httpx.TimeoutException:
        """What to say once the deadline of a step is over."""
        gone = self.handed_over == self.length and self.transport and not self.transport.get_write_buffer_size()
        if self.sent or gone:
            return httpx.ReadTimeout("its answer comes too slowly", request=self.request)
        if self.loop.time() >= self.send_by:
            return SentTooSlowlyError("the request was still being sent", request=self.request)
        return httpx.WriteTimeout("the server does not take the request", request=self.request)

    def went_wrong(self, error: Exception) -> Exception:
        """The error to raise for what aiohttp raised. It depends on how far the request came, not on aiohttp's type."""
        if self.failure is not None:
            return self.failure
        said = str(error) or type(error).__name__
        if self.transport is None:
            if isinstance(error, TimeoutError):
                return httpx.ConnectTimeout(said, request=self.request)
            return httpx.ConnectError(str(error.__cause__ or said), request=self.request)
        if not self.begun:
            return httpx.ConnectError("the connection was closed before it was used", request=self.request)
        if isinstance(error, aiohttp.ServerDisconnectedError):
            said = "the server closed the connection without an answer"
            return httpx.RemoteProtocolError(said, request=self.request)
        if isinstance(error, OSError):
            kind = httpx.ReadError if self.sent else httpx.WriteError
            return kind(str(error.__cause__ or said), request=self.request)
        return httpx.RemoteProtocolError(said, request=self.request)

    def abort(self) -> None:
        """Close its connection at once. What waits to be sent would otherwise be sent first."""
        if self.transport is not None:
            self.transport.abort()


_calling: ContextVar[_Call] = ContextVar("_calling")


class _Body(aiohttp.Payload):
    """The body of a request. aiohttp asks it to write itself."""

    def __init__(self, call: _Call) -> None:
        super().__init__(call)
        self._call = call

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("the body of a request is sent as it is")

    async def write(self, writer: AbstractStreamWriter) -> None:
        call = self._call
        async for piece in self._pieces():
            if not call.begun and call.kept and call.protocol is not None and _speaks(call.protocol):
                raise aiohttp.ServerDisconnectedError  # nothing was sent yet
            call.begun = call.begun or call.open
            call.handed_over += len(piece)
            call.end_step_within(call.timeouts.get("write"))
            await writer.write(piece)
            await writer.drain()
            if not call.at_once:
                call.end_step_within(None)  # for the next piece we wait, not the server
        call.begun = call.begun or call.open
        call.all_sent()

    async def _pieces(self) -> AsyncIterator[bytes | memoryview]:
        """The body in pieces. What goes wrong with it is told to the caller as it is."""
        call = self._call
        try:
            assert isinstance(call.request.stream, httpx.AsyncByteStream)
            async for part in call.request.stream:
                if call.length is not None and call.handed_over + len(part) > call.length:
                    raise httpx.LocalProtocolError("Too much data for declared Content-Length")
                for piece in _cut(part):
                    yield piece
            if call.length is not None and call.handed_over < call.length:
                raise httpx.LocalProtocolError("Too little data for declared Content-Length")
        except Exception as error:  # whatever the caller's own stream raises
            call.failure = error
            raise


def _cut(part: bytes) -> Iterator[bytes | memoryview]:
    if len(part) <= _PIECE:
        yield part
        return
    view = memoryview(part)
    for start in range(0, len(part), _PIECE):
        yield view[start : start + _PIECE]


class _Request(aiohttp.ClientRequest):
    GET_METHODS = aiohttp.ClientRequest.GET_METHODS | {"DELETE"}
    """Without a body, all others are sent with "Content-Length: 0", and httpx sends none with DELETE."""


class _Connector(aiohttp.TCPConnector):
    """Tells each call of its connection, and hands out none that the server has spoken on or closed meanwhile."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType] -- a type of aiohttp is incomplete
        self._used = WeakSet[ResponseHandler]()

    async def connect(self, *args: Any, **options: Any) -> aiohttp.connector.Connection:
        call = _calling.get()
        if call.transport is not None:
            # aiohttp sends a request that it takes for harmless again, DELETE and PUT, too. Whether it is harmless,
            # the caller knows.
            raise aiohttp.ServerDisconnectedError
        while True:
            connection = await super().connect(*args, **options)
            protocol = connection.protocol
            call.kept = protocol in self._used
            if protocol is None or not call.kept or not (protocol.should_close or _speaks(protocol)):
                break
            connection.close()
        if protocol is not None:
            self._used.add(protocol)
        call.connected(protocol, connection.transport)
        return connection


def _speaks(protocol: ResponseHandler) -> bool:
    """Whether the server has closed a connection at rest, or spoken on it. The loop may be too busy to have noticed."""
    there: socket.socket | None = protocol.transport and protocol.transport.get_extra_info("socket")
    if there is None or there.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([there], [], [], 0)[0])
    looking = select.poll()
    looking.register(there, select.POLLIN)
    return bool(looking.poll(0))


class _Answer(httpx.AsyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, call: _Call, answer: aiohttp.ClientResponse, pool: "QuickPool") -> None:
        self._call, self._answer, self._pool, self._closed = call, answer, pool, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content, request = self._answer.content, self._call.request
        silence = self._call.timeouts.get("read")
        try:
            while not content.at_eof():
                piece = content.read_nowait()
                if not piece:
                    async with asyncio.timeout(silence):
                        piece = await content.readany()
                if piece:
                    yield piece
        except TimeoutError as error:
            raise httpx.ReadTimeout("its answer comes too slowly", request=request) from error
        except (*_ERRORS, RuntimeError) as error:  # RuntimeError: the connection was closed here meanwhile
            if rest := _arrived(content):
                yield rest
            raise self._broken(error) from error
        if self._until_closed and isinstance(lost := self._lost(), OSError):
            raise self._broken(lost) from lost

    def _broken(self, error: BaseException) -> httpx.TransportError:
        kind = httpx.RemoteProtocolError if isinstance(error, aiohttp.ClientPayloadError) else httpx.ReadError
        return kind(f"the answer broke off: {error}", request=self._call.request)

    @property
    def _until_closed(self) -> bool:
        """Whether nothing but the end of the connection says where the body ends. aiohttp ends it at a reset, too."""
        answer = self._answer
        empty = answer.method == "HEAD" or answer.status in (204, 304)
        return not empty and "Content-Length" not in answer.headers and "Transfer-Encoding" not in answer.headers

    def _lost(self) -> BaseException | None:
        return self._call.protocol.exception() if self._call.protocol is not None else None

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._answer.closed or not self._call.sent:
            self._answer.close()
            self._call.abort()
        self._pool.ended(self._call)


def _arrived(content: aiohttp.StreamReader) -> bytes:
    """What arrived before the answer broke off and was not read yet: aiohttp would tell only of the error."""
    take = getattr(content, "_read_nowait", None)
    return take(-1) if take is not None else b""


@lru_cache(maxsize=64)
def _connect_within(seconds: float | None) -> aiohttp.ClientTimeout:
    """All other timeouts are watched here."""
    return aiohttp.ClientTimeout(total=None, connect=seconds)


class QuickPool(httpx.AsyncBaseTransport):
    """Connections of aiohttp's. They belong to the event loop in which the first request is sent."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._certificates: ssl.SSLContext | None = None
        self._places = Places()
        self._calls = set[_Call]()

    def takes(self, request: httpx.Request) -> bool:
        """Whether aiohttp sends this request exactly as it is."""
        try:
            for _, value in request.headers.raw:
                value.decode()
        except UnicodeDecodeError:
            return False
        return _address(request).raw_path_qs.encode() == request.url.raw_path

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._places.take(request)
        try:
            call, answer = await self._asked(request)
        except BaseException:
            self._places.leave()
            raise
        version, reason = answer.version or aiohttp.HttpVersion11, answer.reason or ""
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=_Answer(call, answer, self),
            extensions={
                "http_version": f"HTTP/{version.major}.{version.minor}".encode(),
                "reason_phrase": reason.encode("utf-8", "surrogateescape"),
            },
        )

    async def _asked(self, request: httpx.Request) -> tuple[_Call, aiohttp.ClientResponse]:
        """Send it on another connection as long as one that was kept is closed before a byte was sent."""
        while True:
            call = _Call(request, request.extensions.get("timeout", {}))
            self._calls.add(call)
            try:
                return call, await self._sent(call)
            except BaseException as error:
                self._calls.discard(call)
                if not (call.kept and isinstance(error, httpx.ConnectError) and call.at_once):
                    raise

    async def _sent(self, call: _Call) -> aiohttp.ClientResponse:
        """Send it, and wait for the head of the answer."""
        request = call.request
        session = self._session or self._open()
        if request.url.scheme == "https" and self._certificates is None:
            self._certificates = certificates()
        token = _calling.set(call)
        try:
            async with asyncio.timeout(None) as call.deadline:
                return await session.request(
                    request.method,
                    _address(request),
                    headers=_headers(request),
                    data=_Body(call) if call.has_body else None,
                    allow_redirects=False,
                    timeout=_connect_within(call.timeouts.get("connect")),
                    ssl=self._certificates or True,
                )
        except BaseException as error:
            call.abort()
            if isinstance(error, TimeoutError) and call.deadline is not None and call.deadline.expired():
                raise call.too_late() from error
            if isinstance(error, _ERRORS):
                raise call.went_wrong(error) from error
            if isinstance(error, ValueError):  # a header that cannot be sent
                raise httpx.LocalProtocolError(str(error), request=request) from error
            raise
        finally:
            call.deadline = None
            _calling.reset(token)

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=0,  # `Places` limits them
                keepalive_timeout=limits.RESTS,
                resolver=aiohttp.ThreadedResolver(),  # as on the other road, whatever else is installed
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_Request,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
        )
        return self._session

    def ended(self, call: _Call) -> None:
        """A call has come to its end."""
        self._calls.discard(call)
        self._places.leave()

    async def aclose(self) -> None:
        for call in list(self._calls):
            call.abort()
        if self._session is not None:
            await self._session.close()


def _address(request: httpx.Request) -> yarl.URL:
    """The address as httpx has encoded it. Its user and password are in a header already."""
    url = request.url.copy_with(userinfo=b"") if request.url.userinfo else request.url
    return yarl.URL(str(url), encoded=True)


def _headers(request: httpx.Request) -> list[tuple[str, str]]:
    """They are sent as they stand; aiohttp itself says that a body comes in chunks."""
    return [
        (name.decode(), value.decode()) for name, value in request.headers.raw if name.lower() != b"transfer-encoding"
    ]
