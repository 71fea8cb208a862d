"""Install, again, heal and uninstall, for every host and from every kind of file: nothing of the user's is lost."""

import io
import json
import os
import shlex
import stat
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.server.cli import main
from novita_mcp.server.commands.host_starts import mend_start
from novita_mcp.server.commands.hosts import HOSTS
from novita_mcp.server.commands.install import installed
from novita_mcp.server.jsonc import read_jsonc
from novita_mcp.server.settings import Settings
from novita_mcp.server.starting import this_program
from novita_mcp.simulator.core.world import DEFAULT_KEY

KEY = "sk-a-key-that-is-secret-7890"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for item in fields(Settings):
        monkeypatch.delenv(item.metadata["env"], raising=False)
    for name in ("XDG_CONFIG_HOME", "CODEX_HOME", "APPDATA", "LOCALAPPDATA", "CLINE_MCP_SETTINGS_PATH", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NOVITA_API_KEY", KEY)
    return tmp_path


def others(host: str) -> str:
    """A file in which another server stands where ours will, with remarks of its writer."""
    inner = '{"other": {"command": "x", "args": ["é"]}}'
    for name in reversed(HOSTS[host].section[1:]):
        inner = json.dumps({name: json.loads(inner)}, ensure_ascii=False)
    return f'{{\n  "{HOSTS[host].section[0]}": {inner},\n  "theme": "dark"\n}}\n'


JSON: Mapping[str, Callable[[str], str]] = {
    "empty object": lambda _: "{}\n",
    "other servers": others,
    "comments": lambda host: "// mine\n" + others(host).replace('"theme": "dark"', '/* why */ //\n  "theme": "dark",'),
    "windows": lambda host: "\ufeff" + others(host).replace("\n", "\r\n"),
    "tabs": lambda host: others(host).replace("  ", "\t"),
    "no servers": lambda _: '{\n    "theme": "dark"\n}',
}  # fmt: skip
TOML: Mapping[str, Callable[[str], str]] = {
    "other servers": lambda _: '[mcp_servers.other]\ncommand = "x"\nargs = ["é"]\n',
    "comments": lambda _: '# mine\nmodel = "o9" # why\n\n[mcp_servers.other] # theirs\ncommand = "x"\n\n# the end\n',
    "no servers": lambda _: 'model = "o9"\n\n[tui]\nnotifications = true\n',
}
CASES = [(host, kind) for host in sorted(HOSTS) for kind in ("none", "empty", *(TOML if host == "codex" else JSON))]


def begin(host: str, kind: str, home: Path) -> tuple[Path, str | None]:
    path = HOSTS[host].user_file(home, sys.platform)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "none":
        return path, None
    text: str = "" if kind == "empty" else (TOML if host == "codex" else JSON)[kind](host)
    path.write_bytes(text.encode())
    return path, text


def read(path: Path) -> dict[str, Any]:
    text = path.read_bytes().decode("utf-8-sig")
    found = tomllib.loads(text) if path.suffix == ".toml" else read_jsonc(text)
    assert isinstance(found, dict)
    return found  # pyright: ignore[reportUnknownVariableType]


@pytest.mark.parametrize(("host", "kind"), CASES)
def test_in_again_healed_and_out(host: str, kind: str, home: Path) -> None:
    path, before = begin(host, kind, home)
    chosen = HOSTS[host]
    theirs = chosen.servers(read(path)) if before else {}

    assert main(["install", host, "--yes", "--command", "/gone/novita-mcp"]) == 0
    first = path.read_bytes()
    assert main(["install", host, "--yes", "--command", "/gone/novita-mcp"]) == 0
    assert path.read_bytes() == first

    (found,) = installed(home, sys.platform)
    assert found.command == "/gone/novita-mcp"
    mend_start(found)
    (healed,) = installed(home, sys.platform)
    assert [healed.command, *healed.args] == this_program()
    assert healed.real_key == KEY
    after = read(path)
    assert {name: entry for name, entry in chosen.servers(after).items() if name != "novita"} == theirs
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    assert main(["uninstall", host, "--yes"]) == 0
    left = path.read_bytes().decode() if path.exists() else None
    assert left == before or (kind in ("none", "empty") and not left), (left, before)
    assert not list(installed(home, sys.platform))
    assert KEY not in "".join(each.read_text() for each in home.rglob("*") if each.is_file())


@pytest.mark.parametrize("host", sorted(HOSTS))
@pytest.mark.parametrize("text", ['{"a": ', "[1, 2]\n", "\x00\xff"], ids=["cut", "a list", "bytes"])
def test_what_is_no_configuration_is_left_as_it_is(host: str, text: str, home: Path, capsys: Capture) -> None:
    path = HOSTS[host].user_file(home, sys.platform)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1"))
    for command in ("install", "uninstall"):
        assert main([command, host, "--yes"]) == 2
        assert "nothing was changed" in capsys.readouterr().err
    assert path.read_bytes() == text.encode("latin-1")
    assert [each for each in home.rglob("*") if each.is_file()] == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
@pytest.mark.parametrize("host", sorted(HOSTS))
def test_a_link_stays_one_and_what_it_leads_to_is_closed(host: str, home: Path, capsys: Capture) -> None:
    path, text = begin(host, "other servers", home)
    real = home / "dotfiles" / path.name
    real.parent.mkdir()
    path.rename(real)
    real.chmod(0o664)
    path.symlink_to(real)

    assert main(["install", host, "--yes"]) == 0
    assert "only you may read it (0600)" in capsys.readouterr().out
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert main(["uninstall", host, "--yes"]) == 0
    assert path.is_symlink()
    assert real.read_text() == text


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_a_program_is_told_in_json(host: str, home: Path, capsys: Capture) -> None:
    path, _ = begin(host, "other servers", home)

    assert main(["install", host, "--json"]) == 2  # nobody answers
    asked = capsys.readouterr()
    assert (asked.out, KEY in asked.err) == ("", False)
    assert main(["install", host, "--json", "--yes"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["host"], told["path"], told["changed"]) == (host, str(path), True)
    assert told["command"] == this_program()
    assert Path(told["backup"]).exists()
    assert main(["install", host, "--json", "--yes"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False
    assert main(["install", host, "--json", "--print"]) == 0
    shown = capsys.readouterr().out
    assert KEY not in shown
    assert json.loads(shown)["path"] == str(path)
    assert main(["uninstall", host, "--json", "--yes"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert (out["changed"], set(out["stays"])) == (True, {"files", "journal"})
    assert main(["uninstall", host, "--json", "--yes"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False


def test_a_profiles_key_is_not_copied_into_a_hosts_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOVITA_API_KEY")
    config = home / ".config" / "novita-mcp" / "config.toml"
    if sys.platform != "linux":
        pytest.skip("the file has another place")
    config.parent.mkdir(parents=True)
    config.write_text(f'[profiles.work]\napi_key = "{KEY}"\n')

    assert main(["install", "cursor", "--profile", "work", "--yes"]) == 0

    path = HOSTS["cursor"].user_file(home, sys.platform)
    assert HOSTS["cursor"].ours(read(path))["env"] == {"NOVITA_MCP_PROFILE": "work"}


def checks(capsys: Capture, *words: str) -> list[dict[str, str]]:
    capsys.readouterr()
    main(["doctor", "--json", *words])
    return [check for check in json.loads(capsys.readouterr().out)["checks"] if check["name"] in ("start", "hosts")]


@pytest.mark.slow
def test_doctor_starts_what_hosts_are_set_up_to_start(
    home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers, one whose setting is wrong, and one whose program is gone; none is asked of the network."""
    monkeypatch.setenv("NOVITA_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NOVITA_API_KEY", DEFAULT_KEY)
    program = shlex.join(this_program())
    assert main(["install", "cursor", "--yes"]) == 0
    assert main(["install", "codex", "--yes", "--command", f"{program} --toolsets no-such"]) == 0
    assert main(["install", "zed", "--yes", "--command", "/gone/novita-mcp"]) == 0

    found = {check["detail"].partition(" ")[0].rstrip(":"): check for check in checks(capsys)}

    assert found["Cursor"]["status"] == "ok"
    assert "started as it is set up" in found["Cursor"]["detail"]
    assert found["Codex"]["status"] == "wrong"
    assert "no toolset is called 'no-such'" in found["Codex"]["detail"]
    assert "doctor --mend" in found["Zed"]["mend"]

    (mended,) = [check for check in checks(capsys, "--offline", "--mend") if check["name"] == "start"]
    assert mended["status"] == "ok"
    assert "/gone/novita-mcp" in mended["detail"]
    entry = HOSTS["zed"].ours(read(HOSTS["zed"].user_file(home, sys.platform)))
    assert [entry["command"], *entry["args"]] == this_program()
    assert entry["env"] == {"NOVITA_API_KEY": DEFAULT_KEY}


class _Typed(io.StringIO):
    """What a person types at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["y", "n"])
def test_doctor_offers_to_mend_on_a_terminal(
    answer: str, home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["install", "zed", "--yes", "--command", "/gone/novita-mcp"]) == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", _Typed(f"{answer}\n"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")

    assert main(["doctor", "--offline"]) == (0 if answer == "y" else 1)

    told = capsys.readouterr().out
    assert told.count("Mend what can be mended here?") == 1
    (found,) = installed(home, sys.platform)
    assert ([found.command, *found.args] == this_program()) == (answer == "y")
