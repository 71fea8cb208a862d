"""Keys in the system's keyring, profiles with a journal each, and where doctor says that a value came from."""

import io
import json
import os
import stat
import sys
from collections.abc import Generator
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

import keyring
import keyring.backend
import pytest
from novita_mcp.server.cli import main
from novita_mcp.server.config.config_file import config_path
from novita_mcp.server.settings import SettingError, Settings, read_settings
from novita_mcp.simulator.core.world import DEFAULT_KEY
from novita_mcp.simulator.serving import Running

KEY = "sk-a-key-that-is-secret-7890"
Capture = pytest.CaptureFixture[str]


class _Ring(keyring.backend.KeyringBackend):
    """A keyring in memory, behind the package's own front."""

    priority = 1  # pyright: ignore[reportAssignmentType]
    kept: ClassVar[dict[tuple[str, str], str]] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> Generator[dict[tuple[str, str], str]]:
    before = keyring.get_keyring()
    keyring.set_keyring(_Ring())
    _Ring.kept.clear()
    yield _Ring.kept
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for item in fields(Settings):
        monkeypatch.delenv(item.metadata["env"], raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOCALAPPDATA", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.parametrize("profile", ["", "work"])
def test_a_key_is_kept_in_the_keyring_and_named_in_the_file(
    profile: str, ring: dict[tuple[str, str], str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    path = config_path(os.environ)
    path.parent.mkdir(parents=True)
    path.write_text("# mine\nport = 9000  # stays\n")
    named = ["--profile", profile] if profile else []
    typed(monkeypatch, f"{KEY}\n")

    assert main(["key", "set", *named]) == 0

    assert list(ring.values()) == [KEY]
    text = path.read_text()
    assert KEY not in text + capsys.readouterr().out
    assert "# mine\nport = 9000  # stays" in text
    settings = read_settings(os.environ, {"profile": profile})
    assert (settings.api_key, settings.port) == (KEY, 9000)

    assert main(["key", "forget", *named]) == 0
    assert ring == {}
    assert read_settings(os.environ).api_key is None
    assert main(["key", "forget", *named]) == 0
    assert "had no such key" in capsys.readouterr().out


def test_a_new_file_is_the_users_alone(ring: dict[tuple[str, str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, KEY)
    assert main(["key", "set", "--profile", "work"]) == 0
    assert read_settings(os.environ, {"profile": "work"}).api_key == KEY
    if os.name != "nt":
        assert stat.S_IMODE(config_path(os.environ).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (["key", "set"], "", "no key was given"),
        (["key", "set", "--profile", "../x"], KEY, "cannot be called"),
        (["key", "sett"], "", "Did you mean set?"),
        (["key", "set", "--port", "1"], "", "--port does nothing here"),
    ],
)
def test_what_cannot_be_kept_is_one_line(
    words: list[str], given: str, said: str, ring: dict[tuple[str, str], str],
    monkeypatch: pytest.MonkeyPatch, capsys: Capture,
) -> None:  # fmt: skip
    typed(monkeypatch, given)
    assert main(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not ring


def test_a_key_that_the_keyring_does_not_have_is_said(ring: dict[tuple[str, str], str]) -> None:
    with pytest.raises(SettingError, match="novita-mcp key set --profile work"):
        _with_file('[profiles.work]\napi_key = "keyring"\n')
        read_settings(os.environ, {"profile": "work"})


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    _with_file('api_key = "keyring"\n')
    with pytest.raises(SettingError, match=r"pip install 'novita-mcp\[keyring\]'"):
        read_settings(os.environ)


def _with_file(text: str) -> Path:
    path = config_path(os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_doctor_says_where_each_value_came_from_and_shows_no_key(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _with_file(f'wait_seconds = 9\n[profiles.work]\napi_key = "{KEY}"\nspend_limit_usd = 5\n')
    monkeypatch.setenv("NOVITA_MCP_HANDLE_KEYS", "h" * 40)
    words = ["doctor", "--offline", "--json", "--profile", "work", "--read-only"]
    assert main(words) == 1

    told = capsys.readouterr().out
    assert KEY not in told
    assert "h" * 8 not in told
    checks = json.loads(told)["checks"]
    lines = {check["detail"].partition(" = ")[0]: check["detail"] for check in checks if check["name"] == "setting"}
    assert lines["profile"] == "profile = work, from flag --profile"
    assert lines["api_key"] == f"api_key = ****7890, from profile work of {path}"
    assert lines["spend_limit_usd"] == f"spend_limit_usd = 5, from profile work of {path}"
    assert lines["wait_seconds"] == f"wait_seconds = 9.0, from {path}"
    assert lines["handle_keys"] == "handle_keys = ****, from environment, NOVITA_MCP_HANDLE_KEYS"
    assert lines["read_only"] == "read_only = True, from flag --read-only"
    wide = [check for check in checks if "others may read it" in check["detail"]]
    assert len(wide) == 1
    path.chmod(0o600)
    main(words)
    assert "others may read it" not in capsys.readouterr().out


def test_each_profile_has_a_journal_of_its_own(home: Path, simulator: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_file(f'api_key = "{DEFAULT_KEY}"\nshipped_models_only = true\n[profiles.work]\n[profiles.home]\n')
    monkeypatch.setenv("NOVITA_BASE_URL", simulator.url)
    for profile in ("work", "home"):
        assert main(["call", "generate_image", "--prompt", "a fox", "--profile", profile]) == 0
    journals = {path.relative_to(home).parts[4] for path in home.rglob("journal.sqlite3")}
    assert journals == {"work", "home"}
