"""`novita-mcp install`: a host's configuration gains our entry and loses nothing."""

import io
import json
import os
import re
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
from novita_mcp.server import flags
from novita_mcp.server.cli import main
from novita_mcp.server.commands.hosts import HOSTS
from novita_mcp.server.jsonc import read_jsonc
from novita_mcp.server.starting import origin_of, this_program

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
    assert main(["install", host, "--yes"]) == 0

    path = user_file(host, home)
    entry = HOSTS[host].ours(read(path))
    assert Path(entry["command"]).is_absolute()
    assert [entry["command"], *entry["args"]] == this_program()
    assert entry["env"] == {"NOVITA_API_KEY": KEY}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_there_stays_and_is_backed_up(home: Path) -> None:
    path = user_file("cursor", home)
    path.parent.mkdir(parents=True)
    before = {"mcpServers": {"other": {"command": "other"}}, "theme": "dark"}
    path.write_text(json.dumps(before))

    assert main(["install", "cursor", "--yes"]) == 0

    after = read(path)
    assert after["theme"] == "dark"
    assert after["mcpServers"]["other"] == {"command": "other"}
    backup = path.with_name("mcp.json.before-novita")
    assert json.loads(backup.read_text()) == before
    if os.name != "nt":
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600  # whoever may read the host's file: it may hold keys

    assert (
        main(["install", "cursor", "--command", "uvx novita-mcp", "--yes"]) == 0
    )  # a second time keeps the first backup
    assert json.loads(backup.read_text()) == before


def test_comments_of_a_toml_file_stay(home: Path) -> None:
    path = user_file("codex", home)
    path.parent.mkdir(parents=True)
    path.write_text('# mine\nmodel = "o9"\n\n[mcp_servers.other]\ncommand = "x"  # keep\n')

    assert main(["install", "codex", "--yes"]) == 0

    text = path.read_text()
    assert "# mine" in text
    assert "# keep" in text
    assert read(path)["mcp_servers"]["novita"]["command"]


def test_a_second_run_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "cursor", "--yes"]) == 0
    before = user_file("cursor", home).read_bytes()

    assert main(["install", "cursor", "--yes"]) == 0

    assert user_file("cursor", home).read_bytes() == before
    assert "already" in capsys.readouterr().out


@pytest.mark.parametrize("host", sorted(host for host in HOSTS if HOSTS[host].project_file))
def test_a_project_gets_a_reference_not_the_key(host: str, tmp_path: Path) -> None:
    project = tmp_path / "repo"

    assert main(["install", host, "--project", str(project), "--yes"]) == 0

    (file,) = (path for path in project.rglob("*") if path.is_file())
    assert KEY not in file.read_text()
    assert str(HOSTS[host].reference) in file.read_text()
    assert HOSTS[host].ours(read(file))["command"] == "novita-mcp"  # no path of this machine


def test_a_project_gets_the_key_when_that_is_asked_for(tmp_path: Path) -> None:
    assert main(["install", "cursor", "--project", str(tmp_path / "repo"), "--with-key", "--yes"]) == 0
    assert KEY in (tmp_path / "repo" / ".cursor" / "mcp.json").read_text()


def test_a_file_that_cannot_be_read_is_left_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = user_file("vscode", home)
    path.parent.mkdir(parents=True)
    path.write_text('{ // mine\n "servers": {')

    assert main(["install", "vscode", "--yes"]) == 2

    assert path.read_text() == '{ // mine\n "servers": {'
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
    assert main(["install", "codex", "--project", str(tmp_path), "--yes"]) == 2
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

    assert main(["install", host, "--yes"]) == 0

    assert told in capsys.readouterr().out


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_installing_again_keeps_the_key_and_what_the_user_set(
    host: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["install", host, "--command", "/old/place/python -m novita_mcp.server", "--yes"]) == 0
    path = user_file(host, home)
    limit = 'NOVITA_MCP_SPEND_LIMIT_USD = "5"' if path.suffix == ".toml" else '"NOVITA_MCP_SPEND_LIMIT_USD": "5",'
    path.write_text(re.sub(r'(\n *)("?NOVITA_API_KEY"?)', rf"\1{limit}\1\2", path.read_text()))
    monkeypatch.delenv("NOVITA_API_KEY")

    assert main(["install", host, "--yes"]) == 0

    entry = HOSTS[host].ours(read(path))
    assert [entry["command"], *entry["args"]] == this_program()
    assert entry["env"] == {"NOVITA_API_KEY": KEY, "NOVITA_MCP_SPEND_LIMIT_USD": "5"}


OTHERS: dict[str, str] = {
    "none": "",
    "empty": "\n",
    "object": "{}",
    "other servers": '{"theme": "dark", "SECTION": {"other": {"command": "x", "args": ["y"]}}}\n',
    "comments": '// mine\n{\n\t"SECTION": {\n\t\t"other": {"type": "x"}, // keep\n\t},\n}\n',
    "windows": '{\r\n  "theme": "dark"\r\n}\r\n',
    "mark": '\ufeff{\n  "theme": "dark"\n}\n',
}


@pytest.mark.parametrize(("start", "linked"), [*((start, False) for start in sorted(OTHERS)), ("comments", True)])
@pytest.mark.parametrize("host", sorted(host for host in HOSTS if host != "codex"))
def test_install_heal_and_uninstall_lose_nothing(host: str, start: str, linked: bool, home: Path) -> None:
    """From every starting file: ours comes, is healed, and goes; each other byte stays."""
    chosen, path = HOSTS[host], user_file(host, home)
    text = OTHERS[start].replace("SECTION", chosen.section[0])
    target = home / "dotfiles" / path.name if linked else path
    target.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if linked:
        path.symlink_to(target)
    if start != "none" or linked:
        target.write_bytes(text.encode())
        target.chmod(0o644)

    assert main(["install", host, "--yes", "--command", "gone -m old"]) == 0
    assert main(["install", host, "--yes", "--command", "new 'a b'"]) == 0

    after = target.read_bytes().decode()
    entry = chosen.ours(read_any(after))
    assert (entry["command"], entry["args"], entry["env"]) == ("new", ["a b"], {"NOVITA_API_KEY": KEY})
    assert [line for line in text.splitlines() if "//" in line] == [
        line for line in after.splitlines() if line.strip().startswith("//") or "// keep" in line
    ]
    assert path.is_symlink() == linked
    if os.name != "nt":
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert main(["uninstall", host, "--yes"]) == 0
    left = target.read_bytes().decode() if target.exists() else ""
    assert left.strip("{} \n") == text.strip("{} \n")


def read_any(text: str) -> dict[str, Any]:
    found = read_jsonc(text.removeprefix("\ufeff"))
    assert isinstance(found, dict)
    return cast(dict[str, Any], found)


def test_codex_is_left_as_it_was(home: Path) -> None:
    path = user_file("codex", home)
    path.parent.mkdir(parents=True)
    path.write_text('# mine\nmodel = "o9"\n\n[mcp_servers.other]\ncommand = "x"  # keep\n')
    before = read(path)

    assert main(["install", "codex", "--yes"]) == 0
    assert main(["uninstall", "codex", "--yes"]) == 0

    assert read(path) == before
    assert "# mine" in path.read_text()
    assert "# keep" in path.read_text()


@pytest.mark.parametrize("answer", ["", "n\n", "\n", "what\n"])
def test_without_a_yes_nothing_is_changed(
    answer: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = user_file("cursor", home)
    path.parent.mkdir(parents=True)
    path.write_text('{"mcpServers": {}}')
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))

    assert main(["install", "cursor"]) == 2

    told = capsys.readouterr()
    assert path.read_text() == '{"mcpServers": {}}'
    assert "novita" in told.out
    assert KEY not in told.out + told.err
    assert "nothing was changed" in told.err


def test_a_yes_that_is_typed_is_enough(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))

    assert main(["install", "cursor"]) == 0

    assert user_file("cursor", home).exists()


def test_what_stays_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "vscode", "--yes"]) == 0
    capsys.readouterr()

    assert main(["uninstall", "vscode", "--yes"]) == 0

    told = capsys.readouterr().out
    assert "Your files stay" in told
    assert "journal" in told
    assert KEY not in told
    assert not user_file("vscode", home).exists()
    assert main(["uninstall", "vscode", "--yes"]) == 0
    assert "does not know" in capsys.readouterr().out


def test_opencode_1_has_its_servers_one_floor_higher(home: Path) -> None:
    path = user_file("opencode", home)
    path.parent.mkdir(parents=True)
    path.write_text('{"mcp": {"other": {"type": "local", "command": ["x"]}}}')

    assert main(["install", "opencode", "--yes"]) == 0

    assert set(read(path)["mcp"]) == {"other", "novita"}
    assert read(path)["mcp"]["novita"]["enabled"] is True


@pytest.mark.parametrize(
    ("noted", "origin"),
    [
        (None, None),
        ({"url": "file:///tmp/a%20b/x.whl"}, "/tmp/a b/x.whl"),
        ({"url": "https://example.com/x.whl"}, "https://example.com/x.whl"),
        (
            {"url": "https://example.com/x", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "git+https://example.com/x@abc",
        ),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
def test_what_uvx_was_told_to_run_is_what_hosts_are(noted: dict[str, Any] | None, origin: str | None) -> None:
    assert origin_of(json.dumps(noted) if noted else None) == origin


def test_the_command_line_knows_every_host() -> None:
    assert set(flags.HOSTS) == set(HOSTS)
