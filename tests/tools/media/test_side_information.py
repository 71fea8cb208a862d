"""Side information that is nonsense: the file comes home, at once and at every later look."""

import json
from pathlib import Path
from typing import Any

import pytest
from mcp_types import CallToolResult
from novita_mcp.simulator.core.world import World

from ...building import quick
from ...conftest import Connect, text_of

pytestmark = pytest.mark.old_models

ASYNC = "qwen-image-txt2img"
LOOK = "get_task_result"
HUGE = "9" * 5_000
ODD = [
    "Infinity",
    "NaN",
    "1e999",
    "1e300",
    HUGE,
    '"soon"',
    f'"{HUGE}"',
    '"²"',
    "[]",
    "{}",
    "true",
    "-1",
    '"1e99999999"',
]


def structured(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    json.dumps(result.structured_content, allow_nan=False)
    return result.structured_content or {}


@pytest.mark.parametrize("odd", ODD)
async def test_a_number_that_is_none_never_stops_a_delivery(connect: Connect, world: World, odd: str) -> None:
    async with connect(build=quick) as client:
        made = structured(await client.call_tool("generate_image", {"prompt": "a fox", "model": ASYNC}))
        url = made["artifacts"][0]["url"]
        item = f'{{"image_url": {json.dumps(url)}, "image_type": "png", "image_url_ttl": {odd},'
        item += f' "nsfw_detection_result": {{"valid": true, "confidence": {odd}}}}}'
        at_work = f'"status": "TASK_STATUS_PROCESSING", "progress_percent": {odd}, "eta": {odd}'
        working = f'{{"task": {{"task_id": "t", {at_work}}}}}'
        done = (
            f'{{"extra": {{"seed": {odd}}}, "task": {{"task_id": "t", "status": "TASK_STATUS_SUCCEED",'
            f' "progress_percent": {odd}, "eta": {odd}}}, "images": [{item}]}}'
        )
        for body, times in ((working, 1), (done, -1)):
            effect = {"status": 200, "body": body, "content_type": "application/json"}
            world.trouble(effect, operation=LOOK, times=times)
        again = structured(await client.call_tool("generate_image", {"prompt": "another fox", "model": ASYNC}))
        assert Path(again["artifacts"][0]["path"]).is_file()
        Path(again["artifacts"][0]["path"]).unlink()
        later = structured(await client.call_tool("get_task", {"task_id": again["task_id"]}))
        assert Path(later["artifacts"][0]["path"]).is_file()
        structured(await client.call_tool("list_tasks", {}))


@pytest.mark.parametrize("header", ["inf", "nan", "-5", HUGE, "soon", "Mon, 01 Jan 0001 00:00:00 +2359", "1e-300"])
async def test_a_wait_that_is_none_never_stops_a_delivery(connect: Connect, world: World, header: str) -> None:
    """Asked for by Novita when it is looked at, and by the storage when the file is fetched."""
    busy = {"status": 503, "body": "{}", "headers": {"Retry-After": header}}
    async with connect(build=quick) as client:
        world.trouble(busy, operation=LOOK)
        world.trouble(busy, path="/_simulator/files/*")
        first = await client.call_tool("generate_image", {"prompt": "a fox", "model": ASYNC})
        world.troubles.clear()
        (row,) = structured(await client.call_tool("list_tasks", {}))["tasks"]
        later = structured(await client.call_tool("get_task", {"task_id": row["task_id"]}))
    assert "fault in novita-mcp" not in text_of(first)
    assert Path(later["artifacts"][0]["path"]).is_file()
