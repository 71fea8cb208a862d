"""What a batch's files really hold: a page, half a file, odd rows, answers that are none; each costs what it must."""

import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running
from novita_mcp.simulator.text.state import LlmState

from ...building import quick
from ...conftest import Connect, structured, text_of
from ...odd import OddNovita, Reply, serve_odd
from ...server.test_mcp_tasks import TaskHandle, Tasks, ask

Json = dict[str, Any]
BATCH = "/openai/v1/batches/"
MODEL = "deepseek/deepseek-v3.2"
ROWS: list[Json] = [{"custom_id": f"r{n}", "prompt": f"What is {n}?", "enable_thinking": False} for n in (1, 2, 3)]
JSONL = "application/octet-stream"


@pytest.fixture
def era() -> str:
    """How a file of Novita's is read does not depend on the protocol's era."""
    return "auto"


@pytest.fixture
def odd(simulator: Running) -> Generator[OddNovita]:
    with serve_odd(simulator.url) as server:
        yield server


@pytest.fixture(autouse=True)
def llm(world: World) -> LlmState:
    area = world.area(LlmState)
    area.knobs.answer_tokens = 6
    return area


async def start(client: Client, rows: list[Json] = ROWS) -> str:
    made = structured(await client.call_tool("create_batch", {"rows": rows, "model": MODEL}))
    return made["batch_id"]


async def look(client: Client, batch_id: str) -> CallToolResult:
    return await client.call_tool("get_batch", {"batch_id": batch_id, "wait_seconds": 0})


def saved(answer: Json, what: str = "results") -> list[Json]:
    (file,) = [file for file in answer["files"] if file["what"] == what]
    return [json.loads(line) for line in Path(file["path"]).read_text(encoding="utf-8").splitlines()]


def line(row: int, **choice: Any) -> Json:
    """A good line of the output file, or one with this choice."""
    message = {"role": "assistant", "content": f"answer {row}"}
    chosen = {"index": 0, "message": message, "finish_reason": "stop", **choice}
    return answered(row, {"choices": [chosen], "usage": {"prompt_tokens": 5, "completion_tokens": 5}, "model": MODEL})


def answered(row: int, body: Any, **fields: Any) -> Json:
    response = {"status_code": 200, "request_id": "x", "body": body, **fields}
    return {"id": f"b{row}", "custom_id": f"r{row}", "response": response, "error": None}


def jsonl(*rows: Any) -> bytes:
    return b"".join((row if isinstance(row, str) else json.dumps(row)).encode() + b"\n" for row in rows)


# Files that are not there yet

PAGES: dict[str, bytes] = {
    "a web page": b"<html><body>504 Gateway Time-out</body></html>",
    "a web page on many lines": b"<html>\n<body>\n504\n</body>\n</html>\n",
    "an error": b'{"error": {"message": "try again later"}}',
    "words": b"upstream connect error",
    "nothing": b"",
    "null": b"null\n",
    "half a line": jsonl(line(1), line(2)) + json.dumps(line(3)).encode()[:50],
    "a line too few": jsonl(line(1), line(2)),
}


@pytest.mark.parametrize("case", PAGES)
async def test_an_output_file_that_is_none_today_leaves_the_batch_open(
    case: str, connect: Connect, odd: OddNovita, llm: LlmState
) -> None:
    odd.plan("GET", "/openai/v1/files/*", Reply(PAGES[case], JSONL))
    async with connect(base_url=odd.url) as client:
        batch_id = await start(client)
        first = await look(client, batch_id)
        (row,) = structured(await client.call_tool("list_tasks", {}))["tasks"]
        assert first.is_error
        assert "call get_batch again" in text_of(first)
        assert row["state"] == "working"
        then = structured(await look(client, batch_id))
    assert (then["status"], then["completed"], then["total"]) == ("succeeded", 3, 3)


async def test_an_input_file_that_is_a_page_today_leaves_the_batch_open(
    connect: Connect, odd: OddNovita, llm: LlmState
) -> None:
    async with connect(base_url=odd.url) as client:
        batch_id = await start(client)
        (batch,) = llm.world.area(BatchState).batches.values()
        path = f"/openai/v1/files/{batch.input_file_id}/content"
        odd.plan("GET", path, Reply(b"<html>504</html>"))
        assert "input file" in text_of(await look(client, batch_id))
        assert structured(await look(client, batch_id))["completed"] == 3


NOT_YET: dict[str, Json] = {
    "null": {"output_file_id": None},
    "empty": {"output_file_id": ""},
    "no field": {"output_file_id": ...},
    "counts as text": {"output_file_id": None, "request_counts": {"total": "3", "completed": "3", "failed": "0"}},
    "no counts": {"output_file_id": None, "request_counts": None, "total": None, "completed": None, "failed": None},
}


@pytest.mark.parametrize("case", NOT_YET)
async def test_completed_without_an_output_file_is_still_working(
    case: str, connect: Connect, odd: OddNovita, simulator: Running
) -> None:
    async with connect(base_url=odd.url) as client:
        batch_id = await start(client)
        told = structured(await client.call_tool("get_batch", {"batch_id": batch_id, "wait_seconds": 0}))
        assert told["completed"] == 3
    body = await batch_as_told(simulator, batch_id)
    body |= NOT_YET[case] | {"error_file_id": None}
    body = {name: value for name, value in body.items() if value is not ...}
    odd.plan("GET", BATCH + batch_id, Reply(json.dumps(body).encode()))
    async with connect(base_url=odd.url, journal="off") as client:
        first = structured(await look(client, batch_id))
        assert first["status"] == "working"
        assert "no output file yet" in first["next_step"]
        assert structured(await look(client, batch_id))["completed"] == 3


async def batch_as_told(simulator: Running, batch_id: str) -> Json:
    import httpx
    from novita_mcp.simulator.core.world import DEFAULT_KEY

    async with httpx.AsyncClient(trust_env=False) as http:
        headers = {"Authorization": f"Bearer {DEFAULT_KEY}"}
        return (await http.get(f"{simulator.url}{BATCH}{batch_id}", headers=headers)).json()


async def test_an_mcp_task_goes_on_while_the_output_cannot_be_read(
    settings: Settings, odd: OddNovita, llm: LlmState
) -> None:
    from dataclasses import replace

    odd.plan("GET", "/openai/v1/files/*", Reply(PAGES["a web page"]))
    async with Client(create_app(replace(settings, base_url=odd.url)), extensions=[Tasks()]) as client:
        await client.list_tools()
        asked = {"rows": ROWS, "model": MODEL}
        handle = await client.session.call_tool("create_batch", asked, allow_claimed=True)
        assert isinstance(handle, TaskHandle)
        assert (await ask(client, "tasks/get", handle.task_id)).status == "working"
        done = await ask(client, "tasks/get", handle.task_id)
        assert done.status == "completed"
        assert done.result is not None
        assert structured(done.result)["completed"] == 3


# Rows that are odd

THOUGHT = {"role": "assistant", "content": None, "reasoning_content": "Hm."}
CUT: Json = {"message": THOUGHT, "finish_reason": "length"}
HALF: Json = {"message": {"content": "A be"}, "finish_reason": "length"}
OK = "ok"
ODD_ROWS: dict[str, tuple[Any, str, str]] = {
    "a choice of null": (answered(3, {"choices": [None]}), "empty", "nothing in it"),
    "choices of null": (answered(3, {"choices": None}), "empty", "nothing in it"),
    "no choices": (answered(3, {"choices": []}), "empty", "nothing in it"),
    "a message of null": (line(3, message=None), "empty", "nothing in it"),
    "empty content": (line(3, message={"content": ""}), "empty", "nothing in it"),
    "thoughts alone": (line(3, **CUT), "cut", "still thinking"),
    "thoughts alone, as a tag": (line(3, message={"content": "<think>Hm."}), "empty", "thought and gave no answer"),
    "cut by its length": (line(3, **HALF), "cut", "max_tokens"),
    "cut, by another name": (line(3, message={"content": "A be"}, finish_reason="MAX_TOKENS"), "cut", "max_tokens"),
    "a call of nothing": (
        line(3, message={"content": None, "tool_calls": [{"id": "c", "function": {"arguments": "{}"}}]}),
        "empty",
        "names no function",
    ),
    "a refusal": (line(3, message={"refusal": "No."}), "refused", "declined"),
    "the content check": (line(3, finish_reason="content_filter"), "refused", "declined"),
    "an error": ({"custom_id": "r3", "response": None, "error": {"code": 400, "message": "bad"}}, "failed", "bad"),
    "an error as text": ({"custom_id": "r3", "response": None, "error": "bad"}, "failed", "bad"),
    "an error as an answer": (answered(3, {"error": {"message": "bad"}}), "failed", "bad"),
    "a message as an answer": (answered(3, {"code": 400, "message": "bad"}), "failed", "bad"),
    "a status as text": (answered(3, {"message": "bad"}, status_code="429"), "failed", "bad"),
    "a response of null": ({"custom_id": "r3", "response": None, "error": None}, "failed", "empty"),
    "a response as text": ({"custom_id": "r3", "response": "bad gateway"}, "failed", "empty"),
    "a body as words": (answered(3, "bad gateway"), "failed", "bad gateway"),
    "no JSON": ("not JSON at all", "missing", "no answer"),
    "a list": ([1, 2], "missing", "no answer"),
    "an error that says nothing": ({**line(3), "error": {"code": None, "message": None}}, OK, "answer 3"),
    "content as parts": (line(3, message={"content": [{"type": "text", "text": "answer 3"}]}), OK, "answer 3"),
    "a body as text": (answered(3, json.dumps(line(3)["response"]["body"])), OK, "answer 3"),
    "a number of NaN": (json.dumps(line(3, logprobs=[0])).replace("[0]", "[NaN]"), OK, "answer 3"),
    "half an emoji": (line(3, message={"content": "answer 3 \ud83d"}), OK, "answer 3 \ufffd"),
    "a call in place of text": (
        line(3, message={"content": None, "tool_calls": [{"name": "f", "arguments": {"x": 1}}]}),
        OK,
        "",
    ),
}


async def test_one_odd_row_costs_one_row_and_is_told_for_what_it_is(
    connect: Connect, odd: OddNovita, world: World, tmp_path: Path
) -> None:
    async with connect(base_url=odd.url, build=quick) as client:
        for number, (case, (row, status, says)) in enumerate(ODD_ROWS.items()):
            odd.plans.clear()
            rows = [{**one, "prompt": f"case {number}: {one['prompt']}"} for one in ROWS]
            batch_id = await start(client, rows)
            batch = world.area(BatchState).batches[batch_id]
            content = world.area(BatchState).files[batch.input_file_id].content
            odd.plan("GET", f"/openai/v1/files/{batch.input_file_id}/content", Reply(content))
            odd.plan("GET", "/openai/v1/files/*", Reply(jsonl(line(1), line(2), row), JSONL))
            answer = structured(await look(client, batch_id))
            third = saved(answer)[2]
            assert third["status"] == status, case
            assert says in str(third.get("text") if status == OK else third["error"]), case
            assert [one["status"] for one in saved(answer)[:2]] == [OK, OK], case
            if status == OK:
                assert (answer["status"], answer["completed"], answer["failed"]) == ("succeeded", 3, 0), case
            else:
                assert (answer["status"], answer["completed"], answer["failed"]) == ("incomplete", 2, 1), case
                assert answer["why"] == {status: 1}, case
                assert [one["custom_id"] for one in saved(answer, "failed rows")] == ["r3"], case
                assert answer["first_rows"][2]["status"] == status, case


async def test_the_headline_says_what_became_of_the_rows(connect: Connect, odd: OddNovita, world: World) -> None:
    content = jsonl(line(1), line(2, **HALF), line(3, message=None))
    async with connect(base_url=odd.url) as client:
        batch_id = await start(client)
        planned(odd, world, content)
        result = await look(client, batch_id)
    assert text_of(result).startswith("1 of 3 rows answered, 1 cut by their length, 1 without an answer in it.")
    answer = structured(result)
    assert answer["why"] == {"cut": 1, "empty": 1}
    assert "more max_tokens" in answer["next_step"]
    assert saved(answer)[1]["text"] == "A be"  # what came is kept


def planned(odd: OddNovita, world: World, content: bytes, inputs: Callable[[bytes], bytes] = bytes) -> None:
    """Let the only batch's files hold this."""
    (batch,) = world.area(BatchState).batches.values()
    asked = world.area(BatchState).files[batch.input_file_id].content
    odd.plan("GET", f"/openai/v1/files/{batch.input_file_id}/content", Reply(inputs(asked), JSONL))
    odd.plan("GET", "/openai/v1/files/*", Reply(content, JSONL))


BOM = b"\xef\xbb\xbf"
FILES: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "a byte order mark in the input": (lambda asked: BOM + asked, bytes),
    "a byte order mark in the output": (bytes, lambda made: BOM + made),
    "line ends of Windows": (lambda asked: asked.replace(b"\n", b"\r\n"), lambda made: made.replace(b"\n", b"\r\n")),
    "blank lines": (lambda asked: b"\n" + asked.replace(b"\n", b"\n \n"), lambda made: b"\n\n" + made),
    "no last line end": (lambda asked: asked.rstrip(), lambda made: made.rstrip()),
    "out of order": (bytes, lambda made: b"".join(reversed(made.splitlines(keepends=True)))),
    "one list": (bytes, lambda made: b"[\n" + b",\n".join(made.splitlines()) + b"\n]\n"),
}


@pytest.mark.parametrize("case", FILES)
async def test_every_row_is_found_however_its_file_is_written(
    case: str, connect: Connect, odd: OddNovita, world: World
) -> None:
    inputs, outputs = FILES[case]
    async with connect(base_url=odd.url) as client:
        batch_id = await start(client)
        planned(odd, world, outputs(jsonl(line(1), line(2), line(3))), inputs)
        answer = structured(await look(client, batch_id))
    assert (answer["status"], answer["completed"]) == ("succeeded", 3)
    assert [row["text"] for row in saved(answer)] == ["answer 1", "answer 2", "answer 3"]
    assert [row["input"] for row in saved(answer)] == [row["prompt"] for row in ROWS]


async def test_thoughts_are_apart_in_batch_answers_too(connect: Connect, odd: OddNovita, world: World) -> None:
    content = jsonl(
        line(1, message={"content": "<think>Hm.</think>\n\nOne."}),
        line(2, message={"content": "Hm.\n</think>\n\nTwo."}),
        line(3, message={"content": "Three.", "reasoning": "Hm."}),
    )
    async with connect(base_url=odd.url) as client:
        batch_id = await start(client)
        planned(odd, world, content)
        answer = structured(await look(client, batch_id))
    assert [(row["text"], row["reasoning"]) for row in saved(answer)] == [
        ("One.", "Hm."),
        ("Two.", "Hm."),
        ("Three.", "Hm."),
    ]


async def test_answers_that_nobody_asked_for_and_answers_that_come_twice_are_kept_apart(
    connect: Connect, odd: OddNovita, world: World
) -> None:
    failed = {"custom_id": "r2", "response": None, "error": {"message": "first try"}}
    stranger = {**line(7), "custom_id": "nobody"}
    async with connect(base_url=odd.url) as client:
        batch_id = await start(client)
        planned(odd, world, jsonl(stranger, failed, line(1), line(2), line(3)))
        answer = structured(await look(client, batch_id))
    rows = saved(answer)
    assert (answer["completed"], answer["total"]) == (3, 3)
    assert [row["status"] for row in rows[:3]] == [OK] * 3
    assert ("nobody", "answer 7") in [(row["custom_id"], row.get("text")) for row in rows[3:]]
    assert all("no row of the input" in row["note"] for row in rows[3:] if row["custom_id"] == "nobody")


async def test_a_batch_without_its_input_keeps_the_order_of_its_answers(
    connect: Connect, odd: OddNovita, world: World, tmp_path: Path
) -> None:
    async with connect(base_url=odd.url) as client:
        batch_id = await start(client)
        (batch,) = world.area(BatchState).batches.values()
        gone = Reply(b'{"message": "no such file"}', status=404)
        odd.plan("GET", f"/openai/v1/files/{batch.input_file_id}/content", gone)
        odd.plan("GET", "/openai/v1/files/*", Reply(jsonl(line(3), line(1), line(2, **HALF)), JSONL))
        answer = structured(await look(client, batch_id))
    assert [(row["custom_id"], row["status"]) for row in saved(answer)] == [("r3", OK), ("r1", OK), ("r2", "cut")]
    assert [file["what"] for file in answer["files"]] == ["results", "table"]


async def test_lists_leave_out_what_has_no_id(connect: Connect, odd: OddNovita) -> None:
    rows = [None, {"id": None}, {"id": "batch_1", "status": "Completed", "created_at": "1764000000"}, 7]
    files = [None, {"filename": "x"}, {"id": "file_1", "bytes": "12", "created_at": 1764000000000}]
    odd.plan("GET", "/openai/v1/batches", Reply(json.dumps({"data": rows}).encode()))
    odd.plan("GET", "/openai/v1/files", Reply(json.dumps({"data": files}).encode()))
    async with connect(base_url=odd.url) as client:
        (batch,) = structured(await client.call_tool("list_batches", {}))["batches"]
        (file,) = structured(await client.call_tool("list_files", {}))["files"]
    assert (batch["batch_id"], batch["state"], batch["created"][:10]) == ("batch_1", "completed", "2025-11-24")
    assert (file["file_id"], file["bytes"], file["created"][:10]) == ("file_1", 12, "2025-11-24")


@pytest.mark.parametrize("body", ["", "null", "{}", '{"id": null}', "[]"])
async def test_a_creation_that_was_answered_with_nothing_is_found_in_the_list(
    body: str, connect: Connect, world: World
) -> None:
    world.trouble({"status": 200, "body": body, "handled": True}, operation="create_batch")
    async with connect() as client:
        batch_id = await start(client)
        assert structured(await look(client, batch_id))["completed"] == 3
    assert list(world.area(BatchState).batches) == [batch_id]
