"""Searching and reading the web, and the text resources, as a host meets them."""

import json
from decimal import Decimal
from typing import Any

import pytest
from mcp import Client
from novita_mcp.novita.core.costs import ceiling
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.text.state import LlmState

from ...building import quick
from ...conftest import Connect, structured, text_of


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
        ("read_web_pages", {"urls": ["ftp://example.com"]}, "urls[0] is no http or https link"),
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


# What nobody names a price for


async def spent(client: Client) -> dict[str, Any]:
    """The ledger's total."""
    (content,) = (await client.read_resource("novita://spend")).contents
    return json.loads(content.model_dump()["text"])["total"]


@pytest.mark.parametrize("provider", ["exa", "tavily"])
async def test_a_search_counts_once_and_every_page_read_counts(
    provider: str, connect: Connect, world: World, settings: Settings
) -> None:
    """The simulator too takes its price of the unlisted for a search and for a page: ours must not be below it."""
    assumed = ceiling("page")
    world.set(unlisted_price_usd=float(assumed))
    urls = [f"https://example.com/{n}" for n in range(7)]
    async with connect(toolsets="default,web") as client:
        found = structured(await client.call_tool("search_web", {"query": "foxes", "provider": provider}))
        assert (found["estimated_cost_usd"], Decimal(found["counted_usd"])) == ("unknown", assumed)
        assert Decimal((await spent(client))["usd"]) == assumed

        read = structured(await client.call_tool("read_web_pages", {"urls": urls, "provider": provider}))
        assert (read["estimated_cost_usd"], Decimal(read["counted_usd"])) == ("unknown", 7 * assumed)
        total = await spent(client)
        assert (Decimal(total["usd"]), total["unpriced_calls"]) == (8 * assumed, 2)
    assert sum(charge.micro_usd for charge in world.charges) == 8 * assumed * 1_000_000


async def test_a_page_named_twice_is_read_and_counted_once(connect: Connect, world: World) -> None:
    urls = ["https://example.com/a", "https://example.com/b", "https://example.com/a"]
    async with connect(toolsets="web", unknown_price_usd=Decimal("0.05")) as client:
        read = structured(await client.call_tool("read_web_pages", {"urls": urls}))
    assert [page["url"] for page in read["pages"]] == urls[:2]
    assert read["counted_usd"] == "0.10"
    (sent,) = world.received("exa_contents")
    assert sent.body["urls"] == urls[:2]


async def test_pages_below_pages_count_too(connect: Connect, world: World) -> None:
    asked: dict[str, Any] = {"urls": ["https://example.com/a"], "options": {"subpages": 3}, "dry_run": True}
    async with connect(toolsets="web", unknown_price_usd=Decimal("0.05")) as client:
        assert structured(await client.call_tool("read_web_pages", asked))["counted_usd"] == "0.20"


async def test_many_pages_are_asked_about_and_held_to_the_caps(connect: Connect, world: World) -> None:
    """Ten pages at ten cents are not above a dollar, eleven are."""
    many = {"urls": [f"https://example.com/{n}" for n in range(11)]}
    limits: dict[str, Any] = {"confirm_above_usd": Decimal(1), "call_limit_usd": Decimal("1.05")}
    async with connect(toolsets="web", unknown_price_usd=Decimal("0.10"), **limits) as client:
        assert structured(await client.call_tool("read_web_pages", {"urls": many["urls"][:10]}))["pages"]
        first = structured(await client.call_tool("read_web_pages", many))
        assert first["status"] == "needs_confirmation"
        assert "11 pages" in first["next_step"]
        assert "$1.10" in first["next_step"]
        refused = await client.call_tool("read_web_pages", {**many, "confirm": True})
        assert refused.is_error
        assert "cap per call" in text_of(refused)
    assert world.count("exa_contents") == 1


async def test_models_and_batches_can_be_read_as_resources(connect: Connect, world: World) -> None:
    async def read(address: str) -> Any:
        (content,) = (await client.read_resource(address)).contents
        return json.loads(content.model_dump()["text"])

    world.area(LlmState).knobs.answer_tokens = 3
    async with connect() as client:
        models = await read("novita://models/llm")
        assert "deepseek/deepseek-v3.2" in [model["id"] for model in models]
        assert (await read("novita://models/llm/deepseek/deepseek-v3.2"))["context"] == 163840
        rows = [{"prompt": "x", "max_tokens": 5, "enable_thinking": False}]
        made = structured(await client.call_tool("create_batch", {"rows": rows}))
        assert (await read(f"novita://batches/{made['batch_id']}"))["completed"] == 1
