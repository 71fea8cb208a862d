"""The desktop bundle, packed, unpacked and started the way a desktop host does it."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running
from novita_mcp.tools import TOOLSETS

from ..conftest import text_of
from ..node_packages import needs_node
from ..scripts import script
from .test_interop import modules as modules

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.old_models,
    pytest.mark.node,
    pytest.mark.slow,
    needs_node,
]


@pytest.fixture(scope="session")
def bundles(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both bundles, packed."""
    return script("bundle").main(tmp_path_factory.mktemp("bundles"))


def unpacked(bundle: Path, target: Path, modules: Path) -> dict[str, Any]:
    """Unpack with the packer's own tool; the manifest."""
    cli = modules / "@anthropic-ai" / "mcpb" / "dist" / "cli" / "cli.js"
    subprocess.run(["node", cli, "unpack", bundle, target], check=True, capture_output=True)
    return json.loads((target / "manifest.json").read_text())


def as_a_host_would(
    manifest: dict[str, Any], folder: Path, settings: dict[str, str], home: Path
) -> StdioServerParameters:
    """The command of the manifest, with its places filled in; what the user left blank stays as it is written."""
    config = manifest["server"]["mcp_config"]

    def fill(text: str) -> str:
        text = text.replace("${__dirname}", str(folder))
        for name, value in settings.items():
            text = text.replace(f"${{user_config.{name}}}", value)
        return text

    own = {name: fill(value) for name, value in config["env"].items()}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # The host's uv brings a Python; here it is the one that runs the tests.
    inherited = {"PATH": path, "HOME": str(home), "UV_PYTHON": sys.executable, "UV_NO_PROGRESS": "1"}
    inherited |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_CERT"))}
    return StdioServerParameters(
        command=config["command"], args=[fill(word) for word in config["args"]], env={**inherited, **own}, cwd=folder
    )


@pytest.mark.skipif(shutil.which("uv", path=str(Path(sys.executable).parent)) is None, reason="uv is not installed")
async def test_the_unpacked_bundle_makes_a_picture(
    bundles: list[Path], modules: Path, simulator: Running, world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "installed"
    manifest = unpacked(bundles[0], folder, modules)
    out = tmp_path / "out"
    parameters = as_a_host_would(manifest, folder, {"api_key": DEFAULT_KEY, "output_dir": str(out)}, tmp_path)
    assert parameters.env is not None
    parameters.env["NOVITA_BASE_URL"] = simulator.url

    async with Client(parameters, read_timeout_seconds=120) as client:
        result = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a red fox"})

        assert not result.is_error, text_of(result)
        assert world.count("qwen_image_txt2img") == 1
        assert list(out.iterdir())
        assert [each for each in (await client.list_resources()).resources if each.uri.startswith("skill://")]


def test_the_bundle_lists_just_the_tools_it_offers(bundles: list[Path], modules: Path, tmp_path: Path) -> None:
    for number, bundle in enumerate(bundles):
        manifest = unpacked(bundle, tmp_path / str(number), modules)
        toolsets = manifest["server"]["mcp_config"]["env"].get("NOVITA_MCP_TOOLSETS", "default")
        listed = subprocess.run(
            [sys.executable, "-m", "novita_mcp.server", "tools", "list", "--json", "--toolsets", toolsets],
            check=True,
            capture_output=True,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        )
        offered = {tool["name"] for tool in json.loads(listed.stdout)}
        assert {tool["name"] for tool in manifest["tools"]} == offered


def test_the_bundle_without_media_makes_none(bundles: list[Path], modules: Path, tmp_path: Path) -> None:
    manifest = unpacked(bundles[1], tmp_path / "installed", modules)
    text = json.dumps([manifest["description"], manifest["long_description"], manifest["keywords"]]).lower()
    text = text.replace("deploy an image", "")  # a container's
    assert not any(word in text for word in ("picture", "image", "video", "speech", "music"))
    made = {
        spec.name for toolset in TOOLSETS if toolset.name in ("images", "videos", "audio") for spec in toolset.tools
    }
    assert len(made) > 10
    assert not made & {tool["name"] for tool in manifest["tools"]}


def test_the_bundle_asks_for_no_more_packages_than_it_needs(bundles: list[Path], modules: Path, tmp_path: Path) -> None:
    unpacked(bundles[0], tmp_path / "installed", modules)
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())
    carried = tomllib.loads((tmp_path / "installed" / "pyproject.toml").read_text())
    assert ours["project"].pop("optional-dependencies")
    assert carried["tool"].pop("uv")["constraint-dependencies"]
    assert carried == ours


def test_the_bundle_without_media_is_small_and_asks_for_no_library_of_media(
    bundles: list[Path], modules: Path, tmp_path: Path
) -> None:
    whole, lean = (bundle.stat().st_size for bundle in bundles)
    assert lean < 0.8 * whole
    unpacked(bundles[1], tmp_path / "installed", modules)
    asked = tomllib.loads((tmp_path / "installed" / "pyproject.toml").read_text())["project"]["dependencies"]
    assert not [package for package in asked if package.startswith(("av>", "pi-heif"))]
    assert [package for package in asked if package.startswith("pillow")], "chat looks at pictures"


async def test_the_bundle_without_media_serves(
    bundles: list[Path], modules: Path, simulator: Running, tmp_path: Path
) -> None:
    folder = tmp_path / "installed"
    manifest = unpacked(bundles[1], folder, modules)
    parameters = as_a_host_would(manifest, folder, {"api_key": DEFAULT_KEY}, tmp_path)
    assert parameters.env is not None
    parameters.env["NOVITA_BASE_URL"] = simulator.url
    async with Client(parameters, read_timeout_seconds=120) as client:
        result = await client.call_tool("get_balance", {})
        assert not result.is_error, text_of(result)
    told = subprocess.run(
        [*(folder / ".venv" / "bin" / "novita-mcp",), "call", "get_balance", "--simulate"],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
    )
    assert told.returncode == 2
    assert "without the simulator" in told.stderr
