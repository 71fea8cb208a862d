"""Bodies that unpack to far more than they are: each reader of one stops at its own bound, and says so."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO

import httpx
import pytest
from novita_mcp.novita.core.backoff import RetryPolicy
from novita_mcp.novita.core.bodies import BodyError, BodyTooLargeError, body_pieces, read_body
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.core.errors import ArtifactError, NotFoundError, NovitaConnectionError
from novita_mcp.novita.files.addresses import Guard
from novita_mcp.novita.files.downloads import Downloader
from novita_mcp.novita.serverless.gateway import call_service, service_call
from novita_mcp.novita.serverless.shapes import Endpoint
from novita_mcp.novita.text.chat import CHAT_PATH, generate
from novita_mcp.novita.text.generations import Generation

from ...raw_server import answer, raw_host
from ..conftest import FakeClock

MIB = 2**20
ZEROS = bytes(64 * MIB)
ONCE = gzip.compress(ZEROS, 9, mtime=0)
TWICE = gzip.compress(gzip.compress(bytes(512 * MIB), 9, mtime=0), 9, mtime=0)
MOST_MEMORY = 16 * MIB


@contextmanager
def little_memory() -> Generator[None]:
    """The block never holds more than a few MiB at a time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


@asynccontextmanager
async def get(url: str) -> AsyncGenerator[httpx.Response]:
    async with new_http() as http, http.stream("GET", url) as response:
        yield response


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (("Content-Encoding: gzip",), gzip.compress(b"a fox" * 100_000, mtime=0)),
        (
            ("Content-Encoding: x-gzip",),
            gzip.compress(b"a fox" * 50_000, mtime=0) + gzip.compress(b"a fox" * 50_000, mtime=0) + bytes(9),
        ),
        (("Content-Encoding: deflate",), zlib.compress(b"a fox" * 100_000)),
        (("Content-Encoding: deflate",), zlib.compress(b"a fox" * 100_000)[2:-4]),
        (("Content-Encoding: identity", "Content-Encoding: GZIP"), gzip.compress(b"a fox" * 100_000, mtime=0)),
        (("Content-Encoding: aws-chunked, gzip",), gzip.compress(b"a fox" * 100_000, mtime=0)),
        (("Content-Encoding: UTF-8",), b"a fox" * 100_000),
        (("Content-Encoding: none",), b"a fox" * 100_000),
        (("Content-Encoding: aws-chunked",), b"a fox" * 100_000),
        ((), b"a fox" * 100_000),
    ],
)
async def test_one_layer_is_unpacked_and_none_is_asked_for(headers: tuple[str, ...], body: bytes) -> None:
    async with raw_host(answer(body, *headers)) as host, get(host.url) as response:
        assert await read_body(response, most=MIB) == b"a fox" * 100_000
    assert b"accept-encoding: identity" in host.requests[0].lower()


@pytest.mark.parametrize(
    ("headers", "body", "why"),
    [
        (("Content-Encoding: gzip, gzip",), TWICE, "packed 2 times"),
        (("Content-Encoding: gzip", "Content-Encoding: gzip"), TWICE, "packed 2 times"),
        (("Content-Encoding: br",), b"\x0b\x02\x80fox\x03", "nobody asked for"),
        (("Content-Encoding: gzip",), b"no gzip at all", "cannot be read"),
        (("Content-Encoding: gzip",), gzip.compress(b"a fox" * 999, mtime=0)[:-20], "middle"),
        (("Content-Encoding: gzip",), ONCE, "larger"),
        (("Content-Encoding: gzip",), gzip.compress(b"", mtime=0) * 90_000, "larger"),
        ((), bytes(2 * MIB), "larger"),
    ],
)
async def test_what_cannot_be_had_within_the_bound_is_refused(headers: tuple[str, ...], body: bytes, why: str) -> None:
    got = 0
    async with raw_host(answer(body, *headers)) as host, get(host.url) as response:
        with pytest.raises(BodyError, match=why), little_memory():
            async for piece in body_pieces(response, most=MIB):
                got += len(piece)
    assert got <= MIB


async def test_unpacking_lets_others_run() -> None:
    """Counted in pieces: between two of them everybody else has a turn."""
    async with raw_host(answer(ONCE, "Content-Encoding: gzip")) as host, get(host.url) as response:
        sizes = [len(piece) async for piece in body_pieces(response, most=len(ZEROS))]
    assert sum(sizes) == len(ZEROS)
    assert max(sizes) <= MIB


# Every reader


async def _novita(client: NovitaClient) -> object:
    return await client.read("GET", "/v3/user", doing="reading the balance")


async def _paid(client: NovitaClient) -> object:
    return await client.spend("POST", "/v3/async/txt2img", doing="submitting", body={})


async def _chat(client: NovitaClient) -> object:
    made = Generation(0)
    await generate(client, CHAT_PATH, {"stream": True}, made, doing="asking")
    assert made.ending != "done"
    raise NovitaConnectionError(made.trouble)


async def _endpoint(client: NovitaClient) -> object:
    endpoint = Endpoint.model_validate({"id": "e", "url": client.base_url})
    call = service_call(client, endpoint, path="/", method="GET", headers=None, body=None)
    return await call_service(client, call, within=20)


@pytest.mark.parametrize("read", [_novita, _paid, _chat, _endpoint])
@pytest.mark.parametrize(("encoding", "body"), [("gzip, gzip", TWICE), ("gzip", ONCE)])
async def test_no_answer_takes_more_memory_than_it_may(
    read: Callable[[NovitaClient], Awaitable[object]], encoding: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novita_mcp.novita.serverless.gateway.LARGEST_REPLY", MIB)
    monkeypatch.setattr("novita_mcp.novita.text.chat._LONGEST_STREAM", MIB)
    async with raw_host(answer(body, f"Content-Encoding: {encoding}")) as host, new_http() as http:
        client = NovitaClient(http, "sk-a-key", host.url, largest_answer=MIB, retries=RetryPolicy(attempts=1))
        with pytest.raises(NovitaConnectionError), little_memory():
            await read(client)


@pytest.mark.parametrize(("encoding", "body"), [("gzip, gzip", TWICE), ("gzip", ONCE)])
async def test_no_link_takes_more_memory_or_disk_than_it_may(encoding: str, body: bytes, clock: FakeClock) -> None:
    async with raw_host(answer(body, f"Content-Encoding: {encoding}")) as host, new_http() as http:
        links = Downloader(http, clock, Guard(allow_private=True))
        sink = BytesIO()
        with pytest.raises(ArtifactError), little_memory():
            await links.download(host.url, sink, max_bytes=MIB)
        with little_memory():
            try:
                assert len((await links.peek(host.url)).head) == 64 * 1024
            except ArtifactError as error:
                assert "packed 2 times" in str(error)
    assert len(sink.getvalue()) <= MIB


async def test_an_error_that_is_packed_in_vain_is_still_that_error() -> None:
    body = json.dumps({"code": 404, "reason": "TASK_NOT_FOUND", "message": "no"}).encode()
    packed = gzip.compress(gzip.compress(body))
    refusal = answer(packed, "Content-Encoding: gzip, gzip", status="404 Not Found")
    async with raw_host(refusal) as host, new_http() as http:
        client = NovitaClient(http, "sk-a-key", host.url)
        with pytest.raises(NotFoundError, match="404"):
            await client.spend("POST", "/v3/async/txt2img", doing="submitting", body={})


async def test_too_large_is_told_from_packed_wrongly() -> None:
    async with raw_host(answer(ONCE, "Content-Encoding: gzip")) as host, get(host.url) as response:
        with pytest.raises(BodyTooLargeError):
            await read_body(response, most=MIB)
