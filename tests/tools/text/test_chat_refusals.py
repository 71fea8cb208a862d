"""Chat where nothing comes or goes: Novita's faults, the limits on money, and bad input."""

from typing import Any

import anyio
import anyio.abc
import pytest
from novita_mcp.novita.core.costs import Caps
from novita_mcp.server.building import build_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.tools.kit.context import App

from ...building import quick
from ...conftest import Connect, structured, text_of
from .chats import CHAT, paid_requests


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
