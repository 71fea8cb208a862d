"""Chat and completion, as a host meets them: answers, broken streams, money, and what is refused."""

import base64
import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
from mcp import Client
from mcp_types import CallToolResult
from novita_mcp.novita.core.costs import Caps
from novita_mcp.server.building import build_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.text.language_models import models
from novita_mcp.simulator.text.state import LlmState, StreamRecord
from novita_mcp.tools.kit.context import App
from PIL import Image

from ...building import quick
from ...conftest import Connect, text_of

CHAT = "create_chat_completion"
EMBED = "create_embeddings"
SPENDING = (CHAT, "create_completion", EMBED, "create_rerank")
SEEING = "qwen/qwen3-vl-30b-a3b-instruct"
HOUR = 3600


def structured(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


@pytest.fixture
def llm(world: World) -> LlmState:
    return world.area(LlmState)


def impatient(settings: Settings, background: anyio.abc.TaskGroup) -> App:
    """A server that gives up on a silent stream after a third of a second."""
    app = build_app(settings, background)
    app.settings = replace(app.settings, longest_silence=0.3)
    return app


def paid_requests(world: World) -> int:
    return sum(world.count(name) for name in SPENDING)


def picture() -> bytes:
    sink = BytesIO()
    Image.new("RGB", (64, 48), "red").save(sink, "PNG")
    return sink.getvalue()


# Answers


async def test_a_question_is_answered_with_its_thoughts_apart_and_its_price(connect: Connect, world: World) -> None:
    async with connect() as client:
        answer = structured(await client.call_tool("chat", {"prompt": "Tell me about red foxes"}))

    assert answer["status"] == "succeeded"
    assert answer["model"] == "deepseek/deepseek-v4.1-flash"
    assert "foxes" in answer["text"]
    assert answer["reasoning"] not in answer["text"]
    assert answer["finish_reason"] == "stop"
    assert answer["usage"]["counted_by"] == "novita"
    (charge,) = world.charges
    assert math.ceil(float(answer["cost_usd"]) * 1e6) == charge.micro_usd


async def test_thinking_can_be_switched_off_and_a_conversation_be_given(connect: Connect, world: World) -> None:
    messages = [
        {"role": "user", "content": "My name is Ida."},
        {"role": "assistant", "content": "Hello Ida."},
        {"role": "user", "content": "What is my name?"},
    ]
    async with connect() as client:
        arguments = {
            "messages": messages,
            "system": "Be brief.",
            "thinking": False,
            "options": {"seed": 3},
            "temperature": 0.2,
        }
        answer = structured(await client.call_tool("chat", arguments))

    assert "reasoning" not in answer
    (sent,) = world.received(CHAT)
    assert sent.body["messages"] == [{"role": "system", "content": "Be brief."}, *messages]
    assert sent.body["enable_thinking"] is False
    assert (sent.body["seed"], sent.body["temperature"], sent.body["max_tokens"]) == (3, 0.2, 16384)
    assert sent.body["stream"] is True


async def test_reasoning_written_into_the_answer_is_parted_from_it(connect: Connect, llm: LlmState) -> None:
    llm.say("<think>\nHm, foxes.\n</think>\n\nFoxes are red.")
    async with connect() as client:
        answer = structured(await client.call_tool("chat", {"prompt": "Foxes?"}))
    assert (answer["text"], answer["reasoning"]) == ("Foxes are red.", "Hm, foxes.")


async def test_tools_are_passed_through_and_calls_come_back_as_data(connect: Connect) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    async with connect() as client:
        arguments = {
            "prompt": "What is the weather in Paris?",
            "tools": [{"name": "weather", "parameters": parameters}],
        }
        answer = structured(await client.call_tool("chat", arguments))
        assert answer["finish_reason"] == "tool_calls"
        (wanted,) = answer["tool_calls"]
        assert (wanted["name"], wanted["arguments"]) == ("weather", {"city": "Paris"})

        function = {"name": "weather", "arguments": json.dumps(wanted["arguments"])}
        turns: list[dict[str, Any]] = [
            {"role": "user", "content": "What is the weather in Paris?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": wanted["id"], "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": wanted["id"], "content": "17 degrees"},
        ]
        said = structured(await client.call_tool("chat", {"messages": turns, "tools": arguments["tools"]}))
    assert "17 degrees" in said["text"]


async def test_an_answer_is_held_to_a_schema_and_parsed(connect: Connect, llm: LlmState) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    }
    async with connect() as client:
        asked: dict[str, Any] = {"prompt": "Plan a trip", "response_schema": schema}
        answer = structured(await client.call_tool("chat", asked))
        assert isinstance(answer["parsed"]["days"], int)

        llm.say('{"city": "Oslo"}')
        answer = structured(await client.call_tool("chat", asked))
        assert answer["status"] == "incomplete"
        assert "days" in answer["trouble"]
        assert answer["text"] == '{"city": "Oslo"}'


@pytest.mark.parametrize("how", ["path", "data", "images"])
async def test_a_picture_is_seen_however_it_is_given(how: str, connect: Connect, world: World, tmp_path: Path) -> None:
    file = tmp_path / "red.png"
    file.write_bytes(picture())
    reference = str(file)
    if how == "data":
        reference = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    part = {"type": "image", "url": reference}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]
    asked: dict[str, Any] = (
        {"prompt": "What is this?", "images": [reference]} if how == "images" else {"messages": messages}
    )
    async with connect() as client:
        answer = structured(await client.call_tool("chat", asked))
    assert answer["model"] == "qwen/qwen3.8-flash"  # picked because it sees
    (sent,) = world.received(CHAT)
    text, image = sent.body["messages"][0]["content"]
    assert text["text"] == "What is this?"
    assert image["image_url"]["url"].startswith("data:image/png;base64,")


async def test_an_earlier_picture_is_named_by_its_task(connect: Connect, world: World) -> None:
    async with connect() as client:
        made = structured(await client.call_tool("generate_image", {"prompt": "a fox"}))
        asked = {"prompt": "What is it?", "images": [f"task:{made['task_id']}/0"], "model": SEEING}
        assert structured(await client.call_tool("chat", asked))["status"] == "succeeded"
    (sent,) = world.received(CHAT)
    assert sent.body["messages"][0]["content"][1]["type"] == "image_url"


async def test_several_answers_and_log_probabilities_can_be_had(connect: Connect, llm: LlmState) -> None:
    llm.knobs.answer_tokens = 8
    async with connect() as client:
        options = {"n": 3, "logprobs": True, "top_logprobs": 2, "enable_thinking": False}
        answer = structured(await client.call_tool("chat", {"prompt": "Foxes?", "options": options}))
    assert len(answer["other_answers"]) == 2
    assert answer["logprobs"] or any("probabilities" in file["what"] for file in answer["files"])


async def test_a_long_answer_becomes_a_file_with_its_first_part_shown(connect: Connect, llm: LlmState) -> None:
    whole = "A line about foxes.\n" * 4_000
    llm.say(whole)
    async with connect() as client:
        result = await client.call_tool("chat", {"prompt": "Everything about foxes", "max_tokens": 60_000})
    answer = structured(result)
    assert len(text_of(result)) < 28_000
    assert answer["text"].startswith("A line about foxes.")
    (file,) = answer["files"]
    assert Path(file["path"]).read_text() == whole


async def test_an_answer_is_saved_where_it_is_wanted(connect: Connect, tmp_path: Path) -> None:
    place = tmp_path / "answers" / "fox.md"
    async with connect() as client:
        answer = structured(await client.call_tool("chat", {"prompt": "Foxes?", "save_to": str(place)}))
    assert place.read_text() == answer["text"]


async def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(connect: Connect, world: World) -> None:
    async with connect() as client:
        answer = structured(await client.call_tool("chat", {"prompt": "Foxes?", "dry_run": True}))
    assert answer["status"] == "dry_run"
    assert float(answer["estimated_cost_usd"]) > 0
    assert paid_requests(world) == 0


async def test_letters_that_look_like_line_ends_stay_in_the_answer(connect: Connect, llm: LlmState) -> None:
    said = "one\u2028two\x85three\x0bfour"
    llm.say(said)
    async with connect() as client:
        assert structured(await client.call_tool("chat", {"prompt": "Say it"}))["text"] == said


async def test_a_text_is_continued(connect: Connect, world: World) -> None:
    async with connect() as client:
        answer = structured(await client.call_tool("complete_text", {"prompt": "Once upon", "max_tokens": 12}))
        assert answer["finish_reason"] == "length"
        assert "max_tokens" in answer["next_step"]
        best = {"prompt": "Once upon", "max_tokens": 12, "options": {"best_of": 3}}
        assert structured(await client.call_tool("complete_text", best))["text"]
    assert [sent.body.get("stream") for sent in world.received("create_completion")] == [True, None]


# Streams in trouble

BROKEN: dict[str, dict[str, Any]] = {
    "cut": {"kind": "cut", "after": 30},
    "ended without an end": {"kind": "end", "after": 30},
    "an error event": {"kind": "error", "after": 30, "error": "SERVICE_NOT_AVAILABLE"},
    "an error event like OpenAI's": {"kind": "error", "after": 30, "openai_shape": True},
    "silence": {"kind": "silence", "after": 30, "seconds": HOUR},
}


@pytest.mark.parametrize("trouble", BROKEN)
async def test_a_stream_that_breaks_off_keeps_what_had_come(
    trouble: str, connect: Connect, world: World, llm: LlmState
) -> None:
    llm.disturb(**BROKEN[trouble])
    async with connect(build=impatient) as client:
        asked = {"prompt": "Tell me about foxes", "thinking": False}
        result = await client.call_tool("chat", asked)
        answer = structured(result)
        whole = structured(await client.call_tool("chat", asked))["text"]
        tasks = structured(await client.call_tool("list_tasks", {}))["tasks"]

    assert answer["status"] == "incomplete"
    assert answer["trouble"]
    assert answer["text"]
    assert whole.startswith(answer["text"])
    assert answer["text"] != whole
    assert "paid" in answer["next_step"]
    assert answer["usage"]["counted_by"] == "estimate"
    assert tasks[1]["state"] == "failed"
    assert world.count(CHAT) == 2  # the broken one was not repeated


async def test_a_garbled_piece_is_left_out_and_said(connect: Connect, llm: LlmState) -> None:
    llm.disturb("garbage", after=5)
    async with connect() as client:
        asked = {"prompt": "Tell me about foxes", "thinking": False}
        answer = structured(await client.call_tool("chat", asked))
        whole = structured(await client.call_tool("chat", asked))
    assert answer["text"] == whole["text"]
    assert "1 unreadable piece" in answer["trouble"]


async def test_a_stream_that_brings_nothing_is_an_error(connect: Connect, llm: LlmState) -> None:
    llm.disturb("error", after=0)
    async with connect() as client:
        result = await client.call_tool("chat", {"prompt": "Foxes?"})
        assert result.is_error
        assert "may have been billed" in text_of(result)
        (row,) = structured(await client.call_tool("list_tasks", {}))["tasks"]
    assert row["state"] == "unconfirmed"


async def test_a_cancelled_answer_stops_costing_and_its_beginning_is_kept(
    connect: Connect, world: World, llm: LlmState
) -> None:
    """The next token is an hour away: only a closed connection can end this stream. Issue: within 0.2 s."""
    delays: list[float] = []
    async with connect() as client:
        for _ in range(3):  # the best of three, for machines that have much to do
            llm.disturb("silence", after=4, seconds=HOUR)
            record = await left_in_the_middle(client, llm, len(llm.streams))
            delays.append(record[0])
            assert record[1].state == "cancelled"
        with anyio.fail_after(20):
            while True:
                tasks = structured(await client.call_tool("list_tasks", {}))["tasks"]
                if all(row["state"] != "submitting" for row in tasks):
                    break
    assert min(delays) < 0.2
    assert [row["state"] for row in tasks] == ["cancelled"] * 3
    assert "Cancelled" in tasks[0]["reason"]
    (kept,) = tasks[0]["files"]
    assert Path(kept).read_text()
    assert len(world.charges) == 3
    assert all(charge.micro_usd < 50 for charge in world.charges)


async def left_in_the_middle(client: Client, llm: LlmState, number: int) -> tuple[float, StreamRecord]:
    """Cancel a call once a few tokens have come; how long the simulator took to see it, and its record."""
    left = 0.0
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "chat", {"prompt": "Tell me about foxes", "thinking": False})
            with anyio.fail_after(20):
                while len(llm.streams) <= number or llm.streams[number].events < 4:
                    await anyio.sleep(0.005)
            await anyio.sleep(0.05)  # the tokens are on their way to the server
            left = time.monotonic()
            scope.cancel()
    record = llm.streams[number]
    with anyio.fail_after(20):
        while record.ended is None:
            await anyio.sleep(0.005)
    return record.ended - left, record


async def test_progress_comes_at_once_and_says_what_the_model_does(connect: Connect, llm: LlmState) -> None:
    heard: list[str] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    async with connect() as client:
        await client.call_tool("chat", {"prompt": "Tell me about foxes"}, progress_callback=listen)
    assert "preparing" in heard[0]
    assert any("thinking" in line for line in heard)
    assert any("writing" in line for line in heard)


# Faults and money


@pytest.mark.parametrize("fault", [{"status": 502}, {"reset": "after"}, {"cut": 10}], ids=["502", "reset", "cut"])
async def test_a_question_that_may_have_been_paid_is_never_asked_twice(
    fault: dict[str, Any], connect: Connect, world: World
) -> None:
    world.trouble(fault, operation=CHAT)
    async with connect(build=quick) as client:
        result = await client.call_tool("chat", {"prompt": "Foxes?"})
        assert result.is_error
        assert "may have been billed" in text_of(result)
    assert world.count(CHAT) == 1


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_a_fault_that_novita_does_not_charge_gives_its_share_back(
    status: int, connect: Connect, world: World
) -> None:
    world.trouble({"status": status}, operation=CHAT)
    async with connect(build=quick) as client:
        result = await client.call_tool("chat", {"prompt": "Foxes?"})
        assert "Nothing was billed" in text_of(result)
        (row,) = structured(await client.call_tool("list_tasks", {}))["tasks"]
    assert row["state"] == "refused"
    assert world.count(CHAT) == 1


async def test_a_question_turned_away_by_the_limiter_is_asked_again(connect: Connect, world: World) -> None:
    world.trouble({"error": "RATE_LIMIT_EXCEEDED", "group": "llm", "retry_after": 1}, operation=CHAT, times=2)
    async with connect(build=quick) as client:
        assert structured(await client.call_tool("chat", {"prompt": "Foxes?"}))["status"] == "succeeded"
    assert world.count(CHAT, "accepted") == 1


async def test_a_model_list_that_is_away_does_not_stop_a_question(connect: Connect, world: World) -> None:
    world.trouble({"status": 503}, operation="list_models", times=-1)
    async with connect(build=quick) as client:
        answer = structured(await client.call_tool("chat", {"prompt": "Foxes?"}))
        assert answer["cost_usd"] == "unknown"
        result = await client.call_tool("chat", {"prompt": "Foxes?", "model": "no/such"})
        assert "MODEL_NOT_FOUND" in text_of(result)


async def test_a_cap_stops_a_question_and_a_dear_one_asks_first(connect: Connect, world: World) -> None:
    def capped(settings: Settings, background: anyio.abc.TaskGroup) -> App:
        app = build_app(settings, background)
        app.jobs.caps = Caps(per_call=app.settings.confirm_above_usd / 100_000)
        return app

    async with connect(build=capped) as client:
        result = await client.call_tool("chat", {"prompt": "Foxes?", "max_tokens": 60_000})
        assert "cap per call" in text_of(result)
    async with connect(confirm_above_usd=0) as client:
        answer = structured(await client.call_tool("chat", {"prompt": "Foxes?"}))
        assert answer["status"] == "needs_confirmation"
        assert paid_requests(world) == 0
        assert structured(await client.call_tool("chat", {"prompt": "Foxes?", "confirm": True}))["text"]


# Bad input: nothing sent

SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "no prompt": ("chat", {}, "nothing to answer"),
    "empty messages": ("chat", {"messages": []}, "nothing to answer"),
    "a blank prompt": ("chat", {"prompt": "  "}, "nothing to answer"),
    "an unknown role": ("chat", {"messages": [{"role": "developer", "content": "x"}]}, "messages[0].role"),
    "an unknown part": ("chat", {"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "content[0]"),
    "a picture for the blind": (
        "chat",
        {"prompt": "x", "model": "deepseek/deepseek-v3.2", "images": ["https://example.com/a.png"]},
        "qwen/qwen3.8-flash",
    ),
    "a missing picture": ("chat", {"prompt": "x", "images": ["nowhere.png"]}, "nowhere.png"),
    "too many answers": ("chat", {"prompt": "x", "options": {"n": 300}}, "n must be 1 to 128"),
    "an unknown option": ("chat", {"prompt": "x", "options": {"top_pee": 1}}, "top_p"),
    "an option that is ours": ("chat", {"prompt": "x", "options": {"stream": False}}, "always streamed"),
    "a hot temperature": ("chat", {"prompt": "x", "temperature": 3}, "temperature must be 0 to 2"),
    "no tokens": ("chat", {"prompt": "x", "max_tokens": 0}, "at least 1"),
    "too long an answer": ("chat", {"prompt": "x", "max_tokens": 900_000}, "at most 131,072"),
    "a schema of nothing": ("chat", {"prompt": "x", "response_schema": {"type": "objekt"}}, "no JSON schema"),
    "a schema of a list": ("chat", {"prompt": "x", "response_schema": {"type": "array"}}, "must describe an object"),
    "a tool without a name": ("chat", {"prompt": "x", "tools": [{"parameters": SCHEMA}]}, "tools[0]"),
    "tools for a model without": (
        "chat",
        {"prompt": "x", "model": "mistralai/mistral-nemo", "tools": [{"name": "f"}]},
        "does not support tools",
    ),
    "thoughts of one that has none": (
        "chat",
        {"prompt": "x", "model": "mistralai/mistral-nemo", "thinking": True},
        "does not support thinking",
    ),
    "more than it can hold": ("chat", {"prompt": "word " * 3_000_000}, "larger context"),
    "an embedding model asked": ("chat", {"prompt": "x", "model": "baai/bge-m3"}, "not served by chat"),
    "nothing to continue": ("complete_text", {"prompt": ""}, "prompt is empty"),
    "best of too few": ("complete_text", {"prompt": "x", "options": {"best_of": 2, "n": 2}}, "greater than"),
    "no texts": ("create_embeddings", {"texts": []}, "either texts or file"),
    "an empty text": ("create_embeddings", {"texts": ["a", " "]}, "texts[1] is empty"),
    "a chat model to embed": (
        "create_embeddings",
        {"texts": ["a"], "model": "deepseek/deepseek-v3.2"},
        "not served by embeddings",
    ),
    "no documents": ("rerank", {"query": "x", "documents": []}, "must not be empty"),
    "an empty document": ("rerank", {"query": "x", "documents": [""]}, "documents[0] is empty"),
    "a place to save outside": ("chat", {"prompt": "x", "save_to": "/etc/answer.txt"}, "outside the folders"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_named_and_nothing_is_sent(case: str, connect: Connect, world: World) -> None:
    tool, arguments, says = BAD[case]
    async with connect() as client:
        result = await client.call_tool(tool, arguments)
        assert result.is_error
        assert says in text_of(result)
    assert paid_requests(world) == 0


async def test_a_context_that_overflows_at_novita_says_what_to_do(connect: Connect, world: World) -> None:
    """Too long by its count, not by ours: 8,192 tokens at least, and fewer letters than surely would not fit."""
    async with connect() as client:
        result = await client.call_tool("chat", {"prompt": "fox " * 12_000, "model": "sao10k/l3-8b-lunaris"})
        assert result.is_error
        assert "min_context" in text_of(result)
        assert "Nothing was billed" in text_of(result)
    assert world.charges == []


async def test_over_http_long_answers_are_resources_and_paths_stay_private(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], llm: LlmState
) -> None:
    llm.say("A line about foxes.\n" * 2_000)
    async with connect_http() as client:
        answer = structured(await client.call_tool("chat", {"prompt": "Everything", "max_tokens": 60_000}))
        (file,) = answer["files"]
        assert "path" not in file
        read = await client.read_resource(file["uri"])
        assert base64.b64decode(read.contents[0].blob).startswith(b"A line about foxes.")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]


async def test_archived_models_are_neither_listed_nor_named_nor_chosen(connect: Connect, world: World) -> None:
    """Novita keeps what it has switched off on its list, with status 4."""
    gone = {name for name, model in models().items() if model.archived}
    assert {"qwen/qwen3-vl-8b-instruct", "zai-org/glm-4.5"} <= gone
    async with connect() as client:
        seen: set[str] = set()
        page: dict[str, Any] = {"total": 1}
        while len(seen) < page["total"]:
            page = structured(await client.call_tool("list_models", {"limit": 60, "offset": len(seen)}))
            seen |= {model["id"] for model in page["models"]}
        assert len(seen) > 90
        assert not seen & gone

        for name in gone:
            result = await client.call_tool("chat", {"prompt": "x", "model": name})
            said = text_of(result).partition("The nearest are:")[2]
            assert result.is_error
            assert "Nothing was billed" in text_of(result)
            assert not [other for other in gone if f"{other}," in f"{said.rstrip('.')},"], said
    assert not world.charges


async def test_novita_says_that_there_is_no_such_model_and_this_server_which_is_near(
    connect: Connect, world: World
) -> None:
    async with connect() as client:
        result = await client.call_tool("chat", {"prompt": "x", "model": "deepseek/deepsek-v3.2"})
        assert "The nearest are: deepseek/deepseek-v3.2" in text_of(result)
        assert "Nothing was billed" in text_of(result)
    assert not world.charges
