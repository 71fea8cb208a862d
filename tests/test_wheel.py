"""A wheel holds what the four folders hold: all of it, and nothing that an earlier build left behind."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("server", "tools", "novita", "simulator")
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
