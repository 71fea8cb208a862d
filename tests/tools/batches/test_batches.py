"""Batches and their files, as a host meets them; and a server that is killed in the middle of them."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import ElicitResult
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.text.state import LlmState

from ...building import quick
from ...conftest import Connect, structured, text_of
from ...server.test_mcp_tasks import TaskHandle, Tasks, ask

MODEL = "deepseek/deepseek-v4.1-flash"
SMALL = "deepseek/deepseek-v3.2"
"""Holds less than a million tokens, and sees no pictures."""

UPLOAD, CREATE = "upload_file", "create_batch"
QUIET: dict[str, Any] = {"enable_thinking": False, "max_tokens": 24}


@pytest.fixture(autouse=True)
def llm(world: World) -> LlmState:
    """Answers are short enough for the rows' max_tokens: one that is cut counts as cut."""
    area = world.area(LlmState)
    area.knobs.answer_tokens = 6
    return area


def prompts(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"What is number {number}?"} for number in range(count)]


def request(prompt: str, model: str = MODEL, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **more}


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def nothing_sent(world: World) -> bool:
    return world.count(UPLOAD) == world.count(CREATE) == 0 and not world.charges


# From rows to results


async def test_prompts_become_answers_matched_to_their_rows(connect: Connect, world: World) -> None:
    async with connect() as client:
        made = structured(await client.call_tool("create_batch", {"rows": prompts(30), "options": QUIET}))
        assert (made["status"], made["total"], made["model"]) == ("working", 30, MODEL)
        done = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))

        assert (done["status"], done["completed"], done["failed"]) == ("succeeded", 30, 0)
        file, table = done["files"]
        rows = lines(file["path"])
        assert [row["input"] for row in rows] == [row["prompt"] for row in prompts(30)]
        assert all(row["status"] == "ok" and row["text"] for row in rows)
        assert rows[4]["custom_id"] == "row-00005"
        assert [row["custom_id"] for row in done["first_rows"]] == [f"row-0000{number}" for number in range(1, 6)]
        (charge,) = world.charges
        assert float(done["cost_usd"]) * 1e6 == pytest.approx(charge.micro_usd, abs=30)  # rounded up row by row
        (row,) = structured(await client.call_tool("list_tasks", {}))["tasks"]
        assert row["state"] == "succeeded"
        assert row["files"] == [file["path"], table["path"]]

        again = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))
        assert again["files"] == done["files"]
    assert world.count("retrieve_file_content") == 2  # rows and answers, once


async def test_failed_rows_are_set_apart_and_can_be_run_again(connect: Connect) -> None:
    rows = [
        {"custom_id": "good", "body": request("x", SMALL, **QUIET)},
        {"custom_id": "long", "body": request("word " * 200_000, SMALL, **QUIET)},
        {"custom_id": "fine", "messages": [{"role": "user", "content": "y"}], "model": SMALL, **QUIET},
    ]
    async with connect() as client:
        made = structured(await client.call_tool("create_batch", {"rows": rows}))
        done = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))
        assert (done["status"], done["completed"], done["failed"]) == ("incomplete", 2, 1)
        results, failed, _ = done["files"]
        assert [row["status"] for row in lines(results["path"])] == ["ok", "failed", "ok"]
        assert "context" in str(lines(results["path"])[1]["error"])
        assert [row["custom_id"] for row in lines(failed["path"])] == ["long"]

        again = structured(await client.call_tool("create_batch", {"file": failed["path"]}))
        assert again["total"] == 1
        nothing = await client.call_tool("get_batch", {"batch_id": again["batch_id"]})
        assert structured(nothing)["completed"] == 0


@pytest.mark.parametrize("upper", [False, True])
async def test_the_state_is_understood_in_either_spelling(
    upper: bool, connect: Connect, world: World, llm: LlmState
) -> None:
    llm.world.area(BatchState).knobs.upper_case_status = upper
    llm.world.area(BatchState).knobs.seconds = 1_000
    async with connect() as client:
        made = structured(await client.call_tool("create_batch", {"rows": prompts(10), "options": QUIET}))
        world.advance(500)
        working = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"], "wait_seconds": 0}))
        assert (working["status"], working["state"]) == ("working", "in_progress")
        assert 0 < working["progress_percent"] < 100
        world.advance(600)
        done = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))
        assert (done["status"], done["state"]) == ("succeeded", "completed")


async def test_a_table_with_an_instruction_is_labelled(connect: Connect, world: World, tmp_path: Path) -> None:
    file = tmp_path / "reviews.csv"
    file.write_text('id,review\n1,"Good, very good"\n2,Bad\n')
    async with connect() as client:
        asked = {"file": str(file), "system": "Answer good or bad.", "options": QUIET}
        made = structured(await client.call_tool("create_batch", asked))
        done = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))
        rows = lines(done["files"][0]["path"])
    assert [json.loads(row["input"]) for row in rows] == [
        {"id": "1", "review": "Good, very good"},
        {"id": "2", "review": "Bad"},
    ]
    (stored,) = [file for file in world.area(BatchState).files.values() if file.purpose == "batch"]
    first = json.loads(stored.content.splitlines()[0])
    assert first["body"]["messages"][0] == {"role": "system", "content": "Answer good or bad."}


async def test_an_uploaded_file_is_checked_and_run(connect: Connect, world: World, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"custom_id": f"r{n}", "body": request("x", **QUIET)}) + "\n" for n in range(3)))
    async with connect() as client:
        stored = structured(await client.call_tool("upload_file", {"file": str(file)}))
        assert stored["requests"] == 3
        listed = structured(await client.call_tool("list_files", {}))["files"]
        assert [one["file_id"] for one in listed] == [stored["file_id"]]
        assert structured(await client.call_tool("get_file", {"file_id": stored["file_id"]}))["purpose"] == "batch"
        content = structured(await client.call_tool("get_file_content", {"file_id": stored["file_id"]}))
        assert content["lines"] == 3
        assert '"custom_id": "r0"' in content["text"]

        made = structured(await client.call_tool("create_batch", {"file_id": stored["file_id"]}))
        done = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))
        assert done["completed"] == 3
    assert world.count(UPLOAD) == 1


async def test_a_long_file_is_shown_in_parts_and_saved_whole(connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [json.dumps({"custom_id": f"r{n}", "body": request(f"{n} " + "x" * 200)}) for n in range(100)]
    file.write_text("\n".join(rows))
    async with connect() as client:
        stored = structured(await client.call_tool("upload_file", {"file": str(file)}))
        seen: list[str] = []
        line = 1
        while line:
            asked = {"file_id": stored["file_id"], "line": line}
            part = structured(await client.call_tool("get_file_content", asked))
            seen += part["text"].splitlines()
            if line == 1:
                assert len(lines(part["file"]["path"])) == 100
            line = part.get("next_line", 0)
    assert [json.loads(row) for row in seen] == [json.loads(row) for row in rows]


async def test_a_batch_that_was_started_elsewhere_can_be_fetched(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    async with connect() as client:
        made = structured(await client.call_tool("create_batch", {"rows": prompts(3), "options": QUIET}))
    async with connect(journal=str(tmp_path / "other.sqlite3")) as client:
        done = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))
        assert done["completed"] == 3
        unknown = await client.call_tool("get_batch", {"batch_id": "batch_nope"})
        assert unknown.is_error
        assert "No such batch" in text_of(unknown)


async def test_a_batch_novita_cannot_run_is_an_error_with_its_reason(
    connect: Connect, world: World, llm: LlmState
) -> None:
    llm.world.area(BatchState).knobs.seconds = 1_000
    async with connect() as client:
        made = structured(await client.call_tool("create_batch", {"rows": prompts(3)}))
        next(iter(llm.world.area(BatchState).files.values())).content = b"no JSON\n"
        world.advance(2_000)
        result = await client.call_tool("get_batch", {"batch_id": made["batch_id"]})
        assert result.is_error
        assert "line 1" in text_of(result)
        (row,) = structured(await client.call_tool("list_tasks", {}))["tasks"]
        assert row["state"] == "failed"


async def test_a_batch_of_completions_is_told_by_its_rows(connect: Connect, llm: LlmState) -> None:
    rows = [{"body": {"model": MODEL, "prompt": f"Once {number}", "max_tokens": 24}} for number in range(3)]
    async with connect() as client:
        made = structured(await client.call_tool("create_batch", {"rows": rows}))
        done = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))
        assert done["completed"] == 3
        assert lines(done["files"][0]["path"])[2]["input"] == "Once 2"
    assert [batch.endpoint for batch in llm.world.area(BatchState).batches.values()] == ["/v1/completions"]


async def test_over_http_results_are_resources_and_paths_stay_private(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]],
) -> None:
    async with connect_http() as client:
        made = structured(await client.call_tool("create_batch", {"rows": prompts(3), "options": QUIET}))
        done = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))
        file, _ = done["files"]
        assert "path" not in file
        assert done["first_rows"][2]["status"] == "ok"
        (content,) = (await client.read_resource(file["uri"])).contents
        assert content.model_dump().get("blob") or content.model_dump().get("text")


async def test_a_batch_is_an_mcp_task_for_those_who_take_them(settings: Settings, world: World, llm: LlmState) -> None:
    llm.world.area(BatchState).knobs.seconds = 1_000
    async with Client(create_app(settings), extensions=[Tasks()]) as client:
        await client.list_tools()
        asked = {"rows": prompts(4), "options": QUIET}
        handle = await client.session.call_tool("create_batch", asked, allow_claimed=True)
        assert isinstance(handle, TaskHandle)
        world.advance(500)
        working = await ask(client, "tasks/get", handle.task_id)
        assert working.status == "working"
        assert "in_progress" in (working.status_message or "")
        await ask(client, "tasks/cancel", handle.task_id)  # leaves the batch running, as its tool says nothing else
        world.advance(600)
        done = await ask(client, "tasks/get", handle.task_id)
        assert done.status == "completed"
        assert done.result is not None
        assert structured(done.result)["completed"] == 4


# Asking first


async def test_a_dear_batch_asks_and_a_dry_run_tells_the_price(connect: Connect, world: World) -> None:
    asked = {"rows": prompts(2_000), "options": {"max_tokens": 4_000}}
    async with connect(confirm_above_usd=1) as client:
        price = structured(await client.call_tool("create_batch", {**asked, "dry_run": True}))
        assert float(price["estimated_cost_usd"]) > 3
        first = structured(await client.call_tool("create_batch", asked))
        assert first["status"] == "needs_confirmation"
        assert "2,000 rows" in first["next_step"]
        assert nothing_sent(world)
        assert structured(await client.call_tool("create_batch", {**asked, "confirm": True}))["status"] == "working"


async def test_a_yes_is_for_the_rows_that_were_asked_about(connect: Connect, llm: LlmState, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "one"}\n')
    asked: list[str] = []

    async def dialog(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        rows.write_text('{"prompt": "another"}\n')  # while somebody thinks
        return ElicitResult(action="accept", content={"yes": True})

    async with connect(client={"elicitation_callback": dialog}, confirm_above_usd=Decimal(0)) as client:
        structured(await client.call_tool("create_batch", {"file": str(rows)}))
    assert len(asked) == 2
    (sent,) = llm.world.area(BatchState).files.values()
    assert b"another" in sent.content


@pytest.mark.parametrize(("action", "deleted"), [("accept", True), ("decline", False)])
async def test_deleting_a_file_asks_the_user(action: Any, deleted: bool, connect: Connect, llm: LlmState) -> None:
    asked: list[str] = []

    async def dialog(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action=action, content={"yes": True} if action == "accept" else None)

    async with connect(client={"elicitation_callback": dialog}) as client:
        await client.call_tool("create_batch", {"rows": prompts(2)})
        (file_id,) = llm.world.area(BatchState).files
        result = await client.call_tool("delete_file", {"file_id": file_id})
    assert len(asked) == 1
    assert (file_id not in llm.world.area(BatchState).files) is deleted
    assert bool(result.is_error) is not deleted


async def test_cancelling_asks_and_stops(connect: Connect, world: World, llm: LlmState) -> None:
    llm.world.area(BatchState).knobs.seconds = 1_000
    async with connect() as client:
        made = structured(await client.call_tool("create_batch", {"rows": prompts(10)}))
        asked: dict[str, Any] = {"batch_id": made["batch_id"]}
        world.advance(300)
        first = structured(await client.call_tool("cancel_batch", asked))
        assert first["status"] == "needs_confirmation"
        assert world.count("cancel_batch") == 0
        stopped = structured(await client.call_tool("cancel_batch", {**asked, "confirm": True}))
        assert stopped["status"] == "cancelling"
        world.advance(300)
        assert structured(await client.call_tool("get_batch", asked))["status"] == "cancelled"
        late = await client.call_tool("cancel_batch", asked)
        assert "cancelled already" in text_of(late)
        (line,) = structured(await client.call_tool("list_batches", {}))["batches"]
        assert line["state"] == "cancelled"


# Lost answers


@pytest.mark.parametrize("operation", [UPLOAD, CREATE])
@pytest.mark.parametrize("fault", [{"reset": "after"}, {"cut": 20}, {"status": 502, "handled": True}])
async def test_a_lost_answer_doubles_nothing(
    operation: str, fault: dict[str, Any], connect: Connect, world: World, llm: LlmState
) -> None:
    """What the lost answer was about is found in Novita's own lists."""
    world.trouble(fault, operation=operation)
    async with connect(build=quick) as client:
        made = structured(await client.call_tool("create_batch", {"rows": prompts(5), "options": QUIET}))
        assert made["batch_id"] in llm.world.area(BatchState).batches
        done = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))
        assert done["completed"] == 5
    assert world.count(UPLOAD) == world.count(CREATE) == 1


async def test_a_start_nobody_can_vouch_for_is_taken_up_by_the_same_call(
    connect: Connect, world: World, llm: LlmState
) -> None:
    world.trouble({"reset": "after"}, operation=CREATE)
    world.trouble({"status": 500}, operation="list_batches", times=7)
    asked = {"rows": prompts(5), "options": QUIET}
    async with connect(build=quick) as client:
        lost = await client.call_tool("create_batch", asked)
        assert lost.is_error
        assert "same rows" in text_of(lost)
        (row,) = structured(await client.call_tool("list_tasks", {}))["tasks"]
        assert row["state"] == "unconfirmed"
        found = structured(await client.call_tool("create_batch", asked))
        assert "no second batch" in found["next_step"]
        assert list(llm.world.area(BatchState).batches) == [found["batch_id"]]
    assert world.count(UPLOAD) == world.count(CREATE) == 1


async def test_the_same_rows_run_once_while_they_run(connect: Connect, world: World, llm: LlmState) -> None:
    llm.world.area(BatchState).knobs.seconds = 1_000
    asked = {"rows": prompts(5), "options": QUIET}
    async with connect() as client:
        first = structured(await client.call_tool("create_batch", asked))
        second = structured(await client.call_tool("create_batch", asked))
        assert second["batch_id"] == first["batch_id"]
        world.advance(2_000)
        await client.call_tool("get_batch", {"batch_id": first["batch_id"]})
        third = structured(await client.call_tool("create_batch", asked))  # over: this is a new wish
        assert third["batch_id"] != first["batch_id"]
    assert world.count(CREATE) == 2


# Bad input

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "Give one of rows, file and file_id"),
    "no rows": ({"rows": []}, "Give one of rows, file and file_id"),
    "too many rows": ({"rows": [{"prompt": "x"}] * 60_000}, "60,000 requests"),
    "two models": (
        {"rows": [{"body": request("x")}, {"body": request("x", "zai-org/glm-4.6")}]},
        "line 2: it names 'zai-org/glm-4.6'",
    ),
    "a model in capitals": ({"rows": [{"body": request("x", MODEL.upper())}]}, "case-sensitive"),
    "an id twice": (
        {"rows": [{"custom_id": "a", "prompt": "x"}, {"custom_id": "a", "prompt": "y"}]},
        "line 2: custom_id 'a' is used already in line 1",
    ),
    "an id made twice": ({"rows": [{"prompt": "x"}, {"custom_id": "row-00001", "prompt": "y"}]}, "line 2"),
    "an empty prompt": ({"rows": [{"prompt": "x"}, {"prompt": " "}]}, "line 2: prompt is empty"),
    "a misspelled field": ({"rows": [{"promt": "x"}]}, "line 1: it has neither body"),
    "n out of range": ({"rows": [{"prompt": "x", "n": 300}]}, "line 1: n must be 1 to 128"),
    "an unknown option": ({"rows": [{"prompt": "x"}], "options": {"temprature": 1}}, "temperature"),
    "a stream": ({"rows": [{"body": request("x", stream=True)}]}, "line 1: stream"),
    "another route": ({"rows": [{"url": "/v1/embeddings", "body": request("x")}]}, "line 1: its url"),
    "messages to complete": ({"rows": [{"url": "/v1/completions", "messages": []}]}, "line 1: messages are for"),
    "pictures for the blind": (
        {
            "rows": [
                {
                    "model": SMALL,
                    "messages": [
                        {
                            "role": "user",
                            "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}],
                        }
                    ],
                }
            ]
        },
        "does not take image input",
    ),
    "a file that is not there": ({"file": "nowhere.jsonl"}, "nowhere.jsonl"),
    "a model for uploaded rows": ({"file_id": "file-1", "model": "x/y"}, "go as they are"),
    "an instruction for uploaded rows": ({"file_id": "file-1", "system": "Be kind."}, "go as they are"),
    "an id that is a path": ({"file_id": "../../etc/passwd"}, "is no id"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_rows_are_named_by_line_and_nothing_is_sent(case: str, connect: Connect, world: World) -> None:
    arguments, says = BAD[case]
    async with connect() as client:
        result = await client.call_tool("create_batch", arguments)
        assert result.is_error
        assert says in text_of(result)
    assert nothing_sent(world)


async def test_a_model_that_the_list_does_not_show_is_asked_about(connect: Connect, world: World) -> None:
    """Only Novita knows whether there is one; but a batch with a misspelled name would fail hours later."""
    rows = {"rows": [{"body": request("x", "deepseek/deepsek-v3.2")}]}
    async with connect() as client:
        result = await client.call_tool("create_batch", rows)
        assert "the nearest are: deepseek/deepseek-v3.2" in text_of(result)
        assert nothing_sent(world)
        result = await client.call_tool("create_batch", rows | {"confirm": True})
        assert not result.is_error
    assert not nothing_sent(world)


async def test_every_bad_line_of_a_file_is_named(connect: Connect, world: World, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    good = json.dumps({"custom_id": "a", "body": request("x")})
    file.write_text(f"{good}\n\n{{not json\n[1, 2]\n")
    async with connect() as client:
        for tool in ("create_batch", "upload_file"):
            result = await client.call_tool(tool, {"file": str(file)})
            assert "line 3: it is not valid JSON; line 4: it is no JSON object" in text_of(result)
    assert nothing_sent(world)


async def test_more_than_a_hundred_megabytes_are_refused(connect: Connect, world: World) -> None:
    async with connect() as client:
        rows = [{"prompt": "x" * 11_000_000}] * 10
        result = await client.call_tool("create_batch", {"rows": rows})
        assert "110 MB" in text_of(result)
    assert nothing_sent(world)
