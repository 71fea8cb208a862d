"""A wheel holds what the four folders and the skills hold: all of it, and nothing that an earlier build left behind."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("server", "tools", "novita", "simulator", "skills")
BUILT_FROM = ("pyproject.toml", "setup.py", "README.md", "LICENSE", *FOLDERS)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "setup.py").is_file(), reason="away from the source"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of what a wheel is built from."""
    copy = tmp_path / "source"
    copy.mkdir()
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, copy / name)
    return copy


def wheel_of(source: Path) -> set[str]:
    """The files of ours in the wheel that is built from a folder."""
    command = "from setuptools.build_meta import build_wheel; build_wheel('made')"
    (source / "made").mkdir()
    subprocess.run([sys.executable, "-c", command], cwd=source, check=True, capture_output=True, timeout=240)
    (wheel,) = (source / "made").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if name.startswith("novita_mcp/")}


def files_of(source: Path) -> set[str]:
    found = (path for folder in FOLDERS for path in (source / folder).rglob("*") if path.is_file())
    return {f"novita_mcp/{path.relative_to(source).as_posix()}" for path in found}


def test_the_wheel_holds_the_folders_and_nothing_an_earlier_build_left(source: Path) -> None:
    """`pip install .` after `git pull` builds where it built before."""
    left = source / "build" / "lib" / "novita_mcp" / "tools" / "deleted.py"
    left.parent.mkdir(parents=True)
    left.write_text('"""A module that is no more."""\n')
    room = source / "tools" / "kiosk"
    room.mkdir()
    (room / "__init__.py").write_text('"""A room that nobody listed anywhere."""\n')
    (room / "prices.json").write_text("{}")

    assert wheel_of(source) == files_of(source)


@pytest.mark.skipif(shutil.which("uvx", path=str(Path(sys.executable).parent)) is None, reason="there is no uvx here")
def test_a_host_set_up_from_a_wheel_by_uvx_starts_that_wheel(source: Path, tmp_path: Path) -> None:
    """Nothing on any index is asked for by the name of ours, which may not be released, or be another version."""
    wheel_of(source)
    (wheel,) = (source / "made").iterdir()
    programs = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_CERT"))}
    environment = {
        **kept,
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "UV_PYTHON": sys.executable,
        "UV_NO_PROGRESS": "1",
    }

    def run(*words: str) -> str:
        done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = json.loads(run("uvx", "--from", str(wheel), "novita-mcp", "install", "cursor", "--yes", "--json"))

    assert told["command"][1:] == ["--from", str(wheel), "novita-mcp"]
    entry = json.loads(Path(told["path"]).read_text())["mcpServers"]["novita"]
    assert [entry["command"], *entry["args"]] == told["command"]
    assert run(*told["command"], "version").strip() == run(str(programs / "novita-mcp"), "version").strip()
