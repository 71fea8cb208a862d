"""A folder, a pattern or a list where a tool takes one file: a job each, by the simulator's books."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World

from ...building import quick
from ...conftest import Connect, text_of
from ..gpu_stage import Person
from ..media_things import done, picture, recording, refused

Json = dict[str, Any]

EDIT: Json = {"prompt": "make it blue", "model": "seedream-4.0"}
SLOW: Json = {"prompt": "make it blue", "model": "qwen-image-edit"}
"""Its tasks go on at Novita, as long as the world's clock stands."""


def photos(folder: Path, count: int = 3) -> Path:
    """Product photos, each another one, and a note that is none."""
    folder.mkdir(exist_ok=True)
    for number in range(1, count + 1):
        picture(folder / f"IMG_{number:03}.png", (320 + number, 240))
    (folder / "notes.txt").write_text("twelve products")
    return folder


def states(answer: Json) -> dict[str, str]:
    return {line["file"]: line["status"] for line in answer["each"]}


async def asked(client: Client, tool: str, arguments: Json) -> Json:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


@pytest.mark.parametrize("how", ["folder", "pattern", "list", "lines", "json"])
async def test_a_job_a_file_under_the_name_of_its_source(
    connect: Connect, world: World, tmp_path: Path, how: str
) -> None:
    folder = photos(tmp_path / "products")
    paths = [str(folder / f"IMG_{number:03}.png") for number in (1, 2, 3)]
    given = {
        "folder": str(folder),
        "pattern": f"{folder}/IMG_*.png",
        "list": paths,
        "lines": "\n".join(paths),
        "json": str(paths).replace("'", '"'),
    }[how]
    async with connect() as client:
        result = await client.call_tool("remove_background", {"image": given})
    answer: Json = result.structured_content or {}

    assert not result.is_error, text_of(result)
    assert answer["status"] == "succeeded"
    assert [line["file"] for line in answer["each"]] == ["IMG_001.png", "IMG_002.png", "IMG_003.png"]
    for number, line in enumerate(answer["each"], 1):
        assert Path(line["made"][0]).name.startswith(f"IMG_{number:03}_cutout")
        assert all(Path(made).is_file() for made in line["made"])
        assert line["task_id"]
    assert text_of(result).count("status: done") == 3
    assert "3 of 3 files are done" in text_of(result)
    assert len(world.charges) == 3


async def test_one_question_names_the_total_and_a_no_begins_nothing(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    folder = photos(tmp_path / "products")
    wish = {"image": str(folder), **EDIT}
    person = Person("decline")
    async with connect(confirm_above_usd=Decimal("0.05")) as client:
        one = await asked(client, "edit_image", {**wish, "image": str(folder / "IMG_001.png"), "dry_run": True})
        first = await asked(client, "edit_image", wish)
        assert first["status"] == "needs_confirmation"
        assert Decimal(first["estimated_cost_usd"]) == 3 * Decimal(one["estimated_cost_usd"])
        assert "For each of 3 files" in first["next_step"]
        assert not world.charges
    async with connect(confirm_above_usd=Decimal("0.05"), client={"elicitation_callback": person}) as client:
        assert (await client.call_tool("edit_image", wish)).is_error
        assert len(person.asked) == 1
        assert not world.charges
    person = Person("accept")
    async with connect(confirm_above_usd=Decimal("0.05"), client={"elicitation_callback": person}) as client:
        answer = await asked(client, "edit_image", wish)
        assert answer["status"] == "succeeded"
        assert len(person.asked) == 1
    assert len(world.charges) == 3


async def test_a_file_that_fails_stops_no_other_and_only_the_missing_is_made_again(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    folder = photos(tmp_path / "products")
    (folder / "IMG_002.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture at all")
    wish = {"image": str(folder), **EDIT}
    async with connect() as client:
        first = await asked(client, "edit_image", wish)
        assert first["status"] == "incomplete"
        assert states(first) == {"IMG_001.png": "done", "IMG_002.png": "failed", "IMG_003.png": "done"}
        assert "damaged" in first["each"][1]["reason"] or "cut off" in first["each"][1]["reason"]
        assert len(world.charges) == 2
        picture(folder / "IMG_002.png", (333, 222))
        second = await asked(client, "edit_image", wish)
        assert states(second) == {"IMG_001.png": "made before", "IMG_002.png": "done", "IMG_003.png": "made before"}
        assert second["each"][0]["made"] == first["each"][0]["made"]
        assert len(world.charges) == 3
        third = await asked(client, "edit_image", wish)
        assert third["status"] == "succeeded" and set(states(third).values()) == {"made before"}
        assert len(world.charges) == 3
        fourth = await asked(client, "edit_image", {**wish, "again": True})
        assert set(states(fourth).values()) == {"done"}
    assert len(world.charges) == 6


async def test_a_made_file_that_was_deleted_is_made_again_and_a_changed_source_too(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    folder = photos(tmp_path / "products")
    wish = {"image": str(folder), **EDIT}
    async with connect() as client:
        first = await asked(client, "edit_image", wish)
        Path(first["each"][0]["made"][0]).unlink()
        picture(folder / "IMG_003.png", (500, 300), colour="green")
        second = await asked(client, "edit_image", wish)
    assert states(second) == {"IMG_001.png": "done", "IMG_002.png": "made before", "IMG_003.png": "done"}
    assert len(world.charges) == 5


async def test_the_cap_is_checked_before_each(connect: Connect, world: World, tmp_path: Path) -> None:
    folder = photos(tmp_path / "products")
    wish = {"image": str(folder), **EDIT}
    async with connect() as client:
        told = await asked(client, "edit_image", {**wish, "dry_run": True})
        price = Decimal(told.get("counted_usd") or told["estimated_cost_usd"]) / 3
    async with connect(spend_limit_usd=price * 2) as client:
        answer = await asked(client, "edit_image", wish)
    ended = list(states(answer).values())
    assert (ended.count("done"), ended.count("failed")) == (2, 1)
    assert any("cap" in line.get("reason", "") for line in answer["each"])
    assert len(world.charges) == 2


@pytest.mark.old_models
async def test_no_more_than_a_few_run_at_once(connect: Connect, world: World, tmp_path: Path) -> None:
    """What is not begun when the wait is over is said, and begun by the same call; nothing is paid twice."""
    folder = photos(tmp_path / "products", 6)
    wish = {"image": str(folder), **SLOW, "wait_seconds": 5}
    world.set(task_seconds=1_000)
    async with connect(build=quick) as client:
        first = await asked(client, "edit_image", wish)
        told = list(states(first).values())
        assert (told.count("working"), told.count("not begun")) == (4, 2), first
        assert first["status"] == "working"
        world.set(task_seconds=0)
        world.advance(1_000)
        second = await asked(client, "edit_image", wish)
    assert second["status"] == "succeeded", second
    assert len(world.charges) == 6


@pytest.mark.old_models
@pytest.mark.parametrize("again", [False, True])
async def test_of_thirty_what_is_not_begun_is_begun_by_one_more_call_and_nothing_is_paid_twice(
    connect: Connect, world: World, tmp_path: Path, again: bool
) -> None:
    """The step that the answer names leads on, also where all were to be made anew."""
    folder = photos(tmp_path / "products", 30)
    wish = {"image": str(folder), **SLOW, "wait_seconds": 5}
    world.set(task_seconds=1_000)
    async with connect(build=quick) as client:
        first = await asked(client, "edit_image", {**wish, "again": again})
        left = [name for name, state in states(first).items() if state == "not begun"]
        working = [line["task_id"] for line in first["each"] if line["status"] == "working"]
        assert (len(left), len(working)) == (26, 4)
        world.set(task_seconds=0)
        world.advance(1_000)
        if again:
            assert "for these files alone: " + left[0] in first["next_step"]
            done = await asked(client, "get_task", {"task_ids": working})
            assert {one["status"] for one in done["tasks"]} == {"succeeded"}
            paths = [str(folder / name) for name in left]
            second = await asked(client, "edit_image", {**wish, "image": paths, "again": True, "wait_seconds": 600})
        else:
            assert "begins the 26 that are left" in first["next_step"]
            second = await asked(client, "edit_image", {**wish, "wait_seconds": 600})
    assert second["status"] == "succeeded", second
    assert len(world.charges) == 30


@pytest.mark.old_models
async def test_a_cancel_leaves_a_list_of_done_and_not_done(connect: Connect, world: World, tmp_path: Path) -> None:
    folder = photos(tmp_path / "products", 6)
    wish = {"image": str(folder), **SLOW}
    async with connect() as client:
        await asked(client, "edit_image", {**wish, "image": str(folder / "IMG_001.png")})
        world.set(task_seconds=1_000)
        begun = anyio.Event()

        async def seen(progress: float, total: float | None, message: str | None) -> None:
            if len(world.charges) >= 5:
                begun.set()

        async def call() -> None:
            await client.call_tool("edit_image", wish, progress_callback=seen)

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            with anyio.fail_after(60):
                while len(world.charges) < 5:  # the simulator tells nobody
                    await anyio.sleep(0.02)
            group.cancel_scope.cancel()
        with anyio.fail_after(60):
            while True:
                listed = await asked(client, "list_tasks", {"state": "cancelled"})
                if listed["tasks"]:
                    break
                await anyio.sleep(0.02)
        reason = listed["tasks"][0]["reason"]
        assert "1 done: IMG_001.png" in reason
        assert "4 begun: IMG_002.png, IMG_003.png, IMG_004.png, IMG_005.png" in reason
        assert "1 not done: IMG_006.png" in reason
        world.set(task_seconds=0)
        world.advance(1_000)
        answer = await asked(client, "edit_image", wish)
        assert answer["status"] == "succeeded"
    assert len(world.charges) == 6


@pytest.mark.old_models
async def test_what_was_said_in_many_recordings_comes_as_texts(connect: Connect, world: World, tmp_path: Path) -> None:
    said = {"one.mp3": "the fox sleeps in the snow", "two.mp3": "the owl wakes at night"}
    for name, words in said.items():
        recording(tmp_path / name, words, world)
    async with connect() as client:
        answer = await asked(client, "transcribe_audio", {"audio": f"{tmp_path}/*.mp3", "model": "glm-asr"})
        again = await asked(client, "transcribe_audio", {"audio": f"{tmp_path}/*.mp3", "model": "glm-asr"})

    for line, words in zip(answer["each"], said.values(), strict=True):
        assert words in line["text"].casefold()
        assert Path(line["made"][0]).name == f"{line['file'][:3]}_transcript.txt"
        assert words in Path(line["made"][0]).read_text().casefold()
    assert set(states(again).values()) == {"made before"}
    assert len(world.charges) == 2


async def test_what_names_no_files_is_refused_before_anything_is_paid(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    photos(outside)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "out.png").symlink_to(outside / "IMG_001.png")
    async with connect(allowed_dirs=str(tmp_path)) as client:
        for given, words in (
            (str(tmp_path / "empty"), "holds no image file"),
            (f"{tmp_path}/*.jpg", "holds no image file"),
            (f"{outside}/*.png", "outside the folders|names nothing"),
            (str(outside), "outside the folders"),
            (f"{tmp_path}/links/*.png", "holds no image file"),
            (f"{tmp_path}/empty/../../{outside.name}/*.png", "outside the folders|names nothing"),
        ):
            text = await refused(client.call_tool("remove_background", {"image": given}))
            assert any(each in text for each in words.split("|")), text
        photos(tmp_path / "products", 1)
        place = {"image": str(tmp_path / "products"), "save_to": str(tmp_path / "one.png")}
        await refused(client.call_tool("remove_background", place), "save_to names one file")
    assert not world.charges


async def test_a_pattern_in_a_files_own_name_is_its_name(connect: Connect, tmp_path: Path) -> None:
    path = picture(tmp_path / "fox [1].png")
    async with connect() as client:
        answer = await done(client.call_tool("edit_image", {"image": path, **EDIT}))
    assert "each" not in answer


async def test_over_http_a_list_of_results_works_and_a_folder_does_not(
    connect_http: Connect, world: World, tmp_path: Path
) -> None:
    folder = photos(tmp_path / "products", 2)
    async with connect_http() as client:
        made = await done(
            client.call_tool("generate_image", {"prompt": "a fox", "model": "flux-1-schnell", "count": 2})
        )
        both = [f"task:{made['task_id']}/{index}" for index in (0, 1)]
        answer = await asked(client, "edit_image", {"image": both, **EDIT})
        assert answer["status"] == "succeeded", text_of(await client.call_tool("edit_image", {"image": both, **EDIT}))
        assert [line["made"][0].partition("://")[0] for line in answer["each"]] == ["novita", "novita"]
        await refused(client.call_tool("edit_image", {"image": str(folder), **EDIT}), "cannot be used on this server")
    assert len(world.charges) == 3
