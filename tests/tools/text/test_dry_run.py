"""Rehearsed text and web calls, letter by letter against what then goes out; and what is asked before it does."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mcp_types import ElicitResult
from novita_mcp.simulator.core.world import Received, World

from ...building import quick
from ...conftest import Connect, structured, text_of
from ..media_things import picture

Json = dict[str, Any]


def sent(world: World) -> list[Received]:
    return [request for request in world.requests if request.method != "GET"]


LOOK: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

SHORT: dict[str, tuple[str, Json]] = {
    "a question": ("chat", {"prompt": "Foxes?"}),
    "a conversation": (
        "chat",
        {
            "messages": [{"role": "user", "content": f"Word {n}?"} for n in range(40)],
            "system": "Be brief.",
            "tools": [{"name": "look", "parameters": LOOK}],
            "thinking": False,
            "temperature": 0.2,
            "options": {"seed": 3},
        },
    ),
    "a shaped answer": ("chat", {"prompt": "Where?", "response_schema": LOOK}),
    "a beginning": ("complete_text", {"prompt": "Once upon a time", "max_tokens": 20}),
    "the best of three": ("complete_text", {"prompt": "Once", "max_tokens": 9, "options": {"best_of": 3}}),
    "texts": ("create_embeddings", {"texts": [f"fox {n}" for n in range(60)]}),
    "documents": ("rerank", {"query": "fox", "documents": ["a fox", "a dog"], "top_n": 1}),
    "a search": ("search_web", {"query": "foxes", "domains": ["docs.example.org"], "count": 3}),
    "another search": ("search_web", {"query": "foxes", "provider": "tavily"}),
    "pages": ("read_web_pages", {"urls": ["https://example.com/a", "https://example.com/b"]}),
    "pages of another": ("read_web_pages", {"urls": ["https://example.com/a"], "provider": "tavily"}),
}


@pytest.mark.parametrize("case", SHORT)
async def test_what_is_short_is_shown_exactly_as_it_goes_out(case: str, connect: Connect, world: World) -> None:
    tool, arguments = SHORT[case]
    async with connect(toolsets="default,web") as client:
        result = await client.call_tool(tool, {**arguments, "dry_run": True})
        shown = structured(result)
        assert shown["status"] == "dry_run"
        assert "Nothing was sent yet" in text_of(result)
        assert not sent(world)
        assert structured(await client.call_tool("list_tasks", {}))["tasks"] == []

        structured(await client.call_tool(tool, arguments))
        (real,) = sent(world)
    assert shown["request"] == {"method": real.method, "path": real.path, "body": real.body}


async def test_what_is_long_is_cut_and_says_so_where_it_is_cut(connect: Connect, world: World, tmp_path: Path) -> None:
    image = picture(tmp_path / "fox.png")
    turns: list[Json] = [{"role": "user", "content": f"{n}: " + "word " * 200} for n in range(300)]
    asked: Json = {"messages": turns, "prompt": "And this?", "images": [image]}
    async with connect() as client:
        result = await client.call_tool("chat", {**asked, "dry_run": True})
        body: Json = structured(result)["request"]["body"]
        assert len(text_of(result)) < 28_000
        structured(await client.call_tool("chat", asked))
        (real,) = sent(world)
    whole: list[Json] = real.body["messages"]
    assert len(whole) == 301
    *first, mark = body["messages"]
    assert mark == f"... ({301 - len(first)} more)"
    for shown, said in zip(first, whole, strict=False):
        begins, _, rest = str(shown["content"]).partition("... (")
        assert said["content"].startswith(begins)
        assert rest == f"{len(said['content']) - len(begins):,} more characters)"
    assert {**body, "messages": []} == {**real.body, "messages": []}


async def test_a_file_in_a_question_is_shown_by_its_beginning(connect: Connect, world: World, tmp_path: Path) -> None:
    asked: Json = {"prompt": "What is it?", "images": [picture(tmp_path / "fox.png")]}
    async with connect() as client:
        shown = structured(await client.call_tool("chat", {**asked, "dry_run": True}))
        structured(await client.call_tool("chat", asked))
        (real,) = sent(world)
    text, image = shown["request"]["body"]["messages"][0]["content"]
    said = real.body["messages"][0]["content"]
    assert text == said[0]
    begins, _, rest = image["image_url"]["url"].partition("... (")
    assert said[1]["image_url"]["url"].startswith(begins)
    assert begins.startswith("data:image/")
    assert rest.endswith("more characters)")


async def test_one_huge_tool_does_not_make_a_huge_answer(connect: Connect) -> None:
    properties = {f"field_{n}": {"type": "string", "description": "words " * 10} for n in range(2_000)}
    tools = [{"name": "look", "parameters": {"type": "object", "properties": properties}}]
    async with connect() as client:
        result = await client.call_tool("chat", {"prompt": "x", "tools": tools, "dry_run": True})
        body = structured(result)["request"]["body"]
    assert len(text_of(result)) < 28_000
    assert "more characters)" in json.dumps(body)


async def test_of_texts_in_parts_the_first_request_is_shown_and_all_are_counted(connect: Connect, world: World) -> None:
    texts = [f"text number {n}" for n in range(4_500)]
    async with connect() as client:
        shown = structured(await client.call_tool("create_embeddings", {"texts": texts, "dry_run": True}))
        assert not sent(world)
        done = structured(await client.call_tool("create_embeddings", {"texts": texts}))
    assert shown["requests"] == done["requests"] == len(sent(world)) == 3
    assert "3 requests" in shown["next_step"]
    assert "2,048 texts" in shown["next_step"]
    *first, mark = shown["request"]["body"]["input"]
    assert first == texts[: len(first)]
    assert mark == f"... ({2_048 - len(first):,} more)"
    # One price for all three, which their tokens then keep to: Novita counts fewer than we do beforehand.
    assert 0 < Decimal(done["cost_usd"]) <= Decimal(shown["estimated_cost_usd"])


async def test_a_dry_run_refuses_what_the_call_would_refuse(connect: Connect, world: World) -> None:
    wrong: list[tuple[str, Json, str]] = [
        ("complete_text", {"prompt": ""}, "prompt is empty"),
        ("create_embeddings", {"texts": ["a", " "]}, "texts[1] is empty"),
        ("rerank", {"query": "x", "documents": ["a"], "top_n": 0}, "top_n"),
        ("search_web", {"query": "x", "options": {"typ": "fast"}}, "type"),
        ("read_web_pages", {"urls": ["ftp://x"]}, "urls[0]"),
    ]
    async with connect(toolsets="default,web") as client:
        for tool, arguments, says in wrong:
            result = await client.call_tool(tool, {**arguments, "dry_run": True})
            assert result.is_error
            assert says in text_of(result)
    assert not sent(world)


# Asking first

DEAR: list[tuple[str, Json]] = [
    ("chat", {"prompt": "Foxes?"}),
    ("complete_text", {"prompt": "Once", "max_tokens": 100}),
    ("create_embeddings", {"texts": ["a fox"]}),
    ("rerank", {"query": "fox", "documents": ["a fox", "a dog"]}),
    ("create_batch", {"rows": [{"prompt": "a"}], "options": {"max_tokens": 50}}),
    ("search_web", {"query": "foxes"}),
    ("read_web_pages", {"urls": ["https://example.com/a"]}),
]


@pytest.mark.parametrize(("tool", "arguments"), DEAR, ids=[tool for tool, _ in DEAR])
async def test_what_is_dear_names_its_price_and_waits_for_a_yes(
    tool: str, arguments: Json, connect: Connect, world: World
) -> None:
    async with connect(toolsets="default,web", confirm_above_usd=Decimal(0)) as client:
        planned = structured(await client.call_tool(tool, {**arguments, "dry_run": True}))
        first = structured(await client.call_tool(tool, arguments))
        assert first["status"] == "needs_confirmation"
        assert first["estimated_cost_usd"] == planned["estimated_cost_usd"]
        assert "confirm=true" in first["next_step"]
        assert not sent(world)
        done = structured(await client.call_tool(tool, {**arguments, "confirm": True}))
    assert done.get("cost_usd") or done["estimated_cost_usd"] == planned["estimated_cost_usd"]
    assert sent(world)


@pytest.mark.parametrize(("tool", "arguments"), DEAR, ids=[tool for tool, _ in DEAR])
async def test_a_dry_run_of_what_is_dear_asks_nobody(
    tool: str, arguments: Json, connect: Connect, world: World
) -> None:
    asked: list[str] = []

    async def dialog(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="decline")

    user: Json = {"elicitation_callback": dialog}
    async with connect(client=user, toolsets="default,web", confirm_above_usd=Decimal(0)) as client:
        structured(await client.call_tool(tool, {**arguments, "dry_run": True}))
        assert asked == []
        refused = await client.call_tool(tool, arguments)
        assert refused.is_error
        assert "declined" in text_of(refused)
    assert len(asked) == 1
    assert "$" in asked[0]
    assert not sent(world)


async def test_without_a_price_list_a_dry_run_says_unknown(connect: Connect, world: World) -> None:
    world.trouble({"status": 503}, operation="list_models", times=-1)
    async with connect(build=quick) as client:
        shown = structured(await client.call_tool("rerank", {"query": "x", "documents": ["y"], "dry_run": True}))
        assert shown["estimated_cost_usd"] == "unknown"
        done = structured(await client.call_tool("rerank", {"query": "x", "documents": ["y"]}))
        assert done["cost_usd"] == "unknown"
