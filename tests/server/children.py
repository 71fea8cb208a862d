"""A real server process: raw lines over stdio, or a port it listens on."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any, cast

from novita_mcp.simulator.core.world import DEFAULT_KEY

PATIENCE = 45.0
"""Seconds for something that must come, on a machine with other things to do."""
OUT_WITHIN = 5.0
"""Seconds. The promise is one; the others are for a test machine with far more to do than it has cores."""


def environment(home: Path, novita: str, **settings: str) -> dict[str, str]:
    """A clean environment: its own home, Novita moved, nothing of the developer's."""
    kept = ("PATH", "SYSTEMROOT", "PYTHONPATH", "COVERAGE_PROCESS_START")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(home),
        "USERPROFILE": str(home),
        "NOVITA_API_KEY": DEFAULT_KEY,
        "NOVITA_BASE_URL": novita,
        "NOVITA_MCP_OUTPUT_DIR": str(home / "out"),
        "NOVITA_MCP_JOURNAL": str(home / "journal.sqlite3"),
        "NOVITA_MCP_WAIT_SECONDS": "600",
        "NOVITA_MCP_SHIPPED_MODELS_ONLY": "true",
        **settings,
    }


@dataclass
class Child:
    """The process and what it wrote so far."""

    process: subprocess.Popen[str]
    errors: Path
    stdout: list[str] = field(default_factory=list[str])
    _lines: "queue.Queue[str | None]" = field(default_factory=lambda: queue.Queue[str | None]())
    _ids: int = 0

    def listen(self) -> None:
        """Collect stdout until it closes."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.stdout.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def send(self, method: str, params: dict[str, Any] | None = None, *, notify: bool = False) -> int:
        """Send a request or a notification; the request's id."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        if not notify:
            self._ids += 1
            message["id"] = self._ids
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return self._ids

    def send_line(self, line: bytes) -> None:
        """Send a line as it is, whatever it holds."""
        pipe = cast(TextIOWrapper, self.process.stdin).buffer
        pipe.write(line + b"\n")
        pipe.flush()

    def next(self) -> dict[str, Any]:
        """The next message from the server."""
        line = self._lines.get(timeout=PATIENCE)
        assert line is not None, f"the server hung up: {self.stderr()}"
        return json.loads(line)

    def answer(self, request: int) -> dict[str, Any]:
        """The answer to a request; whatever comes before it is passed over."""
        while True:
            message = self.next()
            if message.get("id") == request and "method" not in message:
                return message

    def initialize(self) -> dict[str, Any]:
        """Shake hands, legacy era."""
        client = {"name": "test", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        answer = self.answer(self.send("initialize", params))
        self.send("notifications/initialized", notify=True)
        return answer["result"]

    def call(self, tool: str, arguments: dict[str, Any]) -> int:
        """Ask for a tool, with progress; the request's id."""
        params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": f"p{self._ids}"}}
        return self.send("tools/call", params)

    def progress(self, containing: str) -> dict[str, Any]:
        """The next progress message that says so."""
        while True:
            message = self.next()
            if message.get("method") == "notifications/progress" and containing in message["params"]["message"]:
                return message["params"]

    def exit_code(self) -> int:
        """Of a process that was told to end."""
        return self.process.wait(timeout=OUT_WITHIN)

    def stderr(self) -> str:
        """What it wrote to stderr."""
        return self.errors.read_text(encoding="utf-8")


@contextmanager
def child(home: Path, novita: str, *arguments: str, **settings: str) -> Generator[Child]:
    """A server process until the block ends; killed if it still runs then."""
    errors = home / "stderr.txt"
    with errors.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "novita_mcp.server", *arguments],
            env=environment(home, novita, **settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            cwd=home,
        )
        made = Child(process, errors)
        reader = threading.Thread(target=made.listen, daemon=True)
        reader.start()
        try:
            yield made
        finally:
            process.kill()
            process.wait()
            reader.join()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None and not pipe.closed:
                    pipe.close()
