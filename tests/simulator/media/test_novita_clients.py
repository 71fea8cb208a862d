"""Novita's own clients work with the simulator. Only the address is changed in them.

Both SDKs have a type for upscaling but no longer a method, so the tests use the SDKs' general method for requests.
"""

import base64
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest
from novita_mcp.simulator.core.world import DEFAULT_KEY, World, WorldSettings
from novita_mcp.simulator.media.film import look_at
from novita_mcp.simulator.serving import Running, serve
from PIL import Image, ImageDraw

from ...environments import alone
from ...node_packages import needs_node, node_packages

HERE = Path(__file__).parent
PYTHON_SDK = ("novita-client==0.7.1", "dataclass-wizard<0.23")
"""The SDK does not say that it needs an older dataclass-wizard."""

Json = dict[str, Any]

pytestmark = pytest.mark.slow


def cannot(what: str, done: subprocess.CompletedProcess[str]) -> None:
    """Skip the test, because the machine may be offline. In CI it fails instead."""
    assert not os.environ.get("CI"), done.stderr
    pytest.skip(f"{what} cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")


@pytest.fixture
def novita() -> Generator[Running]:
    """A simulator in which a task takes a moment."""
    with serve(World(WorldSettings(task_seconds=0.2, old_models=True))) as running:
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A red disc on white."""
    picture = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(picture).ellipse((60, 60, 200, 200), fill="red")
    picture.save(tmp_path / "fox.png")
    return tmp_path / "fox.png"


@pytest.fixture
def python_sdk(pytestconfig: pytest.Config) -> Path:
    """The folder with Novita's Python SDK, apart from our own packages. It is fetched only once."""
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir("novita-python-sdk")
    whole = folder / "whole"
    with alone(folder / "lock"):
        if not whole.is_file():
            install = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(folder)]
            done = subprocess.run([*install, *PYTHON_SDK], capture_output=True, text=True)
            if done.returncode:
                cannot("the Python SDK", done)
            whole.touch()
    return folder


@pytest.fixture
def javascript_sdk() -> Path:
    """The folder with the npm packages."""
    return node_packages().parent


def said(command: list[str], asked: Json, **environment: str) -> Json:
    """The JSON that a script prints."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    done = subprocess.run(
        [*command, json.dumps(asked)], env=kept | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return cast(Json, json.loads(done.stdout))


def file_of(result: Json, kind: str) -> bytes:
    """The one file of a task result."""
    assert result["task"]["status"] == "TASK_STATUS_SUCCEED"
    (entry,) = result[f"{kind}s"]
    with urllib.request.urlopen(entry[f"{kind}_url"]) as answer:
        return answer.read()


def judge(results: Json, world: World) -> None:
    """Check that all results came back as real files, and that the simulator refused nothing."""
    sizes = {
        name: Image.open(BytesIO(file_of(results[name], "image"))).size
        for name in ("text_to_image", "image_to_image", "upscale")
    }
    assert sizes == {"text_to_image": (256, 256), "image_to_image": (256, 256), "upscale": (512, 512)}
    with Image.open(BytesIO(base64.b64decode(results["remove_background"]["image_file"]))) as cut:
        assert cut.size == (256, 256)
    film = look_at(file_of(results["text_to_video"], "video"))
    assert (film.width, film.height) == (256, 256)
    assert len(results["search"]["models"]) == 5

    assert world.count("get_task_result") > 4, "nobody had to wait"
    assert not [request.path for request in world.requests if request.status != 200]
    assert world.leaked_keys == 0


def test_the_python_sdk(python_sdk: Path, novita: Running, image: Path) -> None:
    asked = {"url": novita.url, "key": DEFAULT_KEY, "image": str(image)}
    command = [sys.executable, str(HERE / "novita_client_calls.py")]

    judge(said(command, asked, PYTHONPATH=str(python_sdk)), novita.world)


@pytest.mark.node
@needs_node
def test_the_javascript_sdk(javascript_sdk: Path, novita: Running, image: Path) -> None:
    packed = base64.b64encode(image.read_bytes()).decode()
    asked = {"url": novita.url, "key": DEFAULT_KEY, "image": packed}

    judge(said(["node", str(javascript_sdk / "novita.mjs")], asked), novita.world)
