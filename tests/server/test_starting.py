"""Whoever starts us, a file lying in the folder we are started in is never run in a library's place.

A host that starts its servers in the project it has open would hand that project the API key.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.server.cli import main
from novita_mcp.server.commands.demo import run_demo
from novita_mcp.server.commands.hosts import HOSTS
from novita_mcp.server.settings import Settings
from novita_mcp.server.starting import safely, this_interpreter, this_program

from ..test_layout import ROOT
from .children import environment

MODULE = ["-m", "novita_mcp.server"]
MARK = "the project was run"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files named like libraries of ours and of Python's; each leaves a mark when it is run."""
    folder = tmp_path / "project"
    note = f"open({str(folder / MARK)!r}, 'a').write(__name__ + '\\n')\nraise SystemExit(66)\n"
    for name in (
        "anyio.py",
        "httpx.py",
        "mcp/__init__.py",
        "pydantic/__init__.py",
        "argparse.py",
        "urllib/__init__.py",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(note)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, where no host is set up."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_CONFIG_HOME", "CODEX_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("NOVITA_API_KEY", "sk-a-key-that-is-secret")
    return home


def run(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Start it as a host does, in the project, and say hello."""
    return subprocess.run(
        command,
        env={**environment(home, "http://127.0.0.1:9"), "NOVITA_MCP_JOURNAL": "off"},
        input=json.dumps(INITIALIZE) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("host", ["claude-desktop", "codex", "opencode"])  # one of each shape
def test_what_install_writes_runs_nothing_of_the_opened_project(host: str, project: Path, home: Path) -> None:
    assert main(["install", host, "--yes"]) == 0
    entry = entry_of(HOSTS[host].user_file(home, sys.platform))

    done = run([entry["command"], *entry["args"]], home)

    assert json.loads(done.stdout)["result"]["serverInfo"]["name"] == "novita", done.stderr
    assert not (project / MARK).exists()


@pytest.mark.parametrize("command", [this_program(), this_interpreter(), [sys.executable, *MODULE]])
def test_no_way_to_start_runs_a_library_of_the_opened_project(command: list[str], project: Path, home: Path) -> None:
    """The last one is how version 0.1.0 was set up, in files that stay until somebody mends them."""
    done = run(command, home)

    assert json.loads(done.stdout)["result"]["serverInfo"]["name"] == "novita", done.stderr
    assert not (project / MARK).exists()


def test_the_demo_runs_nothing_of_the_folder_it_is_started_in(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_demo(Settings(output_dir=tmp_path / "out"), as_json=True, steps=()) == 0

    assert json.loads(capsys.readouterr().out)["ok"]
    assert not (project / MARK).exists()


@pytest.mark.skipif(not (ROOT / "Dockerfile").is_file(), reason="away from the source")
def test_the_health_check_runs_nothing_of_the_open_folder_it_is_started_in(project: Path, home: Path) -> None:
    (told,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    words: list[str] = json.loads(told)
    assert words[0] == "/app/bin/python"

    done = run([sys.executable, *words[1:]], home)

    assert done.returncode == 0, done.stderr  # no port is open here, and none is promised
    assert not (project / MARK).exists()


@pytest.mark.skipif(not (ROOT / "README.md").is_file(), reason="away from the source")
def test_nothing_we_write_for_people_starts_the_server_unsafely() -> None:
    pages = [ROOT / "README.md", ROOT / "Dockerfile", ROOT / "compose.yaml", ROOT / "manifest.json"]
    pages += [path for folder in ("docs", "deploy") for path in (ROOT / folder).rglob("*") if path.is_file()]
    for page in pages:
        for line in page.read_bytes().decode("utf-8", "replace").splitlines():
            assert "-m novita_mcp.server" not in line.replace("-P -m", ""), page
            assert '"-m", "novita_mcp.server' not in line.replace('"-P", "-m"', ""), page


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (MODULE, ["-P", *MODULE]),
        (["-um", "novita_mcp.server", "--toolsets", "all"], ["-P", "-um", "novita_mcp.server", "--toolsets", "all"]),
        (["run", "python", *MODULE], ["run", "python", "-P", *MODULE]),
        (["-c", "cd /x && python3 -u -m novita_mcp.server"], ["-c", "cd /x && python3 -u -P -m novita_mcp.server"]),
        (["-P", *MODULE], None),
        (["-I", "-u", *MODULE], None),
        (["-Pum", "novita_mcp.server"], None),
        (["-c", "python3 -P -u -m novita_mcp.server"], None),
        (["-m", "novita_mcp.simulator"], None),
        (["-m"], None),
        ([], None),
    ],
)
def test_a_start_is_changed_only_where_it_is_unsafe(words: list[str], expected: list[str] | None) -> None:
    assert safely(words) == (words if expected is None else expected)
    assert safely(safely(words)) == safely(words)


def entry_of(path: Path) -> dict[str, Any]:
    """Our entry in a host's file."""
    config = tomllib.loads(path.read_text()) if path.suffix == ".toml" else json.loads(path.read_text())
    (found,) = filter(None, (host.ours(config) for host in {host.section: host for host in HOSTS.values()}.values()))
    return found


def doctor(capsys: pytest.CaptureFixture[str], *flags: str) -> list[dict[str, str]]:
    """What doctor says about how hosts start the server."""
    capsys.readouterr()
    main(["doctor", "--offline", "--json", *flags])
    return [check for check in json.loads(capsys.readouterr().out)["checks"] if check["name"] == "start"]


@pytest.mark.parametrize("host", ["claude-desktop", "claude-code", "cursor", "vscode", "codex", "windsurf"])
def test_doctor_finds_and_mends_the_old_start_of_every_host(
    host: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["install", host, "--command", f"{sys.executable} -m novita_mcp.server --toolsets all", "--yes"]) == 0
    path = HOSTS[host].user_file(home, sys.platform)
    before = path.read_text()

    (found,) = doctor(capsys)

    assert found["status"] == "wrong"
    assert str(path) in found["detail"]
    assert "doctor --mend" in found["mend"]
    assert path.read_text() == before

    (mended,) = doctor(capsys, "--mend")

    assert mended["status"] == "ok"
    assert entry_of(path)["args"] == ["-P", *MODULE, "--toolsets", "all"]
    assert entry_of(path)["env"] == {"NOVITA_API_KEY": "sk-a-key-that-is-secret"}
    assert path.with_name(path.name + ".before-novita").read_text() == before
    assert doctor(capsys) == []


def test_doctor_finds_old_starts_under_other_names_in_projects_and_in_the_open_folder(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"command": sys.executable, "args": MODULE}
    kept = {"command": "other", "args": ["-m", "other"], "env": {"A": "ü"}}
    elsewhere = {"projects": {"/home/ada/a": {"mcpServers": {"pictures": old, "other": kept}}}, "theme": "dark"}
    (home / ".claude.json").write_text(json.dumps(elsewhere))
    (tmp_path / ".cursor").mkdir()
    (tmp_path / ".cursor" / "mcp.json").write_text(json.dumps({"mcpServers": {"novita": old}}))
    guarded = {**old, "env": {"PYTHONSAFEPATH": "1"}}
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": {"novita": guarded}}))
    monkeypatch.chdir(tmp_path)

    found = doctor(capsys, "--mend")

    assert len(found) == 2
    assert "pictures" in found[0]["detail"]
    mended = json.loads((home / ".claude.json").read_text())
    assert mended["projects"]["/home/ada/a"]["mcpServers"] == {
        "pictures": {**old, "args": ["-P", *MODULE]},
        "other": kept,
    }
    assert mended["theme"] == "dark"
    assert entry_of(tmp_path / ".cursor" / "mcp.json")["args"] == ["-P", *MODULE]


def test_comments_of_a_mended_toml_file_stay(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = HOSTS["codex"].user_file(home, sys.platform)
    path.parent.mkdir(parents=True)
    path.write_text('# mine\n[mcp_servers.novita]\ncommand = "python3"  # keep\nargs = ["-m", "novita_mcp.server"]\n')

    doctor(capsys, "--mend")

    assert "# mine" in path.read_text()
    assert "# keep" in path.read_text()
    assert entry_of(path)["args"] == ["-P", *MODULE]


def test_a_file_that_cannot_be_mended_is_said_with_what_to_write(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["install", "cursor", "--command", "python3 -m novita_mcp.server", "--yes"]) == 0
    path = HOSTS["cursor"].user_file(home, sys.platform)
    before = path.read_text()
    path.with_name(f".{path.name}.{os.getpid()}").mkdir()  # stands where the new file would be written first

    (found,) = doctor(capsys, "--mend")

    assert found["status"] == "wrong"
    assert '"-P" before "-m"' in found["mend"]
    assert path.read_text() == before
