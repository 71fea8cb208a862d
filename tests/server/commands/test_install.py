"""`novita-mcp install`: a host's configuration gains our entry and loses nothing."""

import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.server.cli import main
from novita_mcp.server.commands.install import HOSTS
from novita_mcp.server.starting import this_program

KEY = "sk-a-key-that-is-secret"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a key in the environment."""
    for name in ("XDG_CONFIG_HOME", "CODEX_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("NOVITA_API_KEY", KEY)
    return tmp_path


def read(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)


def user_file(host: str, home: Path) -> Path:
    return HOSTS[host].user_file(home, "linux")


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_a_new_file_is_made_with_a_server_that_can_be_run(host: str, home: Path) -> None:
    assert main(["install", host]) == 0

    path = user_file(host, home)
    config = read(path)
    (servers,) = (config[key] for key in ("mcpServers", "servers", "mcp_servers") if key in config)
    entry = servers["novita"]
    assert Path(entry["command"]).is_absolute()
    assert [entry["command"], *entry["args"]] == this_program()
    assert entry["env"] == {"NOVITA_API_KEY": KEY}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_there_stays_and_is_backed_up(home: Path) -> None:
    path = user_file("cursor", home)
    path.parent.mkdir(parents=True)
    before = {"mcpServers": {"other": {"command": "other"}}, "theme": "dark"}
    path.write_text(json.dumps(before))

    assert main(["install", "cursor"]) == 0

    after = read(path)
    assert after["theme"] == "dark"
    assert after["mcpServers"]["other"] == {"command": "other"}
    backup = path.with_name("mcp.json.before-novita")
    assert json.loads(backup.read_text()) == before
    if os.name != "nt":
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600  # whoever may read the host's file: it may hold keys

    assert main(["install", "cursor", "--command", "uvx novita-mcp"]) == 0  # a second time keeps the first backup
    assert json.loads(backup.read_text()) == before


def test_comments_of_a_toml_file_stay(home: Path) -> None:
    path = user_file("codex", home)
    path.parent.mkdir(parents=True)
    path.write_text('# mine\nmodel = "o9"\n\n[mcp_servers.other]\ncommand = "x"  # keep\n')

    assert main(["install", "codex"]) == 0

    text = path.read_text()
    assert "# mine" in text
    assert "# keep" in text
    assert read(path)["mcp_servers"]["novita"]["command"]


def test_a_second_run_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "cursor"]) == 0
    before = user_file("cursor", home).read_bytes()

    assert main(["install", "cursor"]) == 0

    assert user_file("cursor", home).read_bytes() == before
    assert "already" in capsys.readouterr().out


@pytest.mark.parametrize("host", sorted(host for host in HOSTS if HOSTS[host].project_file))
def test_a_project_gets_a_reference_not_the_key(host: str, tmp_path: Path) -> None:
    project = tmp_path / "repo"

    assert main(["install", host, "--project", str(project)]) == 0

    (file,) = (path for path in project.rglob("*") if path.is_file())
    assert KEY not in file.read_text()
    assert "${" in file.read_text()


def test_a_project_gets_the_key_when_that_is_asked_for(tmp_path: Path) -> None:
    assert main(["install", "cursor", "--project", str(tmp_path / "repo"), "--with-key"]) == 0
    assert KEY in (tmp_path / "repo" / ".cursor" / "mcp.json").read_text()


def test_a_file_that_cannot_be_read_is_left_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = user_file("vscode", home)
    path.parent.mkdir(parents=True)
    path.write_text('{ // mine\n "servers": {} }')

    assert main(["install", "vscode"]) == 2

    assert path.read_text() == '{ // mine\n "servers": {} }'
    assert "nothing was changed" in capsys.readouterr().err


def test_print_shows_the_entry_without_the_key_and_writes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", "claude-desktop", "--print", "--command", "uvx novita-mcp"]) == 0

    out = capsys.readouterr().out
    assert '"command": "uvx"' in out
    assert KEY not in out
    assert not user_file("claude-desktop", home).exists()


def test_a_host_without_project_files_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "codex", "--project", str(tmp_path)]) == 2
    assert "no configuration for a single project" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("claude-desktop", "put yours in place of"),
        ("cursor", "put yours in place of"),  # started from the desktop, it sees no export
        ("claude-code", "set NOVITA_API_KEY in the environment"),
        ("vscode", "asks for your key"),
    ],
)
def test_without_a_key_it_says_where_the_host_gets_one(
    host: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOVITA_API_KEY")

    assert main(["install", host]) == 0

    assert told in capsys.readouterr().out


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_installing_again_keeps_the_key_and_what_the_user_set(
    host: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["install", host, "--command", "/old/place/python -m novita_mcp.server"]) == 0
    path = user_file(host, home)
    limit = 'NOVITA_MCP_SPEND_LIMIT_USD = "5"' if path.suffix == ".toml" else '"NOVITA_MCP_SPEND_LIMIT_USD": "5",'
    path.write_text(re.sub(r'(\n *)("?NOVITA_API_KEY"?)', rf"\1{limit}\1\2", path.read_text()))
    monkeypatch.delenv("NOVITA_API_KEY")

    assert main(["install", host]) == 0

    config = read(path)
    (servers,) = (config[key] for key in ("mcpServers", "servers", "mcp_servers") if key in config)
    assert [servers["novita"]["command"], *servers["novita"]["args"]] == this_program()
    assert servers["novita"]["env"] == {"NOVITA_API_KEY": KEY, "NOVITA_MCP_SPEND_LIMIT_USD": "5"}
