"""Searches and pages as they may come: scores that are none, rows that are none, errors with status 200."""

import json
from typing import Any

from novita_mcp.simulator.core.world import World

from ...conftest import Connect, structured, text_of

Json = dict[str, Any]
A, B = "https://example.com/a", "https://example.com/b"


def answer(world: World, operation: str, body: Any) -> None:
    said = body if isinstance(body, str) else json.dumps(body)
    world.trouble({"status": 200, "body": said}, operation=operation)


async def test_scores_and_texts_of_other_types_do_not_break_a_search(connect: Connect, world: World) -> None:
    rows = (
        '[null, {"url": null}, {"url": 7}, {"url": "' + A + '", "score": NaN, "title": null, "highlights": [null, 1]},'
        '{"url": "' + B + '", "score": "0.5", "title": 7, "text": {"x": 1}, "publishedDate": 5}]'
    )
    answer(world, "exa_search", f'{{"results": {rows}}}')
    async with connect(tools="search_web") as client:
        found = structured(await client.call_tool("search_web", {"query": "foxes"}))["results"]
    assert found == [
        {"url": A, "title": "", "snippet": ""},
        {"url": B, "title": "", "snippet": "", "score": 0.5},
    ]


async def test_an_error_with_200_is_an_error_of_search_and_reading(connect: Connect, world: World) -> None:
    bodies: list[tuple[Any, str]] = [
        ({"error": {"message": "overloaded today"}}, "overloaded today"),
        ({"detail": "overloaded today"}, "overloaded today"),
        ({"results": None}, "no results"),
        ({}, "no results"),
        ([], "no results"),
    ]
    async with connect(tools="search_web,read_web_pages") as client:
        for body, says in bodies:
            for operation, tool, asked in (
                ("exa_search", "search_web", {"query": "foxes"}),
                ("exa_contents", "read_web_pages", {"urls": [A]}),
            ):
                answer(world, operation, body)
                result = await client.call_tool(tool, asked)
                assert result.is_error, (tool, body)
                assert says in text_of(result), (tool, body)
                assert "may have been billed" in text_of(result), (tool, body)


async def test_a_page_without_text_is_not_read_and_pages_by_option_are_kept(connect: Connect, world: World) -> None:
    rows = [
        {"url": f"{A}/", "text": None},
        {"url": B, "text": "foxes"},
        {"url": f"{B}/deep", "text": "more foxes"},
        None,
    ]
    answer(world, "exa_contents", {"results": rows})
    async with connect(tools="read_web_pages") as client:
        asked = {"urls": [A, B], "options": {"subpages": 1}}
        pages = structured(await client.call_tool("read_web_pages", asked))["pages"]
    assert [(page["url"], page.get("text")) for page in pages] == [(A, None), (B, "foxes"), (f"{B}/deep", "more foxes")]
    assert "no text" in pages[0]["problem"]
