"""The gallery in a real browser, in the official bridge's host, against the real server and the simulator."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.server.gallery.pages import GALLERY, MIME
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ...serving import serve_asgi

NODE = Path(__file__).parents[2] / "node"
NEEDED = ("@modelcontextprotocol/ext-apps", "@modelcontextprotocol/client", "axe-core", "esbuild", "playwright-core")
SHOTS = os.environ.get("NOVITA_TEST_SHOTS", "")
"""A folder where the pictures of a run go, for whoever wants to look."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here"),
]


@contextmanager
def pages(world: World) -> Generator[str]:
    """Serves the host's page, its script, and each app page with the policy that the host wants for it."""
    kept: dict[str, tuple[str, str]] = {}
    script: list[bytes] = []

    async def home(_: Request) -> Response:
        return FileResponse(NODE / "host.html")

    async def bundle(request: Request) -> Response:
        if request.method == "PUT":
            script[:] = [await request.body()]
            return Response(status_code=204)
        return Response(script[0], media_type="text/javascript")

    async def keep(request: Request) -> Response:
        sent = json.loads(await request.body())
        name = secrets.token_hex(8)
        kept[name] = sent["html"], sent["policy"]
        return JSONResponse({"frame": f"/frame/{name}"})

    async def frame(request: Request) -> Response:
        html, policy = kept[request.path_params["name"]]
        return Response(html, media_type="text/html", headers={"Content-Security-Policy": policy})

    async def advance(_: Request) -> Response:
        world.advance(1_000)
        return Response(status_code=204)

    routes = [
        Route("/", home),
        Route("/bundle", bundle, methods=["GET", "PUT"]),
        Route("/frame", keep, methods=["POST"]),
        Route("/frame/{name}", frame),
        Route("/advance", advance, methods=["POST"]),
    ]
    with serve_asgi(Starlette(routes=routes)) as base:
        yield base


def in_a_browser(settings: Settings, world: World, scratch: Path) -> dict[str, Any]:
    """What was seen there."""
    chromium = shutil.which("chromium")
    assert chromium, "there is no chromium here: apt-get install chromium"
    missing = [name for name in NEEDED if not (NODE / "node_modules" / name).is_dir()]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"run npm install in tests/node: {missing}")
    with pages(world) as at:
        allowed = replace(settings, allowed_origins=at, toolsets="default")
        with serve_asgi(http_app(web_server(allowed), allowed)) as server:
            asked = {"chromium": chromium, "pages": at, "server": server, "key": DEFAULT_KEY, "shots": SHOTS}
            command = [str(shutil.which("node")), str(NODE / "gallery.mjs"), json.dumps(asked)]
            env = {"PATH": os.environ["PATH"], "HOME": str(scratch)}
            done = subprocess.run(command, env=env, cwd=NODE, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    return json.loads(done.stdout)


def test_a_video_goes_from_progress_to_playing_and_nothing_hostile_runs(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    world.set(task_seconds=100)
    seen = in_a_browser(settings, world, tmp_path)
    hostile = '<img src=x onerror="window.pwned=1">&lt;b&gt;<script>window.pwned=1</script>'

    assert seen["page"] == {"uri": GALLERY, "mimeType": MIME}
    assert seen["errors"] == []
    # From progress to playing, by looks that never wait.
    assert seen["working"]["status"].startswith("Working")
    assert seen["working"]["heading"] == hostile
    assert {look["wait_seconds"] for look in seen["polls"]} == {0}
    assert seen["video"]["width"] > 0 and seen["video"]["controls"]
    assert seen["done"]["status"] == "Done."
    assert seen["done"]["money"].startswith("Balance left: $")
    assert "about $" in seen["done"]["facts"] or "price unknown" in seen["done"]["facts"]
    # What others wrote is text.
    assert seen["pwned"] is None and seen["tags"] == {"images": 0, "scripts": 1, "heading": hostile}
    assert seen["hostile"] == {"pwned": None, "images": 0, "scripts": 1}
    assert hostile in seen["problem"]
    # Buttons, links that expired, sounds and pictures.
    (message,) = seen["host"]["messages"]
    assert message.startswith("Use task:") and "/0" in message
    assert "expired" in seen["expired"] and seen["renewed"] in ("resource", "link")
    assert seen["audio"] and seen["alt"] == "a fox in the snow"
    assert "is done" in seen["host"]["context"][0] and seen["host"]["heights"] > 1
    # For everybody, at every width.
    assert seen["axe"] == {"video": [], "pictures": [], "list": []}
    assert seen["overflow-360"] == seen["overflow-320"] == 0
    # The policy keeps the rest away.
    assert seen["blocked"]["fetched"] == "refused" and seen["blocked"]["pwned"] is None
    assert {"connect-src", "img-src", "script-src-elem", "frame-src"} <= set(seen["blocked"]["blocked"])
