"""A host of pages in a real browser: the official bridge, the real server, the simulator."""

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
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ...node_packages import NODE, needs_node, node_packages
from ...serving import serve_asgi

SHOTS = os.environ.get("NOVITA_TEST_SHOTS", "")
"""A folder where the pictures of a run go, for whoever wants to look."""

MARKS = [
    pytest.mark.browser,
    pytest.mark.node,
    pytest.mark.slow,
    needs_node,
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

    async def change(request: Request) -> Response:
        world.set(**json.loads(await request.body()))
        return Response(status_code=204)

    routes = [
        Route("/", home),
        Route("/bundle", bundle, methods=["GET", "PUT"]),
        Route("/frame", keep, methods=["POST"]),
        Route("/frame/{name}", frame),
        Route("/advance", advance, methods=["POST"]),
        Route("/set", change, methods=["POST"]),
    ]
    with serve_asgi(Starlette(routes=routes)) as base:
        yield base


def run_in_node(script: str, asked: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """What a script of tests/node saw in Chromium."""
    chromium = shutil.which("chromium")
    assert chromium, "there is no chromium here: apt-get install chromium"
    node_packages()
    given = {"chromium": chromium, "shots": SHOTS, **asked}
    command = [str(shutil.which("node")), str(NODE / script), json.dumps(given)]
    env = {"PATH": os.environ["PATH"], "HOME": str(scratch)}
    done = subprocess.run(command, env=env, cwd=NODE, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    return json.loads(done.stdout)


def in_a_browser(script: str, settings: Settings, world: World, scratch: Path) -> dict[str, Any]:
    """What a script saw of a page in the host."""
    with pages(world) as at:
        allowed = replace(settings, allowed_origins=at, toolsets="default,sandbox")
        with serve_asgi(http_app(web_server(allowed), allowed)) as server:
            return run_in_node(script, {"pages": at, "server": server, "key": DEFAULT_KEY}, scratch)
