"""Copies of the server as real processes on one PostgreSQL, behind the nginx of deploy/nginx.conf."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from ..children import PATIENCE, environment

CONFIG = Path(__file__).parents[3] / "deploy" / "nginx.conf"
HANDLE_KEY = "a handle key of at least thirty-two characters"


def nginx_installed() -> bool:
    return (shutil.which("nginx") or shutil.which("/usr/sbin/nginx")) is not None


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass
class Copy:
    """One copy, on a port of its own that it gets again after a restart."""

    home: Path
    port: int
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.home / f"{self.port}.log").read_text(encoding="utf-8")

    def start(self) -> None:
        with (self.home / f"{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "novita_mcp.server", "serve", "--http", "--port", str(self.port)],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
            )

    def wait_until_ready(self) -> None:
        wait_for(f"{self.url}/readyz")

    def tell(self, number: signal.Signals) -> None:
        """Send a signal; does not wait for what it does."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def wait_for(url: str) -> None:
    """Until somebody answers there with 200."""
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not there yet
        assert time.monotonic() < patience, f"nobody answers at {url}"
        time.sleep(0.05)


@contextmanager
def copies(home: Path, novita: str, count: int = 2, **settings: str) -> Generator[list[Copy]]:
    """Running copies with the same settings, until the block ends."""
    env = environment(home, novita, NOVITA_MCP_HANDLE_KEYS=HANDLE_KEY, **settings)
    made = [Copy(home, port, env) for port in free_ports(count)]
    try:
        for each in made:
            each.start()
        for each in made:
            each.wait_until_ready()
        yield made
    finally:
        for each in made:
            each.stop()


@contextmanager
def balancer(members: list[Copy]) -> Generator[str]:
    """nginx in front of the copies, by the configuration we ship with only its addresses changed; its URL."""
    (port,) = free_ports(1)
    config = CONFIG.read_text(encoding="utf-8")
    for number, each in enumerate(members, start=1):
        config, found = re.subn(rf"\bnovita-mcp-{number}:8000\b", f"127.0.0.1:{each.port}", config)
        assert found == 1
    config, found = re.subn(r"\blisten 8080;", f"listen 127.0.0.1:{port};", config)
    assert found == 1
    if os.geteuid() == 0:  # its workers could not enter a folder of root's
        config = f"user root;\n{config}"
    folder = Path(tempfile.mkdtemp(prefix="novita-nginx-"))
    (folder / "nginx.conf").write_text(config, encoding="utf-8")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [nginx, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"], stdout=log, stderr=log
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/healthz")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
