"""Build the files of a release into dist/ (wheel, sdist, desktop bundles, notes), and try each in an empty environment.

Run as `python scripts/release.py`; it needs `build`, and Node.js for the bundles. The version is in pyproject.toml. If
another file has an older one, the script corrects it and stops, so that you can commit the change first. It publishes
nothing.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
PICTURE = ["tools", "call", "generate_image", "--prompt", "a red fox", "--simulate"]


def main() -> None:
    """Build and check everything. Any failure raises."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    if behind := carry(version):
        raise SystemExit(f"{', '.join(behind)}: now at {version}. Commit that, then run this again.")
    written = notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT)], check=True)
    for built in sorted(DIST.iterdir()):
        try_installed(built, version)
    if shutil.which("npm"):
        subprocess.run(
            ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=ROOT / "tests" / "node",
            check=True,
        )
        subprocess.run([sys.executable, str(ROOT / "scripts" / "bundle.py"), str(DIST)], check=True)
        for bundle in sorted(DIST.glob("*.mcpb")):
            try_bundle(bundle)
    else:
        print("no npm here: the desktop bundles were not packed", file=sys.stderr)
    (DIST / "NOTES.md").write_text(written, encoding="utf-8")
    for built in sorted(DIST.iterdir()):
        print(f"{built.stat().st_size:>10,}  {built.name}")


def notes(changelog: str, version: str) -> str:
    """The notes of a release: its section of the changelog.

    Raises:
        SystemExit: The changelog has no such section, it is empty, or there are changes that no release has yet.
    """
    if re.search(r"^## Unreleased\b", changelog, re.MULTILINE | re.IGNORECASE):
        raise SystemExit("CHANGELOG.md has unreleased changes: raise the version, and head their section with it")
    found = re.search(rf"^## {re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise SystemExit(f"CHANGELOG.md says nothing of {version}")
    return f"# novita-mcp {version}\n\n{found[1].strip()}\n"


def carry(version: str) -> list[str]:
    """Write the project's version into the files that repeat it. Returns the names of the files that changed."""
    changed: list[str] = []
    for name in ("manifest.json", "server.json"):
        file = ROOT / name
        before = file.read_text(encoding="utf-8")
        after = re.sub(r'("version": )"[^"]*"', rf'\1"{version}"', before)
        if after != before:
            file.write_text(after, encoding="utf-8")
            changed.append(name)
    return changed


def bare(home: Path, *programs: Path) -> dict[str, str]:
    """Environment variables without the developer's own, except those about fetching packages."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_CERT"))}
    path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    system = {name: os.environ[name] for name in ("SYSTEMROOT", "LOCALAPPDATA", "APPDATA") if name in os.environ}
    return {**kept, **system, "PATH": path, "HOME": str(home), "USERPROFILE": str(home), "LANG": "C.UTF-8"}


def environment_with(home: Path, *packages: str) -> Path:
    """Make a virtual environment in `home` with these packages. Returns the folder of its programs."""
    venv.create(home / "env", with_pip=True)
    programs = home / "env" / ("Scripts" if sys.platform == "win32" else "bin")
    install = [str(programs / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    subprocess.run(install, check=True, cwd=home, env=bare(home))
    return programs


def try_installed(built: Path, version: str) -> None:
    """Install one archive away from the source, check its version and run the demo."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        program = str(environment_with(home, str(built)) / "novita-mcp")
        said = subprocess.run(
            [program, "version"], check=True, cwd=home, env=bare(home), capture_output=True, text=True
        ).stdout.strip()
        if said != version:
            raise SystemExit(f"{built.name} says it is {said}, not {version}")
        subprocess.run([program, "demo", "--json"], check=True, cwd=home, env=bare(home), stdout=subprocess.DEVNULL)
        print(f"{built.name}: installed, and the demo ran")


def try_bundle(bundle: Path) -> None:
    """Unpack a bundle and run the command in its manifest. Check that it offers the tools that the manifest lists, and
    that it makes a picture if it should."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        folder = home / "bundle"
        with zipfile.ZipFile(bundle) as archive:
            archive.extractall(folder)
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        config: dict[str, Any] = manifest["server"]["mcp_config"]
        out = home / "out"
        # A desktop host brings its own uv. It passes a setting that the user left blank as the unexpanded placeholder.
        uv = environment_with(home, "uv")
        own = {key: text.replace("${user_config.output_dir}", str(out)) for key, text in config["env"].items()}
        env = {**bare(home, uv), "UV_PYTHON": sys.executable, "UV_NO_PROGRESS": "1", **own}
        command = [str(uv / config["command"]), *(word.replace("${__dirname}", str(folder)) for word in config["args"])]

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([*command, *arguments], cwd=folder, env=env, capture_output=True, text=True)

        listed = run("tools", "list", "--json")
        if listed.returncode:
            raise SystemExit(f"{bundle.name} does not start: {listed.stderr}")
        promised = {tool["name"] for tool in manifest["tools"]}
        if promised != (offered := {tool["name"] for tool in json.loads(listed.stdout)}):
            raise SystemExit(f"{bundle.name}: listed and offered differ in {sorted(promised ^ offered)}")
        made = run(*PICTURE, "--output-dir", str(out))
        has_picture = made.returncode == 0 and out.is_dir() and any(out.iterdir())
        if has_picture != ("generate_image" in promised):
            raise SystemExit(f"{bundle.name}: {'a' if has_picture else 'no'} picture came. {made.stdout}{made.stderr}")
        print(f"{bundle.name}: unpacked and started; {len(offered)} tools, {'a' if has_picture else 'no'} picture")


if __name__ == "__main__":
    main()
