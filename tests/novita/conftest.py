"""A storage host on a real socket that can be told to misbehave, and a clock that costs no time."""

import re
import threading
import wave
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from novita_mcp.novita.journal.journal import Journal
from PIL import Image

from ..postgres import Postgres, binaries, run_postgres


@dataclass
class FakeClock:
    """sleep() notes the nap and moves the time; no real second passes."""

    time: float = 1_000.0
    unix: float = 1_795_435_200.0  # 2026-11-23 12:00 UTC: the same day nearly everywhere
    naps: list[float] = field(default_factory=lambda: list[float]())

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.unix + self.time

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.time += seconds


@dataclass
class StorageReply:
    """One answer of the storage.

    Args:
        cut: Close after so many bytes of the body.
        length: What Content-Length says; None leaves it out, -1 is the truth.
        hold: Stop in the middle of the body until the test ends.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    cut: int | None = None
    length: int | None = -1
    ranges: bool = True
    hold: bool = False


@dataclass
class StorageHost:
    """The storage host: replies by path, the last one again and again, and every request it got."""

    url: str
    replies: dict[str, list[StorageReply]] = field(default_factory=lambda: dict[str, list[StorageReply]]())
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=lambda: list[tuple[str, dict[str, str]]]())
    held: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def plan(self, path: str, *replies: StorageReply) -> str:
        """Answer `path` with these; the link to it."""
        self.replies[path] = list(replies)
        return self.url + path

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def asked(self, header: str) -> list[str | None]:
        return [headers.get(header) for _, headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    storage: StorageHost

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        storage = self.storage
        self.close_connection = True
        storage.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        plan = storage.replies.get(self.path, [StorageReply(status=404, body=b"gone")])
        reply = plan.pop(0) if len(plan) > 1 else plan[0]
        body, status = reply.body, reply.status
        headers = dict(reply.headers)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        matches = self.headers.get("if-range") in (None, headers.get("ETag"))
        if wanted and reply.ranges and status == 200 and matches:
            start, end = int(wanted[1]), min(int(wanted[2] or len(body) - 1), len(body) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
            body, status = body[start : end + 1], 206
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if reply.length is not None:
            self.send_header("Content-Length", str(len(body) if reply.length < 0 else reply.length))
        self.send_header("Connection", "close")
        self.end_headers()
        if reply.hold:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            storage.held.set()
            storage.release.wait(30)
            return
        self.wfile.write(body if reply.cut is None else body[: reply.cut])


@pytest.fixture
def storage() -> Generator[StorageHost]:
    class StorageHandler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), StorageHandler) as server:
        server.daemon_threads = True
        StorageHandler.storage = StorageHost(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield StorageHandler.storage
        finally:
            StorageHandler.storage.release.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


Image.init()
PICTURE_KINDS = [kind for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF") if kind in Image.SAVE]
"""What Pillow writes here: AVIF came late."""


def draw(width: int = 96, height: int = 64, kind: str = "PNG", **options: Any) -> bytes:
    """A real picture with enough in it that it does not compress to nothing."""
    noise = Image.effect_noise((width, height), 90)
    picture = Image.merge("RGB", (noise, noise.transpose(Image.Transpose.ROTATE_180), Image.new("L", noise.size, 40)))
    sink = BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


@pytest.fixture(scope="session")
def png() -> bytes:
    return draw(320, 240)


def tone(seconds: float, *, rate: int = 8_000) -> bytes:
    """A real WAV file."""
    sink = BytesIO()
    with wave.open(sink, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(2 * int(seconds * rate)))
    return sink.getvalue()


def encode(container: str, codec: str, *, seconds: float = 1.0, black: int = 0, **options: str) -> bytes:
    """A real clip (128x96, 10 frames a second, the first `black` ones black) or sound, as ffmpeg writes it."""
    import av

    sink = BytesIO()
    output: Any
    with av.open(sink, "w", format=container, options=options) as output:
        if av.Codec(codec, "w").type == "video":
            stream: Any = output.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
            for number in range(int(seconds * 10)):
                noise = Image.new("L", (128, 96), 0) if number < black else Image.effect_noise((128, 96), 120)
                frame: Any = cast(Any, av.VideoFrame).from_image(noise.convert("RGB"))
                output.mux(stream.encode(frame))
        else:
            _encode_sound(output, codec, seconds)
    return sink.getvalue()


def _encode_sound(output: Any, codec: str, seconds: float) -> None:
    import av

    stream: Any = output.add_stream(codec, rate=48_000)
    stream.layout = "mono"
    resampler = av.AudioResampler(format=stream.format, layout="mono", rate=48_000)
    samples = 960
    for number in range(int(seconds * 48_000 / samples)):
        frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
        frame.planes[0].update(bytes(range(240)) * 8)
        frame.sample_rate, frame.pts = 48_000, number * samples
        for part in resampler.resample(frame):
            output.mux(stream.encode(part))
    output.mux(stream.encode(None))


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """One server for all tests of a process; each asks it for a database of its own."""
    with run_postgres() as running:
        yield running


needs_postgres = pytest.mark.skipif(binaries() is None, reason="Debian's postgresql is not installed")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
async def journal(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncGenerator[Journal]:
    """An empty journal; every test that takes this runs once per database."""
    url = request.getfixturevalue("postgres").new() if request.param == "postgresql" else None
    journal = Journal(None if url else tmp_path / "journal.sqlite3", url=url, clock=clock)
    yield journal
    await journal.close()
