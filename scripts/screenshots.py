"""Take README's pictures of the pages in Chromium: docs/gallery-*.webp and docs/spend-*.webp.

Run as `python scripts/screenshots.py [folder]` after a change of the pages. It runs the demo's steps against the
simulator, serves the pages with `novita-mcp gallery`, and opens them in Chromium. It needs Debian's chromium, Node.js
and the packages of tests/node. With a folder it also writes all pictures there: 360 and 1,100 px wide, light and dark.
scripts/session_picture.py makes the picture of the terminal.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.commands.demo import STEPS
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World, WorldSettings
from novita_mcp.simulator.serving import serve
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
LOOK = ROOT / "tests" / "node" / "pictures.mjs"
PATIENCE = 300.0
"""Seconds within which the browser must take all pictures."""
QUALITY, COLOURS = 40, 32
SHOWN = ("gallery-1100-light", "gallery-1100-dark", "spend-1100-light", "spend-1100-dark")


def take(folder: Path) -> None:
    """Take all pictures into a folder."""
    chromium, node = shutil.which("chromium"), shutil.which("node")
    if chromium is None or node is None:
        raise SystemExit("this needs chromium and node")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, serve(World(WorldSettings(task_seconds=0))) as running:
        settings = Settings(
            api_key=DEFAULT_KEY,
            base_url=running.url,
            output_dir=Path(home) / "out",
            journal=str(Path(home) / "journal.sqlite3"),
            shipped_models_only=True,
        )
        anyio.run(play, settings)
        with gallery(settings, home) as link:
            asked = json.dumps({"chromium": chromium, "shots": str(folder), "link": link})
            subprocess.run([node, str(LOOK), asked], cwd=LOOK.parent, check=True, timeout=PATIENCE)


async def play(settings: Settings) -> None:
    """Run the demo's steps, one after the other."""
    ids: dict[str, str] = {}
    async with Client(create_app(settings)) as client:
        for step in STEPS:
            given: dict[str, Any] = {
                name: value.format_map(ids) if isinstance(value, str) else value
                for name, value in step.arguments.items()
            }
            result = await client.call_tool(step.tool, given)
            if result.is_error or result.structured_content is None:
                raise SystemExit(f"{step.title}: {result.content}")
            ids[step.name] = str(result.structured_content.get("task_id"))


@contextmanager
def gallery(settings: Settings, home: str) -> Generator[str]:
    """Run `novita-mcp gallery` with the demo's journal and files. Yields its link."""
    env = {
        "HOME": home,
        "NOVITA_API_KEY": DEFAULT_KEY,
        "NOVITA_BASE_URL": settings.base_url,
        "NOVITA_MCP_JOURNAL": settings.journal,
        "NOVITA_MCP_OUTPUT_DIR": str(settings.output_dir),
        "NOVITA_MCP_SHIPPED_MODELS_ONLY": "true",
    }
    command = [sys.executable, "-m", "novita_mcp.server", "gallery", "--no-browser"]
    with subprocess.Popen(command, env=env, cwd=home, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            link = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+", line)))
            yield link
        finally:
            process.terminate()


def packed(taken: Path) -> Path:
    """Compress a picture for README: a page of text with few colours, so that letters stay sharp, and a page of
    pictures with all its shades."""
    target = ROOT / "docs" / f"{taken.stem.replace('-1100', '')}.webp"
    with Image.open(taken) as opened:
        picture = opened.convert("RGB")
    if target.stem.startswith("spend"):
        few = picture.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB")
        few.save(target, "WEBP", lossless=True, method=6, quality=100)
    else:
        picture.save(target, "WEBP", method=6, quality=QUALITY)
    return target


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        into = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        take(into)
        for made in (packed(into / f"{name}.png") for name in SHOWN):
            print(f"{made.name}: {made.stat().st_size:,} bytes")
