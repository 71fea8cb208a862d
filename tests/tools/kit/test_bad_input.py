"""What is wrong with a request is told before anything is sent: a clear error, and not one paid call."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.abc
import pytest
from mcp import Client
from mcp_types import CallToolResult
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import Job
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.tasks import TaskStore
from novita_mcp.tools.kit.context import App
from PIL import Image
from pydantic import BaseModel

from ...building import quick
from ...conftest import Connect, text_of

PAID = "qwen_image_txt2img"


def refused(result: CallToolResult, *words: str) -> None:
    """An error a model can act on: flagged, in plain words, and saying that nothing was billed."""
    assert result.is_error
    assert result.structured_content is None
    text = text_of(result)
    for word in words:
        assert word in text, text
    assert "billed" in text
    assert "Traceback" not in text


def nothing_paid(world: World) -> None:
    assert not world.charges
    assert not world.area(TaskStore).tasks
    assert sum(world.counters["received"].values()) == 0


ARGUMENTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a misspelt argument": ({"prompt": "a fox", "promt": "x"}, ("'promt'", "Did you mean 'prompt'?")),
    "an argument of another model": ({"prompt": "a fox", "cfg_scale": 7}, ("'cfg_scale'", "options")),
    "no prompt": ({}, ("prompt",)),
    "an empty prompt": ({"prompt": ""}, ("prompt",)),
    "a prompt that is a list": ({"prompt": ["a", "fox"]}, ("prompt",)),
    "an unknown model": ({"prompt": "a fox", "model": "seedream-5.0-light"}, ("seedream-5.0-lite",)),
    "a model of nonsense": ({"prompt": "a fox", "model": "no/such\nmodel"}, ("list_media_models",)),
    "a model for other work": ({"prompt": "a fox", "model": "remove-background"}, ("for remove background",)),
    "a size out of range": ({"prompt": "a fox", "model": "qwen-image-txt2img", "size": "4096x4096"}, ("1536",)),
    "a size that is too small": ({"prompt": "a fox", "model": "qwen-image-txt2img", "size": "32x32"}, ("256",)),
    "a size that is none": ({"prompt": "a fox", "size": "large"}, ("size",)),
    "a ratio that is none": ({"prompt": "a fox", "aspect_ratio": "wide"}, ("aspect_ratio",)),
    "a prompt too long for the model": ({"prompt": "fox " * 600, "model": "txt2img"}, ("prompt", "1024")),
    "too many variants": ({"prompt": "a fox", "count": 99}, ("count",)),
    "variants the model cannot make": ({"prompt": "a fox", "model": "qwen-image-txt2img", "count": 3}, ("count",)),
    "an option nobody knows": ({"prompt": "a fox", "options": {"stepps": 3}}, ("stepps",)),
    "an option of a wrong kind": (
        {"prompt": "a fox", "model": "txt2img", "checkpoint": "x.safetensors", "options": {"steps": "many"}},
        ("steps",),
    ),
    "a place outside": ({"prompt": "a fox", "save_to": "/etc/fox.png"}, ("/etc/fox.png is outside",)),
    "a place outside by dots": ({"prompt": "a fox", "save_to": "../../../../../../etc"}, ("is outside",)),
}


@pytest.mark.parametrize("case", ARGUMENTS)
async def test_a_wrong_argument_is_named_and_nothing_is_sent(case: str, connect: Connect, world: World) -> None:
    arguments, words = ARGUMENTS[case]
    async with connect(build=quick) as client:
        refused(await client.call_tool("generate_image", arguments), *words)
        listed = await client.call_tool("list_tasks", {})
        assert listed.structured_content == {"tasks": [], "more": False}
    nothing_paid(world)


async def test_a_tool_that_does_not_exist_is_named_with_the_nearest_that_does(connect: Connect, world: World) -> None:
    async with connect() as client:
        result = await client.call_tool("generate_images", {"prompt": "a fox"})
        refused(result, "generate_image?")
    nothing_paid(world)


async def test_without_a_key_the_first_call_says_where_to_get_one(connect: Connect, world: World) -> None:
    async with connect(build=quick, api_key=None) as client:
        assert (await client.list_tools()).tools
        refused(
            await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"}),
            "key-management",
            "NOVITA_API_KEY",
        )
        listed = await client.call_tool("list_tasks", {})
        assert not listed.is_error
    nothing_paid(world)


async def test_a_wrong_key_is_said_to_be_wrong(connect: Connect, world: World) -> None:
    key = "sk-this-was-never-a-key"
    async with connect(build=quick, api_key=key) as client:
        result = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        refused(result, "INVALID_API_KEY", "Nothing was billed")
        assert key not in text_of(result)
    assert not world.charges
    assert world.count(PAID, "accepted") == 0
    assert world.count(PAID) == 1


# Files


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real picture of more than 30 MB."""
    path = tmp_path_factory.mktemp("heavy") / "heavy.png"
    Image.effect_noise((5600, 5600), 90).save(path, compress_level=0)
    assert path.stat().st_size > 30_000_000
    return path


@asynccontextmanager
async def asked(connect: Connect, image: str, **changes: Any) -> AsyncGenerator[CallToolResult]:
    async with connect(build=quick, **changes) as client:
        yield await client.call_tool("remove_background", {"model": "remove-background", "image": image})


async def test_a_text_called_png_is_found_out(connect: Connect, world: World, tmp_path: Path) -> None:
    (tmp_path / "fox.png").write_text("I am a picture of a fox, honestly.")
    async with asked(connect, str(tmp_path / "fox.png")) as result:
        refused(result, "fox.png")
    nothing_paid(world)


async def test_a_picture_that_is_too_heavy_is_refused(connect: Connect, world: World, heavy: Path) -> None:
    async with asked(connect, str(heavy), allowed_dirs=str(heavy.parent)) as result:
        refused(result, "MiB", "resize=true")
    nothing_paid(world)


async def test_a_file_outside_the_allowed_folders_is_not_read(
    connect: Connect, world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "fox.png"
    Image.new("RGB", (300, 300)).save(outside)
    async with asked(connect, str(outside)) as result:
        refused(result, str(outside.parent), "settings")
    nothing_paid(world)


async def test_a_link_out_of_the_allowed_folders_is_not_followed(
    connect: Connect, world: World, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "fox.png"
    Image.new("RGB", (300, 300)).save(outside)
    (tmp_path / "link.png").symlink_to(outside)
    async with asked(connect, str(tmp_path / "link.png")) as result:
        refused(result)
    nothing_paid(world)


@pytest.mark.parametrize("name", ["no-such-fox.png", "."])
async def test_a_path_without_a_file_is_named(connect: Connect, world: World, tmp_path: Path, name: str) -> None:
    async with asked(connect, str(tmp_path / name)) as result:
        refused(result)
    nothing_paid(world)


async def test_a_link_that_has_expired_is_found_out(connect: Connect, world: World, settings: Settings) -> None:
    file = world.files.add("fox.png", "image/png", b"\x89PNG\r\n\x1a\n")
    async with asked(connect, world.files.link(file, settings.base_url, ttl=-10)) as result:
        refused(result, "403")
    nothing_paid(world)


@pytest.mark.parametrize("reference", ["task:no-such-task/0", "task:", "data:image/png;base64,AAAA", "ftp://x/y.png"])
async def test_a_reference_that_leads_nowhere_is_named(connect: Connect, world: World, reference: str) -> None:
    async with asked(connect, reference) as result:
        assert result.is_error
        assert "Traceback" not in text_of(result)
    assert not world.charges
    assert world.count("remove_background") == 0


async def test_over_http_paths_are_refused(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], world: World, tmp_path: Path
) -> None:
    Image.new("RGB", (300, 300)).save(tmp_path / "fox.png")
    async with connect_http() as client:
        refused(
            await client.call_tool(
                "remove_background", {"model": "remove-background", "image": str(tmp_path / "fox.png")}
            )
        )
        refused(
            await client.call_tool(
                "generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox", "save_to": str(tmp_path)}
            )
        )
    nothing_paid(world)


# Faults of our own


class _Strict(BaseModel):
    number: int


def faulty(settings: Settings, background: anyio.abc.TaskGroup) -> App:
    """A server whose journal hits a bug of ours, in the shape of a failed validation."""

    class Faulty(Journal):
        async def recent(self, *_: Any, **__: Any) -> list[Job]:
            _Strict.model_validate({"number": "none"})
            return []

    app = quick(settings, background)
    app.jobs.journal = Faulty(app.journal.path)
    return app


async def test_a_fault_of_our_own_is_not_called_a_bad_argument(connect: Connect) -> None:
    async with connect(build=faulty) as client:
        result = await client.call_tool("list_tasks", {})
        assert result.is_error
        assert "a fault in novita-mcp itself" in text_of(result)
        assert "Nothing was sent that costs" in text_of(result)


def faulty_after(settings: Settings, background: anyio.abc.TaskGroup) -> App:
    """A server whose journal hits a bug of ours once Novita has accepted a task."""

    class Faulty(Journal):
        async def accepted(self, *_: Any, **__: Any) -> Job:
            raise KeyError("ours")

    app = quick(settings, background)
    app.jobs.journal = Faulty(app.journal.path)
    return app


@pytest.mark.old_models
async def test_a_fault_of_our_own_after_something_was_sent_may_have_cost(connect: Connect, world: World) -> None:
    """Kind 14: only then, whoever sent it."""
    asked = {"prompt": "a fox", "model": "qwen-image-txt2img"}
    async with connect(build=faulty_after) as client:
        dry = await client.call_tool("generate_image", {**asked, "dry_run": True})
        assert not dry.is_error
        result = await client.call_tool("generate_image", asked)
        assert "may or may not have been billed" in text_of(result)
    assert world.count(PAID) == 1
