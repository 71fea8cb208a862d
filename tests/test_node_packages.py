"""npm packages are fetched once however many test processes want them at the same moment, and never seen half made."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .node_packages import fetch

ROOT = Path(__file__).parents[1]
WORKERS = 4

NPM = """#!{python}
# Writes one package, waits until everybody wants them (or another npm has begun), and writes the other.
import os, sys, time
from pathlib import Path
assert sys.argv[1] == "install"
with open("log", "a") as log:
    log.write("begun\\n")
Path("node_modules/one").mkdir(parents=True, exist_ok=True)
give_up = time.monotonic() + 60
while len(list(Path(".").glob("wants-*"))) < int(os.environ.get("WORKERS", "0")):
    assert time.monotonic() < give_up, "not everybody came"
    time.sleep(0.005)
if Path("offline").exists():
    sys.exit("npm error network")
Path("node_modules/two").mkdir(exist_ok=True)
with open("log", "a") as log:
    log.write("ended\\n")
"""

WORKER = """
import sys
from pathlib import Path
from tests.node_packages import fetch
folder = Path(sys.argv[1])
(folder / f"wants-{sys.argv[2]}").touch()
assert fetch(folder) is None
assert (folder / "node_modules" / "two").is_dir(), "half made"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package.json, where npm is ours."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "npm").write_text(NPM.format(python=sys.executable))
    (programs / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    (tmp_path / "package.json").write_text('{"dependencies": {"one": "1", "two": "2"}}')
    return tmp_path


@pytest.fixture
def log(folder: Path) -> Callable[[], list[str]]:
    """What npm did so far."""
    return lambda: (folder / "log").read_text().split()


@pytest.mark.skipif(sys.platform == "win32", reason="a program that is a script")
def test_workers_that_start_at_once_fetch_once_and_see_all(folder: Path, log: Callable[[], list[str]]) -> None:
    env = {**os.environ, "WORKERS": str(WORKERS)}
    working = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(folder), str(number)], cwd=ROOT, env=env, stderr=-1)
        for number in range(WORKERS)
    ]
    said = [process.communicate(timeout=120)[1].decode() for process in working]

    assert [process.returncode for process in working] == [0] * WORKERS, said
    assert log() == ["begun", "ended"]


@pytest.mark.skipif(sys.platform == "win32", reason="a program that is a script")
def test_what_npm_left_half_made_is_made_whole(folder: Path, log: Callable[[], list[str]]) -> None:
    (folder / "offline").touch()
    assert "network" in (fetch(folder) or "")
    assert (folder / "node_modules" / "one").is_dir()
    (folder / "offline").unlink()

    assert fetch(folder) is None
    assert (folder / "node_modules" / "two").is_dir()
    assert log() == ["begun", "begun", "ended"]


@pytest.mark.skipif(sys.platform == "win32", reason="a program that is a script")
def test_other_packages_than_before_are_fetched(folder: Path, log: Callable[[], list[str]]) -> None:
    assert fetch(folder) is None
    assert fetch(folder) is None
    assert log() == ["begun", "ended"]

    (folder / "package.json").write_text('{"dependencies": {"three": "3"}}')
    assert fetch(folder) is None
    assert log() == ["begun", "ended"] * 2
