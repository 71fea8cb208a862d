"""A job with two hundred files: its answer stays within what a host can take, and none of the files is lost."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import TextResourceContents
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.core.costs import Cost
from novita_mcp.novita.files.artifacts import Artifact
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.tools.kit.toolset import LONGEST_ANSWER

from ...conftest import Connect, text_of

pytestmark = pytest.mark.old_models

MANY = 200


async def test_two_hundred_links_stay_within_an_answer(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], world: World
) -> None:
    signature = "X-Amz-Signature=" + "0123456789abcdef" * 30
    images = [{"image_url": f"https://files.example/{number}.png?{signature}"} for number in range(MANY)]
    body = {"task": {"task_id": "t", "status": "TASK_STATUS_SUCCEED"}, "images": images}
    told = {"status": 200, "body": json.dumps(body), "content_type": "application/json"}
    world.trouble(told, operation="get_task_result", times=-1)
    async with connect_http() as client:
        made = await client.call_tool("generate_image", {"prompt": "a fox", "model": "qwen-image-txt2img"})
        answer: dict[str, Any] = made.structured_content or {}
        (told_whole,) = (await client.read_resource(f"novita://tasks/{answer['task_id']}")).contents

    assert len(text_of(made)) < LONGEST_ANSWER
    assert len(json.dumps(answer)) < LONGEST_ANSWER
    listed = len(answer["artifacts"])
    assert 10 < listed < MANY
    assert text_of(made).startswith(f"{MANY} files (the first {listed} listed)")
    assert f"Files {listed} to {MANY - 1} are not listed here" in answer["next_step"]
    assert isinstance(told_whole, TextResourceContents)
    assert len(json.loads(told_whole.text)["artifacts"]) == MANY


async def test_a_list_names_a_few_files_of_each_job(connect: Connect, settings: Settings, tmp_path: Path) -> None:
    journal = Journal(Path(settings.journal))
    owner = owner_of(DEFAULT_KEY)
    for job in range(10):
        begun: dict[str, Any] = {"kind": "media", "tool": "generate_image", "model": "m", "title": "a fox"}
        row = await journal.begin(owner=owner, cost=Cost(Decimal("0.01")), **begun)
        paths = [str(tmp_path / f"{'a long name ' * 10}{index}.png") for index in range(MANY)]
        files = [Artifact(task_id=f"t{job}", index=index, kind="image", path=path) for index, path in enumerate(paths)]
        await journal.finish(row.key, JobState.SUCCEEDED, task_id=f"t{job}", artifacts=files)
    await journal.close()
    async with connect() as client:
        listed = await client.call_tool("list_tasks", {})
    assert len(text_of(listed)) < LONGEST_ANSWER
    answer: dict[str, Any] = listed.structured_content or {}
    assert answer["tasks"][0]["files"][-1] == f"... {MANY - 4} more: get_task"
