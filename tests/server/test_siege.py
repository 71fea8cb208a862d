"""A port that anybody can reach: silence, half requests, floods of connections, bodies too large, a database gone."""

import asyncio
import contextlib
import logging
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from novita_mcp.server import connections
from novita_mcp.server.connections import AcceptErrors, Guarded
from novita_mcp.server.http import MOST_DRAINED, http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY

from ..serving import serve_asgi
from .children import environment
from .sockets import PATIENCE, connected, heard

KEY = f"Authorization: Bearer {DEFAULT_KEY}\r\n"
LIMIT = 40


@pytest.fixture
def url(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """A server whose patience is short and whose connections are few."""
    monkeypatch.setattr(connections, "HEADERS_WITHIN", 0.5)
    monkeypatch.setattr(connections, "BODY_WITHIN", 3.0)
    monkeypatch.setattr(Guarded, "limit", LIMIT)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    with serve_asgi(http_app(web_server(settings), settings), listener) as url:
        yield url


@pytest.mark.parametrize(
    ("sent", "last"),
    [
        ("", b""),
        ("POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"HTTP/1.1 408"),
        (f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{KEY}Content-Length: 100\r\n\r\n{{", b"HTTP/1.1 408"),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea", b"HTTP/1.1 408"),
    ],
    ids=["silent", "half the headers", "half the body", "half of the second request"],
)
def test_a_request_that_never_becomes_whole_is_hung_up_on(url: str, sent: str, last: bytes) -> None:
    before = time.monotonic()
    answer = heard(connected(url, sent))
    assert answer[answer.rfind(b"HTTP/1.1") :][:12] == last
    assert time.monotonic() - before < 10


def test_dripping_does_not_begin_the_wait_anew(url: str) -> None:
    opened = connected(url, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-A: ")
    dripped = 0
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            opened.sendall(b"a")
            dripped += 1
            time.sleep(0.05)
    opened.close()
    assert dripped < 100


def test_a_running_call_and_a_quiet_pause_between_two_have_no_deadline_of_ours(url: str) -> None:
    with httpx.Client() as client:
        for _ in range(3):
            assert client.get(f"{url}/healthz").status_code == 200
            time.sleep(0.7)  # longer than headers may take


@pytest.mark.parametrize(
    "sent",
    ["", "GET /hea", f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{KEY}Content-Length: 100\r\n\r\n{{", "\0"],
    ids=["silent", "in a head", "in a body", "refused"],
)
def test_whoever_speaks_gets_through_a_crowd_that_does_not(url: str, sent: str) -> None:
    """Three times as many connections as there may be wait for their clients; those that wait longest make room."""
    crowd = [connected(url, sent) for _ in range(3 * LIMIT)]
    answers = [httpx.get(f"{url}/healthz").status_code for _ in range(5)]
    for opened in crowd:
        opened.close()
    assert answers == [200] * 5


def test_who_spoke_last_is_not_the_one_that_makes_room(url: str) -> None:
    """Among connections that rest between two requests, whichever came first."""
    healthy = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def ask(opened: socket.socket) -> bytes:
        opened.sendall(healthy.encode())
        answer = b""
        while not answer.endswith(b"}") and (part := opened.recv(65_536)):
            answer += part
        return answer[:12]

    first, second, *others = crowd = [connected(url) for _ in range(LIMIT)]
    answers = [ask(each) for each in (first, second, *others, first)]
    crowd.append(connected(url))
    answers += [ask(crowd[-1]), ask(first)]
    assert answers == [b"HTTP/1.1 200"] * (LIMIT + 3)
    assert heard(second) == b""
    for opened in crowd:
        opened.close()


# Bodies over the limit


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("close", ["Connection: close\r\n", ""])
def test_a_body_over_the_limit_gets_its_413(settings: Settings, framing: str, close: str, url: str) -> None:
    """Also where the connection ends with the answer: nothing unread may be left in it, or the answer is lost."""
    body = b"x" * (6 * 2**20)
    declared = f"Content-Length: {len(body)}" if framing == "length" else "Transfer-Encoding: chunked"
    head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{KEY}Content-Type: application/json\r\n{close}{declared}\r\n\r\n"
    opened = connected(url, head)
    if framing == "length":
        opened.sendall(body)
    else:
        opened.sendall(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = opened.recv(65_536)
        assert part, "no answer came"
        answer += part
    opened.close()
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_far_over_the_limit_is_not_even_read(url: str) -> None:
    head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{KEY}Content-Length: {MOST_DRAINED + 1}\r\n\r\n"
    opened = connected(url, head)
    answer = opened.recv(12)
    opened.close()
    assert answer == b"HTTP/1.1 413"


# File descriptors


@pytest.mark.slow
def test_a_thousand_silent_connections_end_no_process(settings: Settings, tmp_path: Path) -> None:
    """With fewer file descriptors than they would take. One line about it at most, and calls go on."""
    allowed = 256
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({allowed}, {allowed}));"
        "from novita_mcp.server.cli import main; raise SystemExit(main(['serve', '--http', '--port', '0']))"
    )
    errors = tmp_path / "stderr.txt"
    with errors.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code], stderr=log, env=environment(tmp_path, settings.base_url)
        )
    crowd: list[socket.socket] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4_096)), hard))
    try:
        until = time.monotonic() + PATIENCE
        while not (found := re.search(r"http://\S+(?=/mcp)", errors.read_text())):
            assert time.monotonic() < until, errors.read_text()
            time.sleep(0.05)
        for _ in range(1_010):
            crowd.append(connected(found[0]))
        statuses = [httpx.get(f"{found[0]}/healthz", timeout=PATIENCE).status_code for _ in range(5)]
        descriptors = Path(f"/proc/{process.pid}/fd")
        held = len(list(descriptors.iterdir())) if descriptors.is_dir() else 0
        assert statuses == [200] * 5
        assert held < allowed
        assert process.poll() is None
        assert errors.read_text().count("cannot be accepted") <= 1
        assert "Traceback" not in errors.read_text()
    finally:
        for opened in crowd:
            opened.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        process.kill()
        process.wait()


def test_connections_that_cannot_be_accepted_are_said_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    loop, handler = asyncio.new_event_loop(), AcceptErrors()
    context = {"message": "socket.accept() out of system resource", "exception": OSError(24, "Too many open files")}
    with caplog.at_level(logging.ERROR):
        for _ in range(50):
            handler(loop, context)
        assert len(caplog.records) == 1
        handler(loop, {"message": "something else", "exception": OSError("of another kind")})
    loop.close()
    assert len(caplog.records) == 2


# Readiness


Serving = Callable[[Settings], contextlib.AbstractContextManager[str]]


@pytest.mark.parametrize("journal", ["postgresql://nobody:secret-word@127.0.0.1:9/none", "no/folder/here.sqlite3"])
def test_a_copy_without_its_journal_is_not_ready(
    settings: Settings,
    journal: str,
    tmp_path: Path,
    serving: Serving,
) -> None:
    if journal.startswith("postgresql"):
        pytest.importorskip("psycopg")
    else:
        (tmp_path / "no").write_text("a file where a folder should be")
        journal = str(tmp_path / journal)
    with serving(replace(settings, journal=journal)) as url:
        answer = httpx.get(f"{url}/readyz", timeout=PATIENCE)
        assert (answer.status_code, answer.json()["status"]) == (503, "no journal")
        assert "secret-word" not in answer.text
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_a_copy_whose_journal_comes_back_is_ready_again(settings: Settings, tmp_path: Path, serving: Serving) -> None:
    folder = tmp_path / "data"
    folder.write_text("a file where a folder should be")
    with serving(replace(settings, journal=str(folder / "journal.sqlite3"))) as url:
        assert httpx.get(f"{url}/readyz", timeout=PATIENCE).status_code == 503
        folder.unlink()
        until = time.monotonic() + PATIENCE
        while httpx.get(f"{url}/readyz", timeout=PATIENCE).status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.1)


@pytest.fixture
def serving() -> Serving:
    return lambda settings: serve_asgi(http_app(web_server(settings), settings))
