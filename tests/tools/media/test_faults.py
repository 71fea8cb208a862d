"""Faults of Novita while a picture is made: what is paid for arrives, once; what is unclear is said and noted."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.core.world import World

from ...building import quick
from ...conftest import Connect, structured, text_of

pytestmark = pytest.mark.old_models

SPEND = "qwen_image_txt2img"
LOOK = "get_task_result"
FILES = "/_simulator/files/*"

PASSING: dict[str, tuple[dict[str, Any], int]] = {
    "one 500": ({"status": 500}, 1),
    "three 503": ({"status": 503, "body": "overloaded"}, 3),
    "a 429": ({"status": 429, "headers": {"Retry-After": "2"}}, 1),
    "three 429": ({"error": "RATE_LIMIT_EXCEEDED", "retry_after": 1}, 3),
    "a reset": ({"reset": "before"}, 1),
    "a late reset": ({"reset": "after"}, 1),
    "half a JSON": ({"garbage": True}, 1),
    "a page": ({"html": True}, 1),
    "an empty body": ({"empty": True}, 1),
    "a cut body": ({"cut": 60}, 1),
    "three cut bodies": ({"cut": 300}, 3),
    "a long spell of 502": ({"status": 502}, 9),
}


def saved(world: World, folder: Path) -> None:
    """Exactly one file, and it is the one that Novita made."""
    (made,) = world.files.files.values()
    (file,) = [path for path in folder.rglob("*") if path.is_file()]
    assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(made.data).digest()


@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_while_looking_costs_nothing(fault: str, connect: Connect, world: World, tmp_path: Path) -> None:
    effect, times = PASSING[fault]
    world.trouble(effect, operation=LOOK, times=times)
    async with connect(build=quick) as client:
        answer = structured(
            await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        )
        assert answer["status"] == "succeeded"
        saved(world, tmp_path / "out")
    assert world.count(SPEND) == len(world.charges) == 1


@pytest.mark.parametrize("fault", [name for name in PASSING if name != "a long spell of 502"])
async def test_a_fault_of_the_storage_costs_nothing(fault: str, connect: Connect, world: World, tmp_path: Path) -> None:
    effect, times = PASSING[fault]
    world.trouble(effect, path=FILES, times=times)
    async with connect(build=quick) as client:
        answer = structured(
            await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        )
        assert answer["status"] == "succeeded"
        saved(world, tmp_path / "out")
    assert world.count(SPEND) == len(world.charges) == 1
    assert world.leaked_keys == 0


async def test_a_storage_that_is_down_is_named_and_the_file_comes_later(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    world.trouble({"status": 503}, path=FILES, times=-1)
    async with connect(build=quick) as client:
        made = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        answer = structured(made)
        assert answer["status"] == "incomplete"
        assert text_of(made).startswith("Not all is here: 1 of 1 file could not be brought home")
        assert "503" in answer["next_step"]
        assert "get_task" in answer["next_step"]
        world.troubles.clear()

        again = structured(await client.call_tool("get_task", {"task_id": answer["task_id"]}))

        assert again["status"] == "succeeded"
        assert again["artifacts"][0]["path"]
        saved(world, tmp_path / "out")
    assert world.count(SPEND) == 1


async def test_a_novita_that_is_down_for_long_leaves_a_job_that_can_be_fetched(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    world.trouble({"status": 500}, operation=LOOK, times=-1)
    async with connect(build=quick) as client:
        answer = structured(
            await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        )
        assert answer["status"] == "working"
        world.troubles.clear()

        again = structured(await client.call_tool("get_task", {"task_id": answer["task_id"]}))

        assert again["status"] == "succeeded"
        saved(world, tmp_path / "out")
    assert world.count(SPEND) == 1


async def test_a_task_that_fails_is_an_error_with_its_reason(connect: Connect, world: World) -> None:
    world.fail_next_task("the picture shows no face")
    async with connect(build=quick) as client:
        result = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        assert result.is_error
        assert "the picture shows no face" in text_of(result)
        assert "billed" in text_of(result)


LOST: dict[str, tuple[dict[str, Any], int]] = {
    "500 at the door": ({"status": 500}, 0),
    "500 after the work": ({"status": 500, "handled": True}, 1),
    "a documented 500": ({"error": "CREATE_TASK_FAILED"}, 0),
    "503 after the work": ({"status": 503, "handled": True}, 1),
    "a reset at the door": ({"reset": "before"}, 0),
    "a reset after the work": ({"reset": "after"}, 1),
    "half a JSON": ({"garbage": True, "handled": True}, 1),
    "a page": ({"html": True, "handled": True}, 1),
    "an empty body": ({"empty": True, "handled": True}, 1),
    "a cut body": ({"cut": 12}, 1),
    "an answer without a task": ({"status": 200, "body": '{"ok": true}', "handled": True}, 1),
}


AT_ONCE = ("500 after the work", "a reset after the work", "a cut body")


@pytest.mark.parametrize(
    ("fault", "model"),
    [(fault, "qwen-image-txt2img") for fault in LOST] + [(fault, "seedream-4.0") for fault in AT_ONCE],
)
async def test_a_fault_of_the_submit_is_told_noted_and_never_repeated(
    fault: str, model: str, connect: Connect, world: World
) -> None:
    effect, charged = LOST[fault]
    operation = {"qwen-image-txt2img": SPEND, "seedream-4.0": "seedream_4_0"}[model]
    world.trouble(effect, operation=operation)
    async with connect(build=quick) as client:
        result = await client.call_tool("generate_image", {"prompt": "a fox", "model": model})
        assert result.is_error
        text = text_of(result)
        assert "billed" in text
        assert "list_tasks" in text

        listed = structured(await client.call_tool("list_tasks", {"state": "unconfirmed"}))

        (row,) = listed["tasks"]
        assert row["task_id"] in text
        assert row["reason"]
        looked = structured(await client.call_tool("get_task", {"task_id": row["task_id"]}))
        assert looked["status"] == "unconfirmed"
        assert "get_balance" in looked["next_step"]
    assert world.count(operation) == 1
    assert len(world.charges) == charged


REFUSED: dict[str, str] = {
    "INVALID_REQUEST_BODY": "check each argument",
    "ILLEGAL_PROMPT": "prompt",
    "BILLING_BALANCE_NOT_ENOUGH": "top up",
    "NEED_REAL_NAME_VERIFY": "verification",
    "API_NOT_FOUND": "Use another model of the same kind",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_is_told_with_the_next_step_and_costs_nothing(
    name: str, connect: Connect, world: World
) -> None:
    world.trouble({"error": name}, operation=SPEND)
    async with connect(build=quick) as client:
        result = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        assert result.is_error
        assert "Nothing was billed" in text_of(result)
        assert REFUSED[name] in text_of(result)
        (row,) = structured(await client.call_tool("list_tasks", {}))["tasks"]
        assert row["state"] == "refused"
    assert world.count(SPEND) == 1
    assert not world.charges


async def test_a_rate_limit_is_waited_out(connect: Connect, world: World, tmp_path: Path) -> None:
    world.trouble({"error": "RATE_LIMIT_EXCEEDED", "retry_after": 3}, operation=SPEND, times=2)
    async with connect(build=quick) as client:
        structured(await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"}))
        saved(world, tmp_path / "out")
    assert len(world.charges) == 1


async def test_a_rate_limit_that_asks_for_much_is_named(connect: Connect, world: World) -> None:
    world.trouble({"error": "RATE_LIMIT_EXCEEDED", "retry_after": 120}, operation=SPEND)
    async with connect(build=quick) as client:
        result = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        assert result.is_error
        assert "wait 120 s" in text_of(result)
        assert "Nothing was billed" in text_of(result)
    assert world.count(SPEND) == 1


async def test_nothing_listens_where_novita_should_be(connect: Connect, world: World) -> None:
    async with connect(build=quick, base_url="http://127.0.0.1:9") as client:
        result = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        assert result.is_error
        assert "Nothing was billed" in text_of(result)


async def test_a_key_that_novita_echoes_is_not_passed_on(connect: Connect, world: World) -> None:
    key = "fixed-0123456789abcdef"
    world.add_account(key)
    echo = {"status": 400, "body": f'{{"code": 400, "reason": "{key}", "message": "the key {key} is odd"}}'}
    world.trouble(echo, operation=SPEND)
    async with connect(build=quick, api_key=key) as client:
        result = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        assert result.is_error
        listed = await client.call_tool("list_tasks", {})
        assert key not in text_of(result) + text_of(listed)
