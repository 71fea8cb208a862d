"""A call that joins an earlier one gets the files where it wants them itself. Ours: `save_to` makes no other call."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, text_of
from .joining import answered_once_joined
from .test_same_call import FOX, ask, joined, start

pytestmark = pytest.mark.old_models

Json = dict[str, Any]

CHECKPOINT = "dreamshaper_8_93211.safetensors"


async def joins(client: Client, tool: str, arguments: Json, *places: Path) -> list[Json]:
    """The answers of the same call made at once with these wishes where the files go, the first made first."""
    found: dict[Path, Json] = {}
    async with anyio.create_task_group() as group:
        for place in places:

            async def one(place: Path = place) -> None:
                found[place] = await ask(client, tool, **arguments, save_to=str(place))

            group.start_soon(one)
            await anyio.sleep(0)
    return [found[place] for place in places]


@pytest.mark.parametrize("name", ["there", "there/fox.png"])
async def test_a_picture_is_where_the_call_that_joins_wants_it_too(
    connect: Connect, world: World, tmp_path: Path, name: str
) -> None:
    async with connect() as client:
        first = await start(client, world, save_to=str(tmp_path / "here"))
        world.advance(1_000)
        result = await client.call_tool("generate_image", {**FOX, "save_to": str(tmp_path / name)})
        answer: Json = result.structured_content or {}
    path = Path(answer["artifacts"][0]["path"])
    assert joined(answer) and answer["task_id"] == first["task_id"]
    assert path.parent == tmp_path / "there" and (name == "there" or path.stem == "fox")
    assert path.read_bytes() == next((tmp_path / "here").iterdir()).read_bytes()
    assert str(path) in text_of(result)
    assert len(world.charges) == 1


async def test_what_is_there_already_is_not_copied(connect: Connect, world: World, tmp_path: Path) -> None:
    place = tmp_path / "here"
    async with connect() as client:
        several: Json = {"model": "txt2img", "checkpoint": CHECKPOINT, "count": 2, "save_to": str(place)}
        await start(client, world, **several)
        world.advance(1_000)
        answer = await ask(client, **{**FOX, **several})
    assert joined(answer) and len(answer["artifacts"]) == 2
    assert sorted(file["path"] for file in answer["artifacts"]) == sorted(map(str, place.iterdir()))


async def test_a_name_that_begins_alike_is_another_place(connect: Connect, world: World, tmp_path: Path) -> None:
    async with connect() as client:
        await start(client, world, save_to=str(tmp_path / "foxes.jpeg"))
        world.advance(1_000)
        answer = await ask(client, **FOX, save_to=str(tmp_path / "fox.jpeg"))
    assert joined(answer)
    assert Path(answer["artifacts"][0]["path"]).stem == "fox"
    assert {file.stem for file in tmp_path.glob("fox*")} == {"fox", "foxes"}


async def test_a_place_outside_is_refused_also_where_nothing_is_made(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    async with connect() as client:
        first = await start(client, world)
        refused = await client.call_tool("generate_image", {**FOX, "save_to": "/etc/fox.png"})
        assert refused.is_error and "/etc/fox.png is outside" in text_of(refused)
        world.advance(1_000)
        assert (await ask(client, **FOX))["task_id"] == first["task_id"], "the refusal gave nobody the picture"
    assert len(world.charges) == 1


async def test_vectors_are_where_each_call_wants_them(connect: Connect, world: World, tmp_path: Path) -> None:
    wish: Json = {"texts": ["a fox", "a red fox"]}
    async with connect(toolsets="all") as client:
        with answered_once_joined(world, 1):
            answers = await joins(
                client, "create_embeddings", wish, tmp_path / "one.npy", tmp_path / "other" / "two.npy"
            )
    assert [answer["files"][0]["path"] for answer in answers] == [
        str(tmp_path / "one.npy"),
        str(tmp_path / "other" / "two.npy"),
    ]
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "other" / "two.npy").read_bytes()
    assert sum(map(joined, answers)) == 1 and world.count("create_embeddings") == 1


async def test_a_text_is_saved_for_the_call_that_wants_a_file(connect: Connect, world: World, tmp_path: Path) -> None:
    world.set(task_seconds=0)
    wish: Json = {"image": "docker.io/acme/served:1", "takes_jobs": True, "gpu": "4090", "name": "jobs"}
    async with connect(toolsets="all") as client:
        await ask(client, "create_endpoint", **wish, min_workers=1, confirm=True)
        asked: Json = {"endpoint_id": "jobs", "body": {"q": "foxes", "_seconds": 100}}
        first = await ask(client, "call_endpoint", **asked, wait_seconds=0)
        world.advance(100)
        answer = await ask(client, "call_endpoint", **asked, wait_seconds=30, save_to=str(tmp_path / "said.json"))
    assert joined(answer) and answer["job_id"] == first["job_id"] and answer["result"]["echo"]["q"] == "foxes"
    assert f"The text is saved as {tmp_path / 'said.json'}." in answer["next_step"]
    assert '"foxes"' in (tmp_path / "said.json").read_text()
