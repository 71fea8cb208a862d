"""Which folders count as allowed, and what files are called."""

import os
from pathlib import Path

import pytest
from novita_mcp.novita.core.errors import InputError
from novita_mcp.novita.files.beneath import read_regular
from novita_mcp.novita.files.folders import Folders, clean_name, slug


def test_the_allowed_folders_are_the_output_the_personal_ones_and_the_current_one(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "out", (tmp_path / "more",), home=tmp_path / "home", cwd=tmp_path / "project")
    names = ["out", "more", "home/Pictures", "home/Downloads", "home/Documents", "home/Desktop", "project"]
    assert folders.roots() == tuple(tmp_path / name for name in names)


@pytest.mark.parametrize("cwd", ["/", "{home}", "{home}/..", "C:/Windows/System32"])
def test_a_current_folder_that_is_everything_does_not_count(tmp_path: Path, cwd: str) -> None:
    home = tmp_path / "home"
    folders = Folders(None, home=home, cwd=Path(cwd.format(home=home)))
    assert not folders.holds(home / ".ssh" / "id_ed25519")
    assert all(home in root.parents for root in folders.roots())


def test_a_personal_folder_that_is_a_link_to_the_home_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "Desktop").symlink_to(tmp_path)
    assert not Folders(None, home=tmp_path, cwd=None).holds(tmp_path / "secret.txt")


def test_what_the_user_set_counts_whatever_it_is(tmp_path: Path) -> None:
    assert Folders(None, (tmp_path,), home=tmp_path, cwd=None).holds(tmp_path / "fox.png")


def test_an_allowed_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "fox.png").touch()
    folders = Folders(tmp_path / "out", home=None, cwd=None)
    assert folders.locate(str(tmp_path / "out" / "fox.png")) == tmp_path / "real" / "fox.png"
    assert folders.locate(str(tmp_path / "real" / "fox.png")) == tmp_path / "real" / "fox.png"


def test_another_name_of_the_same_folder_counts(tmp_path: Path) -> None:
    """Where case does not matter, `PICTURES` is `Pictures`. A second name for one folder shows the same here."""
    (tmp_path / "Pictures").mkdir()
    folders = Folders(tmp_path / "Pictures", home=None, cwd=None)
    same = tmp_path / "PICTURES"
    if not same.exists():
        same.symlink_to(tmp_path / "Pictures")
    # Not resolved, as a system that keeps the spelling it was given would hand it over.
    assert folders.holds(same / "fox.png")


def test_a_folder_whose_name_only_begins_alike_does_not_count(tmp_path: Path) -> None:
    for name in ("out", "outside"):
        (tmp_path / name).mkdir()
    assert not Folders(tmp_path / "out", home=None, cwd=None).holds(tmp_path / "outside" / "fox.png")


def test_a_link_in_a_circle_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.raises(InputError):
        Folders(tmp_path, home=None, cwd=None).locate(str(tmp_path / "loop.png"))


def test_what_became_a_pipe_after_it_was_checked_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        read_regular(tmp_path / "pipe", 100)


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "big.mp4").write_bytes(bytes(2**20))
    with pytest.raises(InputError, match=r"too large: 1\.0 MiB; the limit is 0\.5 MiB"):
        Folders(tmp_path, home=None, cwd=None).read(str(tmp_path / "big.mp4"), 2**19)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red fox in the snow!", "red-fox-in-the-snow"),
        ("Füchse im Schnee — bei Nacht", "füchse-im-schnee-bei-nacht"),
        ("雪の中の赤い狐", "雪の中の赤い狐"),
        ("the fox's tail", "the-foxs-tail"),
        ("../../etc/passwd", "etc-passwd"),
        ("🦊 fox\n\0\t2:1", "fox-2-1"),
        ("हिन्दी", "हिन्दी"),
        (
            "a very long prompt about a fox that runs through the deep snow",
            "a-very-long-prompt-about-a-fox-that-runs-through",
        ),
        ("x" * 100, "x" * 48),
        ("🦊", "fox-face"),
        ("❤️", "heavy-black-heart"),
        ("👍🏽 ✨!", "thumbs-up-sign-sparkles"),
        ("🇩🇪", "d-e"),
        ("👩‍🚀", "woman-rocket"),
        ("1️⃣", "1⃣"),
        ("❤️ fox", "fox"),
        ("?!", ""),
    ],
)
def test_a_prompt_becomes_part_of_a_name(text: str, expected: str) -> None:
    assert slug(text) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("fox.png", "fox.png"), ("nul", "_nul"), ("COM1.png", "_COM1.png"), ("a<b>.png", "a-b-.png"), (" . ", "file")],
)
def test_a_given_name_is_made_legal_everywhere(given: str, expected: str) -> None:
    assert clean_name(given) == expected
