"""The folders are the architecture: who may import whom, what is in the wheel, and what start-up loads."""

import ast
import fnmatch
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("server", "tools", "novita", "simulator")
MAY_IMPORT = {
    "server": {"tools", "novita", "simulator"},
    "tools": {"novita"},
    "novita": set[str](),
    "simulator": set[str](),
}
MAY_NOT_USE = {"novita": {"mcp", "mcp_types"}, "simulator": {"mcp", "mcp_types", "httpx", "httpx2"}}
ASKED_FOR_THE_SIMULATOR = {"demo.py", "simulated.py", "cli.py"}
"""Only these parts of the server start it."""

pytestmark = pytest.mark.skipif(not (ROOT / "server").is_dir(), reason="away from the source")


def sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).glob("*.py"))
    assert found
    return found


def imports(source: Path) -> list[tuple[int, str]]:
    """(level, module) of every import statement, wherever it stands."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `from .. import novita` names the folder among the imported names.
            found += [(node.level, node.module)] if node.module else [(node.level, alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_go_along_the_arrows(folder: str) -> None:
    for source in sources(folder):
        for level, module in imports(source):
            top = module.partition(".")[0]
            where = f"{source.name} imports {'.' * level}{module}"
            if level == 0:
                assert top != "novita_mcp", f"{where}: import relatively inside the folders"
                assert top not in MAY_NOT_USE.get(folder, ()), where
            elif level == 2:
                assert top in MAY_IMPORT[folder], where
                assert top != "simulator" or source.name in ASKED_FOR_THE_SIMULATOR, where
            else:
                assert level == 1, where


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_are_flat(folder: str) -> None:
    """A sub-package would vanish from the wheel without a word."""
    inner = [path.name for path in (ROOT / folder).iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert inner == []


def test_every_folder_is_packaged_with_its_data() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    setuptools = config["tool"]["setuptools"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert packages == set(FOLDERS)
    assert set(setuptools["packages"]) == {f"novita_mcp.{name}" for name in packages}
    assert setuptools["package-dir"] == {f"novita_mcp.{name}": name for name in packages}
    patterns = ["*.py", *setuptools["package-data"]["*"]]
    for folder in FOLDERS:
        for path in (ROOT / folder).iterdir():
            if path.is_file():
                assert any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns), f"{path} is not packaged"
        assert (ROOT / folder / "py.typed").is_file()


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_has_a_small_door(folder: str) -> None:
    door = importlib.import_module(f"novita_mcp.{folder}")

    assert door.__doc__
    assert door.__all__ == sorted(door.__all__)
    for name in door.__all__:
        assert getattr(door, name) is not None


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_module_says_first_what_it_owns(folder: str) -> None:
    for source in sources(folder):
        assert ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))), source.name


HEAVY = ("httpx", "PIL", "av", "jsonschema", "platformdirs", "sqlite3", "psycopg", "boto3", "novita_mcp.simulator")
LIGHT = {
    "novita_mcp.novita",
    "novita_mcp.novita.hosts",
    "novita_mcp.novita.redaction",
    "novita_mcp.novita.wellformed",
    "novita_mcp.tools",
    "novita_mcp.tools.handoff",
    "novita_mcp.tools.names",
}
"""All that start-up may load of tools/ and novita/."""


def test_start_up_loads_nothing_heavy() -> None:
    """`initialize` is answered before the tools are built."""
    script = (
        "import sys\n"
        "from novita_mcp.server.cli import main\n"
        "import novita_mcp.server.transports\n"
        "from novita_mcp.server.app import create_app\n"
        "from novita_mcp.server.settings import Settings\n"
        "create_app(Settings())\n"
        "print(*sys.modules, sep='\\n')"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )

    assert not [name for name in HEAVY if name in loaded]
    ours = {name for name in loaded if name.startswith(("novita_mcp.tools", "novita_mcp.novita"))}
    assert ours <= LIGHT
