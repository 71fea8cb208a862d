"""Resources and prompts, as a host meets them."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp_types import (
    BlobResourceContents,
    PromptReference,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
)
from novita_mcp.simulator.core.world import World
from novita_mcp.tools.overview.prompts import PROMPTS

from ...building import quick
from ...conftest import Connect, text_of


@pytest.mark.old_models
async def test_a_finished_file_can_be_read_by_its_address(connect: Connect) -> None:
    async with connect() as client:
        made = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a red fox"})
        assert not made.is_error, text_of(made)
        answer: dict[str, Any] = made.structured_content or {}

        (content,) = (await client.read_resource(f"novita://artifacts/{answer['task_id']}/0")).contents

        assert isinstance(content, BlobResourceContents)
        assert content.mime_type == answer["artifacts"][0]["mime"]
        assert base64.b64decode(content.blob) == Path(answer["artifacts"][0]["path"]).read_bytes()


async def test_every_listed_resource_can_be_read(connect: Connect) -> None:
    async with connect() as client:
        listed = (await client.list_resources()).resources
        assert {str(one.uri) for one in listed} >= {"novita://models/media", "novita://tasks", "novita://balance"}

        for one in listed:
            (content,) = (await client.read_resource(str(one.uri))).contents
            assert isinstance(content, TextResourceContents)
            assert content.mime_type == one.mime_type
            if one.mime_type == "application/json":  # the others are pages
                json.loads(content.text)


@pytest.mark.parametrize(
    "uri",
    [
        "novita://nothing",
        "novita://tasks/no-such-task-anywhere",
        "novita://artifacts/no-such-task-anywhere/0",
        "novita://models/media/..",
    ],
)
async def test_what_does_not_exist_is_not_found(connect: Connect, uri: str) -> None:
    async with connect() as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
        assert caught.value.error.code == -32602


@pytest.mark.old_models
async def test_ids_are_completed(connect: Connect) -> None:
    async with connect() as client:
        made = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a red fox"})
        made_answer: dict[str, Any] = made.structured_content or {}
        task_id: str = made_answer["task_id"]

        models = await client.complete(
            ResourceTemplateReference(uri="novita://models/media/{id}"), {"name": "id", "value": "qwen"}
        )
        tasks = await client.complete(
            ResourceTemplateReference(uri="novita://tasks/{id}"), {"name": "id", "value": task_id[:6]}
        )

        assert "qwen-image-txt2img" in models.completion.values
        assert tasks.completion.values == [task_id]


@pytest.mark.old_models
async def test_arguments_of_prompts_are_completed(connect: Connect) -> None:
    async with connect() as client:
        made = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a red fox"})
        task_id = str((made.structured_content or {"task_id": ""})["task_id"])

        async def completed(prompt: str, name: str, start: str) -> list[str]:
            answer = await client.complete(PromptReference(name=prompt), {"name": name, "value": start})
            return answer.completion.values

        assert await completed("product_photo_set", "image", "task:") == [f"task:{task_id}/0"]
        assert await completed("monthly_cost_review", "period", "Last") == ["last month", "last 7 days", "last 30 days"]
        assert await completed("gpu_job", "hours", "2") == ["2", "24"]
        assert await completed("test_repository", "command", "c") == ["cargo test"]
        assert await completed("batch_labelling", "task", "") == []
        assert await completed("no_such_prompt", "period", "") == []


def test_every_argument_of_a_prompt_completes_unless_only_its_user_can_know_it() -> None:
    """A sentence, or a file or repository of theirs."""
    own_words = {"idea", "file", "task", "job", "question", "repository"}
    for prompt in PROMPTS:
        assert {*prompt.arguments} - {*(prompt.complete or {})} <= own_words, prompt.name


async def test_what_cannot_be_asked_for_completes_to_nothing(connect: Connect, world: World) -> None:
    world.trouble({"status": 500, "body": "no"}, times=-1)
    async with connect(build=quick) as client:
        reference = ResourceTemplateReference(uri="novita://models/llm/{+id}")
        found = await client.complete(reference, {"name": "id", "value": "q"})

        assert found.completion.values == []


async def test_a_resource_is_as_long_as_the_list_says(connect: Connect) -> None:
    """Where that is known: what is live is as long as it is when it is read."""
    async with connect() as client:
        sizes = {str(one.uri): one.size for one in (await client.list_resources()).resources if one.size is not None}
        assert {uri for uri in sizes if not uri.startswith("skill://")} == {"novita://models/media"}
        assert len(sizes) > 6
        for uri, size in sizes.items():
            (content,) = (await client.read_resource(uri)).contents
            assert isinstance(content, TextResourceContents)
            assert len(content.text.encode()) == size


async def test_resources_have_titles_and_the_server_an_icon(connect: Connect) -> None:
    async with connect() as client:
        listed = [*(await client.list_resources()).resources]
        templates = (await client.list_resource_templates()).resource_templates
        assert all(each.title for each in (*listed, *templates))
        info = client.server_info
        assert info is not None
        assert info.icons is not None
        # A URI has no blanks; the schema of the protocol says so, and strict clients check it.
        assert re.fullmatch(r"data:image/svg\+xml,[\w.~%/:=,'-]+", info.icons[0].src)
        assert len(info.icons[0].src) < 1_000


async def test_every_prompt_can_be_had_and_names_only_tools_that_exist(connect: Connect) -> None:
    async with connect(toolsets="all") as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        for prompt in (await client.list_prompts()).prompts:
            given = {argument.name: "something" for argument in prompt.arguments or []}

            (message,) = (await client.get_prompt(prompt.name, given)).messages

            assert isinstance(message.content, TextContent)
            named = {word.strip(".,:;()") for word in message.content.text.split() if "_" in word}
            verbs = ("generate_", "edit_", "get_", "list_", "create_", "remove_", "replace_", "upscale_", "estimate_")
            assert {word for word in named if word.startswith(verbs)} <= tools


def test_prompts_that_spend_say_what_a_model_must_know_first() -> None:
    """It may never have read the server's instructions."""
    for prompt in PROMPTS:
        text = prompt.write(dict.fromkeys(prompt.arguments, "1"))
        if any(tool in text for tool in ("generate_", "create_batch", "remove_background")):
            assert "status working means that the job goes on and is already paid for" in text, prompt.name
            assert "never ask for the same thing again" in text, prompt.name
            assert "may be unknown, which does not mean free" in text, prompt.name
        if "create_gpu_instance" in text:
            assert "never by creating another" in text
        assert "my yes" in text or "what it costs" in text, prompt.name


async def test_a_prompt_without_what_it_needs_is_refused(connect: Connect) -> None:
    async with connect() as client:
        with pytest.raises(MCPError, match="needs idea"):
            await client.get_prompt("storyboard_to_clip", {})
