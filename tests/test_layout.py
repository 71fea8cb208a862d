"""The house: who may import whom, whole packages, and what start-up loads. Every import counts, wherever it stands.

A room is a folder: `novita/gpu`, `tools/kit`. What a file imports under TYPE_CHECKING or inside a function is an arrow
like any other.
"""

import ast
import fnmatch
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

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
ASKED_FOR_THE_SIMULATOR = {"server/commands/demo.py", "server/commands/simulate.py", "server/later.py"}
"""Only these parts of the server start it."""
LAZY = "novita/core/lazy.py"
IMPORT_BY_NAME = {LAZY, "simulator/app.py"}
"""The one way to import later, and the simulator's list of its areas."""
SPEAK_MCP = ("tools/kit/", "server/")

FLOORS = {
    "novita": ("core", "files", "journal", None),
    "tools": ("kit", None, "overview"),
    "simulator": ("core", None),
}
"""From the ground up; None is the floor of the families. A room knows its own floor's ground, never what is above."""
FAMILIES = {"media", "text", "batches", "web", "gpu", "serverless", "sandbox", "account"}

NEIGHBOURS: dict[tuple[str, str], str] = {
    ("novita/batches", "novita/text"): "a batch's rows are requests to language models",
    ("novita/serverless", "novita/gpu"): "endpoints run on GPU products and share their routes",
    ("novita/web", "novita/text"): "its requests are checked as those to language models are",
    ("simulator/batches", "simulator/text"): "a batch's lines are requests to language models",
    ("simulator/serverless", "simulator/gpu"): "workers run on the same stock of cards",
    ("tools/media", "tools/text"): "a chat model describes and transcribes where no other model lives",
}
"""Families that know another, and why."""

pytestmark = pytest.mark.skipif(not (ROOT / "server").is_dir(), reason="away from the source")


class Arrow(NamedTuple):
    """One import. `module` is a dotted path from the root for our own folders, the top module's name for others'."""

    file: str
    line: int
    module: str
    ours: bool

    @property
    def says(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


@cache
def sources(top: str) -> tuple[str, ...]:
    found = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / top).rglob("*.py"))
    assert found
    return tuple(found)


@cache
def parsed(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def is_module(dotted: str) -> bool:
    path = ROOT / dotted.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


@cache
def arrows(file: str) -> tuple[Arrow, ...]:
    """Every import of a file, wherever it stands. `from . import a, b` is an arrow to each module it names."""
    found: list[Arrow] = []
    package = list(PurePosixPath(file).parent.parts)
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            found += [Arrow(file, node.lineno, alias.name.partition(".")[0], ours=False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.append(Arrow(file, node.lineno, (node.module or "").partition(".")[0], ours=False))
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1]
            base = [*up, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                found.append(Arrow(file, node.lineno, whole if is_module(whole) else ".".join(base), ours=True))
    return tuple(dict.fromkeys(found))


def room_of(module: str) -> str:
    """`novita.gpu.meters` lies in `novita/gpu`; `server.app` in `server`."""
    parts = module.split(".")
    return "/".join(parts[:2]) if len(parts) > 1 and (ROOT / parts[0] / parts[1]).is_dir() else parts[0]


def dotted(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def our_arrows(*tops: str) -> Iterator[Arrow]:
    for top in tops:
        for file in sources(top):
            yield from (arrow for arrow in arrows(file) if arrow.ours)


@pytest.mark.parametrize("top", FOLDERS)
def test_imports_go_along_the_arrows(top: str) -> None:
    for file in sources(top):
        for arrow in arrows(file):
            target = arrow.module.partition(".")[0]
            if not arrow.ours:
                assert target != "novita_mcp", f"{arrow.says}: import relatively inside the folders"
                assert target not in MAY_NOT_USE.get(top, ()), arrow.says
            elif target != top:
                assert target in MAY_IMPORT[top], arrow.says
                assert target != "simulator" or file in ASKED_FOR_THE_SIMULATOR, arrow.says


def floor_of(room: str) -> int | None:
    """How high a room lies in its folder; None for the folder itself, which is above all of them."""
    top, _, name = room.partition("/")
    if top not in FLOORS or not name:
        return None
    floors = FLOORS[top]
    return floors.index(name) if name in floors else floors.index(None)


def test_every_room_has_its_floor() -> None:
    for top, floors in FLOORS.items():
        rooms = {path.name for path in (ROOT / top).iterdir() if path.is_dir() and path.name != "__pycache__"}
        assert rooms <= FAMILIES | {floor for floor in floors if floor}


def test_no_room_knows_one_above_it() -> None:
    """What is general is told by what is special, which registers itself; it imports none of it."""
    for arrow in our_arrows(*FLOORS):
        here, there = room_of(dotted(arrow.file)), room_of(arrow.module)
        if here.partition("/")[0] != there.partition("/")[0] or arrow.file.endswith("/__init__.py"):
            continue
        lower, upper = floor_of(here), floor_of(there)
        assert lower is None or (upper is not None and upper <= lower), arrow.says


def test_kit_knows_no_family_of_novita() -> None:
    """What every tool is made of is made of no family."""
    for arrow in our_arrows("tools"):
        there = room_of(arrow.module)
        if arrow.file.startswith("tools/kit/"):
            assert not there.startswith("novita/") or there.partition("/")[2] not in FAMILIES, arrow.says


def test_no_family_knows_another_but_where_it_is_named() -> None:
    known: set[tuple[str, str]] = set()
    for arrow in our_arrows(*FLOORS):
        here, there = room_of(dotted(arrow.file)), room_of(arrow.module)
        one, other = here.partition("/")[2], there.partition("/")[2]
        if one in FAMILIES and other in FAMILIES and one != other:
            # Tools of a family may use what novita/ knows of its family's neighbours.
            pair = (f"novita/{one}", there) if (f"novita/{one}", there) in NEIGHBOURS else (here, there)
            known.add(pair)
            assert pair in NEIGHBOURS, arrow.says
    assert known == NEIGHBOURS.keys(), "a reason is no longer needed"


def circles(top: str) -> set[frozenset[str]]:
    """Groups of modules that reach each other (Tarjan)."""
    graph: dict[str, set[str]] = {dotted(file): set() for file in sources(top)}
    for arrow in our_arrows(top):
        if arrow.module in graph and arrow.module != dotted(arrow.file):
            graph[dotted(arrow.file)].add(arrow.module)
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: set[frozenset[str]] = set()

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph[node]:
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            group = set[str]()
            while node not in group:
                group.add(stack.pop())
            if len(group) > 1:
                found.add(frozenset(group))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not [group for top in FOLDERS for group in circles(top)]


def reached_from(file: str) -> set[str]:
    """Every module that is imported when this one is, ours and others'."""
    files = {dotted(each): each for each in sources(file.partition("/")[0])}
    found, waiting = set[str](), [dotted(file)]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [arrow.module for arrow in arrows(files[module])] if module in files else []
    return found


def test_what_the_simulator_remembers_knows_nothing_of_http() -> None:
    states = [file for file in sources("simulator") if file.endswith("/state.py")]
    assert len(states) > 3
    for file in ["simulator/core/world.py", *states]:
        assert not reached_from(file) & {"starlette", "uvicorn", "h11", "simulator.app"}, file


def is_ours(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.level > 0


def imports_by_name(node: ast.AST) -> bool:
    """Whether a module may be ours and is not known before the call. Libraries that are optional have fixed names."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "import_module"):
        return False
    first = node.args[0]
    return not isinstance(first, ast.Constant) or str(first.value).startswith(".")


def test_only_doors_import_later() -> None:
    """One way to start lightly: a door whose names come when they are first read (novita/core/lazy.py)."""
    by_name: set[str] = set()
    for top in FOLDERS:
        for file in sources(top):
            for node in ast.walk(parsed(file)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    assert node.name != "__getattr__", f"{file}: a door says lazily()"
                    assert not any(map(is_ours, ast.walk(node))), f"{file}: {node.name} imports"
                if imports_by_name(node):
                    by_name.add(file)
    assert by_name == IMPORT_BY_NAME


def doors() -> list[str]:
    tops = [top for top in FOLDERS if (ROOT / top).is_dir()]  # none away from the source
    return [file for top in tops for file in sources(top) if "lazily(" in (ROOT / file).read_text() and file != LAZY]


@pytest.mark.parametrize("file", doors())
def test_a_door_opens_on_what_it_tells_type_checkers(file: str) -> None:
    told: dict[str, str] = {}
    opened: dict[str, str] = {}
    listed: list[str] = []
    for node in parsed(file).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for inner in node.body:
                assert isinstance(inner, ast.ImportFrom)
                told |= {alias.name: "." * inner.level + (inner.module or "") for alias in inner.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__getattr__":
            assert isinstance(node.value, ast.Call)
            assert ast.unparse(node.value.args[0]) == "__name__"
            opened = ast.literal_eval(node.value.args[1])
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = ast.literal_eval(node.value)

    assert told == opened
    assert opened.keys() <= set(listed)
    assert list(opened) == sorted(opened)
    assert listed == sorted(listed)
    module = importlib.import_module(f"novita_mcp.{dotted(file)}")
    for name in listed:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = module.nothing


def test_only_the_kit_and_the_server_speak_mcp() -> None:
    for top in FOLDERS:
        for file in sources(top):
            for arrow in arrows(file):
                if not arrow.ours and arrow.module in ("mcp", "mcp_types"):
                    assert file.startswith(SPEAK_MCP), arrow.says


SQL = re.compile(r"\b(?:SELECT\b.+\bFROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE|ALTER TABLE)\b", re.DOTALL)


def test_only_the_journal_speaks_sql() -> None:
    found = {
        file
        for top in FOLDERS
        for file in sources(top)
        if not file.startswith("novita/journal/")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    }
    assert found == set()


def test_what_is_no_object_is_read_as_an_empty_one_in_one_place() -> None:
    """`x if is_object(x) else {}`, and the same of lists and with isinstance."""
    a_reader = re.compile(
        r"(?:cast\(.+, )?(\w+)\)? if (?:isinstance\(\1, (?:dict|list)\)|is_(?:object|list)\(\1\))"
        r" else (?:\{\}|\[\]|\(\))"
    )
    found = {
        file
        for file in sources("novita")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.IfExp) and a_reader.fullmatch(ast.unparse(node))
    }
    assert found == {"novita/core/answers.py"}


def test_nothing_that_novita_answers_is_taken_for_what_it_may_not_be() -> None:
    """A cast promises a type that nobody checked; `is_object` and its like, and shapes, check it."""
    assert not [
        f"{file}:{node.lineno}"
        for file in sources("novita")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Name) and node.id == "cast"
    ]


def test_a_pause_that_is_asked_for_is_read_in_one_place() -> None:
    found = {
        file
        for file in sources("novita")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lower() == "retry-after"
    }
    assert found == {"novita/core/backoff.py"}


@pytest.mark.parametrize("top", FOLDERS)
def test_no_folder_holds_more_than_one_can_see(top: str) -> None:
    for folder in {PurePosixPath(file).parent for file in sources(top)}:
        assert len([file for file in sources(top) if PurePosixPath(file).parent == folder]) <= 26, folder


def folders_of(top: str) -> set[Path]:
    return {path.parent for path in (ROOT / top).rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def test_every_folder_is_packaged_with_its_data() -> None:
    """A folder without `__init__.py` would vanish from the wheel without a word, its data too."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = ["*.py", *config["tool"]["setuptools"]["package-data"]["*"]]
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == {*FOLDERS, "skills"}
    for top in FOLDERS:
        assert (ROOT / top / "py.typed").is_file()
        for folder in folders_of(top):
            assert (folder / "__init__.py").is_file(), f"{folder} is not packaged"
            for path in folder.iterdir():
                if path.is_file():
                    assert any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns), f"{path} is not packaged"


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_has_a_small_door(folder: str) -> None:
    door = importlib.import_module(f"novita_mcp.{folder}")

    assert door.__doc__
    assert door.__all__ == sorted(door.__all__)
    for name in door.__all__:
        assert getattr(door, name) is not None


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("server", "create_app"),
        ("server", "Settings"),
        ("server.app", "create_app"),
        ("server.settings", "Settings"),
        ("server.cli", "main"),
        ("novita", "NovitaClient"),
        ("novita", "NovitaError"),
        ("novita", "wait_until_done"),
        ("simulator", "serve"),
    ],
)
def test_what_others_import_keeps_its_path(module: str, name: str) -> None:
    """As version 0.1.0 had them. The last part of the name is also what it was made as."""
    assert getattr(importlib.import_module(f"novita_mcp.{module}"), name).__name__ == name


@pytest.mark.parametrize("top", FOLDERS)
def test_every_module_says_first_what_it_owns(top: str) -> None:
    for file in sources(top):
        assert ast.get_docstring(parsed(file)), file


def test_no_two_classes_have_one_name() -> None:
    homes: dict[str, list[str]] = {}
    for top in FOLDERS:
        for file in sources(top):
            for node in ast.walk(parsed(file)):
                if isinstance(node, ast.ClassDef):
                    homes.setdefault(node.name, []).append(file)
    assert len(homes) > 500
    assert not {name: files for name, files in homes.items() if len(files) > 1}


HEAVY = (
    "httpx",
    "aiohttp",
    "PIL",
    "av",
    "jsonschema",
    "platformdirs",
    "sqlite3",
    "psycopg",
    "boto3",
    "prometheus_client",
    "novita_mcp.simulator",
)
LIGHT = {
    "novita_mcp.novita",
    "novita_mcp.novita.core",
    "novita_mcp.novita.core.hosts",
    "novita_mcp.novita.core.json_text",
    "novita_mcp.novita.core.lazy",
    "novita_mcp.novita.core.placeholders",
    "novita_mcp.novita.core.redaction",
    "novita_mcp.novita.core.wellformed",
    "novita_mcp.tools",
    "novita_mcp.tools.kit",
    "novita_mcp.tools.kit.mcp_tasks",
    "novita_mcp.tools.kit.mcp_tasks.extension",
    "novita_mcp.tools.kit.mcp_tasks.handles",
    "novita_mcp.tools.kit.mcp_tasks.handoff",
    "novita_mcp.tools.overview",
    "novita_mcp.tools.overview.family_parts",
    "novita_mcp.tools.overview.surface",
    "novita_mcp.tools.overview.toolset_names",
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
