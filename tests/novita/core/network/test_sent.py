"""What is sent, over both roads: the same bytes, once, and nothing that another answer left behind."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
from novita_mcp.novita.core.client import new_http
from novita_mcp.novita.core.network import way
from novita_mcp.novita.core.network.quick import QuickPool, _Connector  # pyright: ignore[reportPrivateUsage]

from ....conftest import NewPool
from ....raw_server import talking_host, whole_request
from .conftest import Seal

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FORM = {"files": {"image": ("fox.png", b"\x89PNG" * 30_000, "image/png")}, "data": {"prompt": "a fox"}}


async def in_parts() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"and two"


REQUESTS: dict[str, Callable[[], dict[str, Any]]] = {
    "get": lambda: {"method": "GET", "params": {"q": "a+b c/é%2F", "empty": ""}},
    "json": lambda: {"method": "POST", "json": {"prompt": "ein Füchschen"}},
    "form": lambda: {"method": "POST", "headers": {"Content-Type": "multipart/form-data; boundary=x"}, **FORM},
    "in chunks": lambda: {"method": "POST", "content": in_parts()},
    "of a length": lambda: {"method": "PUT", "content": in_parts(), "headers": {"Content-Length": "10"}},
    "empty post": lambda: {"method": "POST"},
    "empty put": lambda: {"method": "PUT"},
    "delete": lambda: {"method": "DELETE"},
    "delete with a body": lambda: {"method": "DELETE", "content": b"all"},
    "large": lambda: {"method": "PATCH", "content": b"0123456789" * 100_000},
    "options": lambda: {"method": "OPTIONS", "headers": {"Authorization": "Bearer x", "X-Odd": "é".encode("latin-1")}},
    "umlaut": lambda: {"method": "GET", "headers": {"X-Odd": "é".encode()}},
    "head": lambda: {"method": "HEAD", "headers": [("X-Twice", "1"), ("X-Twice", "2")]},
}


def parted(request: bytes) -> tuple[bytes, list[bytes], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    return first, sorted(headers), body


@pytest.mark.parametrize("kind", REQUESTS)
async def test_both_roads_send_the_same_bytes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await whole_request(reader))
        writer.write(OK if kind != "head" else b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")

    async with talking_host(meet) as host:
        for quick in (way._quick, None):  # pyright: ignore[reportPrivateUsage]
            monkeypatch.setattr(way, "_quick", quick)
            async with new_http(quick=True) as http:
                assert (await http.request(url=f"{host.url}/v3/a", **REQUESTS[kind]())).status_code == 200
    assert parted(seen[0]) == parted(seen[1])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a%2Fb%20c?x=%2B+y&z=%C3%A9",
        "/ü?ö=ä",
        "/a//b/?a=b?c#f",
        "/p?",
        "/;b=c:d@e!$&'()*,?q='\"<>[]{}|^`",
        "/%zz",
    ],
)
async def test_addresses_are_sent_as_httpx_has_encoded_them(path: str, new_pool: NewPool) -> None:
    seen: list[bytes] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await whole_request(reader))
        writer.write(OK)

    async with talking_host(meet) as host, new_pool() as http:
        await http.get(host.url + path)
        await http.get(host.url.replace("//", "//somebody:pw%20x@") + path)
    target = httpx.URL(host.url + path).raw_path
    assert [request.split(b" ")[1] for request in seen] == [target, target]
    assert b"Authorization: Basic c29tZWJvZHk6cHcgeA==\r\n" in seen[1]


async def test_an_ipv6_host_is_asked(new_pool: NewPool) -> None:
    seen: list[bytes] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await whole_request(reader))
        writer.write(OK)
        writer.close()

    try:
        server = await asyncio.start_server(meet, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = server.sockets[0].getsockname()[1]
    async with server, new_pool() as http:
        await http.get(f"http://[::1]:{port}/x")
    assert f"Host: [::1]:{port}\r\n".encode() in seen[0]


async def test_cookies_redirects_and_packed_bodies_are_left_alone(new_pool: NewPool) -> None:
    seen: list[bytes] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await whole_request(reader))
            head = "HTTP/1.1 302 Found\r\nLocation: /other\r\nSet-Cookie: a=b\r\nContent-Encoding: gzip\r\n"
            writer.write(head.encode() + b"Content-Length: 4\r\n\r\n\x1f\x8b\x08\x00")

    async with talking_host(meet) as host, new_pool() as http:
        for _ in range(2):
            async with http.stream("GET", host.url) as response:
                assert response.status_code == 302
                assert b"".join([piece async for piece in response.aiter_raw()]) == b"\x1f\x8b\x08\x00"
    assert len(seen) == 2
    assert not any(b"cookie" in request.lower() for request in seen)
    assert host.met == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET"])
async def test_what_may_have_arrived_is_not_sent_again(method: str, new_pool: NewPool) -> None:
    """aiohttp would send GET, PUT and DELETE again where a connection that it kept breaks."""
    seen: list[bytes] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await whole_request(reader))
        writer.write(OK)
        seen.append(await whole_request(reader))  # and no answer

    async with talking_host(meet) as host, new_pool() as http:
        content = b"x" if method in ("POST", "PUT", "PATCH") else None
        await http.request(method, host.url, content=content)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await http.request(method, host.url, content=content)
    assert len(seen) == 2


def goodbye(connection: socket.socket) -> None:
    """Say in TLS that this is the end, and wait for nothing."""
    assert isinstance(connection, ssl.SSLSocket)
    connection.setblocking(False)
    with suppress(ssl.SSLWantReadError):
        connection.unwrap()
    connection.close()


def stay(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")


ENDS = {"closed": ("http", socket.socket.close), "spoken on": ("http", stay)} | {
    f"{how} in TLS": ("https", end)
    for how, end in {"closed": socket.socket.close, "closed with a word": goodbye, "spoken on": stay}.items()
}


@contextmanager
def ending(end: str, seal: Seal) -> Generator[tuple[str, Callable[[], None]]]:
    """A host that answers once on each of two connections; its address, and what ends the first and waits for that."""
    scheme, finish = ENDS[end]
    seen: list[bytes] = []
    over, go = threading.Event(), threading.Event()

    def accepted(listener: socket.socket) -> socket.socket:
        connection, _ = listener.accept()
        return seal.context.wrap_socket(connection, server_side=True) if scheme == "https" else connection

    def served(listener: socket.socket) -> None:
        with accepted(listener) as first:
            seen.append(first.recv(65_536))
            first.sendall(OK)
            go.wait(30)
            finish(first)
            over.set()
            with accepted(listener) as second:
                seen.append(second.recv(65_536))
                second.sendall(OK)

    def end_it() -> None:
        go.set()
        assert over.wait(30)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=served, args=(listener,))
        thread.start()
        yield f"{scheme}://localhost:{listener.getsockname()[1]}", end_it
        thread.join()
    assert len(seen) == 2


@pytest.mark.parametrize("turns", range(7))
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_connection_that_was_closed_or_spoken_on_at_rest_is_not_used(
    turns: int, end: str, method: str, new_pool: NewPool, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop has had no turn since or a few, as in a process that was busy: what came waits, or is being told on."""

    async def ask(url: str, end_it: Callable[[], None]) -> None:
        async with new_pool() as http:
            assert (await http.request(method, url)).text == "ok"
            end_it()
            for _ in range(turns):
                await asyncio.sleep(0)
            assert (await http.request(method, url)).text == "ok"

    monkeypatch.setenv("SSL_CERT_FILE", str(seal.certificate))
    with ending(end, seal) as (url, end_it):
        asyncio.run(ask(url, end_it))


@pytest.mark.parametrize("end", ["closed", "closed in TLS", "closed with a word in TLS"])
def test_a_connection_that_is_closed_while_the_first_byte_is_on_its_way_to_it_is_not_used(
    end: str, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = _Connector.connect

    async def ask(url: str, end_it: Callable[[], None]) -> None:
        async def connect_and_end(self: _Connector, *args: Any, **options: Any) -> Any:
            connection = await connect(self, *args, **options)
            end_it()
            return connection

        async with new_http(quick=True) as http:
            assert (await http.post(url, content=b"x")).text == "ok"
            monkeypatch.setattr(_Connector, "connect", connect_and_end)
            assert (await http.post(url, content=b"x")).text == "ok"

    monkeypatch.setenv("SSL_CERT_FILE", str(seal.certificate))
    with ending(end, seal) as (url, end_it):
        asyncio.run(ask(url, end_it))


async def test_a_body_that_is_not_as_long_as_it_says_is_not_sent_as_a_whole() -> None:
    """The other road raises h11's own error, which httpx has no word for."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read())

    seen: list[bytes] = []
    async with talking_host(meet) as host, new_http(quick=True) as http:
        for length in ("9", "11"):
            with pytest.raises(httpx.LocalProtocolError, match="declared Content-Length"):
                await http.post(host.url, content=in_parts(), headers={"Content-Length": length})
        while host.open:
            await asyncio.sleep(0)
    assert [len(parted(request)[2]) for request in seen] == [3, 10]


async def test_what_a_body_raises_is_told_as_it_is(new_pool: NewPool) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a part"
        raise FileNotFoundError("the film is gone")

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with talking_host(meet) as host, new_pool() as http:
        with pytest.raises(FileNotFoundError, match="the film is gone"):
            await http.post(host.url, content=broken())


async def test_only_novitas_own_pool_takes_the_quick_road_and_only_once_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[httpx.URL] = []
    handle = QuickPool.handle_async_request

    async def noted(self: QuickPool, request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return await handle(self, request)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(OK)

    monkeypatch.setattr(QuickPool, "handle_async_request", noted)
    monkeypatch.setattr(way, "_quick", None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with talking_host(meet) as host, new_http(quick=True) as novita, new_http() as links:
        await novita.get(host.url)
        assert not asked
        way.take_the_quick_road(QuickPool)
        await novita.get(host.url)
        await links.get(host.url)
        assert len(asked) == 1
        monkeypatch.setenv("HTTP_PROXY", host.url)
        monkeypatch.delenv("NO_PROXY")
        async with new_http(quick=True) as proxied:
            await proxied.get("http://novita.example/")
    assert len(asked) == 1
