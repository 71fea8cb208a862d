"""The user's file of settings and its profiles: which value holds, and what is refused."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import platformdirs
import pytest
from novita_mcp.server.config.config_file import config_path
from novita_mcp.server.settings import SettingError, read_settings, read_with_origins

Write = Callable[[str], dict[str, str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the file; the environment in which it is found."""
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    path = config_path(environment)
    path.parent.mkdir(parents=True)

    def write(text: str) -> dict[str, str]:
        path.write_text(text, encoding="utf-8")
        return environment

    return write


EVERYWHERE = """
toolsets = ["default", "gpu"]
spend_limit_usd = 5
read_only = true
wait_seconds = 2.5
port = 9000

[profiles.work]
spend_limit_usd = "7.50"
port = 9001
"""


def test_values_are_read_as_the_environments_are(write: Write) -> None:
    settings = read_settings(write(EVERYWHERE))

    assert (settings.toolsets, settings.read_only, settings.wait_seconds) == ("default,gpu", True, 2.5)
    assert (settings.spend_limit_usd, settings.port, settings.profile) == (Decimal(5), 9000, "")


def test_flag_before_environment_before_profile_before_file(write: Write) -> None:
    environment = {**write(EVERYWHERE), "NOVITA_MCP_PROFILE": "work", "NOVITA_MCP_WAIT_SECONDS": "3"}
    flags = {"port": "9002", "base_url": None}

    settings, origins = read_with_origins(environment, flags)

    assert settings.port == 9002
    assert settings.wait_seconds == 3
    assert settings.spend_limit_usd == Decimal("7.50")
    assert settings.toolsets == "default,gpu"
    where = {origin.name: origin.where for origin in origins}
    assert where["port"] == "flag --port"
    assert where["wait_seconds"] == "environment, NOVITA_MCP_WAIT_SECONDS"
    path = str(config_path(environment))
    assert where["spend_limit_usd"] == f"profile work of {path}"
    assert where["toolsets"] == path
    assert where["profile"] == "environment, NOVITA_MCP_PROFILE"
    assert "host" not in where


@pytest.mark.parametrize("named", ["flag", "environment", "file"])
def test_a_profile_is_named_by_flag_environment_or_file(write: Write, named: str) -> None:
    environment = write(('profile = "work"\n' if named == "file" else "") + EVERYWHERE)
    environment |= {"NOVITA_MCP_PROFILE": "work"} if named == "environment" else {}

    settings = read_settings(environment, {"profile": "work"} if named == "flag" else {})

    assert (settings.profile, settings.port) == ("work", 9001)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spend_limit_used = 5", "Did you mean spend_limit_usd"),
        ("[profiles.work]\nprot = 1", "prot in profile work is not a setting. Did you mean port"),
        ('[profiles.work]\nprofile = "home"', "profile in profile work is not a setting"),
        ("port = 'many'", "port in .*config.toml cannot be 'many': a whole number"),
        ("[port]\na = 1", "takes a value, not a table"),
        ("profiles = 3", r"profiles are tables, \[profiles.NAME\]"),
        ('[profiles."../x"]\nport = 1', "a profile cannot be called"),
        ("port = ", "config.toml is not valid TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_files_name(write: Write, text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        read_settings(write(text))


@pytest.mark.parametrize(("name", "said"), [("wrok", "Did you mean work"), ("../../x", "there is no '../../x'")])
def test_a_profile_that_is_not_there_is_no_new_one(write: Write, name: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        read_settings(write(EVERYWHERE), {"profile": name})


def test_the_file_is_where_the_platform_keeps_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert config_path({"HOME": str(tmp_path)}).parent == Path(
        platformdirs.user_config_dir("novita-mcp", appauthor=False)
    )
    mac, windows = (config_path({}, home=Path("/h"), platform=name) for name in ("darwin", "win32"))
    assert mac == Path("/h/Library/Application Support/novita-mcp/config.toml")
    assert windows == Path("/h/AppData/Local/novita-mcp/config.toml")


def test_the_file_of_the_docs_is_one(write: Write) -> None:
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
    text = page.partition("<!-- config -->")[2].partition("<!-- /config -->")[0]
    environment = write(text.replace("```toml", "").replace("```", "").replace('"keyring"', '"sk-1"'))

    settings = read_settings(environment, {"profile": "work"})

    assert (settings.spend_limit_usd, settings.toolsets, settings.api_key) == (Decimal(50), "default,gpu", "sk-1")


@pytest.mark.parametrize("by", ["flag", "environment"])
def test_a_simulator_does_not_take_over_where_real_files_are_kept(write: Write, by: str) -> None:
    """An address that is named in a stronger place than the folder and the journal was not meant for them."""
    environment = write('output_dir = "/mine"\njournal = "/mine/j.sqlite3"\n')
    moved = {"base_url": "http://localhost:8765"}
    flags = moved if by == "flag" else {}
    if by == "environment":
        environment["NOVITA_BASE_URL"] = moved["base_url"]
    else:
        environment["NOVITA_MCP_OUTPUT_DIR"] = "/mine too"

    settings = read_settings(environment, flags)
    assert (settings.output_dir, settings.journal) == (None, "")

    environment["NOVITA_BASE_URL"] = "https://api.novita.ai/"
    settings = read_settings(environment)
    assert (settings.output_dir is not None, settings.journal) == (True, "/mine/j.sqlite3")

    together = {**moved, "output_dir": "/play", "journal": "off"}
    assert read_settings(environment, together).output_dir == Path("/play")
