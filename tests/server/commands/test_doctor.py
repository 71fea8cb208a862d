"""`novita-mcp doctor`: what is wrong is named, with how to mend it; what is well passes."""

import json
import os
import socket
import sys
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import pytest
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.core.costs import Cost
from novita_mcp.novita.core.hosts import API_HOST
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState
from novita_mcp.server.cli import main
from novita_mcp.server.commands.doctor import run_doctor
from novita_mcp.server.commands.hosts import HOSTS
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running

from ...odd import OddNovita, Reply, serve_odd

Capture = pytest.CaptureFixture[str]


def examine(settings: Settings, capsys: Capture, *, offline: bool = False) -> tuple[int, dict[str, Any]]:
    """The exit code, and each check by its name."""
    code = run_doctor(settings, as_json=True, offline=offline)
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] == (code == 0)
    return code, {check["name"]: check for check in told["checks"]}


def wrong(checks: dict[str, Any]) -> list[str]:
    return [name for name, check in checks.items() if check["status"] == "wrong"]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, in which no host is set up, and no proxy."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_CONFIG_HOME", "CODEX_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    return home


@pytest.fixture
def odd(simulator: Running) -> Generator[OddNovita]:
    with serve_odd(simulator.url) as odd:
        yield odd


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, output_dir=tmp_path / "out", journal=str(tmp_path / "data" / "journal.sqlite3"))


def test_a_sound_installation_passes_and_nothing_is_left_behind(
    settings: Settings, capsys: Capture, world: World, tmp_path: Path
) -> None:
    code, checks = examine(settings, capsys)

    assert code == 0
    assert wrong(checks) == []
    assert "$100" in checks["account"]["detail"]
    assert not world.charges
    assert list(tmp_path.iterdir()) == []


def test_people_are_told_in_lines_that_keep_the_key_to_themselves(settings: Settings, capsys: Capture) -> None:
    assert run_doctor(settings, as_json=False, offline=False) == 0

    told = capsys.readouterr().out
    assert "All is well." in told
    assert DEFAULT_KEY not in told


def test_a_missing_key_is_wrong_and_says_where_to_get_one(settings: Settings, capsys: Capture) -> None:
    code, checks = examine(replace(settings, api_key=None), capsys)

    assert (code, wrong(checks)) == (1, ["API key"])
    assert "NOVITA_API_KEY" in checks["API key"]["mend"]


def test_a_key_that_is_not_accepted_is_wrong(settings: Settings, capsys: Capture) -> None:
    code, checks = examine(replace(settings, api_key="sk-wrong-key-123"), capsys)

    assert (code, wrong(checks)) == (1, ["account"])
    assert checks["account"]["mend"]
    assert "sk-wrong-key-123" not in json.dumps(checks)


def test_an_empty_account_is_wrong(settings: Settings, capsys: Capture, world: World) -> None:
    world.add_account(DEFAULT_KEY, balance_usd=0)

    code, checks = examine(settings, capsys)

    assert (code, wrong(checks)) == (1, ["account"])


def test_a_novita_that_cannot_be_reached_is_wrong(settings: Settings, capsys: Capture, nobody: str) -> None:
    code, checks = examine(replace(settings, base_url=f"http://{nobody}"), capsys)

    assert (code, wrong(checks)) == (1, ["network"])
    assert nobody in checks["network"]["detail"]
    assert "NOVITA_BASE_URL" in checks["network"]["mend"]


def test_a_proxy_that_does_not_answer_is_named_without_its_password(
    settings: Settings, capsys: Capture, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@{nobody}")

    code, checks = examine(replace(settings, base_url=API_HOST), capsys)

    assert (code, wrong(checks)) == (1, ["network"])
    assert f"through the proxy {nobody}" in checks["network"]["detail"]
    assert "HTTPS_PROXY" in checks["network"]["mend"]
    assert "hunter2" not in json.dumps(checks)


@pytest.mark.parametrize("word", ["pw1", "a-long-pass-word", "with%2Fslash%40at"])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_password_in_the_address_of_novita_is_hidden(
    settings: Settings, capsys: Capture, nobody: str, word: str, as_json: bool
) -> None:
    """Whoever answers there, or does not; a short one, too, and as it is sent."""
    for host in (settings.base_url.removeprefix("http://"), nobody, "api.novita.ai", "novita.ai"):
        moved = replace(settings, base_url=f"http://somebody:{word}@{host}")
        run_doctor(moved, as_json=as_json, offline=host.endswith("novita.ai"))
        told = capsys.readouterr()
        assert word not in told.out + told.err
        assert unquote(word) not in told.out + told.err


def test_a_proxy_that_is_not_used_for_this_host_is_not_blamed(
    settings: Settings, capsys: Capture, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{nobody}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    code, checks = examine(settings, capsys)

    assert code == 0
    assert "proxy" not in checks["network"]["detail"]


@pytest.mark.parametrize(
    "address",
    ["https://api.novita.ai/v3/openai", "http://api.novita.ai", "https://novita.ai", "https://api.omniinfer.io"],
)
def test_an_address_at_which_the_api_is_not_is_an_old_host(settings: Settings, capsys: Capture, address: str) -> None:
    code, checks = examine(replace(settings, base_url=address), capsys, offline=True)

    assert (code, wrong(checks)) == (1, ["old host"])
    assert API_HOST in checks["old host"]["detail"]
    assert "NOVITA_BASE_URL" in checks["old host"]["mend"]


@pytest.mark.skipif(sys.platform == "win32", reason="a script of POSIX")
@pytest.mark.parametrize(("version", "told"), [("2.1.99", True), ("2.1.128", False), ("2.2.0", False)])
def test_a_claude_code_that_loses_pictures_is_an_old_host(
    settings: Settings, capsys: Capture, home: Path, monkeypatch: pytest.MonkeyPatch, version: str, told: bool
) -> None:
    assert main(["install", "claude-code", "--yes"]) == 0
    capsys.readouterr()
    program = home / "claude"
    program.write_text(f"#!/bin/sh\necho '{version} (Claude Code)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(home), prepend=os.pathsep)

    _, checks = examine(settings, capsys)

    assert ("old host" in checks) == told
    if told:
        assert version in checks["old host"]["detail"]
        assert "update" in checks["old host"]["mend"]


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_a_key_that_only_a_host_has_is_found_and_tried(
    settings: Settings, capsys: Capture, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVITA_API_KEY", DEFAULT_KEY)
    assert main(["install", host, "--yes"]) == 0
    capsys.readouterr()

    code, checks = examine(replace(settings, api_key=None), capsys)

    assert (code, wrong(checks)) == (0, [])
    assert HOSTS[host].title in checks["API key"]["detail"]
    assert HOSTS[host].title in checks["hosts"]["detail"]
    assert "$100" in checks["account"]["detail"]
    assert DEFAULT_KEY not in json.dumps(checks)


def test_a_host_whose_entry_still_has_no_key_is_wrong(
    settings: Settings, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOVITA_API_KEY", raising=False)
    assert main(["install", "claude-desktop", "--yes"]) == 0
    capsys.readouterr()

    code, checks = examine(settings, capsys)

    assert (code, wrong(checks)) == (1, ["hosts"])
    assert "Claude Desktop has no key" in checks["hosts"]["detail"]


def test_a_host_that_runs_a_program_which_is_gone_is_wrong(settings: Settings, capsys: Capture, home: Path) -> None:
    assert main(["install", "cursor", "--command", str(home / "moved" / "python"), "--yes"]) == 0
    capsys.readouterr()

    code, checks = examine(settings, capsys)

    assert (code, wrong(checks)) == (1, ["hosts"])
    assert "install" in checks["hosts"]["mend"]


def test_a_hosts_file_that_cannot_be_read_is_wrong(settings: Settings, capsys: Capture, home: Path) -> None:
    file = HOSTS["cursor"].user_file(home, sys.platform)
    file.parent.mkdir()
    file.write_text('{"mcpServers": ')

    code, checks = examine(settings, capsys)

    assert (code, wrong(checks)) == (1, ["hosts"])
    assert str(file) in checks["hosts"]["detail"]


def test_a_server_for_many_needs_no_key_of_its_own(settings: Settings, capsys: Capture) -> None:
    code, checks = examine(replace(settings, api_key=None, allowed_hosts="mcp.example.com"), capsys)

    assert (code, checks["API key"]["status"]) == (0, "note")


def test_offline_the_network_is_left_alone(settings: Settings, capsys: Capture, world: World) -> None:
    code, checks = examine(settings, capsys, offline=True)

    assert (code, checks["network"]["status"]) == (0, "skipped")
    assert not world.requests


@pytest.mark.parametrize(("hours", "way"), [(2, "behind"), (-2, "ahead")])
def test_a_clock_that_is_off_is_wrong(settings: Settings, capsys: Capture, world: World, hours: int, way: str) -> None:
    there = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    world.trouble({"status": 404, "body": "404 page not found", "headers": {"Date": there}}, path="/")

    code, checks = examine(settings, capsys)

    assert (code, wrong(checks)) == (1, ["clock"])
    assert way in checks["clock"]["detail"]


NOW = "{:%a, %d %b %Y %H:%M:%S}"


@pytest.mark.parametrize(
    "dates",
    [[f"{NOW} -0000"], [NOW], [f"{NOW} GMT, {NOW} GMT"], ["when it is", f"{NOW} GMT"], [f"{NOW} GMT", f"{NOW} GMT"]],
)
def test_a_date_without_a_zone_or_two_of_them_is_read(
    settings: Settings, capsys: Capture, odd: OddNovita, dates: list[str]
) -> None:
    """Kind 12. The first that can be read counts, and no zone means UTC."""
    now = datetime.now(UTC)
    odd.plan("GET", "/", Reply(b"", headers=[("Date", date.format(now, now)) for date in dates]))

    code, checks = examine(replace(settings, base_url=odd.url), capsys)

    assert (code, checks["clock"]["status"]) == (0, "ok")


@pytest.mark.parametrize(
    "date", ["yesterday", "Mon, 99 Foo 2026 25:61:61 GMT", "", "0", "Fri, 31 Dec 99999 00:00:00 GMT"]
)
def test_a_date_that_is_none_is_left_alone(settings: Settings, capsys: Capture, odd: OddNovita, date: str) -> None:
    odd.plan("GET", "/", Reply(b"", headers=[("Date", date)]))

    code, checks = examine(replace(settings, base_url=odd.url), capsys)

    assert (code, checks["clock"]["status"]) == (0, "skipped")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("ALL_PROXY", "socks4://127.0.0.1:9"),
        ("HTTPS_PROXY", "http://127.0.0.1:99999"),
        ("SSL_CERT_FILE", "/moved/cacert.pem"),
        ("SSL_CERT_DIR", "/moved"),
    ],
)
@pytest.mark.parametrize("offline", [True, False])
def test_a_way_out_that_cannot_be_used_is_named_with_its_variable(
    settings: Settings, capsys: Capture, setting: str, value: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kind 12, and case 39."""
    monkeypatch.setenv(setting, value)
    monkeypatch.setenv("NO_PROXY", "fd00::/8,127.0.0.1")

    code, checks = examine(settings, capsys, offline=offline)

    assert (code, wrong(checks)) == (1, ["way out"])
    assert setting in checks["way out"]["detail"]
    assert setting in checks["way out"]["mend"]


def test_a_folder_that_cannot_be_written_is_wrong(settings: Settings, capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    code, checks = examine(replace(settings, output_dir=tmp_path / "file" / "out"), capsys)

    assert (code, wrong(checks)) == (1, ["output folder"])


def test_an_allowed_folder_that_does_not_exist_is_wrong(settings: Settings, capsys: Capture, tmp_path: Path) -> None:
    code, checks = examine(replace(settings, allowed_dirs=str(tmp_path / "nowhere")), capsys)

    assert (code, wrong(checks)) == (1, ["allowed folders"])


def test_a_journal_that_is_none_is_wrong(settings: Settings, capsys: Capture, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("these are my notes, and no database at all. " * 50)

    code, checks = examine(replace(settings, journal=str(other)), capsys)

    assert (code, wrong(checks)) == (1, ["journal"])
    assert other.read_text().startswith("these are my notes")


def test_a_job_that_may_have_been_billed_is_pointed_out(settings: Settings, capsys: Capture) -> None:
    anyio.run(leave_unconfirmed, Path(settings.journal))

    code, checks = examine(settings, capsys)

    assert code == 0
    assert checks["journal"]["status"] == "note"
    assert "list_tasks" in checks["journal"]["mend"]


async def leave_unconfirmed(path: Path) -> None:
    journal = Journal(path)
    job = await journal.begin(
        owner=owner_of(DEFAULT_KEY), kind="media", tool="generate_image", model="m", title="a fox", cost=Cost(None)
    )
    await journal.finish(job.key, JobState.UNCONFIRMED, reason="the connection was lost")
    await journal.close()


def test_a_setting_that_means_nothing_is_wrong(settings: Settings, capsys: Capture) -> None:
    code, checks = examine(replace(settings, toolsets="pictures"), capsys)

    assert (code, wrong(checks)) == (1, ["settings"])
    assert "pictures" in checks["settings"]["detail"]
