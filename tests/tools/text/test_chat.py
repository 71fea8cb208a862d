"""Chat and completion, as a host meets them: what answers hold, and where they go."""

import base64
import json
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.text.language_models import models
from novita_mcp.simulator.text.state import LlmState
from PIL import Image

from ...conftest import Connect, structured, text_of
from .chats import CHAT, SEEING, paid_requests


def picture() -> bytes:
    sink = BytesIO()
    Image.new("RGB", (64, 48), "red").save(sink, "PNG")
    return sink.getvalue()


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
