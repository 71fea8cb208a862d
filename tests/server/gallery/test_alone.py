"""`novita-mcp gallery` as a user types it: its own process, over the journal and the files of other processes."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.core.costs import Cost
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.gpu.state import GpuState

from ...conftest import fields_of
from ...node_packages import needs_node
from .browser import run_in_node

PATIENCE = 120.0


@dataclass
class Gallery:
    """A running command. `said`: what it wrote up to its link, or that a browser has it."""

    process: subprocess.Popen[str]
    said: str
    link: str


@contextmanager
def gallery(settings: Settings, home: Path, *words: str, **more: str) -> Generator[Gallery]:
    env = {
        "HOME": str(home),
        "NOVITA_API_KEY": DEFAULT_KEY,
        "NOVITA_BASE_URL": settings.base_url,
        "NOVITA_MCP_JOURNAL": settings.journal,
        "NOVITA_MCP_OUTPUT_DIR": str(settings.output_dir),
        "NOVITA_MCP_ALLOWED_DIRS": settings.allowed_dirs,
        "NOVITA_MCP_SHIPPED_MODELS_ONLY": "true",
        "NOVITA_MCP_LOG_LEVEL": "DEBUG",
        **more,
    }
    command = [sys.executable, "-m", "novita_mcp.server", "gallery", *(words or ["--no-browser"])]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=env, cwd=home, **pipes) as process:
        late = threading.Timer(PATIENCE, process.kill)
        late.start()
        try:
            said = ""
            assert process.stdout is not None
            while not (found := re.search(r"http://\S+\n|in your browser.*\n", said)):
                line = process.stdout.readline()
                assert line, (said, process.communicate()[1])
                said += line
            late.cancel()
            yield Gallery(process, said, found[0].strip())
        finally:
            late.cancel()
            process.kill()


async def made(settings: Settings) -> dict[str, Any]:
    """A picture, a film of more than 8 MB and a machine, as another process of this user made them."""
    async with Client(create_app(settings)) as client:
        picture = fields_of(await client.call_tool("generate_image", {"prompt": "a fox in the snow"}))
        film = fields_of(await client.call_tool("generate_video", {"prompt": "a fox that runs", "confirm": True}))
        machine = {"image": "docker.io/a/b:1", "gpu": "3090", "name": "fox-den", "confirm": True}
        instance = fields_of(await client.call_tool("create_gpu_instance", machine))
    path = Path(film["artifacts"][0]["path"])
    with path.open("ab") as end:  # a box that players skip
        end.write((9 * 2**20).to_bytes(4, "big") + b"free" + bytes(9 * 2**20 - 8))
    return {"picture": picture["task_id"], "film": film["task_id"], "path": path, "machine": instance["instance_id"]}


async def fifty(settings: Settings) -> None:
    """Jobs of before."""
    journal = Journal(Path(settings.journal))
    what: dict[str, Any] = {"kind": "media", "tool": "generate_image", "model": "m", "title": "an older one"}
    for _ in range(50):
        job = await journal.begin(owner=owner_of(DEFAULT_KEY), cost=Cost(Decimal("0.01")), **what)
        await journal.finish(job.key, JobState.SUCCEEDED)
    await journal.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_it_serves_the_users_own_journal_to_whoever_has_the_link_until_ctrl_c(
    settings: Settings, tmp_path: Path
) -> None:
    had = await made(settings)
    with gallery(settings, tmp_path) as running:
        base, token = running.link.split("/#")
        assert base.startswith("http://127.0.0.1:") and len(token) >= 43
        assert "once, within 5 minutes" in running.said
        headers = {"Origin": base, "Content-Type": "application/json"}
        with httpx2.Client(base_url=base, headers=headers, timeout=60) as http:
            assert http.post("/call", json={"name": "list_tasks", "arguments": {}}).status_code == 401
            assert http.post("/enter", json={"token": token}).status_code == 204
            told = http.post("/call", json={"name": "list_tasks", "arguments": {"limit": 50}}).text
            look = {"name": "get_task", "arguments": {"task_id": had["film"], "wait_seconds": 0}}
            film = http.post("/call", json=look)
            (artifact,) = film.json()["structuredContent"]["artifacts"]
            part = http.get(artifact["url"], headers={"Range": "bytes=4-7"})
            picture = http.post("/read", json={"uri": f"novita://artifacts/{had['picture']}/0"}).json()
            nothing = http.post("/read", json={"uri": "novita://artifacts/no-such-task/0"})
        running.process.send_signal(signal.SIGINT)
        _, err = running.process.communicate(timeout=PATIENCE)
    assert "a fox in the snow" in told and "a fox that runs" in told
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert picture["contents"][0]["mimeType"].startswith("image/")
    assert nothing.status_code == 404
    assert running.process.returncode == 130 and "Traceback" not in err
    for secret in (token, DEFAULT_KEY):
        assert secret not in err and secret not in told and secret not in film.text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a browser that is a shell's line")
def test_it_opens_the_browser_without_showing_the_link_and_ends_when_nobody_looks(
    settings: Settings, tmp_path: Path
) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    words = ("--idle-minutes", "0.001")
    with gallery(settings, tmp_path, *words, BROWSER=f"{browser} %s", PATH=os.environ["PATH"]) as running:
        base, token = opened.read_text().strip().split("/#")
        assert "opens in your browser" in running.said and token not in running.said
        headers = {"Origin": base}
        assert httpx2.post(f"{base}/enter", json={"token": token}, headers=headers, timeout=60).status_code == 204
        out, _ = running.process.communicate(timeout=PATIENCE)
    assert running.process.returncode == 0
    assert "No request came for 0.001 minutes" in out and token not in out


@pytest.mark.browser
@pytest.mark.node
@pytest.mark.slow
@needs_node
async def test_the_same_pages_run_in_a_browser_of_this_machine(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    await fifty(settings)
    had = await made(settings)
    with gallery(settings, tmp_path) as running:
        seen = run_in_node("alone.mjs", {"link": running.link}, tmp_path)
    base, token = running.link.split("/#")

    assert seen["errors"] == []
    # The token is in no address that is asked for, and no page tells another where it came from.
    assert seen["address"] == f"{base}/"
    assert not [url for _, url, referer in seen["requests"] if token in url.partition("#")[0] or token in referer]
    assert {referer for _, _, referer in seen["requests"]} == {""}
    assert {url.startswith((f"{base}/", "data:", "blob:")) for _, url, _ in seen["requests"]} == {True}
    # Pictures, films and files.
    assert seen["headings"] == ["fox-den", "a fox that runs", "a fox in the snow", *["an older one"] * 50]
    assert seen["older"] == 0
    assert seen["picture"] == "resource" and seen["saved"].endswith((".png", ".jpeg", ".webp"))
    assert "Use as input" not in seen["buttons"] and "Copy path" in seen["buttons"]
    film = seen["film"]
    assert film["source"] == "link" and film["src"].startswith(f"{base}/files/") and film["width"] > 0
    assert film["at"] == pytest.approx(0.5, abs=0.1)
    size = had["path"].stat().st_size
    assert seen["ranges"] and {(status, told.endswith(f"/{size}")) for status, told in seen["ranges"]} == {(206, True)}
    # A stop asks first.
    assert seen["question"].startswith("Stop instance 'fox-den' (") and seen["said"].startswith("fox-den: ")
    world.advance(1_000)
    world.area(GpuState).settle()
    (machine,) = world.area(GpuState).fleet.of(world.accounts[DEFAULT_KEY])
    assert (machine.id, machine.status) == (had["machine"], "exited")
    # Others see nothing.
    assert seen["used"].startswith("This link was used") and "closed" in seen["without"]
    assert seen["axe"] == {"host": [], "list": [], "spend": []}
    assert seen["overflow"] == {"360": 0}
