"""Where a host has no apps all stays as it is, and a page needs nothing that structuredContent lacks."""

import json
import re
from typing import Any

import pytest
from mcp.client.extension import ClientExtension
from novita_mcp.server.gallery.pages import MIME, SOURCES
from novita_mcp.tools import TOOLS

from ...conftest import Connect

Json = dict[str, Any]


class Apps(ClientExtension):
    """A host that shows pages."""

    identifier = "io.modelcontextprotocol/ui"

    def settings(self) -> Json:
        return {"mimeTypes": [MIME]}


async def test_a_host_with_apps_and_one_without_hear_the_same(connect: Connect) -> None:
    """Tools, their arguments and every answer: what differs is what a host makes of it."""
    told: list[list[Json]] = []
    async with connect() as plain, connect(client={"extensions": [Apps()]}) as shown:
        made = await plain.call_tool("generate_image", {"prompt": "a red fox", "count": 2})
        assert made.structured_content and not made.is_error
        calls: list[tuple[str, Json]] = [
            ("get_task", {"task_id": made.structured_content["task_id"]}),
            ("get_task", {"task_id": made.structured_content["task_id"], "wait_seconds": 0}),
            ("list_tasks", {}),
            ("generate_image", {"prompt": "a red fox", "count": 2, "seed": 7, "dry_run": True}),
            ("get_task", {"task_id": "no-such-task"}),
        ]
        for client in (plain, shown):
            answers = [(await client.list_tools()).model_dump(mode="json", by_alias=True)]
            answers += [(await client.call_tool(*call)).model_dump(mode="json", by_alias=True) for call in calls]
            told.append(answers)
        once_more = await shown.call_tool("generate_image", {"prompt": "a blue fox", "count": 2})

    assert told[0] == told[1]
    assert "ui://" not in json.dumps(told[0][1:])
    assert [block.type for block in once_more.content] == [block.type for block in made.content]
    assert (once_more.structured_content or {}).keys() == made.structured_content.keys()


def fields_in(schema: Json) -> set[str]:
    """The names of all properties in a schema, however deep."""
    found = set(schema.get("properties", {}))
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), schema.get("items")]
    for each in (*inner, *schema.get("anyOf", [])):
        if isinstance(each, dict):
            found |= fields_in(each)  # pyright: ignore[reportUnknownArgumentType]
    return found


@pytest.mark.parametrize(
    ("word", "tools"),
    [
        ("result", {"get_task", "list_tasks"}),
        ("artifact", {"get_task"}),
        ("line", {"list_tasks", "get_task"}),
    ],
)
def test_the_gallery_reads_nothing_of_an_answer_that_is_not_in_its_fields(word: str, tools: set[str]) -> None:
    """What the page's sources take from an answer stands in the output schemas."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (SOURCES / "gallery.js", SOURCES / "media.js"))
    read = set(re.findall(rf"\b{word}\??\.([a-z_]+)", sources))
    known = set[str]()
    for tool in tools:
        known |= fields_in(TOOLS[tool].build().output_schema or {})

    assert len(read) > 4
    assert read <= known


@pytest.mark.parametrize(
    ("word", "tools"),
    [
        ("bill", {"get_bill"}),
        ("row", {"get_bill"}),
        ("result", {"stop_everything", "stop_gpu_instance", "update_endpoint", "delete_sandbox"}),
        ("line", {"list_tasks", "list_gpu_instances", "stop_everything"}),
        ("given", {"get_bill", "get_balance", "list_gpu_instances", "stop_everything"}),
    ],
)
def test_the_page_of_money_reads_nothing_else_either(word: str, tools: set[str]) -> None:
    sources = "\n".join((SOURCES / name).read_text(encoding="utf-8") for name in ("running.js", "spend.js"))
    read = set(re.findall(rf"\b{word}\??\.([a-z_]+)", sources)) - JAVASCRIPT
    known = set[str]().union(*(fields_in(TOOLS[tool].build().output_schema or {}) for tool in tools))

    assert len(read) > 1
    assert read <= known


JAVASCRIPT = {"append", "amount", "name", "cells"}
"""What the page itself hangs on rows of its own."""
