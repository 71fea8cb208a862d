"""What counts as a request: one that every proxy reads in the same way, whole, and not without end."""

import asyncio
import contextlib
import json
import re
import time
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import pytest
from novita_mcp.server import connections
from novita_mcp.server.connections import MOST_HEAD
from starlette.types import Receive, Scope, Send

from ...serving import serve_asgi
from ..sockets import PATIENCE, connected, heard

HOST = b"Host: localhost\r\n"
LAST = b"Connection: close\r\n\r\n"
GET = b"GET /echo HTTP/1.1\r\n" + HOST
POST = b"POST /echo HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
MIB = 2**20


@dataclass
class Echo:
    """An app that says what reached it."""

    seen: list[str] = field(default_factory=list[str])
    """The paths that were asked for."""
    events: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.seen.append(scope["path"])
            what, _, name = scope["path"][1:].partition("/")
            await getattr(self, what)(name, scope, receive, send)

    async def echo(self, _: str, scope: Scope, receive: Receive, send: Send) -> None:
        body = await whole_body(receive)
        said = {name: scope[name] for name in ("method", "path", "http_version")}
        headers = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
        await say(send, json.dumps({**said, "headers": headers, "body": body.decode("latin-1")}).encode())

    async def count(self, _: str, scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, str(len(await whole_body(receive))).encode())

    async def stream(self, _: str, scope: Scope, receive: Receive, send: Send) -> None:
        """An answer whose length nobody knows when it begins."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one,", b"", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    async def early(self, _: str, scope: Scope, receive: Receive, send: Send) -> None:
        """An answer that does not wait for the body."""
        await say(send, b"early")

    async def fail(self, _: str, scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("as an app does")

    async def large(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """An answer of 64 MiB."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * MIB, "more_body": True})
        await send({"type": "http.response.body"})
        self.events[name].set()

    async def gone(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """A call that runs until its client is gone."""
        self.events[f"{name}-began"].set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.events[name].set()

    async def after(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """A call that runs until something happens."""
        self.events[f"{name}-began"].set()
        await self.events[name].wait()
        await say(send, b"after")

    async def now(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        self.events[name].set()
        await say(send, b"now")


async def whole_body(receive: Receive) -> bytes:
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    return bytes(body)


async def say(send: Send, text: bytes) -> None:
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


@dataclass(frozen=True)
class Place:
    url: str
    app: Echo

    def ask(self, *sent: bytes) -> bytes:
        """What is answered until the server hangs up."""
        opened = connected(self.url)
        for part in sent:
            opened.sendall(part)
        return heard(opened)

    def echo(self, *sent: bytes) -> dict[str, Any]:
        return json.loads(self.ask(*sent).rpartition(b"\r\n\r\n")[2])

    def tell(self, path: str) -> None:
        """Ask for a path on a connection of its own, and wait for the answer."""
        assert self.ask(b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + LAST).startswith(b"HTTP/1.1 200")


@pytest.fixture(scope="module")
def served() -> Generator[Place]:
    app = Echo()
    with serve_asgi(app) as url:
        yield Place(url, app)


@pytest.fixture
def place(served: Place) -> Place:
    served.app.seen.clear()
    return served


def statuses(answer: bytes) -> list[str]:
    return [found.decode() for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


# Requests that are refused

TWO = b"\r\n\r\nab"
INVALID = {
    "a length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3" + TWO,
    "one length twice": POST + b"Content-Length: 2\r\nContent-Length: 2" + TWO,
    "a list of lengths": POST + b"Content-Length: 2, 2" + TWO,
    "a length with a sign": POST + b"Content-Length: +2" + TWO,
    "a length below zero": POST + b"Content-Length: -2" + TWO,
    "a length in hexadecimal": POST + b"Content-Length: 0x2" + TWO,
    "no length": POST + b"Content-Length: " + TWO,
    "a length beyond all bounds": POST + b"Content-Length: 99999999999999999999999" + TWO,
    "chunks that are not the last encoding": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an encoding before chunks": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "another encoding": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "an encoding almost chunks": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKED.replace(b"/1.1", b"/1.0") + b"\r\n0\r\n\r\n",
    "a space before a colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": GET + b"X-A: b\r\n c\r\n\r\n",
    "a folded first header": b"GET /echo HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "lines without CR": GET.replace(b"\r", b"") + b"\n",
    "a line without CR": GET + b"X-A: b\nContent-Length: 2" + TWO,
    "an empty line without CR": GET + b"\n",
    "a line without LF": GET + b"X-A: b\rX-B: c\r\n\r\n",
    "a zero byte in a value": GET + b"X-A: b\x00c\r\n\r\n",
    "a zero byte in a name": GET + b"X\x00A: b\r\n\r\n",
    "a control character": GET + b"X-A: b\x1bc\r\n\r\n",
    "a header without a name": GET + b": b\r\n\r\n",
    "a header without a colon": GET + b"X-A\r\n\r\n",
    "no host": b"GET /echo HTTP/1.1\r\n\r\n",
    "two hosts": GET + HOST + b"\r\n",
    "two hosts in HTTP/1.0": GET.replace(b"/1.1", b"/1.0") + HOST + b"\r\n",
    "a target that names a host": b"GET http://example.com/echo HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that is a host": b"CONNECT example.com:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT /echo HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment": b"GET /echo#a HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab in the target": b"GET /echo\ta HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that is not ASCII": "GET /é HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "two spaces": b"GET  /echo HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in small letters": b"get /echo HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"FETCH /echo HTTP/1.1\r\n" + HOST + b"\r\n",
    "an empty line first": b"\r\n" + GET + b"\r\n",
    "HTTP/0.9": b"GET /echo\r\n\r\n",
    "HTTP/1.2": GET.replace(b"/1.1", b"/1.2") + b"\r\n",
    "HTTP/2 by a line": GET.replace(b"/1.1", b"/2.0") + b"\r\n",
    "HTTP/2 by its preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("sent", INVALID.values(), ids=INVALID)
def test_what_might_be_read_in_two_ways_is_refused(place: Place, sent: bytes) -> None:
    head, _, body = place.ask(sent).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 400 Bad Request",
        b"content-type: text/plain; charset=utf-8",
        b"content-length: 30",
        b"connection: close",
    ]
    assert body == b"Invalid HTTP request received."
    assert place.app.seen == []


ENDLESS = {
    "a header": (GET + b"X-A: " + b"a" * MIB, "431"),
    "headers": (GET + b"a:b\r\n" * 200_000, "431"),
    "a head that does end": (GET + b"X-A: " + b"a" * MOST_HEAD + b"\r\n\r\n", "431"),
    "a target": (b"GET /echo/" + b"a" * MIB, "414"),
    "a target that does end": (b"GET /echo/" + b"a" * MOST_HEAD + b" HTTP/1.1\r\n" + HOST + b"\r\n", "414"),
}


@pytest.mark.parametrize(("sent", "status"), ENDLESS.values(), ids=ENDLESS)
def test_a_head_without_end_is_refused(place: Place, sent: bytes, status: str) -> None:
    """Its client hears so, although more of it was on its way."""
    assert statuses(place.ask(sent)) == [status]
    assert place.app.seen == []


ENDLESS_CHUNKS = {
    "an extension": b"2;" + b"a" * MIB,
    "extensions": b"1;" + b"a" * 1000 + b"\r\nx\r\n" + (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 1000,
    "a trailer": b"2\r\nab\r\n0\r\nX-A: " + b"a" * MIB,
    "trailers": b"2\r\nab\r\n0\r\n" + b"a:b\r\n" * 200_000,
    "trailers after much": b"100000\r\n" + b"a" * MIB + b"\r\n0\r\n" + b"a:b\r\n" * 200_000,
}
INVALID_CHUNKS = {
    "no number": b"zz\r\n",
    "a number with a mark": b"0x2\r\nab\r\n0\r\n\r\n",
    "a number beyond all bounds": b"fffffffffffffffff\r\nab",
    "more than it says": b"2\r\nabc\r\n0\r\n\r\n",
    "no CR": b"2\nab\n0\n\n",
    "an extension without CR": b"2;a\nxx\r\nab\r\n0\r\n\r\n",
}


@pytest.mark.parametrize(
    "sent", [*ENDLESS_CHUNKS.values(), *INVALID_CHUNKS.values()], ids=[*ENDLESS_CHUNKS, *INVALID_CHUNKS]
)
def test_a_call_whose_chunks_are_invalid_or_have_no_end_is_refused_and_ended(place: Place, sent: bytes) -> None:
    name = f"refused-{len(place.app.events)}"
    head = b"POST /gone/" + name.encode() + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert statuses(place.ask(head, sent)) == ["400"]
    place.tell(f"/after/{name}")  # the call has heard that its client is gone


def test_chunks_of_single_bytes_are_no_waste(place: Place) -> None:
    size = 2 * MOST_HEAD
    said = place.echo(CHUNKED + LAST, b"1\r\nx\r\n" * size + b"0\r\n\r\n")
    assert said["body"] == "x" * size


def test_a_client_that_was_refused_cannot_go_on_for_ever(place: Place) -> None:
    opened = connected(place.url, b"\x00")
    with contextlib.suppress(ConnectionError):
        for _ in range(3_000):
            opened.sendall(b"x" * 65_536)
            time.sleep(0.01)
        pytest.fail("everything was read")
    opened.close()


# Requests that are served


def test_a_request_that_drips_in_arrives_whole(place: Place) -> None:
    whole = POST + b"X-A:\r\nX-B: \t b c \t\r\nContent-Length: 3\r\n" + LAST + b"abc"
    said = place.echo(*(whole[at : at + 1] for at in range(len(whole))))
    assert (said["method"], said["path"], said["http_version"], said["body"]) == ("POST", "/echo", "1.1", "abc")
    assert said["headers"][1:3] == [["x-a", ""], ["x-b", "b c"]]


def test_a_head_may_be_large(place: Place) -> None:
    value = b"a" * (MOST_HEAD - len(GET + b"X-A: \r\n" + LAST))
    assert place.echo(GET + b"X-A: " + value + b"\r\n" + LAST)["headers"][1] == ["x-a", value.decode()]


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0\r\nAuthorization: Bearer x\r\nX-A: b\r\n\r\n"])
def test_trailers_become_no_headers(place: Place, end: bytes) -> None:
    said = place.echo(CHUNKED + LAST, b"2;a=b\r\nab\r\n" + end)
    assert said["body"] == "ab"
    assert {name for name, _ in said["headers"]} == {"host", "transfer-encoding", "connection"}


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.0"])
def test_an_offer_of_another_protocol_is_not_taken(place: Place, protocol: str) -> None:
    """Java's client offers HTTP/2 with the first request of each connection, and sends its body in HTTP/1.1."""
    hidden = b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n"
    offer = f"Connection: Upgrade, HTTP2-Settings\r\nuPgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    length = f"Content-Length: {len(hidden)}\r\n\r\n"
    answer = place.ask(POST + (offer + key + length).encode(), hidden, GET + LAST)
    assert statuses(answer) == ["200", "200"]
    assert json.dumps(hidden.decode())[1:-1].encode() in answer
    assert place.app.seen == ["/echo", "/echo"]


def test_a_client_that_asks_first_whether_to_send_a_body_is_told(place: Place) -> None:
    opened = connected(place.url, POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n" + LAST)
    assert opened.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    opened.sendall(b"abc")
    answer = heard(opened)
    assert statuses(answer) == ["200"]
    assert b'"body": "abc"' in answer


def test_http_1_0_gets_neither_chunks_nor_a_hint_to_send(place: Place) -> None:
    head, _, body = place.ask(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").partition(b"\r\n\r\n")
    assert body == b"one,two"
    assert b"keep-alive" not in head
    assert b"transfer-encoding" not in head.lower()
    answer = place.ask(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
    assert statuses(answer) == ["200"]
    assert b'"http_version": "1.0"' in answer


def test_answers_are_framed_as_the_request_allows(place: Place) -> None:
    head, _, body = place.ask(b"GET /stream HTTP/1.1\r\n" + HOST + LAST).partition(b"\r\n\r\n")
    assert body == b"4\r\none,\r\n3\r\ntwo\r\n0\r\n\r\n"
    assert {b"transfer-encoding: chunked", b"connection: close", b"server: uvicorn"} <= set(head.split(b"\r\n"))
    assert b"\r\ndate: " in head
    head, _, body = place.ask(b"HEAD /echo HTTP/1.1\r\n" + HOST + LAST).partition(b"\r\n\r\n")
    assert body == b""
    assert re.search(rb"\r\ncontent-length: [1-9]", head)


# Several requests on one connection


def test_requests_that_come_together_are_answered_in_turn(place: Place) -> None:
    first = b"GET /after/turn HTTP/1.1\r\n" + HOST + b"\r\n"
    second = b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nab"
    opened = connected(place.url, first + second + second + b"GET /echo HTTP/1.1\r\n" + HOST + LAST)
    place.tell("/after/turn-began")
    assert "/echo" not in place.app.seen
    place.tell("/now/turn")
    answer = heard(opened)
    assert statuses(answer) == ["200"] * 4
    assert answer.index(b"after") < answer.index(b'"body": "ab"')
    assert place.app.seen.count("/echo") == 3


def test_a_bad_request_behind_another_does_not_take_its_answer(place: Place) -> None:
    opened = connected(place.url, b"GET /after/bad HTTP/1.1\r\n" + HOST + b"\r\n" + b"\x16\x03\x01")
    place.tell("/after/bad-began")
    place.tell("/now/bad")
    assert statuses(heard(opened)) == ["200", "400"]


def test_a_flood_of_requests_behind_one_that_runs_is_not_read(place: Place) -> None:
    """A client that sends a large body in time's nick loses nothing."""
    opened = connected(place.url, b"GET /after/flood HTTP/1.1\r\n" + HOST + b"\r\n")
    place.tell("/after/flood-began")
    body = b"a" * (64 * MIB)
    rest = memoryview(POST.replace(b"echo", b"count") + f"Content-Length: {len(body)}\r\n".encode() + LAST + body)
    opened.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while rest:
            rest = rest[opened.send(rest) :]
    assert len(rest) > len(body) / 2
    assert "/count" not in place.app.seen
    place.tell("/now/flood")
    opened.settimeout(PATIENCE)
    opened.sendall(rest)
    answer = heard(opened)
    assert statuses(answer) == ["200", "200"]
    assert answer.endswith(str(len(body)).encode())


@pytest.mark.parametrize("close", [b"close", b"Close", b"CLOSE, te", b"te, close"])
def test_a_client_that_says_it_will_close_is_hung_up_on(place: Place, close: bytes) -> None:
    assert statuses(place.ask(GET + b"Connection: " + close + b"\r\n\r\n" + GET + b"\r\n")) == ["200"]
    assert place.app.seen == ["/echo"]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_an_app_that_fails_is_an_answer(place: Place, version: bytes) -> None:
    assert statuses(place.ask(b"GET /fail HTTP/" + version + b"\r\n" + HOST + LAST)) == ["500"]


def test_what_follows_chunks_in_their_packet_ends_the_connection_after_the_answer(place: Place) -> None:
    """The parser does not say where the chunks ended, so a request that follows at once has to be sent again."""
    answer = place.ask(CHUNKED + b"\r\n2\r\nab\r\n0\r\n\r\n" + GET + b"\r\n")
    assert statuses(answer) == ["200"]
    assert b'"body": "ab"' in answer


@pytest.mark.parametrize(("rest", "more"), [((b"0\r\n\r\n", GET + LAST), ["200"]), ((b"0\r\n\r\n" + GET + LAST,), [])])
def test_a_body_that_ends_after_its_answer_is_dropped(place: Place, rest: tuple[bytes, ...], more: list[str]) -> None:
    opened = connected(place.url, b"POST /early HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    answer = b""
    while not answer.endswith(b"early"):
        answer += opened.recv(65_536)
    for part in rest:
        opened.sendall(part)
        place.tell("/early")  # so that it arrives by itself
    assert statuses(heard(opened)) == more


def test_a_connection_whose_body_ended_after_its_answer_does_not_rest_for_ever() -> None:
    with serve_asgi(Echo(), rests=1) as url:
        opened = connected(url, b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\na")
        answer = b""
        while not answer.endswith(b"early"):
            answer += opened.recv(65_536)
        opened.sendall(b"b")
        assert heard(opened) == b""


# Clients that go away, or take their time


@pytest.mark.parametrize("more", [b"", GET + b"\r\n", b"GET /ec"], ids=["quietly", "after another", "in another"])
def test_a_call_hears_that_its_client_is_gone(place: Place, more: bytes) -> None:
    name = f"left-{len(place.app.events)}"
    opened = connected(place.url, b"GET /gone/" + name.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n" + more)
    place.tell(f"/after/{name}-began")
    opened.close()
    place.tell(f"/after/{name}")
    assert "/echo" not in place.app.seen


def test_dripping_a_body_does_not_begin_the_wait_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY_WITHIN", 0.5)
    opened = connected(place.url, POST + b"Content-Length: 100000\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(600):
            opened.sendall(b"a")
            time.sleep(0.05)
        pytest.fail("the wait has no end")
    opened.close()


def test_who_does_not_take_the_answer_is_hung_up_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TAKEN_WITHIN", 0.5)
    opened = connected(place.url, b"GET /large/taken HTTP/1.1\r\n" + HOST + b"\r\n")
    place.tell("/after/taken")  # the call has ended, although nobody took its answer
    assert len(heard(opened)) < 64 * MIB
