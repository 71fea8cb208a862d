"""Pack two desktop bundles (MCPB) into dist/: one with the whole server, and one without media tools.

Some directories of bundles do not accept tools that make media. The second bundle is for them.
Run as `python scripts/bundle.py [folder]`; needs Node.js, and the packages of tests/node.
"""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKER = ROOT / "tests" / "node" / "node_modules" / "@anthropic-ai" / "mcpb" / "dist" / "cli" / "cli.js"
CARRIED = (
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
    "icon.png",
    "server",
    "tools",
    "novita",
    "simulator",
    "skills",
)
WITHOUT_MEDIA = "default,-images,-videos,-audio,-models"
MEDIA_ONLY = ("av", "pi-heif")
"""Packages that only media tools need. They are half of the server's size on disk."""
_MEDIA_WORDS = ("image", "video", "speech", "voice", "music", "lyrics", "audio", "media", "checkpoint", "background")


def main(folder: Path) -> list[Path]:
    """Make both bundles. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, Any] = json.loads((ROOT / "manifest.json").read_text())
    version = manifest["version"]
    return [
        pack(manifest, folder / f"novita-mcp-{version}.mcpb"),
        pack(without_media(manifest), folder / f"novita-mcp-no-media-{version}.mcpb", media=False),
    ]


def without_media(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest of the bundle without media tools."""
    made: dict[str, Any] = json.loads(json.dumps(manifest))
    made["description"] = "Language models, GPUs and serverless endpoints of Novita AI for an agent."
    made["long_description"] = (
        "Runs language models and batches, rents GPUs and serves endpoints at Novita AI. Waits for what is slow, says "
        "what things cost, and asks before dear or destructive acts."
    )
    made["keywords"] = ["novita", "language models", "gpu", "serverless"]
    made["server"]["mcp_config"]["env"]["NOVITA_MCP_TOOLSETS"] = WITHOUT_MEDIA
    made["tools"] = [tool for tool in made["tools"] if not any(word in tool["name"] for word in _MEDIA_WORDS)]
    made["tools"] = [tool for tool in made["tools"] if tool["name"] != "estimate_cost"]
    return made


def without_extras(project: str) -> str:
    """pyproject.toml without the optional packages, because a host's uv would resolve all of them before the first
    start."""
    lean, found = re.subn(r"^\[project\.optional-dependencies\]\n(?:(?!\[).*\n)*", "", project, flags=re.MULTILINE)
    if found != 1:
        raise SystemExit("pyproject.toml has no table of optional packages to leave out")
    return lean


def with_pins(project: str) -> str:
    """pyproject.toml with the versions that were tested. Without them the uv of a desktop host would choose versions on
    the user's machine.

    Packages that only other systems need are not pinned, because they are not installed here.
    """
    needed = tomllib.loads(project)["project"]["dependencies"]
    pins = "".join(f'  "{name}=={version}",\n' for name, version in sorted(installed_for(needed).items()))
    return f"{project.rstrip()}\n\n[tool.uv]\nconstraint-dependencies = [\n{pins}]\n"


def installed_for(requirements: Sequence[str]) -> dict[str, str]:
    """The versions installed here of these packages and of everything that they need, directly or indirectly."""
    found: dict[str, str] = {}
    left = [Requirement(line) for line in requirements]
    seen: set[str] = set()
    while left:
        one = left.pop()
        if str(one) in seen or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        seen.add(str(one))
        package = importlib.metadata.distribution(one.name)
        found[canonicalize_name(one.name)] = package.version
        for line in package.requires or ():
            inner = Requirement(line)
            wanted = any(inner.marker is None or inner.marker.evaluate({"extra": extra}) for extra in ("", *one.extras))
            if wanted:
                inner.marker = None
                left.append(inner)
    return found


def without_packages(project: str, names: Iterable[str]) -> str:
    """pyproject.toml without these packages."""
    for name in names:
        project, found = re.subn(rf'^  "{re.escape(name)}[<>=].*\n', "", project, flags=re.MULTILINE)
        if found != 1:
            raise SystemExit(f"pyproject.toml does not ask for {name}")
    return project


def pack(manifest: dict[str, Any], target: Path, *, media: bool = True) -> Path:
    """Pack one bundle, and validate it with MCPB's own tool.

    Args:
        media: Whether the bundle makes media. If not, it contains no simulator and needs no packages for media.
    """
    with tempfile.TemporaryDirectory() as name:
        staging = Path(name) / "bundle"
        staging.mkdir()
        for part in CARRIED:
            source = ROOT / part
            if part == "simulator" and not media:
                continue
            if part == "pyproject.toml":
                project = without_extras(source.read_text(encoding="utf-8"))
                project = project if media else without_packages(project, MEDIA_ONLY)
                (staging / part).write_text(with_pins(project), encoding="utf-8")
            elif source.is_dir():
                shutil.copytree(source, staging / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, staging / part)
        (staging / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        for command in (["validate", "manifest.json"], ["pack", ".", str(target.resolve())]):
            subprocess.run(["node", str(PACKER), *command], cwd=staging, check=True, stdout=subprocess.DEVNULL)
    return target


if __name__ == "__main__":
    for made in main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"):
        print(made)
