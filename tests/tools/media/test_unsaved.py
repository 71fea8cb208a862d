"""Bytes that came with the answer come once: they are kept, whatever becomes of the place they were to go to."""

import base64
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, text_of
from ..media_things import done, nothing_paid, one, picture, refused

SPEECH: dict[str, Any] = {"text": "A fox in the snow."}


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the spool is."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


async def test_a_place_through_a_file_is_refused_before_money(connect: Connect, world: World, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    async with connect() as client:
        for place in ("notes.txt/made", "notes.txt/made/f.mp3", f"{'x' * 300}/f.mp3", f"{'y' * 400}.mp3"):
            call = client.call_tool("generate_speech", {**SPEECH, "save_to": str(tmp_path / place)})
            await refused(call, "Nothing was billed")
    nothing_paid(world)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "made").exists()


async def test_trying_a_place_leaves_nothing_behind(connect: Connect, tmp_path: Path) -> None:
    place = tmp_path / "new" / "deeper"
    async with connect() as client:
        await client.call_tool("generate_speech", {**SPEECH, "save_to": str(place), "dry_run": True})
    assert not place.parent.exists()


async def test_speech_goes_to_the_spool_where_the_output_folder_is_a_file(
    connect: Connect, tmp_path: Path, data: Path
) -> None:
    (tmp_path / "out").write_text("in the way")
    async with connect() as client:
        answer = await done(client.call_tool("generate_speech", SPEECH))
        made = one(answer)
    assert Path(made["path"]).is_relative_to(data)
    assert "not saved in the wanted place" in made["note"]
    assert Path(made["path"]).stat().st_mode & 0o077 == 0


async def test_what_can_be_saved_nowhere_stays_in_memory_until_there_is_room(
    connect: Connect, world: World, tmp_path: Path, data: Path
) -> None:
    (tmp_path / "out").write_text("in the way")
    data.write_text("in the way too")
    async with connect() as client:
        result = await client.call_tool("generate_speech", SPEECH)
        answer: dict[str, Any] = result.structured_content or {}
        text = text_of(result)
        assert answer["status"] == "incomplete", text
        assert text.startswith("Not all is here: 1 of 1 file could not be brought home")
        assert "in memory until this server ends" in text
        assert "path" not in answer["artifacts"][0]

        again = await client.call_tool("get_task", {"task_id": answer["task_id"]})
        assert (again.structured_content or {})["status"] == "incomplete"

        (tmp_path / "out").unlink()
        saved = one(await done(client.call_tool("get_task", {"task_id": answer["task_id"]})))
        assert Path(saved["path"]).parent == tmp_path / "out"
        assert "note" not in saved
    assert len(world.charges) == 1


def block(tmp_path: Path, data: Path) -> None:
    """Nothing can be saved, neither in the output folder nor in the spool."""
    (tmp_path / "out").write_text("in the way")
    data.write_text("in the way too")


@pytest.mark.old_models
async def test_a_picture_that_can_be_saved_nowhere_is_shown_whole_and_gone_with_the_server(
    connect: Connect, world: World, tmp_path: Path, data: Path
) -> None:
    place = picture(tmp_path / "fox.png")
    settings: dict[str, Any] = {"allowed_dirs": str(tmp_path), "journal": str(tmp_path / "journal.sqlite3")}
    async with connect(**settings) as client:
        block(tmp_path, data)
        result = await client.call_tool("remove_background", {"image": place, "model": "remove-background"})
        answer: dict[str, Any] = result.structured_content or {}
        for looked in (result, await client.call_tool("get_task", {"task_id": answer["task_id"]})):
            (artifact,) = answer["artifacts"]
            (shown,) = [content for content in looked.content if content.type == "image"]
            assert len(base64.b64decode(shown.data)) == artifact["bytes"]  # all of it, not a small one
            assert answer["status"] == "incomplete"
            assert "Tell the user now" in answer["next_step"]
    async with connect(**settings) as client:
        await refused(client.call_tool("get_task", {"task_id": answer["task_id"]}), "gone", "no longer on this machine")
    assert len(world.charges) == 1


async def test_files_of_calls_that_can_be_saved_nowhere_come_by_the_id_of_the_call(
    connect: Connect, world: World, tmp_path: Path, data: Path
) -> None:
    """A call is no task of Novita's: its id is ours, and good as long as something is in memory under it."""
    async with connect(toolsets="all") as client:
        block(tmp_path, data)
        wish: dict[str, Any] = {"texts": ["a fox", "a hare"], "model": "baai/bge-m3"}
        made: dict[str, Any] = (await client.call_tool("create_embeddings", wish)).structured_content or {}
        (file,) = made["files"]
        assert "path" not in file
        assert "in memory until this server ends" in file["note"]
        call_id = file["uri"].split("/")[-2]
        assert f"get_task with {call_id}" in file["note"]
        waiting = await client.call_tool("get_task", {"task_id": call_id})
        assert (waiting.structured_content or {})["status"] == "incomplete"

        (tmp_path / "out").unlink()
        saved = one(await done(client.call_tool("get_task", {"task_id": call_id})))
        assert Path(saved["path"]).suffix == ".npy"
        assert Path(saved["path"]).stat().st_size == file["bytes"]
        await refused(client.call_tool("get_task", {"task_id": call_id}), saved["path"])
    assert len(world.charges) == 1
