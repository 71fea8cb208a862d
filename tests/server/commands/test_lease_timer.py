"""`novita-mcp install --lease-timer`: the system's own timer keeps leases when no server runs."""

import configparser
import plistlib
import shlex
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest
from novita_mcp.server.cli import main
from novita_mcp.server.commands.lease_timer import TimerPlan, plan_timer

KEY = "sk-a-key-that-is-secret"
PROGRAM = ["/a folder/novita-mcp"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, a key in the environment, and no systemd to be found."""
    for name in ("XDG_CONFIG_HOME", "LOCALAPPDATA", "NOVITA_BASE_URL", "NOVITA_MCP_JOURNAL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": tmp_path, "USERPROFILE": tmp_path, "PATH": tmp_path / "nothing"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("NOVITA_API_KEY", KEY)
    return tmp_path


def planned(platform: str, home: Path) -> TimerPlan:
    return plan_timer(home, platform, PROGRAM, {"NOVITA_API_KEY": KEY})


def unit(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]  # names in units have capitals
    parser.read_string(text)
    return parser


def test_systemd_gets_a_user_timer_and_its_service(home: Path) -> None:
    plan = planned("linux", home)
    (variables, kept), (service_path, service), (timer_path, timer) = plan.files
    assert service_path == home / ".config/systemd/user/novita-mcp-leases.service"
    assert timer_path == home / ".config/systemd/user/novita-mcp-leases.timer"
    run = unit(service)["Service"]
    assert shlex.split(run["ExecStart"]) == [*PROGRAM, "doctor", "--leases"]
    assert run["EnvironmentFile"] == f"-{variables}" and kept == f'NOVITA_API_KEY="{KEY}"\n'
    assert unit(timer)["Timer"]["OnUnitActiveSec"] == "5min"
    assert KEY not in service + timer
    assert plan.commands[-1] == ("systemctl", "--user", "enable", "--now", "novita-mcp-leases.timer")


def test_launchd_gets_a_job(home: Path) -> None:
    ((path, text),) = planned("darwin", home).files
    assert path == home / "Library/LaunchAgents/ai.novita.mcp.leases.plist"
    job = plistlib.loads(text.encode())
    assert job["ProgramArguments"] == [*PROGRAM, "doctor", "--leases"]
    assert job["StartInterval"] == 300 and job["EnvironmentVariables"] == {"NOVITA_API_KEY": KEY}


def test_windows_gets_a_scheduled_task(home: Path) -> None:
    plan = planned("win32", home)
    ((path, text),) = plan.files
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    task = ElementTree.fromstring(text.encode())
    assert task.findtext(".//t:Command", namespaces=space) == PROGRAM[0]
    assert task.findtext(".//t:Arguments", namespaces=space) == "doctor --leases"
    assert task.findtext(".//t:Interval", namespaces=space) == "PT5M"
    assert plan.commands == (("schtasks", "/Create", "/F", "/TN", "novita-mcp-leases", "/XML", str(path)),)
    assert KEY not in text


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_print_shows_it_and_writes_nothing(
    platform: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    assert main(["install", "--lease-timer", "--print"]) == 0
    shown = capsys.readouterr().out
    assert "doctor" in shown and "--leases" in shown
    assert KEY not in shown
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_it_is_written_for_this_user_only_and_what_could_not_be_done_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert main(["install", "--lease-timer"]) == 0
    said = capsys.readouterr().out
    written = [path for path in home.rglob("*") if path.is_file()]
    assert len(written) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    assert "run it yourself: systemctl --user enable --now novita-mcp-leases.timer" in said
    assert "novita-mcp doctor --leases" in said and KEY not in said
    assert main(["install", "--lease-timer"]) == 0, "again is as well"


def test_a_host_may_be_given_with_it(home: Path) -> None:
    assert main(["install", "cursor", "--lease-timer", "--yes"]) == 0
    assert (home / ".cursor/mcp.json").is_file() and (home / ".config/systemd/user").is_dir()


def test_neither_host_nor_timer_is_said(capsys: Capture) -> None:
    assert main(["install"]) != 0
    assert "--lease-timer" in capsys.readouterr().err


def test_it_keeps_the_leases_of_the_servers_that_it_is_set_up_with(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Also where a flag or a profile says which those are; a key that stands in the user's file stays there alone."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("NOVITA_API_KEY")
    config = home / ".config" / "novita-mcp" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[profiles.work]\napi_key = "{KEY}"\n')
    words = ["install", "--lease-timer", "--print", "--profile", "work", "--journal", "/j.sqlite3"]

    assert main([*words, "--base-url", "http://localhost:8765"]) == 0

    shown = capsys.readouterr().out
    for line in ("NOVITA_MCP_PROFILE", "work", "NOVITA_MCP_JOURNAL", "/j.sqlite3", "NOVITA_BASE_URL", "localhost:8765"):
        assert line in shown
    assert "NOVITA_API_KEY" not in shown
