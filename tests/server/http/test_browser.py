"""CORS as a real browser judges it: a page of an allowed origin lists the tools, a foreign page reads nothing."""

import json
import queue
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ...serving import serve_asgi

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGE = Path(__file__).with_name("page.html")
PATIENCE = 120.0
"""Seconds until a page has told what it saw; a browser that starts takes two."""
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # The hosts of pages are this machine; there is no other.
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)


@pytest.fixture(scope="session")
def chromium() -> str:
    """scripts/ci_packages.sh installs it; a machine without it fails this test, since it was asked for by its mark."""
    found = shutil.which("chromium")
    assert found, "there is no chromium here: apt-get install chromium"
    return found


def seen_by_a_page(chromium: str, host: str, at: str, scratch: Path) -> dict[str, Any]:
    """What a page of `host` could read of the server at `at`."""
    told: queue.Queue[dict[str, Any]] = queue.Queue()

    async def seen(request: Request) -> Response:
        told.put(json.loads(await request.body()))
        return Response(status_code=204)

    async def page(_: Request) -> Response:
        return FileResponse(PAGE)

    pages = Starlette(routes=[Route("/", page), Route("/seen", seen, methods=["POST"])])
    with serve_asgi(pages) as base:
        url = f"{base.replace('127.0.0.1', host)}/?at={quote(at, safe='')}"
        with browsing(chromium, url, scratch):
            return told.get(timeout=PATIENCE)


@contextmanager
def browsing(chromium: str, url: str, scratch: Path) -> Generator[None]:
    """A browser with the page open, until the block ends."""
    command = [chromium, *FLAGS, f"--user-data-dir={scratch / 'profile'}", "--remote-debugging-port=0", url]
    with (scratch / "chromium.log").open("w") as log:
        browser = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield
        finally:
            browser.terminate()
            browser.wait()


@pytest.fixture
def open_to_a_page(settings: Settings) -> Generator[str]:
    """A server that names one page's host, whatever its port: the page's server picks its own."""
    allowed = replace(settings, allowed_origins="http://app.example:*")
    with serve_asgi(http_app(web_server(allowed), allowed)) as base:
        yield base


@pytest.mark.parametrize("host", ["app.example", "localhost"])
def test_a_page_that_is_allowed_lists_the_tools_and_reads_how_to_bring_a_key(
    chromium: str, open_to_a_page: str, host: str, tmp_path: Path
) -> None:
    seen = seen_by_a_page(chromium, host, open_to_a_page, tmp_path)

    assert seen["listed"]["status"] == 200
    assert "generate_image" in seen["listed"]["text"]
    assert seen["keyless"]["status"] == 401
    assert seen["keyless"]["challenge"].startswith("Bearer")
    assert "novita.ai" in seen["keyless"]["text"]
    assert seen["health"]["status"] == 200
    assert "Authorization: Bearer <key>" in seen["signIn"]["text"]


def test_a_foreign_page_reads_nothing(chromium: str, open_to_a_page: str, tmp_path: Path) -> None:
    seen = seen_by_a_page(chromium, "evil.example", open_to_a_page, tmp_path)

    assert seen == {what: {"refused": "TypeError"} for what in ("listed", "keyless", "health", "signIn")}
