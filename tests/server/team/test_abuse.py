"""A server in the open: large bodies, slow clients, a thousand idle listeners. It refuses or serves; it stays small."""

import contextlib
import json
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from novita_mcp.simulator.core.world import DEFAULT_KEY
from novita_mcp.simulator.serving import Running

from .team import Copy, balancer, copies, nginx_installed

try:
    import resource
except ImportError:  # not on Windows
    resource = None

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc"),
]

LISTENERS = 1_000
LATEST_MODERN_VERSION = MODERN_PROTOCOL_VERSIONS[-1]
MIB = 2**20
CALL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "get_balance", "arguments": {}},
}
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "Authorization": f"Bearer {DEFAULT_KEY}",
    "MCP-Protocol-Version": "2025-11-25",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def copy(simulator: Running, home: Path) -> Generator[Copy]:
    with copies(home, simulator.url, 1) as (running,):
        assert answers(running.url)  # everything is imported: from here on memory grows only with what comes in
        yield running


def answers(url: str) -> bool:
    """Whether a call is answered properly."""
    answer = httpx.post(f"{url}/mcp", json=CALL, headers=HEADERS, timeout=20)
    return answer.status_code == 200 and '"isError":false' in answer.text.replace(" ", "")


def memory(copy: Copy) -> int:
    """Bytes a copy has in memory."""
    assert copy.process is not None
    status = Path(f"/proc/{copy.process.pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def open_connection(copy: Copy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", copy.port), timeout=20)


def head(method: str, *more: str) -> bytes:
    lines = [f"{method} /mcp HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in HEADERS.items())]
    return "\r\n".join([*lines, *more, "", ""]).encode()


@pytest.fixture
def many_files() -> Generator[None]:
    """Lets this process, and the servers it starts, have enough sockets open."""
    assert resource is not None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * LISTENERS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("too few files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_5_mb_is_refused_and_not_kept(copy: Copy, declared: bool) -> None:
    before = memory(copy)
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "' + b"x" * 5 * MIB + b'"}}'
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    for _ in range(10):
        answer = httpx.post(
            f"{copy.url}/mcp",
            content=body if declared else pieces,
            headers={**HEADERS, "Content-Type": "application/json"},
            timeout=20,
        )
        assert answer.status_code == 413
        if not declared:
            break
    assert memory(copy) - before < 40 * MIB
    assert answers(copy.url)


def test_heads_without_end_are_refused(copy: Copy) -> None:
    with open_connection(copy) as connection:
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                connection.sendall(b"X-More: " + b"x" * 65_536 if _ else b"GET /mcp HTTP/1.1\r\nX-More: ")
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(4096)
            assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0] or b" 431 " in answer.split(b"\r\n")[0]
    assert answers(copy.url)


def test_slow_clients_hold_up_nobody(copy: Copy) -> None:
    before = memory(copy)
    with contextlib.ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(open_connection(copy))
            if number % 2:
                connection.sendall(head("POST")[:40])  # a head that does not end
            else:
                connection.sendall(head("POST", "Content-Type: application/json", "Content-Length: 4000000") + b"{")
        assert answers(copy.url)
        assert memory(copy) - before < 60 * MIB


def listen(era: str) -> bytes:
    """A request to hear of changes."""
    if era == "legacy":
        return head("GET")
    meta = {
        "io.modelcontextprotocol/protocolVersion": LATEST_MODERN_VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    params = {"notifications": {"toolsListChanged": True}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}).encode()
    more = ("Content-Type: application/json", "Mcp-Method: subscriptions/listen", f"Content-Length: {len(body)}")
    return head("POST", *more).replace(b"2025-11-25", LATEST_MODERN_VERSION.encode()) + body


def test_a_thousand_who_wish_to_listen_are_told_no_and_hold_up_nobody(many_files: None, copy: Copy, era: str) -> None:
    """Nothing that is listed changes while a server runs, so there is nothing to hear; their connections stay open."""
    before = memory(copy)
    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(open_connection(copy)) for _ in range(LISTENERS)]
        for connection in listening:
            connection.sendall(listen(era))
        told = b"HTTP/1.1 405 Method Not Allowed" if era == "legacy" else b"HTTP/1.1 404 Not Found"
        assert {connection.recv(4096).split(b"\r\n")[0] for connection in listening} == {told}
        assert answers(copy.url)
        grown = memory(copy) - before
        assert grown < 200 * MIB, f"{grown / LISTENERS / 1024:.0f} KiB each"
    assert answers(copy.url)


@pytest.mark.skipif(not nginx_installed(), reason="Debian's nginx is not installed")
def test_the_balancer_refuses_and_serves_as_the_copy_does(copy: Copy, simulator: Running, home: Path) -> None:
    with copies(home, simulator.url, 1) as (other,), balancer([copy, other]) as url:
        assert answers(url)
        assert httpx.post(f"{url}/mcp", json=CALL).status_code == 401
        assert httpx.post(f"{url}/mcp", json=CALL, headers={**HEADERS, "Host": "evil.example"}).status_code == 421
        strange = {**HEADERS, "Origin": "https://evil.example"}
        assert httpx.post(f"{url}/mcp", json=CALL, headers=strange).status_code == 403
        assert httpx.post(f"{url}/mcp", content=b"x" * 5 * MIB, headers=HEADERS).status_code == 413
        assert httpx.get(f"{url}/metrics").status_code == 404
        # With one copy gone every call goes to the other.
        other.stop()
        assert all(answers(url) for _ in range(6))
