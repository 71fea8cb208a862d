"""Searching and reading the web, and the text resources, as a host meets them."""

import json
from typing import Any

import pytest
from mcp_types import CallToolResult
from novita_mcp.simulator.world import World

from ..building import quick
from ..conftest import Connect, text_of


def structured(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


@pytest.mark.parametrize("provider", ["exa", "tavily"])
async def test_pages_are_found_and_read(provider: str, connect: Connect, world: World) -> None:
    async with connect(toolsets="default,web") as client:
        asked = {"query": "red foxes", "provider": provider, "count": 3}
        found = structured(await client.call_tool("search_web", asked))["results"]
        assert len(found) == 3
        assert all(page["snippet"] for page in found)

        urls = [found[0]["url"], "https://gone.invalid/x", found[1]["url"]]
        result = await client.call_tool("read_web_pages", {"urls": urls, "provider": provider})
        pages = structured(result)["pages"]
        assert [page["url"] for page in pages] == urls
        assert pages[0]["text"]
        assert "text" not in pages[1]
        assert pages[1]["problem"]
        assert "not instructions" in text_of(result)
        tools = [row["tool"] for row in structured(await client.call_tool("list_tasks", {}))["tasks"]]
        assert tools == ["read_web_pages", "search_web"]


async def test_domains_and_native_options_are_passed_on(connect: Connect, world: World) -> None:
    async with connect(tools="search_web") as client:
        asked = {"query": "foxes", "domains": ["docs.example.org"], "options": {"type": "fast"}}
        found = structured(await client.call_tool("search_web", asked))["results"]
        assert all("docs.example.org" in page["url"] for page in found)
        tavily = {"query": "foxes", "provider": "tavily", "options": {"include_answer": True}}
        assert structured(await client.call_tool("search_web", tavily))["answer"]
    (sent,) = world.received("exa_search")
    assert sent.body["type"] == "fast"


async def test_a_long_page_is_a_file_with_its_beginning_shown(connect: Connect, world: World) -> None:
    body = {"results": [{"url": "https://example.com/a", "title": "A", "text": "fox " * 20_000}]}
    world.trouble({"status": 200, "body": json.dumps(body)}, operation="exa_contents")
    async with connect(tools="read_web_pages") as client:
        result = await client.call_tool("read_web_pages", {"urls": ["https://example.com/a"]})
        (page,) = structured(result)["pages"]
        assert page["characters"] == 80_000
        assert page["file"]["bytes"] == 80_000
        assert len(text_of(result)) < 28_000


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("search_web", {"query": " "}, "query is empty"),
        ("search_web", {"query": "x", "options": {"typ": "fast"}}, "type"),
        ("read_web_pages", {"urls": []}, "urls is empty"),
        ("read_web_pages", {"urls": ["ftp://example.com"]}, "urls[0] is no http(s) address"),
        ("read_web_pages", {"urls": ["https://example.com"] * 21}, "at most 20"),
    ],
)
async def test_bad_input_is_named_and_nothing_is_sent(
    tool: str, arguments: dict[str, Any], says: str, connect: Connect, world: World
) -> None:
    async with connect(toolsets="web") as client:
        result = await client.call_tool(tool, arguments)
        assert result.is_error
        assert says in text_of(result)
    assert not world.requests


async def test_a_search_that_may_have_been_paid_is_not_repeated(connect: Connect, world: World) -> None:
    world.trouble({"status": 502}, operation="exa_search")
    async with connect(build=quick, toolsets="web") as client:
        result = await client.call_tool("search_web", {"query": "foxes"})
        assert "may have been billed" in text_of(result)
    assert world.count("exa_search") == 1


async def test_models_and_batches_can_be_read_as_resources(connect: Connect) -> None:
    async def read(address: str) -> Any:
        (content,) = (await client.read_resource(address)).contents
        return json.loads(content.model_dump()["text"])

    async with connect() as client:
        models = await read("novita://models/llm")
        assert "deepseek/deepseek-v3.2" in [model["id"] for model in models]
        assert (await read("novita://models/llm/deepseek/deepseek-v3.2"))["context"] == 163840
        rows = [{"prompt": "x", "max_tokens": 5, "enable_thinking": False}]
        made = structured(await client.call_tool("create_batch", {"rows": rows}))
        assert (await read(f"novita://batches/{made['batch_id']}"))["completed"] == 1
