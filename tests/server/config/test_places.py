"""What a simulator plays never stands among what is real, whoever points the server at it."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from novita_mcp.novita.core.errors import JournalError
from novita_mcp.novita.core.hosts import API_HOST
from novita_mcp.server.building import open_journal
from novita_mcp.server.cli import main
from novita_mcp.server.config.places import journal_file, other_novita, output_folder
from novita_mcp.server.settings import SettingError, Settings, read_settings
from novita_mcp.simulator.core.world import DEFAULT_KEY
from novita_mcp.simulator.serving import Running

PICTURE = ["call", "generate_image", "--prompt", "a red fox"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with downloads and a journal of its own, and nothing set but a key."""
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_DOWNLOAD_DIR", "LOCALAPPDATA", "NOVITA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NOVITA_API_KEY", DEFAULT_KEY)
    monkeypatch.setenv("NOVITA_MCP_SHIPPED_MODELS_ONLY", "true")
    (tmp_path / "Downloads").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (API_HOST, None),
        (f"{API_HOST}/", None),
        ("https://API.novita.ai:443", None),
        ("http://api.novita.ai.", None),
        ("http://127.0.0.1:8765", "localhost-8765"),
        ("http://localhost:8765/", "localhost-8765"),
        ("http://[::1]:8765", "localhost-8765"),
        ("http://0.0.0.0:8765", "localhost-8765"),
        ("http://127.1.2.3:8766", "localhost-8766"),
        ("http://novita.localhost", "localhost"),
        ("https://gateway.example.com/novita", "gateway.example.com"),
        ("https://me:secret@gateway.example.com", "gateway.example.com"),
        ("http://[2001:db8::1]:80", "2001-db8-1"),
        ("https://api.novita.ai.example.com", "api.novita.ai.example.com"),
    ],
)
def test_every_novita_but_the_real_one_has_a_name(address: str, name: str | None) -> None:
    assert other_novita(address) == name


@pytest.mark.parametrize(
    "pasted",
    [
        *(f"{API_HOST}{path}" for path in ("/", "/v3", "/v3/", "/v3/openai", "/openai", "/openai/v1", "/openai/v1/")),
        *(f"{API_HOST}{path}" for path in ("/v3/async", "/openai/v1/chat/completions", "//v3", "/openai/v1?key=none")),
        *("http://api.novita.ai", "https://API.NOVITA.AI:443/v3", "api.novita.ai", "api.novita.ai/openai/v1"),
        *(f'"{API_HOST}"', f"'{API_HOST}/v3'", f"“{API_HOST}”", f"  {API_HOST}/v3\n", f"\u200b{API_HOST}\u00a0", ""),
    ],
)
def test_an_address_of_novita_as_people_paste_it_is_novitas(pasted: str, home: Path) -> None:
    """OpenAI's clients are set to `/openai/v1`, and Novita's own examples name `/v3`: paths are added here."""
    environment = {"HOME": str(home), "NOVITA_BASE_URL": pasted, "NOVITA_MCP_JOURNAL": str(home / "j.sqlite3")}

    settings = read_settings(environment)

    assert settings.base_url == API_HOST
    assert settings.journal, "what is said of the real Novita holds"


@pytest.mark.parametrize(
    ("pasted", "read"),
    [
        ("http://127.0.0.1:8765/v3/openai/", "http://127.0.0.1:8765"),
        ("'http://localhost:8765'", "http://localhost:8765"),
        ("https://gateway.example.com/novita/openai/v1", "https://gateway.example.com/novita"),
        ("https://gateway.example.com/novita/", "https://gateway.example.com/novita"),
        ("https://gateway.example.com/myopenai", "https://gateway.example.com/myopenai"),
        ("https://api.novita.ai:8443", "https://api.novita.ai:8443"),
    ],
)
def test_another_address_keeps_what_is_its_own(pasted: str, read: str, home: Path) -> None:
    assert read_settings({"HOME": str(home), "NOVITA_BASE_URL": pasted}).base_url == read


@pytest.mark.parametrize("pasted", ["gateway.example.com/v3", "localhost:8765", "http://h/?a=b", "http://h/openai#v1"])
def test_an_address_that_is_none_is_refused_at_the_start(pasted: str, home: Path) -> None:
    with pytest.raises(SettingError, match="NOVITA_BASE_URL"):
        read_settings({"HOME": str(home), "NOVITA_BASE_URL": pasted})


@pytest.mark.parametrize("path", ["/openai/v1", "/v3"])
def test_calls_reach_novita_though_a_path_was_pasted(
    path: str, simulator: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOVITA_BASE_URL", f'"{simulator.url}{path}"')

    assert main(["call", "chat", "--prompt", "hello"]) == 0
    assert main(["doctor", "--json"]) == 0

    assert "old host" not in capsys.readouterr().out


def test_folders_and_journals_are_chosen_by_novita_and_profile(home: Path) -> None:
    real = Settings()
    every = [
        real,
        replace(real, profile="work"),
        replace(real, base_url="http://localhost:8765"),
        replace(real, base_url="http://localhost:8766"),
        replace(real, base_url="http://localhost:8765", profile="work"),
        replace(real, base_url="https://gateway.example.com"),
    ]
    assert output_folder(real) == home / "Downloads" / "novita"
    assert len({journal_file(settings) for settings in every}) == len(every)
    assert not [one for one in every[2:] if home / "Downloads" in output_folder(one).parents]
    assert output_folder(every[1]) == output_folder(real)


def test_a_simulator_leaves_downloads_and_the_journal_alone(
    home: Path, simulator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVITA_BASE_URL", simulator.url)

    assert main(PICTURE) == 0

    assert not list((home / "Downloads").iterdir())
    (picture,) = home.rglob("*a-red-fox*")
    (journal,) = home.rglob("*.sqlite3")
    assert journal.parent.parts[-2:] == ("elsewhere", other_novita(simulator.url))
    assert picture.parent == journal.parent / "files"


@pytest.mark.parametrize("named", [(), ("NOVITA_MCP_OUTPUT_DIR", "NOVITA_MCP_JOURNAL")], ids=["defaults", "named"])
def test_what_is_simulated_goes_where_nothing_real_is(
    home: Path, named: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the user has said where real files and jobs are kept."""
    for name in named:
        monkeypatch.setenv(name, str(home / "mine" / name.lower()))

    assert main([*PICTURE, "--simulate"]) == 0

    (picture,) = home.rglob("*a-red-fox*")
    assert picture.parent.parts[-2:] == ("simulated", "files")
    assert not (home / "mine").exists()
    assert not list(home.rglob("*.sqlite3"))


def test_what_is_simulated_goes_where_flags_say(home: Path) -> None:
    assert main([*PICTURE, "--simulate", "--output-dir", str(home / "here")]) == 0

    (picture,) = home.rglob("*a-red-fox*")
    assert picture.parent == home / "here"


async def test_a_journal_named_for_both_takes_the_jobs_of_one(home: Path) -> None:
    path = home / "mine.sqlite3"
    real, played = Settings(journal=str(path)), Settings(journal=str(path), base_url="http://localhost:8765")

    for mine, its in ((real, played), (played, real)):
        journal = open_journal(mine)
        assert await journal.recent("owner", limit=1) == []
        await journal.close()
        with pytest.raises(JournalError, match="NOVITA_MCP_JOURNAL"):
            await open_journal(its).recent("owner", limit=1)
        path.unlink()


async def test_a_journal_of_an_older_version_is_the_real_ones_once_that_is_asked(home: Path) -> None:
    path = home / "mine.sqlite3"
    real, played = Settings(journal=str(path)), Settings(journal=str(path), base_url="http://localhost:8765")
    journal = open_journal(real)
    await journal.recent("owner", limit=1)
    await journal.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 0")

    for settings in (played, real):
        journal = open_journal(settings)
        await journal.recent("owner", limit=1)
        await journal.close()

    with pytest.raises(JournalError, match="Novita itself"):
        await open_journal(played).recent("owner", limit=1)
