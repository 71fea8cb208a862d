"""`novita-mcp models`, as a user types it."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.journal.gone import note_gone
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.media.lookup import media_models
from novita_mcp.server.commands.models import run_models
from novita_mcp.server.settings import Settings

KEY = "a-key-of-nobody-0123456789"


def settings_on(folder: Path) -> Settings:
    return Settings(api_key=KEY, journal=str(folder / "journal.sqlite3"), output_dir=folder)


def test_each_model_stands_with_state_evidence_day_and_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_models(settings_on(tmp_path), "", everything=True, as_json=True) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    by_id = {row["model"]: row for row in rows}
    assert set(by_id) == {model.id for model in media_models()}
    kling = by_id["kling-v3.0-std-t2v"]
    assert (kling["state"], kling["since"], kling["sure"]) == ("live", "2026-10-07", "high")
    assert "phaseo-10-07" in kling["evidence"]
    assert "$0.084 per second" in kling["price"]
    assert by_id["upscale"]["state"] == "retired"
    assert not (tmp_path / "journal.sqlite3").exists()  # looking makes none


def test_a_list_holds_what_lives_and_fits_the_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_models(settings_on(tmp_path), "text_to_speech minimax", everything=False, as_json=False) == 0
    head, *lines, _, age = capsys.readouterr().out.splitlines()
    assert age == f"{len(lines)} models, as shipped, no news."
    assert head.split() == ["model", "state", "since", "sure", "evidence", "price"]
    assert lines[0].startswith("minimax-speech-2.8-")
    assert not [line for line in lines if "retired" in line or "minimax-speech" not in line]


async def test_what_this_machine_was_told_is_gone_is_said(tmp_path: Path) -> None:
    settings = settings_on(tmp_path)
    journal = Journal(tmp_path / "journal.sqlite3")
    await note_gone(journal, "seedream-4.5", base=settings.base_url, owner=owner_of(KEY))
    await note_gone(journal, "seedream-4.0", base="https://elsewhere.example")
    await journal.close()
    shown: list[str] = []
    await to_thread.run_sync(lambda: shown.append(_shown(settings)))
    told = {row["model"]: row["state"] for row in json.loads(shown[0])}
    assert told["seedream-4.5"].startswith("gone since 20")
    assert told["seedream-4.0"] == "unlisted"


def _shown(settings: Settings) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run_models(settings, "seedream", everything=False, as_json=True) == 0
    return out.getvalue()
