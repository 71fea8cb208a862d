"""A success that made nothing or less, and files that are gone, are told as that."""

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.server.building import build_app
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.tasks import TaskStore

from ...building import QuickClock, quick
from ...conftest import Connect, text_of
from ..media_things import done, one, refused

pytestmark = pytest.mark.old_models

Json = dict[str, Any]
MODEL = {"model": "qwen-image-txt2img", "prompt": "a fox"}
TXT2IMG = {"model": "txt2img", "checkpoint": "dreamshaper_8_93211.safetensors"}
LOOK = "get_task_result"
FILES = "/_simulator/files/*"


class Clock(QuickClock):
    """Moves when told, too."""

    def build(self, settings: Any, background: Any) -> Any:
        return build_app(settings, background, clock=self)


def empty(world: World, times: int = -1) -> None:
    """Novita's task succeeds with an empty list of images, as its filter leaves it."""
    body: Json = {"task": {"task_id": "x", "status": "TASK_STATUS_SUCCEED"}, "images": [], "videos": [], "audios": []}
    answer_with(world, body, times)


def answer_with(world: World, body: Json, times: int = -1) -> None:
    effect = {"status": 200, "body": json.dumps(body), "content_type": "application/json"}
    world.trouble(effect, operation=LOOK, times=times)


async def made(client: Client, tool: str = "generate_image", **more: Any) -> tuple[Json, str]:
    result = await client.call_tool(tool, {**({} if tool == "get_task" else MODEL), **more})
    assert not result.is_error, text_of(result)
    return result.structured_content or {}, text_of(result)


async def test_files_that_come_a_little_later_are_waited_for(connect: Connect, world: World) -> None:
    empty(world, times=3)
    clock = Clock()
    async with connect(build=clock.build) as client:
        answer, text = await made(client)
        assert (answer["status"], len(answer["artifacts"])) == ("succeeded", 1)
        assert text.startswith("1 file from")


async def test_a_success_that_made_nothing_is_no_success(connect: Connect, world: World) -> None:
    """Novita's filter: the task succeeds with an empty list. It is asked again for ten minutes, then it has failed."""
    empty(world)
    clock = Clock()
    async with connect(build=clock.build) as client:
        answer, text = await made(client, wait_seconds=5)
        assert (answer["status"], answer["artifacts"]) == ("working", [])
        assert "lists no files yet" in answer["next_step"]
        assert "do not ask again" in answer["next_step"]
        assert "Done" not in text

        looks = world.count(LOOK)
        clock.naps.append(300)
        answer, _ = await made(client, "get_task", task_id=answer["task_id"], wait_seconds=0)
        assert answer["status"] == "working"
        assert world.count(LOOK) > looks

        clock.naps.append(400)
        for _ in range(2):
            call = client.call_tool("get_task", {"task_id": answer["task_id"], "wait_seconds": 0})
            await refused(call, "it made nothing", "may have been billed")
        (line,) = (await client.call_tool("list_tasks", {})).structured_content["tasks"]  # type: ignore[index]
        assert (line["state"], "made nothing" in line["reason"]) == ("failed", True)


async def test_a_success_whose_files_come_within_ten_minutes_is_one(connect: Connect, world: World) -> None:
    empty(world)
    clock = Clock()
    async with connect(build=clock.build) as client:
        answer, _ = await made(client, wait_seconds=1)
        world.troubles.clear()
        clock.naps.append(500)
        answer, text = await made(client, "get_task", task_id=answer["task_id"])
        assert answer["status"] == "succeeded"
        assert Path(one(answer)["path"]).is_file()
        assert text.startswith("1 file")


async def test_less_than_asked_for_is_said_in_the_first_sentence_and_in_a_field(connect: Connect, world: World) -> None:
    async with connect() as client:
        whole, _ = await made(client, **TXT2IMG, count=1)
        body = {
            "task": {"task_id": "x", "status": "TASK_STATUS_SUCCEED"},
            "images": [{"image_url": one(whole)["url"], "image_url_ttl": "3600", "image_type": "png"}],
        }
        answer_with(world, body)
        answer, text = await made(client, **TXT2IMG, count=3)
        assert text.startswith("Less than asked for: 1 of 3 files from txt2img.")
        assert (answer["missing"], len(answer["artifacts"])) == (2, 1)
        again, _ = await made(client, "get_task", task_id=answer["task_id"])
        assert again["missing"] == 2

        world.troubles.clear()
        answer, text = await made(client, **TXT2IMG, count=3)
        assert text.startswith("3 files from txt2img.")
        assert "missing" not in answer


async def test_what_is_gone_and_expired_is_said_to_be_gone(connect: Connect, world: World) -> None:
    async with connect() as client:
        answer, _ = await made(client)
        path = Path(one(answer)["path"])
        path.unlink()
        world.trouble({"status": 403}, path=FILES, times=-1)
        for _ in range(2):
            call = client.call_tool("get_task", {"task_id": answer["task_id"]})
            text = await refused(call, "is gone", "cannot be had again")
            assert str(path) not in text
            assert "Call get_task" not in text
        call = client.call_tool(
            "remove_background", {"model": "remove-background", "image": f"task:{answer['task_id']}/0"}
        )
        text = await refused(call, "Nothing was billed")
        assert str(path) not in text


async def test_what_novita_has_forgotten_is_said_to_be_gone(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        answer, _ = await made(client)
        Path(one(answer)["path"]).unlink()
        world.trouble({"status": 403}, path=FILES, times=-1)
        world.area(TaskStore).tasks.clear()
        call = client.call_tool("get_task", {"task_id": answer["task_id"]})
        await refused(call, "is gone", "cannot be had again")


async def test_a_deleted_file_whose_link_lives_comes_home_again(connect: Connect) -> None:
    async with connect() as client:
        answer, _ = await made(client)
        Path(one(answer)["path"]).unlink()
        again, _ = await made(client, "get_task", task_id=answer["task_id"])
        assert Path(one(again)["path"]).is_file()


async def test_one_of_two_that_is_gone_does_not_hide_the_other(connect: Connect, world: World) -> None:
    async with connect() as client:
        answer, _ = await made(client, **TXT2IMG, count=2)
        first, second = (Path(artifact["path"]) for artifact in answer["artifacts"])
        first.unlink()
        world.trouble({"status": 403}, path=FILES, times=-1)
        again, text = await made(client, "get_task", task_id=answer["task_id"])
        assert again["status"] == "incomplete"
        assert text.startswith("Not all is here: 1 of 2 files")
        assert [artifact["path"] for artifact in again["artifacts"]] == [str(second)]
        assert str(first) not in text


async def test_of_several_tasks_the_one_that_is_gone_is_said_to_be(connect: Connect, world: World) -> None:
    async with connect() as client:
        first, second = [(await made(client, prompt=what))[0] for what in ("a fox", "a hare")]
        path = Path(one(first)["path"])
        path.unlink()
        world.trouble({"status": 403}, path=FILES, times=-1)
        both, text = await made(client, "get_task", task_ids=[first["task_id"], second["task_id"]])
        told = {row["task_id"]: row for row in both["tasks"]}
        assert told[second["task_id"]]["status"] == "succeeded"
        assert told[first["task_id"]]["status"] != "succeeded"
        assert "is gone" in text and str(path) not in text
        # What else takes an earlier result says so before it is paid.
        for tool, wish in (
            ("combine_media", {"files": "T", "do": "convert"}),
            ("chat", {"prompt": "x", "images": "T"}),
        ):
            given = {name: [f"task:{first['task_id']}/0"] if value == "T" else value for name, value in wish.items()}
            assert str(path) not in await refused(client.call_tool(tool, given), "Nothing was billed")


async def test_speech_that_was_deleted_is_gone(connect: Connect) -> None:
    """It came with the answer: there never was a link."""
    async with connect() as client:
        answer = await done(client.call_tool("generate_speech", {"text": "Hello."}))
        path = Path(one(answer)["path"])
        path.unlink()
        text = await refused(client.call_tool("get_task", {"task_id": answer["task_id"]}), "is gone")
        assert str(path) not in text


@pytest.mark.parametrize("status", [403, 404])
async def test_a_dead_link_is_not_billed_to_a_model_that_takes_only_links(
    connect: Connect, world: World, status: int
) -> None:
    async with connect() as client:
        answer, _ = await made(client)
        paid = len(world.charges)
        world.trouble({"status": status}, path=FILES, times=-1)
        wish = {"image": f"task:{answer['task_id']}/0", "prompt": "blue", "model": "flux-2-dev"}
        await refused(client.call_tool("edit_image", wish), "only links", "Nothing was billed")
        assert len(world.charges) == paid
        # A model that takes both gets the file that is here.
        dry = await client.call_tool("edit_image", {**wish, "model": "seedream-4.0", "dry_run": True})
        assert dry.structured_content is not None, text_of(dry)
        assert dry.structured_content["request"]["body"]["images"][0].startswith("data:image/")


async def test_files_of_the_library_are_listed_whatever_is_noted_of_them(connect: Connect, world: World) -> None:
    rows: list[Any] = [
        {"sd_name": "fox.safetensors", "name": "Fox", "is_sdxl": -1, "base_model": 15, "tags": {"a": 1}, "type": None},
        {
            "sd_name": "dog.safetensors",
            "name": None,
            "is_sdxl": "yes",
            "base_model": ["x"],
            "tags": 7,
            "type": {"name": 3},
        },
        None,
    ]
    body = {"models": rows, "pagination": {"next_cursor": 5}}
    world.trouble({"status": 200, "body": json.dumps(body), "content_type": "application/json"}, path="/v3/model")
    async with connect() as client:
        result = await client.call_tool("search_checkpoints", {"query": "fox"})
    assert not result.is_error, text_of(result)
    assert "fox.safetensors" in text_of(result) and "dog.safetensors" in text_of(result)
