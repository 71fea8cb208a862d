"""Every snippet and command of the README and the docs can be parsed, and every name in them exists."""

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.server.cli import main
from novita_mcp.server.commands.hosts import HOSTS, KEY
from novita_mcp.server.flags import read
from novita_mcp.server.settings import Settings
from PIL import Image

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [
    README,
    *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "simulator/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
NAMED_TEST = re.compile(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDERS = {"HOST": "cursor", "FOLDER": "somewhere", "NAME": "generate_image", "{...}": "{}", "SHELL": "bash"}
OPERATORS = {"&&", "||", "|", "&", ";"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page: Path, kind: str) -> list[str]:
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == kind]


def commands(page: Path) -> Iterator[list[str]]:
    """Every command of a page's shell blocks, without what is set before it (`NAME=value`) and without prompts."""
    for text in (text for kind in ("sh", "console") for text in blocks(page, kind)):
        for line in text.replace("\\\n", " ").splitlines():
            command: list[str] = []
            for word in [*shlex.split(line.removeprefix("$ "), comments=True), ";"]:
                if word not in OPERATORS:
                    if command or not re.fullmatch(r"[A-Z_]+=.*", word):
                        command.append(word)
                elif command:
                    yield command
                    command = []


def inline(page: Path) -> Iterator[list[str]]:
    """Our commands in running text."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    yield from (shlex.split(found) for found in re.findall(r"`(novita-mcp [^`<*]*)`", text))


def ours(page: Path) -> Iterator[list[str]]:
    """The arguments of every call of our own program: by itself, in a container, or through another."""
    for words in (*commands(page), *inline(page)):
        names = [place for place, word in enumerate(words) if Path(word).name == "novita-mcp"]
        starts = words[0] in ("docker", "claude", "uvx", "opentelemetry-instrument") or names[:1] == [0]
        if names and starts and words[1] not in ("build", "compose"):
            yield [PLACEHOLDERS.get(word, word) for word in words[names[-1] + 1 :]]


@every_page
def test_our_own_commands_are_ones_the_command_line_takes(page: Path) -> None:
    for words in ours(page):
        if words[-1:] not in (["--help"], ["--version"]):
            read(words)


def test_readme_names_every_command_and_every_host() -> None:
    named = {words[0] for words in ours(README) if words}
    text = README.read_text(encoding="utf-8")

    assert named >= {"demo", "doctor", "install", "serve", "simulate", "spend", "tools"}
    assert all(f"`{host}`" in text for host in HOSTS)


@every_page
def test_the_programs_called_are_there_or_documented_elsewhere(page: Path) -> None:
    """Ours and Python's are looked for; of the others the name is all that can be checked here."""
    others = {
        "bash",
        "claude",
        "curl",
        "docker",
        "export",
        "git",
        "kill",
        "kubectl",
        "mkdir",
        "nginx",
        "openssl",
        "sed",
        "wait",
    }
    for words in commands(page):
        program = words[0].removeprefix(".venv/bin/")
        if program == "python3":
            assert words[1:3] == ["-m", "venv"]
        elif program == "python":
            assert (ROOT / words[1]).is_file() or words[1] == "-m", words
        elif program.startswith(".ci/"):
            assert (ROOT / program).is_file()
        elif program == "pytest":
            assert all((ROOT / word).exists() for word in words[1:] if word.endswith(".py")), words
        else:
            assert program in others | {"pip", "novita-mcp", "opentelemetry-instrument"}, words


def test_the_hour_with_the_code_leads_to_what_is_there() -> None:
    """README and docs/developing.md name the same files, in one order, and what to read in each."""
    page = (ROOT / "docs" / "developing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w/]+\.py)` \| ([^|]+) \|", page, re.MULTILINE)
    way = re.search(r"To read the code: (.*?)\.\n", README.read_text(encoding="utf-8"), re.DOTALL)

    assert way is not None and re.findall(r"`([\w/.]+)`", way[1]) == [file for file, _ in rows]
    for file, names in rows:
        text = (ROOT / file).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b(?:def|class) {name}\b", text), (file, name)


@every_page
def test_json_is_json_and_toml_is_toml(page: Path) -> None:
    for text in blocks(page, "json"):
        json.loads(text)
    for text in blocks(page, "toml"):
        tomllib.loads(text)


def host_snippets() -> list[dict[str, Any]]:
    return [json.loads(text) for text in blocks(README, "json")] + [tomllib.loads(blocks(README, "toml")[0])]


def entry_of(config: dict[str, Any]) -> dict[str, Any]:
    places = ("mcpServers", "servers", "mcp_servers", "context_servers")
    (servers,) = (place[key] for place in (config, config.get("mcp", {})) for key in places if key in place)
    return servers["novita"]


@pytest.mark.parametrize("host", sorted({*HOSTS} - {"claude-code"}))
def test_what_is_written_by_hand_is_what_install_writes(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CONFIG_HOME", "CODEX_HOME", "APPDATA", KEY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert main(["install", host, "--command", "uvx novita-mcp", "--yes"]) == 0
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    text = file.read_text(encoding="utf-8")
    written: dict[str, Any] = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    environment = entry_of(written).get("env") or entry_of(written)["environment"]
    if host != "vscode":  # which asks for it
        environment[KEY] = "your key"

    assert written in host_snippets()


def test_the_container_of_the_json_is_run_as_in_the_shell() -> None:
    (config,) = (found for found in host_snippets() if entry_of(found)["command"] == "docker")
    entry = entry_of(config)
    (line,) = (words for words in commands(README) if words[:3] == ["docker", "run", "-i"])

    def settled(words: list[str]) -> list[str]:
        text = "\n".join(words).replace("$(id -u)", "1000").replace("$HOME", "/home/you")
        return text.split("\n")

    assert settled(line[1:]) == entry["args"]
    assert entry["env"].keys() == {KEY}


def test_claude_code_is_told_what_to_run_and_where_the_key_goes() -> None:
    local, remote = (words for words in commands(README) if words[:3] == ["claude", "mcp", "add"])

    assert local[local.index("--") + 1 :] == ["uvx", "novita-mcp"]
    assert f"{KEY}=your-key" in local
    assert remote[-1].startswith("Authorization: Bearer ")


def test_what_readme_says_one_sees_is_what_is_said() -> None:
    """The messages quoted in the table of troubles."""
    table = README.read_text(encoding="utf-8").partition("## When something is wrong")[2].partition("\n## ")[0]
    quoted = re.findall(r'^\| "([^"]+)"', table, re.MULTILINE)
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "novita").rglob("*.py"))

    assert quoted
    assert [text for text in quoted if text not in source] == []


def test_the_first_screen_shows_a_real_session() -> None:
    """The terminal as scripts/session_picture.py draws it, the pages as scripts/screenshots.py takes them.

    tests/server/commands/test_demo.py holds the terminal against the demo.
    """
    first, _, _ = README.read_text(encoding="utf-8").partition("\n## ")
    (terminal,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", first)
    pages: list[str] = re.findall(r'(?:srcset|src)="([^"]+)"', first)

    assert (ROOT / terminal).stat().st_size < 60_000
    assert {*pages} == {f"docs/{page}-{theme}.webp" for page in ("gallery", "spend") for theme in ("light", "dark")}
    for page in pages:
        assert (ROOT / page).stat().st_size < 20_000, page
        with Image.open(ROOT / page) as picture:
            assert picture.width == 1100, page
    assert len(re.findall(r'<img [^>]*alt="[^"]{40,}"', first)) == 2
    assert len(first.splitlines()) < 40


@every_page
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        if "://" in target:
            continue
        there = page.parent / name if name else page
        assert there.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings}, target


@every_page
def test_every_test_that_is_named_exists(page: Path) -> None:
    for path, name in NAMED_TEST.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / path).is_file(), path
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not name or name in functions, f"{path}::{name}"


def test_every_promise_names_a_test() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    assert len({path for path, _ in NAMED_TEST.findall(page)}) > 10

    lines = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert len(rows) > 15
    assert all(name for row in rows for _, name in NAMED_TEST.findall(row) or [("", "")])


def test_every_page_is_reached_from_readme() -> None:
    linked = set(re.findall(r"\]\(((?:(?:docs|simulator)/)?[\w.-]+\.md)\)", README.read_text(encoding="utf-8")))

    assert {page.relative_to(ROOT).as_posix() for page in PAGES[1:]} <= linked


@every_page
def test_every_setting_named_is_one(page: Path) -> None:
    known = {field.metadata["env"] for field in Settings.__dataclass_fields__.values()}
    assert set(re.findall(r"\bNOVITA_(?:MCP_|API_|BASE_)[A-Z_]+\b", page.read_text(encoding="utf-8"))) <= known
