"""Build what is released into dist/: wheel, sdist, desktop bundles; and try wheel and sdist in empty environments.

Run as `python scripts/release.py`. Publishing is a person's decision: this only builds and checks.
"""

import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"


def main() -> None:
    """Build and check; any failure raises."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT)], check=True)
    for built in sorted(DIST.iterdir()):
        try_installed(built, version)
    if shutil.which("npm"):
        subprocess.run(
            ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=ROOT / "tests" / "node",
            check=True,
        )
        subprocess.run([sys.executable, str(ROOT / "scripts" / "bundle.py"), str(DIST)], check=True)
    else:
        print("no npm here: the desktop bundles were not packed", file=sys.stderr)
    for built in sorted(DIST.iterdir()):
        print(f"{built.stat().st_size:>10,}  {built.name}")


def try_installed(built: Path, version: str) -> None:
    """Install one archive away from the source, ask its version and run the demo."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        venv.create(home / "env", with_pip=True)
        scripts = home / "env" / ("Scripts" if sys.platform == "win32" else "bin")
        subprocess.run([str(scripts / "python"), "-m", "pip", "install", "-q", str(built)], check=True, cwd=home)
        said = subprocess.run(
            [str(scripts / "novita-mcp"), "version"], check=True, cwd=home, capture_output=True, text=True
        )
        if said.stdout.strip() != version:
            raise SystemExit(f"{built.name} says it is {said.stdout.strip()}, not {version}")
        subprocess.run([str(scripts / "novita-mcp"), "demo", "--json"], check=True, cwd=home, stdout=subprocess.DEVNULL)
        print(f"{built.name}: installed, and the demo ran")


if __name__ == "__main__":
    main()
