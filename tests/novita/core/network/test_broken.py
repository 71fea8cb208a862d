"""What goes wrong on the way, over both roads: the error says whether a byte was sent, and nothing is left behind."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from novita_mcp.novita.core.client import NEVER_ARRIVED, new_http
from novita_mcp.novita.core.network import limits, way
from novita_mcp.novita.core.network.limits import SENT_WITHIN, SentTooSlowlyError
from novita_mcp.novita.core.network.quick import QuickPool
from novita_mcp.novita.core.network.surroundings import trouble

from ....conftest import NewPool
from ....raw_server import Meet, talking_host, whole_request
from .conftest import Seal

BROKEN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
LARGE = b"x" * 30_000_000


def saying(*answers: bytes, reset: bool = False) -> Meet:
    """Reads a request, says this, and closes; or resets the connection, which drops what was not read."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        for part in answers:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        if reset:
            there: socket.socket = writer.get_extra_info("socket")
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return meet


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads all, and says nothing."""
    while await reader.read(2**16):
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


async def test_where_nobody_listens_nothing_was_sent(new_pool: NewPool) -> None:
    async with new_pool() as http:
        with pytest.raises(httpx.ConnectError):
            await http.post("http://127.0.0.1:1", content=b"x")
        with pytest.raises(httpx.ConnectError) as unknown:
            await http.post("http://novita.invalid", content=b"x")
    assert "was not found" in trouble(unknown.value, httpx.URL("http://novita.invalid")).what


async def test_a_host_of_several_addresses_is_tried_at_each(new_pool: NewPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at the first."""
    port = 0

    async def found(self: asyncio.AbstractEventLoop, *asked: Any, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in ("127.0.0.9", "127.0.0.1")]

    async with talking_host(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as host, new_pool() as http:
        port = httpx.URL(host.url).port or 0
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", found)
        assert (await http.post(f"http://several.example:{port}/", content=b"x")).status_code == 200
    assert host.met == 1


async def test_tls_is_checked_before_anything_is_sent(
    new_pool: NewPool, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with talking_host(no_tls) as plain, talking_host(answer, seal.context) as sealed:
        async with new_pool() as http:
            with pytest.raises(httpx.ConnectError):
                await http.post(plain.url.replace("http://", "https://"), content=b"x")
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED") as refused:
                await http.post(sealed.url, content=b"x")
            assert trouble(refused.value, httpx.URL(sealed.url)).lasting
        monkeypatch.setenv("SSL_CERT_FILE", str(seal.certificate))
        async with new_pool() as http:
            assert (await http.post(sealed.url, content=b"x")).text == "ok"
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await http.post(sealed.url.replace("localhost", "127.0.0.1"), content=b"x")


HEAD = b"HTTP/1.1 200 OK\r\n"
BREAKS: dict[str, Meet] = {
    "no answer": saying(),
    "reset": saying(reset=True),
    "half a head": saying(HEAD + b"Content-Le"),
    "reset in the head": saying(HEAD, reset=True),
    "no http": saying(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "no status": saying(b"HTTP/1.1 yes OK\r\n\r\n"),
    "two lengths": saying(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    "odd length": saying(HEAD + b"Content-Length: two\r\n\r\nok"),
    "endless head": saying(HEAD + b"X-A: " + b"a" * 400_000),
    "endless headers": saying(HEAD + b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 20_000),
    "a null in the head": saying(HEAD + b"X-A: a\0b\r\n\r\n"),
    "short": saying(HEAD + b"Content-Length: 10\r\n\r\nok"),
    "reset in the body": saying(HEAD + b"Content-Length: 10\r\n\r\nok", reset=True),
    "reset in a body without a length": saying(HEAD + b"\r\nok", reset=True),
    "cut chunks": saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nok"),
    "no last chunk": saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),
    "odd chunks": saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\nxx\r\nok\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("how", BREAKS)
async def test_a_broken_answer_is_no_answer_and_the_request_may_have_arrived(how: str, new_pool: NewPool) -> None:
    before = asyncio.all_tasks()
    async with talking_host(BREAKS[how]) as host, new_pool() as http:
        with pytest.raises(BROKEN) as error:
            await http.post(host.url, content=b"x")
        assert not isinstance(error.value, NEVER_ARRIVED)
        assert host.met == 1
        with anyio.fail_after(20):
            while host.open or asyncio.all_tasks() - before - {asyncio.current_task()}:
                await asyncio.sleep(0.001)


async def test_a_request_with_an_empty_body_may_have_arrived_too(new_pool: NewPool) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    async with talking_host(saying()) as host, new_pool() as http:
        with pytest.raises(BROKEN):
            await http.post(host.url, content=nothing())


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(b"X-A: b\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def hinting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def halting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 10\r\n\r\nok")
    await silent(reader, writer)


@pytest.mark.parametrize("meet", [silent, dripping, hinting, halting])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_answer_that_does_not_come_is_waited_for_as_long_as_was_said(
    meet: Meet, method: str, new_pool: NewPool
) -> None:
    with anyio.fail_after(30):
        async with talking_host(meet) as host, new_pool() as http:
            with pytest.raises(httpx.ReadTimeout):
                await http.request(method, host.url, timeout=httpx.Timeout(60, read=0.3))
            while host.open:
                await asyncio.sleep(0.001)


async def test_a_host_that_does_not_answer_in_tls_was_sent_nothing(new_pool: NewPool) -> None:
    with anyio.fail_after(30):
        async with talking_host(silent) as host, new_pool() as http:
            with pytest.raises(httpx.ConnectTimeout):
                url = host.url.replace("http://", "https://")
                await http.post(url, content=b"x", timeout=httpx.Timeout(60, connect=0.3))
            while host.open:
                await asyncio.sleep(0.001)


class Unread:
    """A host that takes nothing until it is told to; `taken` is what came in all."""

    def __init__(self) -> None:
        self.go, self.taken = asyncio.Event(), 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] -- it reads as well
        await self.go.wait()
        writer.transport.resume_reading()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        while part := await reader.read(2**20):
            self.taken += len(part)


async def in_large_parts() -> AsyncIterator[bytes]:
    for start in range(0, len(LARGE), 1_000_000):
        yield LARGE[start : start + 1_000_000]


@pytest.mark.parametrize("content", [lambda: LARGE, in_large_parts], ids=["at once", "in parts"])
@pytest.mark.parametrize(
    ("timeout", "within", "error"),
    [
        (httpx.Timeout(60, write=0.3), 60.0, httpx.WriteTimeout),
        (httpx.Timeout(60), 0.3, SentTooSlowlyError),
    ],
)
async def test_a_host_that_takes_nothing_gets_no_whole_request(
    content: Callable[[], Any],
    timeout: httpx.Timeout,
    within: float,
    error: type[httpx.WriteTimeout],
    new_pool: NewPool,
) -> None:
    unread = Unread()
    with anyio.fail_after(30):
        async with talking_host(unread.meet) as host, new_pool() as http:
            with pytest.raises(error) as late:
                extensions = {SENT_WITHIN: within}
                await http.post(host.url, content=content(), timeout=timeout, extensions=extensions)
            assert isinstance(late.value, SentTooSlowlyError) == (error is SentTooSlowlyError)
            unread.go.set()
            while host.open:
                await asyncio.sleep(0.001)
    assert 0 < unread.taken < len(LARGE)


async def test_a_body_that_comes_slowly_is_waited_for_but_not_longer_than_it_may_take(new_pool: NewPool) -> None:
    """The write timeout is for the server, not for the disk from which a film is read."""

    async def slow() -> AsyncIterator[bytes]:
        yield b"a part"
        await asyncio.sleep(0.3)
        yield b"another"

    async def never() -> AsyncIterator[bytes]:
        await asyncio.sleep(600)
        yield b""

    answer = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    with anyio.fail_after(30):
        async with talking_host(answer) as host, new_pool() as http:
            response = await http.post(host.url, content=slow(), timeout=httpx.Timeout(60, write=0.1))
            assert response.text == "ok"
            with pytest.raises(SentTooSlowlyError):
                await http.post(host.url, content=never(), extensions={SENT_WITHIN: 0.1})


async def test_what_was_handed_over_to_the_last_byte_may_have_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp has not been told yet that the connection takes more, so to us it is still being sent."""

    async def body() -> AsyncIterator[bytes]:
        yield b"ab"
        for call in pools[0]._calls:  # pyright: ignore[reportPrivateUsage]
            assert call.protocol is not None
            call.protocol.pause_writing()
        yield b"c"

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await whole_request(reader))
        await silent(reader, writer)

    pools, arrived = [QuickPool()], list[bytes]()
    monkeypatch.setattr(way, "_quick", pools.copy().pop)
    with anyio.fail_after(30):
        async with talking_host(meet) as host, new_http(quick=True) as http:
            with pytest.raises(httpx.ReadTimeout):
                headers = {"Content-Length": "3"}
                await http.post(host.url, content=body(), headers=headers, extensions={SENT_WITHIN: 0.3})
    assert arrived[0].endswith(b"abc")


async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large")
    await writer.drain()
    while await reader.read(2**20):  # it drops the rest
        pass


async def test_an_answer_before_the_upload_is_over_is_an_answer(new_pool: NewPool) -> None:
    with anyio.fail_after(30):
        async with talking_host(early) as host, new_pool() as http:
            response = await http.post(host.url, content=LARGE)
            assert (response.status_code, response.text) == (413, "too large")
            while host.open:
                await asyncio.sleep(0.001)


async def test_an_upload_that_was_answered_is_not_carried_on() -> None:
    """The other road waits until the server has taken all."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
        await unread.meet(reader, writer)

    unread = Unread()
    with anyio.fail_after(30):
        async with talking_host(meet) as host, new_http(quick=True) as http:
            assert (await http.post(host.url, content=LARGE)).status_code == 401
            unread.go.set()
            while host.open:
                await asyncio.sleep(0.001)
    assert unread.taken < len(LARGE)


STEPS: dict[str, tuple[Meet, bytes]] = {
    "sending": (lambda reader, writer: Unread().meet(reader, writer), LARGE),
    "waiting": (silent, b"x"),
    "reading": (halting, b"x"),
}


@pytest.mark.parametrize("step", STEPS)
async def test_what_is_cancelled_leaves_nothing_behind(
    step: str, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST", 1)
    await cancelled(*STEPS[step], new_pool, "http", looks=step != "sending")


async def test_what_is_cancelled_while_it_connects_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the other road httpcore forgets to close it."""
    monkeypatch.setattr(limits, "MOST", 1)
    await cancelled(silent, b"x", partial(new_http, quick=True), "https")


async def cancelled(meet: Meet, content: bytes, new_pool: NewPool, scheme: str, *, looks: bool = True) -> None:
    """Cancel a request at this host, and one that waits for its place.

    Args:
        looks: Whether the host looks at what comes, so that it notices the end.
    """
    answer = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    with anyio.fail_after(30):
        async with talking_host(answer) as other, talking_host(meet) as host, new_pool() as http:
            before = asyncio.all_tasks()
            url = host.url.replace("http://", f"{scheme}://")
            call = asyncio.create_task(http.post(url, content=content))
            while not host.open:
                await asyncio.sleep(0.001)
            waiting = asyncio.create_task(http.post(url, content=content))
            await asyncio.sleep(0.05)
            waiting.cancel()
            call.cancel()
            ends = await asyncio.gather(call, waiting, return_exceptions=True)
            assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
            assert (await http.get(other.url, timeout=httpx.Timeout(60, pool=0.01))).text == "ok"
            while looks and (host.open or asyncio.all_tasks() - before):
                await asyncio.sleep(0.001)
            assert host.met == 1


async def test_closing_closes_all(new_pool: NewPool) -> None:
    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await silent(reader, writer)

    with anyio.fail_after(30):
        async with talking_host(meet) as resting, talking_host(halting) as open_, new_pool() as http:
            await http.get(resting.url)
            async with http.stream("GET", open_.url) as response:
                assert (resting.open, open_.open) == (1, 1)
                await http.aclose()
                while resting.open or open_.open:
                    await asyncio.sleep(0.001)
                assert response.status_code == 200


async def test_closing_ends_an_upload_that_nobody_takes() -> None:
    unread = Unread()
    with anyio.fail_after(30):
        async with talking_host(unread.meet) as host:
            http = new_http(quick=True)
            call = asyncio.create_task(http.post(host.url, content=LARGE))
            while not host.open:
                await asyncio.sleep(0.001)
            await http.aclose()
            with pytest.raises(httpx.TransportError):
                await call
            unread.go.set()
            while host.open:
                await asyncio.sleep(0.001)
    assert unread.taken < len(LARGE)
