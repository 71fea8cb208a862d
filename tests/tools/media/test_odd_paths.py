"""Paths as people and models paste them are understood, or refused with what is near; so are settings."""

import os
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.core.errors import InputError
from novita_mcp.novita.files.folders import Folders
from novita_mcp.server.settings import SettingError, Settings, read_settings
from novita_mcp.simulator.core.world import World

from ...building import quick
from ...conftest import Connect, text_of
from ...odd_media import put, saved, scene
from ..media_things import done, nothing_paid, one, refused

FOX = saved(scene((80, 60)), "PNG")
SCREENSHOT = "Screenshot 2025-04-23 at 2.40.40\u202fPM.png"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    (folder / "Pictures").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    return folder


def readable(ref: str, home: Path) -> bool:
    folders = Folders(home / "Pictures", home=home, cwd=home / "Pictures")
    return folders.locate(ref).read_bytes() == FOX


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (SCREENSHOT, SCREENSHOT.replace("\u202f", " ")),
        ("a\u00a0fox.png", "a fox.png"),
        ("a fox.png", "a\u202ffox.png"),
        ("a  fox.png", "a fox.png"),
        (unicodedata.normalize("NFD", "Müllerstraße é.png"), unicodedata.normalize("NFC", "Müllerstraße é.png")),
        (unicodedata.normalize("NFC", "Müllerstraße é.png"), unicodedata.normalize("NFD", "Müllerstraße é.png")),
        ("Fox.PNG", "fox.png"),
        ("fo\u200bx.png", "fox.png"),
        ("I ❤\ufe0f foxes.png", "I ❤ foxes.png"),
        ("fox’s – “den”.png", 'fox\'s - "den".png'),
        ("fox's.png", "fox’s.png"),
    ],
)
def test_a_name_that_differs_only_in_what_the_eye_does_not_see_is_found(home: Path, name: str, given: str) -> None:
    put(home / "Pictures", name, FOX)
    assert readable(f"{home}/Pictures/{given}", home)
    assert readable(given, home)


def test_folders_are_matched_like_names(home: Path) -> None:
    folder = home / "Pictures" / unicodedata.normalize("NFD", "Été 2026")
    folder.mkdir()
    put(folder, SCREENSHOT, FOX)
    given = f"{home}/Pictures/{unicodedata.normalize('NFC', 'Été 2026')}/{SCREENSHOT.replace(chr(0x202F), ' ')}"
    assert readable(given, home)


@pytest.mark.parametrize(
    "given",
    [
        '"{path}"',
        "'{path}'",
        "`{path}`",
        "“{path}”",
        "  {path} \n",
        "@{path}",
        '@"{path}"',
        "\u202a{path}",
        "\ufeff{path}\u202c",
        "![a fox]({path})",
        "[a fox](file://{path})",
        "~/Pictures/my fox.png",
        "$HOME/Pictures/my fox.png",
        "${{HOME}}/Pictures/my fox.png",
        "{home}/Pictures/my\\ fox.png",
        "my\\ fox.png",
        "file://{path}",
        "file://localhost{path}",
        "file:{path}",
        "file://~/Pictures/my%20fox.png",
        "file://{home}/Pictures/my%20fox.png",
        "'file://{path}'",
        "<file://{path}>",
    ],
)
def test_a_path_is_found_however_it_is_pasted(home: Path, given: str) -> None:
    path = put(home / "Pictures", "my fox.png", FOX)
    assert readable(given.format(path=path, home=home), home)


@pytest.mark.parametrize(
    "name", ["'quoted'.png", "@home.png", "back\\slash.png", "$HOME.png", "50% off #1?.png", "~.png"]
)
def test_a_file_that_is_really_called_that_comes_first(home: Path, name: str) -> None:
    put(home / "Pictures", name, FOX)
    put(home / "Pictures", name.strip("'@").replace("\\", ""), b"another") if name[0] in "'@b" else None
    assert readable(f"{home}/Pictures/{name}", home)
    assert readable(name, home)


def test_a_name_that_is_nearly_there_is_offered(home: Path) -> None:
    put(home / "Pictures", "red-fox-in-snow.png", FOX)
    put(home / "Pictures", "balance.pdf", b"%PDF-")
    with pytest.raises(InputError, match=r"no file .*red_fox_in_snow.*Did you mean .*red-fox-in-snow\.png\?") as caught:
        readable(f"{home}/Pictures/red_fox_in_snow.png", home)
    assert "balance" not in str(caught.value)


@pytest.mark.parametrize("given", ["![[my fox.png]]", "#file:my fox.png", "my fox.png#L1", "my%20fox.png"])
def test_a_name_is_offered_once_though_two_folders_have_it(home: Path, given: str) -> None:
    """The folder for results is where the server stands, too."""
    put(home / "Pictures", "my fox.png", FOX)
    with pytest.raises(InputError, match=r"Did you mean [^?]*my fox\.png\?") as caught:
        readable(given, home)
    assert str(caught.value).count(str(home / "Pictures" / "my fox.png")) == 1


def test_two_names_that_look_alike_are_offered_and_none_is_chosen(home: Path) -> None:
    for name in ("a\u202ffox.png", "a\u00a0fox.png"):
        put(home / "Pictures", name, FOX)
    with pytest.raises(InputError, match=r"Did you mean .* or "):
        readable(f"{home}/Pictures/a fox.png", home)


def test_nothing_outside_the_allowed_folders_is_looked_at_or_offered(home: Path) -> None:
    (home / "private").mkdir()
    put(home / "private", "secret-fox.png", FOX)
    for given in (f"{home}/private/secret_fox.png", f'"{home}/private/secret-fox.png"', f"@{home}/private/x.png"):
        with pytest.raises(InputError, match="outside the folders") as caught:
            readable(given, home)
        assert "secret-fox" not in str(caught.value).replace(given, "")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (r"C:\Users\Ada\Pictures\fox.png", "Windows"),
        ("C:/Users/Ada/fox.png", "Windows"),
        ("file:///C:/Users/Ada/fox.png", "Windows"),
        (r"file://C:\Users\Ada\fox.png", "Windows"),
        ("\u202aC:\\Users\\Ada\\fox.png", "Windows"),
        (r"\\server\share\fox.png", "network share"),
        ("//server/share/fox.png", "network share"),
        ("file://server/share/fox.png", "this machine"),
        (f"/tmp/{'x' * 300}.png", "too long"),
        (f"{'y./' * 3_000}fox.png", "too long"),
    ],
)
async def test_a_path_that_cannot_be_here_is_refused_in_words_that_say_why(
    connect: Connect, world: World, given: str, words: str
) -> None:
    async with connect() as client:
        await refused(
            client.call_tool("remove_background", {"model": "remove-background", "image": given}),
            words,
            "Nothing was billed",
        )
        wish = {"prompt": "fox", "save_to": given}
        await refused(client.call_tool("generate_image", wish), words, "Nothing was billed")
    nothing_paid(world)


@pytest.mark.parametrize(
    "form", ["file://{0}/saved/f.png", '"{0}/saved/f.png"', "file:{0}/saved/f.png", "{0}/saved/f.png"]
)
async def test_save_to_understands_what_inputs_understand(connect: Connect, tmp_path: Path, form: str) -> None:
    async with connect() as client:
        wish = {"prompt": "fox", "model": "flux-1-schnell", "save_to": form.format(tmp_path)}
        made = one(await done(client.call_tool("generate_image", wish)))
    assert made["path"] == str(tmp_path / "saved" / "f.png")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


async def test_save_to_that_is_a_link_is_refused_before_money(connect: Connect, world: World) -> None:
    async with connect() as client:
        for bad in (
            "https://example.com/f.png",
            "https:/example.com/f.png",
            "http:\\\\example.com\\f.png",
            "sandbox:/f.png",
            "s3://bucket/f.png",
            "task:abc/0",
            "file://server/f.png",
        ):
            call = client.call_tool("generate_image", {"prompt": "fox", "save_to": bad})
            await refused(call, "Nothing was billed")
    nothing_paid(world)


@pytest.mark.old_models
async def test_a_quoted_link_or_reference_is_what_it_holds(connect: Connect) -> None:
    async with connect() as client:
        made = await done(client.call_tool("generate_image", {"prompt": "fox"}))
        for form in ("'task:{0}/0'", "<task:{0}/0>", ' "task:{0}/0" '):
            wish = {"image": form.format(made["task_id"])}
            await done(client.call_tool("remove_background", wish | {"model": "remove-background"}))


PLACEHOLDERS = [
    "${NOVITA_API_KEY}",
    "$NOVITA_API_KEY",
    "${env:NOVITA_API_KEY}",
    "%NOVITA_API_KEY%",
    "{{KEY}}",
    "<your key>",
    "${{ secrets.NOVITA_API_KEY }}",
    "op://vault/novita/key",
    "sk_xxxxxxxxxxxx",
    "undefined",
]


@pytest.mark.parametrize("key", PLACEHOLDERS)
async def test_a_key_that_nobody_filled_in_is_told_and_nothing_is_sent(
    connect: Connect, world: World, settings: Settings, key: str
) -> None:
    async with connect(api_key=key) as client:
        text = await refused(client.call_tool("generate_image", {"prompt": "fox"}), "not filled in")
        assert "NOVITA_API_KEY" in text
        await refused(client.call_tool("get_balance", {}), "not filled in")
    assert not world.requests


@pytest.mark.parametrize("form", ["Bearer {}", '"{}"', "\u00a0{}\u200b", " '{}'\n", "authorization: bearer {}"])
def test_a_key_is_read_without_what_was_pasted_around_it(form: str) -> None:
    assert read_settings({"NOVITA_API_KEY": form.format("sk_abc-DEF_1")}).api_key == "sk_abc-DEF_1"


def test_folders_in_settings_are_expanded_as_a_shell_does(tmp_path: Path) -> None:
    given = {"HOME": str(tmp_path), "NOVITA_MCP_OUTPUT_DIR": "$HOME/made", "NOVITA_MCP_ALLOWED_DIRS": "${HOME}/more"}
    made = read_settings(given)
    assert (made.output_dir, made.allowed_dirs) == (tmp_path / "made", f"{tmp_path}/more")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NOVITA_MCP_OUTPUT_DIR", "${NOVITA_MCP_OUTPUT_DIR}"),
        ("NOVITA_MCP_ALLOWED_DIRS", "/tmp:$PROJECTS"),
        ("NOVITA_MCP_JOURNAL", "%APPDATA%/journal.sqlite3"),
        ("NOVITA_BASE_URL", "${NOVITA_BASE_URL}"),
        ("NOVITA_MCP_TOOLSETS", "${TOOLSETS}"),
    ],
)
def test_a_setting_that_nobody_filled_in_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"{name} was not filled in"):
        read_settings({name: value})


def test_a_password_may_hold_anything() -> None:
    url = "postgresql://ada:p$SSW@db/novita"
    assert read_settings({"NOVITA_MCP_JOURNAL": url}).journal == url


def test_doctor_says_that_the_key_can_be_none(settings: Settings, capsys: Any) -> None:
    from novita_mcp.server.commands.doctor import run_doctor

    assert run_doctor(replace(settings, api_key="sk_abc\u2026def"), as_json=False, offline=True) == 1
    assert "characters that no key has" in capsys.readouterr().out.replace("\n", " ")


def test_doctor_says_that_the_key_was_not_filled_in(settings: Settings, capsys: Any) -> None:
    from novita_mcp.server.commands.doctor import run_doctor

    assert run_doctor(replace(settings, api_key="${NOVITA_API_KEY}"), as_json=False, offline=True) == 1
    assert "not filled in" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("tool", ["list_tasks", "list_media_models"])
async def test_an_offset_beyond_everything_is_no_fault(connect: Connect, tool: str) -> None:
    async with connect() as client:
        for offset in (2**63, 2**200):
            answer = await client.call_tool(tool, {"offset": offset})
            text = text_of(answer)
            assert not answer.is_error or "Nothing was sent or billed" in text, text
            assert "fault in novita-mcp" not in text


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are always text")
async def test_an_output_folder_whose_name_is_no_text_takes_files_and_finds_them_again(
    connect: Connect, tmp_path: Path
) -> None:
    """Names of folders on Linux are bytes. The journal keeps them as they are; answers show what can be shown."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff out"))
    async with connect(build=quick, output_dir=folder) as client:
        made = await client.call_tool("generate_image", {"prompt": "a fox"})
        facts: dict[str, Any] = made.structured_content or {}
        again = await client.call_tool("get_task", {"task_id": facts["task_id"]})
        listed = await client.call_tool("list_tasks", {})

    assert len(list(folder.iterdir())) == 1
    for answer in (made, again, listed):
        assert not answer.is_error, text_of(answer)
        assert "\ufffd out" in text_of(answer)
