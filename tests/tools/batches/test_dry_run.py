"""A dry batch: the requests in order, as they would go out from where things stand."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.batches.start import UNKNOWN_FILE
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core.world import Received, World
from novita_mcp.simulator.text.state import LlmState

from ...building import quick
from ...conftest import Connect, structured, text_of

Json = dict[str, Any]
FILES, BATCHES = "/openai/v1/files", "/openai/v1/batches"
ROWS: Json = {"rows": [{"prompt": f"What is {n}?"} for n in range(20)], "options": {"max_tokens": 24}}


def sent(world: World) -> list[Received]:
    return [request for request in world.requests if request.method != "GET"]


@pytest.fixture
def llm(world: World) -> LlmState:
    return world.area(LlmState)


async def test_upload_and_start_are_shown_as_they_then_go_out(connect: Connect, world: World, llm: LlmState) -> None:
    async with connect() as client:
        shown = structured(await client.call_tool("create_batch", {**ROWS, "dry_run": True}))
        assert shown["status"] == "dry_run"
        assert Decimal(shown["estimated_cost_usd"]) > 0
        assert not sent(world)
        made = structured(await client.call_tool("create_batch", ROWS))
        assert made["estimated_cost_usd"] == shown["estimated_cost_usd"]
    upload, create = shown["upload"], shown["request"]
    uploaded, created = sent(world)
    assert (upload["method"], upload["path"]) == (uploaded.method, uploaded.path) == ("POST", FILES)
    (file,) = [kept for kept in llm.world.area(BatchState).files.values() if kept.purpose == "batch"]
    rows = [json.loads(line) for line in file.content.splitlines()]
    assert upload["form"]["purpose"] == file.purpose
    assert upload["form"]["file"] | {"first_rows": None} == {
        "name": file.filename,
        "type": "application/octet-stream",
        "bytes": len(file.content),
        "rows": len(rows),
        "first_rows": None,
    }
    assert upload["form"]["file"]["first_rows"] == rows[:3]
    assert (create["method"], create["path"]) == (created.method, created.path) == ("POST", BATCHES)
    assert create["body"]["input_file_id"] == UNKNOWN_FILE
    assert "not known" in UNKNOWN_FILE
    assert {**create["body"], "input_file_id": file.id} == created.body


async def test_long_rows_are_cut_and_say_so(connect: Connect) -> None:
    asked = {"rows": [{"prompt": "word " * 40_000}] * 5, "dry_run": True}
    async with connect() as client:
        result = await client.call_tool("create_batch", asked)
        upload = structured(result)["upload"]
    assert len(text_of(result)) < 28_000
    assert all(
        "more characters)" in row["body"]["messages"][0]["content"] for row in upload["form"]["file"]["first_rows"]
    )


async def test_a_file_that_is_there_is_not_uploaded_again(connect: Connect, world: World, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "x", "max_tokens": 9}\n')
    async with connect() as client:
        file_id = structured(await client.call_tool("upload_file", {"file": str(rows)}))["file_id"]
        shown = structured(await client.call_tool("create_batch", {"file_id": file_id, "dry_run": True}))
        await client.call_tool("create_batch", {"file_id": file_id})
    create = shown["request"]
    assert "upload" not in shown
    _, created = sent(world)
    assert create == {"method": created.method, "path": created.path, "body": created.body}
    assert create["body"]["input_file_id"] == file_id


async def test_of_rows_that_run_already_nothing_would_be_sent(connect: Connect, world: World, llm: LlmState) -> None:
    llm.world.area(BatchState).knobs.seconds = 1_000
    async with connect() as client:
        made = structured(await client.call_tool("create_batch", ROWS))
        before = len(sent(world))
        shown = structured(await client.call_tool("create_batch", {**ROWS, "dry_run": True}))
        assert (shown["batch_id"], shown["estimated_cost_usd"]) == (made["batch_id"], "0")
        assert not {"upload", "request"} & shown.keys()
        assert "nothing" in shown["next_step"]
        again = structured(await client.call_tool("create_batch", ROWS))
        assert again["batch_id"] == made["batch_id"]
    assert len(sent(world)) == before


async def test_after_a_start_that_was_lost_only_what_is_missing_is_shown(
    connect: Connect, world: World, llm: LlmState
) -> None:
    """The start never reached Novita: its file is there, its batch is not."""
    world.trouble({"reset": "before"}, operation="create_batch")
    async with connect(build=quick) as client:
        assert (await client.call_tool("create_batch", ROWS)).is_error
        (file_id,) = llm.world.area(BatchState).files
        shown = structured(await client.call_tool("create_batch", {**ROWS, "dry_run": True}))
        (row,) = structured(await client.call_tool("list_tasks", {}))["tasks"]
        assert row["state"] == "unconfirmed"  # a dry run tidies nothing up
        before = len(sent(world))
        structured(await client.call_tool("create_batch", ROWS))
        (created,) = sent(world)[before:]
    create = shown["request"]
    assert "upload" not in shown
    assert create == {"method": created.method, "path": created.path, "body": created.body}
    assert create["body"]["input_file_id"] == file_id
