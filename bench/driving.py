"""Drives a server with as little work as possible, so that the figures are the server's: plain JSON lines over stdio,
plain HTTP over open sockets.
"""

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

HELLO: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}
REVISIONS = ("2025-11-25", "2026-07-28")
"""The last of MCP's revisions with a handshake, and the first in which every request says who asks."""
ENVELOPE: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": REVISIONS[1],
    "io.modelcontextprotocol/clientInfo": HELLO["clientInfo"],
    "io.modelcontextprotocol/clientCapabilities": {},
}
CALL: dict[str, Any] = {"name": "get_balance", "arguments": {}}


class Child:
    """A server process over stdio."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def age_ms(self) -> float:
        """Milliseconds since the process was started."""
        return (time.perf_counter() - self._began) * 1000

    def rss_mib(self) -> float:
        """Resident memory in MiB. Linux only."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def initialize(self) -> None:
        self.ask("initialize", HELLO)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def ask(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a request, and wait for its answer."""
        self._request(method, params)
        self._answers(1)

    def call_ms(self) -> float:
        """Milliseconds for one call."""
        began = time.perf_counter()
        self.ask("tools/call", CALL)
        return (time.perf_counter() - began) * 1000

    def rate(self, at_once: int, calls: int) -> float:
        """Calls a second, with `at_once` calls under way at any time."""
        began = time.perf_counter()
        for _ in range(at_once):
            self._request("tools/call", CALL)
        for _ in range(calls - at_once):
            self._answers(1)
            self._request("tools/call", CALL)
        self._answers(at_once)
        return calls / (time.perf_counter() - began)

    def _request(self, method: str, params: Mapping[str, Any]) -> None:
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _answers(self, count: int) -> None:
        assert self._process.stdout is not None
        while count:
            line = self._process.stdout.readline()
            if not line:
                raise SystemExit("the server ended")
            if b'"result"' not in line and b'"error"' not in line:
                continue  # a notification
            answer = json.loads(line)
            if "error" in answer or answer["result"].get("isError"):
                raise SystemExit(f"it answers {answer}")
            count -= 1


class Web:
    """A server over HTTP."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], key: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]
        filled = [word.replace("{port}", str(self._port)) for word in command]
        self._process = subprocess.Popen(filled, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        self._requests = {revision: self._request(revision, key) for revision in REVISIONS}

    def _request(self, revision: str, key: str) -> bytes:
        modern = revision == REVISIONS[1]
        params = {**CALL, "_meta": ENVELOPE} if modern else CALL
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        head = [
            "POST /mcp HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            "Accept: application/json, text/event-stream",
            "Content-Type: application/json",
            f"MCP-Protocol-Version: {revision}",
            f"Authorization: Bearer {key}",
            f"Content-Length: {len(body)}",
            *(("Mcp-Method: tools/call", f"Mcp-Name: {CALL['name']}") if modern else ()),
        ]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    def __enter__(self) -> Self:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
                return self
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise SystemExit("the server does not listen")

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def rate(self, at_once: int, calls: int, revision: str) -> float:
        """Calls a second, over `at_once` connections, in one of MCP's revisions."""
        return asyncio.run(self._rate(at_once, calls, self._requests[revision]))

    async def _rate(self, at_once: int, calls: int, request: bytes) -> float:
        opened = [await asyncio.open_connection("127.0.0.1", self._port) for _ in range(at_once)]
        began = time.perf_counter()
        await asyncio.gather(*[self._calls(request, reader, writer, calls // at_once) for reader, writer in opened])
        taken = time.perf_counter() - began
        for _, writer in opened:
            writer.close()
        return calls // at_once * at_once / taken

    async def _calls(
        self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int
    ) -> None:
        for _ in range(count):
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b"content-length: " in head:
                body = await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
            else:
                body = await reader.readuntil(b"0\r\n\r\n")
            if b'"isError":true' in body or b'"result"' not in body:
                raise SystemExit(f"it answers {body[:300]!r}")


@contextmanager
def spawned(command: Sequence[str]) -> Generator[str]:
    """Start a process that prints its address, and yield the address. The process ends with the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()
