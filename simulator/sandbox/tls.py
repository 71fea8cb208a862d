"""A TLS port in front of the plain one, for clients that insist on https://<port>-<id>.<domain>.

The certificate for 127.0.0.1, localhost and *.localhost is made here, and so is its authority, which a client trusts by
`SSL_CERT_FILE`. With the domain `sbx@127.0.0.1:<port>` the part with port and sandbox becomes user info of the address,
so no name has to be resolved.
"""

import asyncio
import contextlib
import ipaddress
import ssl
import tempfile
import threading
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIVES = timedelta(days=30)
PIECE = 64 * 1024


@dataclass(frozen=True)
class Front:
    """Where the TLS port is. `authority` is the file to trust."""

    port: int
    authority: Path

    @property
    def domain(self) -> str:
        """The domain of sandboxes that answers must name."""
        return f"sbx@127.0.0.1:{self.port}"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """The authority's certificate, and one file with the server's key and certificate."""
    now = datetime.now(UTC)

    def signed(
        name: str, key: ec.EllipticCurvePrivateKey, by: str, by_key: ec.EllipticCurvePrivateKey
    ) -> x509.Certificate:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, by)]
        is_authority = name == by
        builder = x509.CertificateBuilder(
            names[1], names[0], key.public_key(), x509.random_serial_number(), now, now + LIVES
        )
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        known = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key())
        builder = builder.add_extension(known, critical=False).add_extension(signer, critical=False)
        if is_authority:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            return builder.add_extension(usage, critical=True).sign(by_key, hashes.SHA256())
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        hosts = x509.SubjectAlternativeName([address, x509.DNSName("localhost"), x509.DNSName("*.localhost")])
        return builder.add_extension(hosts, critical=False).sign(by_key, hashes.SHA256())

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    title = "Novita simulator, this machine only"
    authority = signed(title, authority_key, title, authority_key)
    server = signed("127.0.0.1", key, title, authority_key)
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    trusted, chain = folder / "authority.pem", folder / "server.pem"
    trusted.write_bytes(authority.public_bytes(pem))
    chain.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none) + server.public_bytes(pem))
    return trusted, chain


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(PIECE):
        target.write(data)
        await target.drain()


@contextlib.contextmanager
def tls_front(port: int) -> Generator[Front]:
    """TLS on a free port of 127.0.0.1, passed on to the plain `port`, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="novita-simulator-") as name:
        authority, chain = _certificate(Path(name))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        ready, loop = threading.Event(), asyncio.new_event_loop()
        found: list[int] = []
        stop = asyncio.Event()
        held: set[asyncio.Task[None]] = set()

        async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            held.add(task)
            inner: asyncio.StreamWriter | None = None
            try:
                inner_reader, inner = await asyncio.open_connection("127.0.0.1", port)
                ways = {asyncio.ensure_future(_pump(reader, inner)), asyncio.ensure_future(_pump(inner_reader, writer))}
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            except (OSError, asyncio.CancelledError):
                return  # Nobody waits for this task, so it may just end.
            finally:
                for each in (writer, inner):
                    if each is not None:
                        each.transport.abort()
                held.discard(task)

        async def run() -> None:
            server = await asyncio.start_server(passed_on, "127.0.0.1", 0, ssl=context)
            found.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()
            server.close()
            for task in list(held):
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)

        def work() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(run())

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        ready.wait(10)
        try:
            yield Front(found[0], authority)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
