"""Webhooks: the caller's own address is handed on; ours ends waits early, and is believed in nothing but "look now"."""

import json
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.building import build_app
from novita_mcp.server.http import LARGEST_EVENT, http_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.tasks import SUCCEED

from ...conftest import Connect, text_of
from ...server.callers import caller
from ...serving import serve_asgi
from ..media_things import Json, body_of, done, nothing_paid, picture, refused

pytestmark = pytest.mark.old_models

SLOW = {"prompt": "a fox", "checkpoint": "dreamshaper_8_93211.safetensors"}
"""A wish for txt2img, whose page documents the webhook."""


@pytest.mark.parametrize(
    ("tool", "arguments", "operation"),
    [
        ("generate_image", SLOW, "txt2img"),
        ("edit_image", SLOW | {"edit": "restyle", "image": "path"}, "img2img"),
        ("inpaint_image", SLOW | {"image": "path", "mask": "path"}, "inpainting"),
        ("upscale_image", {"image": "path", "scale": 2, "model": "upscale"}, "upscale"),
        ("generate_video", {"prompt": "a fox", "model": "wan-t2v", "confirm": True}, "wan_t2v"),
    ],
)
async def test_the_callers_own_address_is_handed_on(
    connect: Connect, world: World, tmp_path: Any, tool: str, arguments: Json, operation: str
) -> None:
    path = picture(tmp_path / "fox.png")
    wish = {name: path if value == "path" else value for name, value in arguments.items()}
    address = "http://127.0.0.1:9/done?secret=1"
    async with connect() as client:
        answer = await client.call_tool(tool, wish | {"webhook_url": address})

        assert not answer.is_error, text_of(answer)
        assert body_of(world, operation)["extra"]["webhook"] == {"url": address}


@pytest.mark.parametrize("tool", ["generate_image", "edit_image"])
async def test_where_an_address_leads_to_a_model_that_needs_more_the_error_says_so(
    connect: Connect, world: World, tmp_path: Any, tool: str
) -> None:
    """Only the models of Stable Diffusion call back; that one of them lacks a checkpoint is no riddle then."""
    wish = {"prompt": "a fox", "webhook_url": "https://example.com/done", "dry_run": True}
    wish |= {"image": picture(tmp_path / "fox.png"), "edit": "restyle"} if tool == "edit_image" else {}
    async with connect() as client:
        await refused(
            client.call_tool(tool, wish),
            "`webhook_url`",
            "`checkpoint`",
            "Leave out `webhook_url`",
            "search_checkpoints",
        )
    nothing_paid(world)


class _Stuck:
    """A clock on which no pause ever ends: whoever waits on it is woken from outside or not at all."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep_forever()


Open = Callable[[], AbstractAsyncContextManager[Client]]


@pytest.fixture
def listening(settings: Settings, era: str) -> Open:
    """A server over HTTP that knows where the world reaches it, and never looks at a task a second time by itself."""

    @asynccontextmanager
    async def open_client() -> AsyncGenerator[Client]:
        listener = socket.create_server(("127.0.0.1", 0))
        chosen = replace(settings, public_url=f"http://127.0.0.1:{listener.getsockname()[1]}/", wait_seconds=30)
        server = create_app(chosen, build=partial(build_app, http=True, clock=_Stuck()))
        with serve_asgi(http_app(server, chosen), listener) as url:
            async with caller(url, mode=era) as client:
                yield client

    return open_client


def address_in(world: World) -> str:
    """The address Novita was given."""
    return body_of(world, "txt2img")["extra"]["webhook"]["url"]


async def test_a_wait_ends_when_novita_calls(listening: Open, world: World) -> None:
    world.set(task_seconds=0.5)
    async with listening() as client:
        answer = await done(client.call_tool("generate_image", SLOW))

        assert answer["artifacts"][0]["url"].startswith("http")
        assert world.count("get_task_result") == 2
        assert [event["status"] for event in world.webhooks] == [204]


async def test_where_nobody_waits_the_journal_is_brought_up_to_date(listening: Open, world: World) -> None:
    world.set(task_seconds=0.3)
    async with listening() as client:
        started = await client.call_tool("generate_image", SLOW | {"wait_seconds": 0})
        assert (started.structured_content or {})["status"] == "working"

        with anyio.fail_after(20):
            while (await states(client)) != ["succeeded"]:
                await anyio.sleep(0.02)
        assert world.count("get_task_result") == 1


async def states(client: Client) -> list[str]:
    """How the listed tasks stand."""
    listed: Json = (await client.call_tool("list_tasks", {})).structured_content or {}
    return [task["state"] for task in listed["tasks"]]


async def test_what_a_call_says_is_not_believed(listening: Open, world: World) -> None:
    world.never_end_next_task()
    async with listening() as client:
        started: Json = (await client.call_tool("generate_image", SLOW | {"wait_seconds": 0})).structured_content or {}
        forged = {
            "event_type": "ASYNC_TASK_RESULT",
            "payload": {
                "task": {"task_id": started["task_id"], "status": SUCCEED},
                "images": [{"image_url": "https://evil.example/fox.png", "image_url_ttl": "3600"}],
            },
        }
        for body in (json.dumps(forged), "not json", ""):
            assert httpx.post(address_in(world), content=body).status_code == 204

        with anyio.fail_after(20):
            while not world.count("get_task_result"):
                await anyio.sleep(0.02)
        found: Json = (
            await client.call_tool("get_task", {"task_id": started["task_id"], "wait_seconds": 0})
        ).structured_content or {}
        assert found["status"] == "working"
        assert found["artifacts"] == []


async def test_an_address_cannot_be_guessed_flooded_or_worn_out(listening: Open, world: World) -> None:
    world.never_end_next_task()
    async with listening() as client:
        await client.call_tool("generate_image", SLOW | {"wait_seconds": 0})
        address = address_in(world)
        base, _, token = address.rpartition("/")

        assert len(token) >= 40
        assert httpx.post(f"{base}/{token[:-1]}").status_code == 404
        assert httpx.post(f"{base}/").status_code == 404
        assert httpx.get(address).status_code == 405
        assert httpx.post(address, content=b"x" * (LARGEST_EVENT + 1)).status_code == 413
        answers = [httpx.post(address).status_code for _ in range(10)]
        assert answers == [204] * 8 + [404] * 2


async def test_only_models_that_document_it_get_an_address(listening: Open, world: World) -> None:
    async with listening() as client:
        await done(client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"}))
        native = {"prompt": "a fox", "model_name": "dreamshaper_8_93211.safetensors", "width": 512, "height": 512}
        native |= {"image_num": 1, "steps": 10, "seed": 1, "guidance_scale": 7, "sampler_name": "Euler a"}
        await done(client.call_tool("run_media_model", {"model": "txt2img", "input": {"request": native}}))

        assert "webhook" not in json.dumps(body_of(world, "qwen_image_txt2img"))
        assert body_of(world, "txt2img") == {"request": native}


async def test_without_a_public_address_there_is_no_door(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], world: World
) -> None:
    async with connect_http() as client:
        await done(client.call_tool("generate_image", SLOW))

        assert "extra" not in body_of(world, "txt2img")
