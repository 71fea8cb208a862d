"""Proxies, exceptions from them and certificates, as environments have them: used as meant, or named in one line.

Case 39 of the faults found with inputs that people have, and its kind.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest
from novita_mcp.novita.core.backoff import RetryPolicy
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.core.clock import SystemClock
from novita_mcp.novita.core.errors import ArtifactError, NovitaConnectionError
from novita_mcp.novita.core.hosts import API_HOST, address_problem
from novita_mcp.novita.core.network.surroundings import Surroundings, certificates, served_here
from novita_mcp.novita.files.addresses import Guard, route_to
from novita_mcp.novita.files.downloads import Downloader
from novita_mcp.novita.serverless.gateway import ServiceCall, call_service
from novita_mcp.simulator.core.world import DEFAULT_KEY
from novita_mcp.simulator.serving import Running

from ....raw_server import talking_host

BALANCE = "/openapi/v1/billing/balance/detail"
NOBODY = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificates of the machine that tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def ask(simulator: Running) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def ask(url: str = simulator.url, **options: Any) -> Any:
        async with new_http(timeouts=httpx.Timeout(5, connect=0.5)) as http:
            client = NovitaClient(http, DEFAULT_KEY, url, retries=RetryPolicy(attempts=1), **options)
            return (await client.read("GET", BALANCE, doing="reading the balance")).data

    return ask


@asynccontextmanager
async def socks_proxy() -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A SOCKS5 proxy that needs no password: its address, and the hosts it was asked for."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        host, port = await reader.readexactly(length), int.from_bytes(await reader.readexactly(2), "big")
        asked.append(host)
        name = socket.inet_ntoa(host) if kind == 1 else host.decode()
        there, back = await asyncio.open_connection(name, port)
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            back.close()

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
        target.close()

    async with talking_host(serve) as host:
        yield host.url.replace("http", "socks5"), asked


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks"])
@pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "HTTP_PROXY"])
async def test_a_socks_proxy_is_gone_through(
    ask: Callable[..., Any], variable: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with socks_proxy() as (proxy, asked):
        monkeypatch.setenv(variable, proxy.replace("socks5", scheme))

        assert await ask()
    assert len(asked) == 1


async def test_a_socks_proxy_that_nobody_runs_is_named_and_nothing_is_billed(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 39."""
    monkeypatch.setenv("ALL_PROXY", f"socks5://{NOBODY}")

    with pytest.raises(NovitaConnectionError, match="ALL_PROXY") as refused:
        await ask()

    assert NOBODY in refused.value.what
    assert "NO_PROXY" in refused.value.next_step


async def test_a_socks_proxy_that_says_nothing_or_something_else_is_not_waited_for(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    for serve in (silent, other):
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(NovitaConnectionError, match="SOCKS"):
            await ask(read_timeout=0.5)  # of which the proxy may take half
        server.close()


@pytest.mark.parametrize(
    "exceptions",
    [
        "127.0.0.1",
        "fd00::/8,127.0.0.1",
        "[fd00::]/8, 127.0.0.0/8",
        "::1/128 fe80::/10\t127.0.0.1",
        "fd00::/999,[::1,http://127.0.0.1",
        "*",
    ],
)
async def test_what_no_proxy_covers_is_reached_whatever_else_it_names(
    ask: Callable[..., Any], exceptions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"socks5://{NOBODY}")
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://x")
    monkeypatch.setenv("NO_PROXY", exceptions)

    assert await ask()


@pytest.mark.parametrize(
    ("entry", "url", "straight"),
    [
        ("novita.ai", "https://api.novita.ai/v3", True),
        (".novita.ai", "https://api.novita.ai/v3", True),
        ("*.novita.ai", "https://api.novita.ai/v3", True),
        ("novita.ai:443", "https://api.novita.ai/v3", True),
        ("novita.ai:80", "https://api.novita.ai/v3", False),
        ("http://novita.ai", "https://api.novita.ai/v3", False),
        ("ita.ai", "https://api.novita.ai/v3", False),
        ("NOVITA.AI", "https://api.novita.ai/v3", True),
        ("fd00::/8", "http://[fd12::1]:8000/", True),
        ("fd00::/8", "http://[fe12::1]:8000/", False),
        ("[::1]:8000", "http://[::1]:8000/", True),
        ("[::1]:8001", "http://[::1]:8000/", False),
        ("::1", "http://[::1]:8000/", True),
        ("10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("10.0.0.1:8000", "http://10.0.0.1:8000/", True),
    ],
)
def test_exceptions_mean_what_curl_and_go_take_them_for(
    entry: str, url: str, straight: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", f"localhost,{entry}")
    around = Surroundings.read()

    assert (around.proxy_for(httpx.URL(url)) is None) == straight


async def test_links_go_the_same_way_as_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example")
    monkeypatch.setenv("NO_PROXY", "fd00::/8,10.0.0.0/8")
    async with new_http() as http:
        assert route_to(http, httpx.URL("https://example.com/x.png")) == "proxy"
        assert route_to(http, httpx.URL("http://10.0.0.7/x.png")) == "bypass"
        assert route_to(http, httpx.URL("http://[fd00::7]/x.png")) == "bypass"


@pytest.mark.parametrize(
    "proxy", ["socks4://127.0.0.1:9", "http://127.0.0.1:99999", "http://[::1", "http://", "${HTTP_PROXY}"]
)
async def test_a_proxy_that_cannot_be_is_named_at_once(
    ask: Callable[..., Any], proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)

    with pytest.raises(NovitaConnectionError, match="HTTP_PROXY") as refused:
        await ask()

    assert refused.value.lasting


async def test_a_password_of_a_proxy_is_not_told(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"socks5://me:hunter2@{NOBODY}")

    with pytest.raises(NovitaConnectionError) as refused:
        await ask()

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("setting", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_certificates_that_are_not_there_are_named_once_they_are_needed(
    ask: Callable[..., Any], setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting, str(tmp_path / "moved.pem"))

    assert await ask()  # plain http needs none
    with pytest.raises(NovitaConnectionError, match=setting) as refused:
        await ask(API_HOST)

    assert f"Unset {setting}" in refused.value.next_step


def test_certificates_are_read_once_for_all_pools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.pem"
    mine.write_bytes(Path(certifi.where()).read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(mine))
    first = certificates()
    mine.unlink()
    assert certificates() is first
    monkeypatch.delenv("SSL_CERT_FILE")
    assert certificates() is not first


async def test_a_file_without_certificates_is_named(
    ask: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))

    with pytest.raises(NovitaConnectionError, match="SSL_CERT_FILE"):
        await ask(API_HOST)


async def test_a_paid_call_that_never_left_is_not_billed(simulator: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks4://proxy.example")
    async with new_http() as http:
        client = NovitaClient(http, DEFAULT_KEY, simulator.url)
        with pytest.raises(NovitaConnectionError) as refused:
            await client.spend("POST", "/v3/async/x", doing="submitting", body={})
        with pytest.raises(NovitaConnectionError) as cut:
            async with client.stream("POST", "/v3/openai/chat/completions", doing="asking", body={}):
                pass

    assert (refused.value.billed, cut.value.billed) == ("no", "no")


async def test_links_and_own_endpoints_name_the_setting_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks4://proxy.example")
    async with new_http() as http:
        client = NovitaClient(http, DEFAULT_KEY)
        call = ServiceCall("https://abc.example", "/", "GET", {}, None)
        with pytest.raises(NovitaConnectionError, match="ALL_PROXY") as refused:
            await call_service(client, call, within=5)
        with pytest.raises(ArtifactError, match="ALL_PROXY"):
            await Downloader(http, SystemClock(), Guard()).peek("https://example.com/fox.png")
    assert refused.value.billed == "no"


async def test_a_host_that_is_not_found_means_no_network(ask: Callable[..., Any]) -> None:
    with pytest.raises(NovitaConnectionError, match="no network") as refused:
        await ask("http://novita.invalid")

    assert "network connection" in refused.value.next_step


async def test_what_this_process_serves_is_asked_of_no_proxy(
    simulator: Running, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{NOBODY}")

    with served_here(simulator.url):
        assert await ask()
    with pytest.raises(NovitaConnectionError, match="HTTP_PROXY"):
        await ask()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:99999",
        "https://[::1/",
        "https://xn--/",
        "https://",
        "ftp://x",
        "api.novita.ai",
        "http://a..b",
        "http://x:0",
    ],
)
def test_an_address_that_cannot_be_is_known_before_anything_is_sent(url: str) -> None:
    assert address_problem(url)


@pytest.mark.parametrize("url", [API_HOST, "http://127.0.0.1:8765/", "http://[::1]:80", "http://somebody:pw@host/x"])
def test_an_address_that_can_be_is_left_alone(url: str) -> None:
    assert address_problem(url) is None
