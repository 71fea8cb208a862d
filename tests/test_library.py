"""docs/library.md: its examples run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running

PAGE = Path(__file__).parents[1] / "docs" / "library.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def run(example: str, simulator: Running, folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "PYTHONPATH") if name in os.environ}
    moved = {"NOVITA_API_KEY": DEFAULT_KEY, "NOVITA_BASE_URL": simulator.url, "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", example], env={**kept, **moved}, cwd=folder, capture_output=True, text=True
    )


def test_the_server_runs_in_process(simulator: Running, world: World, tmp_path: Path) -> None:
    done = run(EXAMPLES[0], simulator, tmp_path)

    assert done.returncode == 0, done.stderr
    files = [tmp_path / line for line in done.stdout.splitlines()]
    assert len(files) == 2
    assert all(file.is_file() and file.parent == tmp_path / "pictures" for file in files)
    assert world.charges


def test_the_client_is_used_without_the_server(simulator: Running, world: World, tmp_path: Path) -> None:
    done = run(EXAMPLES[1], simulator, tmp_path)

    assert done.returncode == 0, done.stderr
    credit, *links = done.stdout.splitlines()
    assert re.fullmatch(r"can be spent: 100(\.0+)? USD", credit)
    assert len(links) == 1
    assert links[0].startswith(simulator.url)
    assert not list(tmp_path.rglob("*.sqlite3"))


@pytest.mark.parametrize("example", EXAMPLES, ids=["server", "client"])
def test_an_example_is_about_twenty_lines(example: str) -> None:
    assert len([line for line in example.splitlines() if line and not line.startswith(("import", "from"))]) <= 20


def test_there_are_two() -> None:
    assert len(EXAMPLES) == 2
