"""What calls need is imported off the loop: a host has its list at once, and others are answered meanwhile."""

import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp import Client
from novita_mcp.server import app, warming
from novita_mcp.server.app import create_app
from novita_mcp.server.http import run_http, web_server
from novita_mcp.server.settings import SettingError, Settings

from ..conftest import text_of

SETTINGS = Settings(journal="off", toolsets="models,web")


LOAD_TOOLSET = warming.load_toolset


class SlowImports:
    """In place of the imports: takes until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.toolsets: list[str] = []

    def load_toolset(self, name: str) -> None:
        self.toolsets.append(name)
        self.begun.set()
        assert self.go.wait(30)
        LOAD_TOOLSET(name)

    def done(self) -> bool:
        return self.go.is_set()

    @contextmanager
    def let_go(self) -> Generator[None]:
        try:
            yield
        finally:
            self.go.set()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowImports:
    made = SlowImports()
    monkeypatch.setattr(app, "load_toolset", made.load_toolset)
    monkeypatch.setattr(warming, "load_toolset", made.load_toolset)
    monkeypatch.setattr(app, "is_loaded", made.done)
    return made


async def test_others_are_answered_while_the_first_call_waits_for_imports(slow: SlowImports) -> None:
    answers: list[Any] = []

    async with Client(create_app(SETTINGS)) as client, anyio.create_task_group() as calls:

        async def call() -> None:
            answers.append(await client.call_tool("list_media_models", {"does": "text_to_image"}))

        with slow.let_go():
            calls.start_soon(call)
            calls.start_soon(call)
            await anyio.to_thread.run_sync(slow.begun.wait)
            with anyio.fail_after(20):
                assert (await client.list_prompts()).prompts
            assert answers == []

    assert [answer.is_error for answer in answers] == [False, False]
    assert slow.toolsets == ["models"]


def test_a_call_imports_its_own_toolset_only() -> None:
    said = """
import sys
import anyio
from mcp import Client
from novita_mcp.server import Settings, create_app
async def main():
    async with Client(create_app(Settings(journal="off"))) as client:
        await client.call_tool("get_balance", {})
    print(*[name for name in sys.modules if name.startswith(("novita_mcp.tools.", "novita_mcp.novita."))])
anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=300)
    families = {name.split(".")[2] for name in done.stdout.split()}
    assert "account" in families
    assert not families & {"media", "gpu", "serverless", "batches", "text", "sandbox", "web"}


async def test_the_list_is_answered_first_and_then_imports_begin_unasked(slow: SlowImports) -> None:
    async with Client(create_app(SETTINGS)) as client:
        with slow.let_go():
            assert (await client.list_tools()).tools
            assert slow.toolsets == []
            with anyio.fail_after(20):
                await anyio.to_thread.run_sync(slow.begun.wait)
                assert (await client.list_tools()).tools
            assert len(slow.toolsets) == 1


async def test_an_unknown_tool_is_refused_though_nothing_is_imported_yet(slow: SlowImports) -> None:
    slow.go.set()
    async with Client(create_app(SETTINGS)) as client:
        answer = await client.call_tool("list_media_model", {})

    assert answer.is_error
    assert "list_media_models" in text_of(answer)


def test_a_server_for_many_has_built_its_tools_before_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    server = web_server(SETTINGS)
    built: list[str] = []

    def create_server(*_: Any, **__: Any) -> None:
        built.extend(tool.name for tool in server._tool_manager.list_tools())  # pyright: ignore[reportPrivateUsage]
        raise OSError("seen enough")

    monkeypatch.setattr("novita_mcp.server.http.socket.create_server", create_server)
    with pytest.raises(SettingError, match="seen enough"):
        run_http(server, SETTINGS)

    assert built == [*server.offered]


def test_what_is_imported_ahead_leaves_out_the_command_line_of_httpx() -> None:
    said = """
import gc, importlib, sys
from novita_mcp.server import warming
warming.load()
print("httpx" in sys.modules, "rich" in sys.modules, gc.isenabled(), gc.get_freeze_count() > 10_000)
print(hasattr(importlib.import_module("httpx._main"), "main"))
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["True", "False", "True", "True", "True"], done.stderr
