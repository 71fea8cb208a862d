"""Over HTTP nothing is saved here, and yet the model sees what it made, and reads what it measures."""

import base64
import hashlib
import random
import struct
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult
from novita_mcp.novita.files import glances
from novita_mcp.novita.files.glances import MOST_FETCHED
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.film import Film, make_film
from novita_mcp.tools import TOOLSETS
from PIL import Image

from ..conftest import Connect as Opened
from ..conftest import text_of
from ..tools.media_things import data_uri, mask, picture

pytestmark = pytest.mark.old_models

Connect = Callable[..., AbstractAsyncContextManager[Client]]
FOX: dict[str, Any] = {"model": "qwen-image-txt2img", "prompt": "a fox", "size": "768x512"}
FILES = "/_simulator/files/*"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the spool is."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def shown(result: CallToolResult) -> list[Image.Image]:
    assert not result.is_error, text_of(result)
    return [Image.open(BytesIO(base64.b64decode(part.data))) for part in result.content if part.type == "image"]


def one(result: CallToolResult) -> dict[str, Any]:
    answer: dict[str, Any] = result.structured_content or {}
    (artifact,) = answer["artifacts"]
    return artifact


async def test_a_picture_is_seen_measured_and_not_kept(connect_http: Connect, world: World, data: Path) -> None:
    async with connect_http() as client:
        made = await client.call_tool("generate_image", FOX)
        (picture,) = shown(made)
        text, block = (part.annotations for part in made.content)
        assert text is not None and text.priority == 1
        assert block is not None and block.audience == ["user", "assistant"]
        artifact = one(made)
        again = await client.call_tool("get_task", {"task_id": artifact["task_id"]})
        assert len(shown(again)) == 1

    (file,) = world.files.files.values()
    assert picture.size == (512, 341)
    assert (artifact["width"], artifact["height"], artifact["bytes"]) == (768, 512, len(file.data))
    assert artifact["sha256"] == hashlib.sha256(file.data).hexdigest()
    assert artifact["url"]
    assert "path" not in artifact
    assert [path for path in data.rglob("*") if "spool" in path.parts and path.is_file()] == []


async def test_every_tool_that_makes_pictures_shows_them_and_so_does_get_task(
    connect_http: Connect, tmp_path: Path
) -> None:
    pytest.importorskip("av")
    tried: set[str] = set()
    photo, half = data_uri(picture(tmp_path / "photo.png")), data_uri(mask(tmp_path / "mask.png"))
    async with connect_http(toolsets="all", wait_seconds=60) as client:

        async def seen(tool: str, **arguments: Any) -> str:
            """The task's id, once what it made was seen, and seen again."""
            tried.add(tool)
            made = await client.call_tool(tool, arguments)
            assert not made.is_error, f"{tool}: {text_of(made)}"
            answer: dict[str, Any] = made.structured_content or {}
            assert len(shown(made)) == len(answer["artifacts"]) > 0, tool
            again = await client.call_tool("get_task", {"task_id": answer["task_id"]})
            assert len(shown(again)) == len(answer["artifacts"]), tool
            return answer["task_id"]

        await seen("generate_image", prompt="a fox", count=2, model="flux-1-schnell")
        await seen("edit_image", image=photo, prompt="make it blue")
        await seen("inpaint_image", image=photo, mask=half)
        await seen("upscale_image", image=photo)
        await seen("remove_background", image=photo)
        await seen("replace_background", image=photo, prompt="a beach")
        clip = await seen("generate_video", prompt="a fox runs")
        await seen("edit_video", video=f"task:{clip}/0", prompt="make it snow")
        await seen("combine_media", do="frame", files=[f"task:{clip}/0"])
        size = {"steps": 4, "width": 512, "height": 512, "image_num": 1}
        await seen("run_media_model", model="flux-1-schnell", input={"prompt": "a fox", "seed": 3, **size})
    making = {spec.name for toolset in TOOLSETS if toolset.name in ("images", "videos") for spec in toolset.tools}
    assert making - tried == {"describe_image"}


async def given_out(client: Client, world: World, tool: str, made: bytes, **arguments: Any) -> CallToolResult:
    """What get_task shows of a task where Novita gives out these very bytes as its finished file."""
    started = await client.call_tool(tool, {**arguments, "confirm": True})
    assert not started.is_error, text_of(started)
    answer: dict[str, Any] = started.structured_content or {}
    for file in world.files.files.values():
        file.made = made
    return await client.call_tool("get_task", {"task_id": answer["task_id"]})


def noise(size: int) -> bytes:
    """A picture of about so many bytes, that nothing packs."""
    side = int((size / 3) ** 0.5)
    sink = BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(1).randbytes(side * side * 3)).save(
        sink, "PNG", compress_level=0
    )
    return sink.getvalue()


@pytest.mark.parametrize("least", [True, False], ids=["below 20 MB", "above"])
async def test_a_picture_is_fetched_whole_up_to_twenty_megabytes(
    connect_http: Connect, world: World, least: bool
) -> None:
    made = noise(MOST_FETCHED + (-400_000 if least else 400_000))
    assert (len(made) <= MOST_FETCHED) == least
    async with connect_http() as client:
        answer = await given_out(client, world, "generate_image", made, **FOX)

        assert len(shown(answer)) == least
        assert one(answer).get("sha256") == (hashlib.sha256(made).hexdigest() if least else None)
        assert one(answer)["url"]


def with_free_space(film: bytes, size: int) -> bytes:
    """The film with so much unused space in it, before an index at its end, or behind all of it."""
    index = film.index(b"moov") - 4
    at = index if index > film.index(b"mdat") else len(film)
    return film[:at] + struct.pack(">I4s", size, b"free") + bytes(size - 8) + film[at:]


def index_first(film: bytes, path: Path) -> bytes:
    """The same film with its index before its frames, made at `path`."""
    av: Any = pytest.importorskip("av")
    with av.open(BytesIO(film)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("megabytes", "first", "whole"), [(5, True, False), (25, True, False), (5, False, True), (25, False, False)]
)
async def test_a_film_is_fetched_in_parts_for_a_frame_of_it_and_hashed_only_where_it_came_whole(
    connect_http: Connect, world: World, tmp_path: Path, megabytes: int, first: bool, whole: bool
) -> None:
    """Its beginning; where its index stands at its end, all of a short one, and of a long one that end too."""
    pytest.importorskip("av")
    film = make_film(Film(320, 240, 4, words="a fox"))
    made = with_free_space(index_first(film, tmp_path / "first.mp4") if first else film, megabytes * 2**20)
    async with connect_http() as client:
        answer = await given_out(client, world, "generate_video", made, prompt="a fox runs")

        assert len(shown(answer)) == 1
        artifact = one(answer)
        assert artifact["bytes"] == len(made)
        assert artifact["duration_seconds"] == pytest.approx(4, abs=0.5)
        assert artifact.get("sha256") == (hashlib.sha256(made).hexdigest() if whole else None)


async def test_of_a_video_a_frame_is_seen(connect_http: Connect) -> None:
    pytest.importorskip("av")
    async with connect_http() as client:
        made = await client.call_tool(
            "generate_video", {"prompt": "a fox runs", "duration": 5, "wait_seconds": 60, "confirm": True}
        )
        assert len(shown(made)) == 1
        assert one(made)["bytes"] > 0
        assert one(made)["duration_seconds"] == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("fault", [{"status": 404}, {"html": True}, {"cut": 60}])
async def test_what_cannot_be_fetched_is_not_shown_and_costs_nothing(
    connect_http: Connect, world: World, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glances, "WITHIN", 1.0)  # a line that is cut again and again is tried for so long
    world.trouble(fault, path=FILES, times=-1)
    async with connect_http() as client:
        made = await client.call_tool("generate_image", FOX)
        assert shown(made) == []
        assert one(made)["url"]
        assert (made.structured_content or {})["status"] == "succeeded"
    assert len(world.charges) == 1


async def test_who_wants_no_pictures_has_none_fetched(connect_http: Connect, world: World) -> None:
    async with connect_http(thumbnails=False) as client:
        assert shown(await client.call_tool("generate_image", FOX)) == []
    (file,) = world.files.files.values()
    assert file.downloads == 0


async def test_what_could_not_be_saved_here_is_seen_all_the_same(connect: Opened, world: World, tmp_path: Path) -> None:
    """Over stdio, too: the model sees what it made, wherever that is."""
    (tmp_path / "taken").write_text("a file where the folder should be")
    async with connect(output_dir=tmp_path / "taken") as client:
        made = await client.call_tool("generate_image", FOX)

        assert len(shown(made)) == 1
        assert "path" not in one(made)
        assert one(made)["url"]
