"""`novita-mcp doctor`: what is wrong is named, with how to mend it; what is well passes."""

import json
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from novita_mcp.novita.client import owner_of
from novita_mcp.novita.journal import JobState, Journal
from novita_mcp.server.doctor import run_doctor
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.world import DEFAULT_KEY, World

Capture = pytest.CaptureFixture[str]


def examine(settings: Settings, capsys: Capture, *, offline: bool = False) -> tuple[int, dict[str, Any]]:
    """The exit code, and each check by its name."""
    code = run_doctor(settings, as_json=True, offline=offline)
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] == (code == 0)
    return code, {check["name"]: check for check in told["checks"]}


def wrong(checks: dict[str, Any]) -> list[str]:
    return [name for name, check in checks.items() if check["status"] == "wrong"]


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


def test_a_novita_that_cannot_be_reached_is_wrong(settings: Settings, capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"

    code, checks = examine(replace(settings, base_url=nobody), capsys)

    assert (code, wrong(checks)) == (1, ["network"])
    assert nobody in checks["network"]["detail"]


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
        owner=owner_of(DEFAULT_KEY), kind="media", tool="generate_image", model="m", title="a fox", estimate=None
    )
    await journal.finish(job.key, JobState.UNCONFIRMED, reason="the connection was lost")
    await journal.close()


def test_a_setting_that_means_nothing_is_wrong(settings: Settings, capsys: Capture) -> None:
    code, checks = examine(replace(settings, toolsets="pictures"), capsys)

    assert (code, wrong(checks)) == (1, ["settings"])
    assert "pictures" in checks["settings"]["detail"]
