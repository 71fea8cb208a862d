"""Nothing inside our own network is fetched, however its address is written or reached."""

import socket
import ssl
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from novita_mcp.novita.core.errors import ArtifactError
from novita_mcp.novita.files.addresses import AddressError, Guard, UnknownHostError, reach
from novita_mcp.novita.files.downloads import Downloader

from ..conftest import FakeClock, StorageHost, StorageReply


def answering(*addresses: str) -> Guard:
    """A guard whose resolver knows one answer."""
    return Guard(resolve=_resolver(*addresses))


def _resolver(*addresses: str):
    async def resolve(host: str, port: int) -> Sequence[str]:
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return addresses

    return resolve


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", "public"),
        ("2606:2800:220:1::1", "public"),
        ("10.0.0.1", "private"),
        ("172.16.9.9", "private"),
        ("192.168.0.1", "private"),
        ("127.0.0.1", "private"),
        ("100.64.0.1", "private"),
        ("::1", "private"),
        ("fd12::1", "private"),
        ("::ffff:127.0.0.1", "private"),
        ("64:ff9b::a00:1", "private"),
        ("2002:7f00:1::", "private"),
        ("::7f00:1", "private"),
        ("169.254.169.254", "forbidden"),
        ("::ffff:169.254.169.254", "forbidden"),
        ("100.100.100.200", "forbidden"),
        ("168.63.129.16", "forbidden"),
        ("fe80::1", "forbidden"),
        ("0.0.0.0", "forbidden"),
        ("224.0.0.1", "forbidden"),
    ],
)
def test_addresses_are_public_private_or_forbidden(address: str, expected: str) -> None:
    assert reach(address) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://nas.local/",
        "http://intranet/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://metadata.google.internal/",
        "http://user:pw@example.com/",
        "file:///etc/passwd",
        "ftp://example.com/",
    ],
)
async def test_private_spellings_are_refused_without_asking_the_resolver(url: str) -> None:
    with pytest.raises(AddressError):
        await answering("93.184.216.34").judge(httpx.URL(url))


@pytest.mark.parametrize("addresses", [("10.0.0.1",), ("93.184.216.34", "10.0.0.1"), ("169.254.169.254",)])
async def test_a_name_with_one_private_address_is_refused(addresses: Sequence[str]) -> None:
    with pytest.raises(AddressError, match=r"files\.example"):
        await answering(*addresses).judge(httpx.URL("https://files.example/a"))


async def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    hop = await answering("93.184.216.34", "93.184.216.35").judge(httpx.URL("https://files.example:8443/a?b=c"))
    first, second = hop.requests({}, httpx.Timeout(5))
    assert str(first.url) == "https://93.184.216.34:8443/a?b=c"
    assert second.url.host == "93.184.216.35"
    assert first.headers["host"] == "files.example:8443"
    # Kept open, it would serve another name that happens to have the same number.
    assert first.headers["connection"] == "close"
    assert first.extensions["sni_hostname"] == "files.example"


async def test_through_a_proxy_the_name_is_left_to_the_proxy() -> None:
    hop = await answering().judge(httpx.URL("https://files.example/a"), route="proxy")
    assert [str(request.url) for request in hop.requests({}, httpx.Timeout(5))] == ["https://files.example/a"]
    with pytest.raises(AddressError):
        await answering().judge(httpx.URL("https://10.0.0.1/a"), route="proxy")


async def test_an_unknown_name_is_told_from_a_refused_one() -> None:
    with pytest.raises(UnknownHostError):
        await answering().judge(httpx.URL("https://files.example/a"))


async def test_what_the_user_may_reach_a_public_server_may_not_redirect_to() -> None:
    guard = Guard(allow_private=True, resolve=_resolver("93.184.216.34"))
    private = httpx.URL("http://192.168.1.4/a")
    inside = await guard.judge(private)
    outside = await guard.judge(httpx.URL("http://files.example/a"))
    assert (await guard.judge(private, before=inside)).private
    with pytest.raises(AddressError, match="private"):
        await guard.judge(private, before=outside)
    with pytest.raises(AddressError, match="link-local"):
        await guard.judge(httpx.URL("http://169.254.169.254/"), before=inside)


async def test_encryption_is_not_given_up_on_the_way() -> None:
    guard = answering("93.184.216.34")
    before = await guard.judge(httpx.URL("https://files.example/a"))
    with pytest.raises(AddressError, match="plain http"):
        await guard.judge(httpx.URL("http://files.example/a"), before=before)


async def test_trust_is_for_a_host_or_for_one_port_of_it() -> None:
    assert Guard({"127.0.0.1:8123"}).trusts(httpx.URL("http://127.0.0.1:8123/x"))
    assert not Guard({"127.0.0.1:8123"}).trusts(httpx.URL("http://127.0.0.1:22/x"))
    assert Guard({"127.0.0.1"}).trusts(httpx.URL("http://127.0.0.1:22/x"))


async def test_a_dead_address_of_a_name_gives_way_to_the_next(
    storage: StorageHost, http: httpx.AsyncClient, clock: FakeClock, png: bytes
) -> None:
    port = storage.plan("/a.png", StorageReply(png)).split(":")[2].partition("/")[0]
    # 127.0.0.2 is ours too, but nobody listens there.
    guard = Guard(allow_private=True, resolve=_resolver("127.0.0.2", "127.0.0.1"))
    sink = BytesIO()
    await Downloader(http, clock, guard).download(f"http://files.example:{port}/a.png", sink, max_bytes=2**20)
    assert sink.getvalue() == png
    assert storage.asked("host") == [f"files.example:{port}"]
    assert clock.naps == []


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, secret


@pytest.mark.parametrize(("host", "works"), [("files.example", True), ("other.example", False)])
async def test_the_certificate_is_checked_against_the_name_though_the_number_is_dialled(
    tmp_path: Path, clock: FakeClock, png: bytes, host: str, works: bool
) -> None:
    certificate, secret = _certificate(tmp_path, "files.example")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, secret)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(png) + png

    def serve(listener: socket.socket) -> None:
        try:
            with server.wrap_socket(listener.accept()[0], server_side=True) as connection:
                connection.recv(65_536)
                connection.sendall(answer)
        except ssl.SSLError:
            pass  # the client hung up on the certificate, as it should

    guard = Guard(allow_private=True, resolve=_resolver("127.0.0.1"))
    trusting = ssl.create_default_context(cafile=str(certificate))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        async with httpx.AsyncClient(verify=trusting, trust_env=False) as http:
            downloader = Downloader(http, clock, guard, tries=1)
            url, sink = f"https://{host}:{listener.getsockname()[1]}/a.png", BytesIO()
            if works:
                await downloader.download(url, sink, max_bytes=2**20)
                assert sink.getvalue() == png
            else:
                with pytest.raises(ArtifactError, match="no connection"):
                    await downloader.download(url, sink, max_bytes=2**20)
        thread.join()
