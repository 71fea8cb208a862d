"""The npm packages of tests/node, fetched when a test first wants them: once, by one process, never seen half made."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .environments import alone

NODE = Path(__file__).parent / "node"
INSTALL = ("install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="there is no node here"
)


def node_packages(folder: Path = NODE) -> Path:
    """`node_modules`, with all that package.json asks for. CI insists on it; elsewhere a machine may be offline."""
    failed = fetch(folder)
    if failed is not None:
        assert not os.environ.get("CI"), failed
        pytest.skip(f"npm cannot fetch the packages here: {failed}")
    return folder / "node_modules"


def fetch(folder: Path) -> str | None:
    """Fetches what package.json asks for, unless that is there; what npm said if it could not.

    Whoever comes meanwhile waits. The copy of package.json is written last, so without it, or with another one, npm was
    interrupted or is to fetch other packages now.
    """
    asked = (folder / "package.json").read_bytes()
    whole = folder / "node_modules" / ".package.json"
    with alone(folder / "package.json"):
        if whole.is_file() and whole.read_bytes() == asked:
            return None
        whole.unlink(missing_ok=True)
        npm = shutil.which("npm")
        assert npm is not None
        done = subprocess.run([npm, *INSTALL], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip() or f"npm ended with {done.returncode}"
        whole.parent.mkdir(exist_ok=True)
        whole.write_bytes(asked)
        return None
