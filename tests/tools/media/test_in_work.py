"""What is handed in takes a bounded part of this machine, whoever hands it in and however much of it comes at once."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
from mcp import Client
from mcp_types import CallToolResult
from novita_mcp.novita.core.errors import InputError
from novita_mcp.novita.files.decoding import BUDGET
from novita_mcp.novita.files.in_work import Claim, InWork
from novita_mcp.server.building import build_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.tools.kit.context import App
from PIL import Image

from ...conftest import Connect, text_of
from ...odd_media import png_bomb, saved
from ...raw_server import answer, raw_host

MIB = 2**20
SIDE = 600
BYTES = 3 * SIDE**2
"""Of a picture here, at least."""
MANY = 6


@pytest.fixture
def in_work() -> InWork:
    """Room for two such pictures, one of them for each caller."""
    return InWork(total=4 * MIB, share=2 * MIB)


@pytest.fixture
def build(in_work: InWork) -> Callable[[Settings, anyio.abc.TaskGroup], App]:
    def built(settings: Settings, background: anyio.abc.TaskGroup) -> App:
        app = build_app(settings, background)
        app.in_work = in_work
        return app

    return built


def noise() -> bytes:
    """A picture that nothing packs."""
    return saved(Image.frombytes("RGB", (SIDE, SIDE), os.urandom(BYTES)), "PNG")


async def called_at_once(client: Client, tool: str, calls: list[dict[str, Any]]) -> list[CallToolResult]:
    results: list[CallToolResult] = []

    async def call(arguments: dict[str, Any]) -> None:
        results.append(await client.call_tool(tool, arguments))

    async with anyio.create_task_group() as group:
        for arguments in calls:
            group.start_soon(call, arguments)
    return results


@pytest.mark.old_models
@pytest.mark.parametrize("length", ["told", "untold"])
async def test_many_large_links_at_once_are_fetched_one_after_the_other(
    connect: Connect, world: World, build: Any, in_work: InWork, length: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve links of 100 MB took 1.3 GB when each was simply fetched."""
    monkeypatch.setattr("novita_mcp.novita.files.downloads._STEP", in_work.share)
    picture = noise()
    whole = answer(picture, "Content-Type: image/png")

    async def chunked(writer: Any) -> None:
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b"%x\r\n" % len(picture) + picture + b"\r\n0\r\n\r\n")
        await writer.drain()

    async with raw_host(whole if length == "told" else chunked) as host, connect(build=build) as client:
        calls: list[dict[str, Any]] = [
            {"image": f"{host.url}/{number}.png", "model": "remove-background"} for number in range(MANY)
        ]
        results = await called_at_once(client, "remove_background", calls)
    assert not [text_of(result) for result in results if result.is_error]
    assert BYTES <= in_work.most_held <= in_work.share
    assert in_work.held == 0
    assert world.count("remove_background") == MANY


async def test_more_than_one_caller_may_hold_is_refused_before_it_is_read(
    connect: Connect, world: World, build: Any, in_work: InWork, tmp_path: Path
) -> None:
    paths: list[str] = []
    for number in range(2):
        path = tmp_path / "out" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(noise())
        paths.append(str(path))
    async with connect(build=build) as client:
        result = await client.call_tool("chat", {"prompt": "What are they?", "images": paths})
    assert result.is_error
    assert "more than 2 MiB together" in text_of(result)
    assert "Nothing was billed" in text_of(result)
    assert in_work.most_held <= in_work.share
    assert in_work.held == 0
    assert not world.charges


async def test_eight_picture_bombs_at_once_are_decoded_within_the_budget(
    connect: Connect, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes each, 9 MB decoded, where one caller may have 32. Eight of 657 kB took 4.6 GB."""
    monkeypatch.setattr(BUDGET, "total", 64 * MIB)
    BUDGET.most_held = 0
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "bomb.png").write_bytes(png_bomb(1_500))
    async with connect() as client:
        await called_at_once(client, "edit_image", [{"image": str(folder / "bomb.png"), "prompt": "in oil"}] * 8)
    assert 4 * 1_500**2 <= BUDGET.most_held <= BUDGET.total // 2
    assert BUDGET.held == 0


async def test_who_holds_nothing_passes_those_who_wait_for_their_own_share() -> None:
    budget = InWork(total=10, share=6)
    greedy, waiting, other = (budget.hold(name, lambda: 20.0) for name in ("a", "a", "b"))
    await greedy.take(5)
    async with anyio.create_task_group() as group:
        group.start_soon(waiting.take, 5)
        while not budget._waiting:  # pyright: ignore[reportPrivateUsage]
            await anyio.sleep(0)
        with anyio.fail_after(60):
            await other.take(4)
        greedy.release()
    assert budget.held == budget.most_held == 9


async def test_a_call_waits_no_longer_than_its_patience_and_gives_back_what_it_did_not_need() -> None:
    budget = InWork(total=10, share=10)
    first, second = budget.hold("a", lambda: 0.0), budget.hold("b", lambda: 0.0)
    claim = Claim(first)
    await claim.reach(8)
    with pytest.raises(InputError, match="busy with other files"):
        await second.take(5)
    claim.settle(3)
    await second.take(5)
    first.release()
    first.release()
    assert budget.held == second.size == 5
