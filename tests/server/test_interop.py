"""Clients that are not ours: the MCP Inspector's command line, and the official TypeScript SDK v1, the strictest."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running
from PIL import Image

from ..node_packages import NODE, needs_node, node_packages
from ..serving import serve_asgi
from .children import environment

SERVER = [sys.executable, "-m", "novita_mcp.server"]
FOX = {"model": "qwen-image-txt2img", "prompt": "a red fox in the snow", "size": "512x512"}

pytestmark = [
    pytest.mark.old_models,
    pytest.mark.node,
    pytest.mark.slow,
    needs_node,
]


@pytest.fixture(scope="session")
def modules() -> Path:
    """The npm packages."""
    return node_packages()


def run(*command: str | Path, home: Path) -> dict[str, Any]:
    """What a command says on stdout, as JSON."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    done = subprocess.run(
        [str(part) for part in command], env={**kept, "HOME": str(home)}, cwd=home, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    return cast(dict[str, Any], json.loads(done.stdout))


def assert_a_picture_came(result: dict[str, Any], world: World) -> None:
    assert not result.get("isError"), result
    facts = result["structuredContent"]
    assert facts["status"] == "succeeded"
    assert facts["task_id"] in result["content"][0]["text"]
    (artifact,) = facts["artifacts"]
    if "path" in artifact:
        assert [block["type"] for block in result["content"]] == ["text", "image"]
        with Image.open(artifact["path"]) as picture:
            assert picture.size == (512, 512)
    else:
        assert artifact["url"].startswith("http")
    assert world.count("qwen_image_txt2img") == 1


@pytest.fixture
def inspector(modules: Path, simulator: Running, tmp_path: Path) -> Generator[list[str | Path]]:
    """The Inspector with our server behind it."""
    given = [f"{name}={value}" for name, value in environment(tmp_path, simulator.url).items()]
    flags = [word for pair in given for word in ("-e", pair)]
    launcher = modules / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
    yield ["node", launcher, "--cli", *flags]


def test_the_inspector_finds_every_schema_portable(inspector: list[str | Path], tmp_path: Path) -> None:
    listed = run(
        *inspector, "--method", "tools/list", "--format", "json", "--strict", "--", *SERVER, "--toolsets", "all",
        home=tmp_path,
    )  # fmt: skip

    assert "generate_image" in [tool["name"] for tool in listed["result"]["tools"]]


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_gets_a_picture(inspector: list[str | Path], era: str, world: World, tmp_path: Path) -> None:
    """In the modern era it declares tasks, and follows the one it is given."""
    answer = run(
        *inspector, "--protocol-era", era, "--method", "tools/call", "--tool-name", "generate_image",
        "--tool-args-json", json.dumps(FOX), "--format", "json", "-q", "--", *SERVER,
        home=tmp_path,
    )  # fmt: skip

    assert_a_picture_came(answer["result"], world)


def test_the_inspector_gets_a_picture_over_http(
    inspector: list[str | Path], settings: Settings, world: World, tmp_path: Path
) -> None:
    with serve_asgi(http_app(web_server(settings), settings)) as url:
        answer = run(
            *inspector[:3], f"{url}/mcp", "--transport", "http", "--header", f"Authorization: Bearer {DEFAULT_KEY}",
            "--stored-auth-only", "--method", "tools/call", "--tool-name", "generate_image",
            "--tool-args-json", json.dumps(FOX), "--format", "json", "-q",
            home=tmp_path,
        )  # fmt: skip

    assert_a_picture_came(answer["result"], world)


def typescript(where: dict[str, Any], arguments: dict[str, Any], home: Path) -> dict[str, Any]:
    """What the TypeScript client got from generate_image, and before it."""
    asked = {**where, "tool": "generate_image", "arguments": arguments}
    return run("node", NODE / "client.mjs", json.dumps(asked), home=home)


def assert_typescript_got_a_picture(told: dict[str, Any], world: World) -> None:
    assert told["server"]["name"] == "novita"
    assert "generate_image" in [tool["name"] for tool in told["tools"]]
    assert any("accepted" in step["message"] for step in told["progress"])
    assert_a_picture_came(told["result"], world)


@pytest.mark.usefixtures("modules")
def test_the_typescript_client_gets_a_picture(simulator: Running, world: World, tmp_path: Path) -> None:
    args = [*SERVER[1:], "--toolsets", "all"]
    child = {"command": SERVER[0], "args": args, "env": environment(tmp_path, simulator.url)}

    assert_typescript_got_a_picture(typescript(child, FOX, tmp_path), world)


@pytest.mark.usefixtures("modules")
def test_the_typescript_client_gets_a_picture_over_http(settings: Settings, world: World, tmp_path: Path) -> None:
    with serve_asgi(http_app(web_server(settings), settings)) as url:
        web = {"url": f"{url}/mcp", "headers": {"Authorization": f"Bearer {DEFAULT_KEY}"}}

        assert_typescript_got_a_picture(typescript(web, FOX, tmp_path), world)


@pytest.mark.usefixtures("modules")
def test_a_typescript_client_that_wants_to_sign_in_tells_its_user_to_bring_a_key(
    settings: Settings, tmp_path: Path
) -> None:
    """Both versions parse what the paths of a sign-in answer, and show its sentence."""
    with serve_asgi(http_app(web_server(settings), settings)) as url:
        told = run("node", NODE / "sign_in.mjs", f"{url}/mcp", home=tmp_path)

    assert told["first"].startswith("AccessDeniedError: This server has no sign-in.")
    assert "This server has no sign-in." in told["second"]
    for said in told.values():
        assert "Send your Novita API key as 'Authorization: Bearer <key>'" in said


@pytest.mark.usefixtures("modules")
def test_the_typescript_client_reads_our_errors(simulator: Running, tmp_path: Path) -> None:
    """It would check structuredContent on errors too, and hide them: ours carry none."""
    child = {"command": SERVER[0], "args": SERVER[1:], "env": environment(tmp_path, simulator.url)}

    told = typescript(child, {"prompt": "a fox", "modell": "x"}, tmp_path)

    assert told["result"]["isError"]
    assert "Did you mean 'model'?" in told["result"]["content"][0]["text"]


@pytest.mark.skipif(not (NODE.parents[1] / "manifest.json").is_file(), reason="away from the source")
def test_the_bundle_manifest_is_valid(modules: Path, tmp_path: Path) -> None:
    mcpb = modules / "@anthropic-ai" / "mcpb" / "dist" / "cli" / "cli.js"

    done = subprocess.run(
        ["node", mcpb, "validate", NODE.parents[1] / "manifest.json"], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
