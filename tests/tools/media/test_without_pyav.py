"""Where PyAV is not installed, media tools still make and save files; what needs it says so before money."""

import sys
from pathlib import Path

import pytest
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, fields_of, text_of
from ..media_things import clip, picture


@pytest.fixture
def made(tmp_path: Path, world: World) -> dict[str, str]:
    """Files that are made while there is PyAV."""
    film = clip(tmp_path / "clip.mp4", seconds=2, said="hello", world=world)
    return {"video": film, "image": picture(tmp_path / "face.png")}


@pytest.fixture
def no_pyav(made: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)


@pytest.mark.usefixtures("no_pyav")
async def test_a_video_is_made_and_saved_and_its_missing_frame_explained(connect: Connect) -> None:
    async with connect() as client:
        result = await client.call_tool("generate_video", {"prompt": "a fox", "confirm": True})
        assert not result.is_error, text_of(result)
        answer = fields_of(result)
        assert answer["status"] == "succeeded"
        assert Path(answer["artifacts"][0]["path"]).stat().st_size > 1000
        assert not [block for block in result.content if block.type == "image"]
        assert "PyAV is not installed" in text_of(result)


@pytest.mark.usefixtures("no_pyav")
@pytest.mark.parametrize(
    ("tool", "wish"),
    [
        ("generate_speech", {"text": "hello"}),
        ("generate_image", {"prompt": "a fox"}),
        ("edit_video", {"edit": "swap_face", "video": "video", "image": "image"}),
    ],
)
async def test_other_tools_need_none(tool: str, wish: dict[str, str], connect: Connect, made: dict[str, str]) -> None:
    arguments = {name: made.get(value, value) for name, value in wish.items()}
    async with connect() as client:
        result = await client.call_tool(tool, arguments | {"confirm": True})
        assert not result.is_error, text_of(result)
        assert fields_of(result)["artifacts"][0]["path"]


@pytest.mark.usefixtures("no_pyav")
async def test_a_recording_that_must_be_decoded_is_refused_before_money(
    connect: Connect, made: dict[str, str], world: World
) -> None:
    async with connect() as client:
        result = await client.call_tool("transcribe_audio", {"audio": made["video"], "confirm": True})
        assert result.is_error
        assert "needs PyAV" in text_of(result)
        assert "mp3 or wav" in text_of(result)
        assert not world.charges


@pytest.mark.usefixtures("no_pyav")
async def test_what_is_put_together_here_cannot_be(connect: Connect, made: dict[str, str]) -> None:
    async with connect() as client:
        result = await client.call_tool("combine_media", {"do": "trim", "files": [made["video"]], "end": 1})
        assert result.is_error
        assert "needs PyAV" in text_of(result)
