"""What calls need is imported off the loop: a host has its list at once, and others are answered meanwhile."""

import json
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
from novita_mcp.novita.core.network import way
from novita_mcp.novita.core.network.quick import QuickPool
from novita_mcp.server import app, warming
from novita_mcp.server.app import create_app
from novita_mcp.server.http import run_http, web_server
from novita_mcp.server.settings import SettingError, Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY
from novita_mcp.simulator.serving import Running
from novita_mcp.tools.kit.toolset import ToolSpec

from ..conftest import text_of

SETTINGS = Settings(journal="off", toolsets="models,web")


LOAD_TOOL, LOAD_TOOLSET = warming.load_tool, warming.load_toolset


class SlowImports:
    """In place of the imports: takes until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.toolsets: list[str] = []

    def load_tool(self, name: str, toolset: str) -> ToolSpec:
        self._wait(toolset)
        return LOAD_TOOL(name, toolset)

    def load_toolset(self, name: str) -> None:
        self._wait(name)
        LOAD_TOOLSET(name)

    def _wait(self, toolset: str) -> None:
        self.toolsets.append(toolset)
        self.begun.set()
        assert self.go.wait(30)

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
    monkeypatch.setattr(app, "load_tool", made.load_tool)
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


HEAVY = {"rich", "uvicorn", "jsonschema", "PIL", "pi_heif", "av", "sqlite3", "ctypes", "boto3", "psycopg", "aiohttp"}
"""What takes long to import, or much memory, and is needed by some calls only or by none."""


def test_a_server_over_stdio_lists_its_tools_without_what_only_calls_need() -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    messages = (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    )
    said = """
import sys
from novita_mcp.server import cli
cli.main(["serve"])
print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", said],
        input="".join(json.dumps(message) + "\n" for message in messages),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "generate_image" in done.stdout
    loaded = set(done.stderr.split())
    assert "novita_mcp.server.building" in loaded  # what every call needs is there
    assert not {name for name in loaded if name.startswith(("novita_mcp.novita.media", "novita_mcp.tools.media"))}
    assert loaded & {*HEAVY, "platformdirs", "wave"} == set()


FAMILIES = {"media", "gpu", "serverless", "batches", "text", "sandbox", "web", "account"}


@pytest.mark.parametrize(
    ("tool", "families", "not_even"),
    [
        ("get_balance", {"account"}, ()),
        ("list_media_models", {"media"}, ("tools.overview.estimates",)),
        ("generate_image", {"media"}, ("tools.media.asked_instead",)),
        ("generate_video", {"media"}, ("tools.media.combining",)),
        ("list_gpu_products", {"gpu"}, ()),
        ("run_code", {"sandbox"}, ()),
        ("search_web", {"web", "text"}, ()),
        ("get_task", {"media", "gpu", "serverless", "sandbox"}, ("tools.overview.stopping",)),
    ],
)
def test_a_call_imports_what_its_tool_needs_only(tool: str, families: set[str], not_even: tuple[str, ...]) -> None:
    said = f"""
import sys
from novita_mcp.server import Settings, create_app
create_app(Settings(journal="off", toolsets="all")).build_tool({tool!r})
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=300)
    loaded = done.stdout.split()
    ours = [name for name in loaded if name.startswith(("novita_mcp.tools.", "novita_mcp.novita."))]
    assert {name.split(".")[2] for name in ours} & FAMILIES == families
    assert not {f"novita_mcp.{name}" for name in not_even} & set(loaded)
    assert set(loaded) & HEAVY - {"uvicorn"} == set()


def test_a_server_over_stdio_builds_types_when_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """All types, whichever call will be the first to use one, can be built so late."""
    said = """
from novita_mcp.server import cli, warming
from pydantic import BaseModel

def serve_stdio(*_, **__):
    warming.load()
    return 0

def below(kind):
    for one in kind.__subclasses__():
        yield one
        yield from below(one)

cli.commands.serve_stdio = serve_stdio
cli.main(["serve"])
types = {*below(BaseModel)}
later = [one for one in types if not one.__pydantic_complete__]
print(len(later) > len(types) / 2, all(one.model_rebuild() for one in later))
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["True", "True"], done.stderr


async def test_the_list_is_answered_first_and_then_imports_begin_unasked(slow: SlowImports) -> None:
    async with Client(create_app(SETTINGS)) as client:
        with slow.let_go():
            assert (await client.list_tools()).tools
            assert slow.toolsets == []
            with anyio.fail_after(20):
                await anyio.to_thread.run_sync(slow.begun.wait)
                assert (await client.list_tools()).tools
            assert len(slow.toolsets) == 1


async def test_what_is_imported_unasked_waits_for_the_first_call_of_a_tool(
    slow: SlowImports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "LIST_FIRST", 0)
    async with Client(create_app(SETTINGS)) as client, anyio.create_task_group() as group:
        with slow.let_go():
            await client.list_tools()
            await anyio.to_thread.run_sync(slow.begun.wait)
            monkeypatch.setattr(warming, "CALM", 1_000)
            group.start_soon(client.call_tool, "list_media_models")
            await client.list_prompts()  # answered after the call has begun
        with anyio.fail_after(30):
            await client.call_tool("list_media_models", {})

        assert slow.toolsets[1:] == ["models"]


async def test_while_calls_come_only_what_speeds_up_all_of_them_is_imported_unasked(
    slow: SlowImports, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = threading.Event()
    monkeypatch.setattr(warming, "LIST_FIRST", 0.01)
    monkeypatch.setattr(warming, "FIRST_CALL", 1_000)  # until it ends
    monkeypatch.setattr(app, "load_quick_road", quick.set)
    slow.go.set()
    async with Client(create_app(SETTINGS)) as client:
        await client.list_tools()
        with anyio.fail_after(60):
            monkeypatch.setattr(warming, "CALM", 1_000)
            await client.call_tool("list_media_models", {})
            assert await anyio.to_thread.run_sync(quick.wait, 30)

        assert slow.toolsets == ["models"]  # for the call itself


async def test_an_unknown_tool_is_refused_though_nothing_is_imported_yet(slow: SlowImports) -> None:
    slow.go.set()
    async with Client(create_app(SETTINGS)) as client:
        answer = await client.call_tool("list_media_model", {})

    assert answer.is_error
    assert "list_media_models" in text_of(answer)


def test_a_server_for_many_has_built_its_tools_before_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "_quick", False)
    monkeypatch.setattr(way, "_quick", None)
    server = web_server(SETTINGS)
    built: list[str] = []

    def create_server(*_: Any, **__: Any) -> None:
        built.extend(tool.name for tool in server._tool_manager.list_tools())  # pyright: ignore[reportPrivateUsage]
        assert way._quick is not None  # pyright: ignore[reportPrivateUsage]
        raise OSError("seen enough")

    monkeypatch.setattr("novita_mcp.server.http.socket.create_server", create_server)
    with pytest.raises(SettingError, match="seen enough"):
        run_http(server, SETTINGS)

    assert built == [*server.offered]


def test_the_quick_road_is_imported_after_the_list_and_for_no_call(simulator: Running) -> None:
    said = f"""
import sys
import anyio
from mcp import Client
from novita_mcp.server import Settings, create_app
async def main():
    settings = Settings(api_key={DEFAULT_KEY!r}, base_url={simulator.url!r}, journal="off")
    async with Client(create_app(settings)) as client:
        assert not (await client.call_tool("get_balance", {{}})).is_error
        print("aiohttp" in sys.modules)
        await client.list_tools()
        from novita_mcp.novita.core.network import way
        with anyio.fail_after(120):
            while way._quick is None:
                await anyio.sleep(0.01)
        print(way._quick.__name__)
        assert not (await client.call_tool("get_balance", {{}})).is_error
anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["False", "QuickPool"], done.stderr


@pytest.mark.parametrize("broken", [ImportError, AttributeError])
def test_where_aiohttp_is_missing_or_broken_calls_take_the_other_road_and_the_log_says_so(
    broken: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Later:
        @property
        def QuickPool(self) -> type[QuickPool]:
            raise broken("no such thing")

    monkeypatch.setattr(warming, "_quick", False)
    monkeypatch.setattr(warming, "later", Later())
    monkeypatch.setattr(way, "_quick", None)
    warming.load_quick_road()
    warming.load_quick_road()
    assert way._quick is None  # pyright: ignore[reportPrivateUsage]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no such thing" in caplog.text


def test_the_collector_does_not_walk_what_a_call_imported() -> None:
    said = """
import gc
from novita_mcp.server import Settings, create_app
server = create_app(Settings(journal="off"))
counts = [gc.get_freeze_count()]
for name in ("list_media_models", "describe_media_model"):
    server.build_tool(name)
    counts.append(gc.get_freeze_count())
print(counts[1] - counts[0] > 10_000, counts[2] <= counts[1], gc.isenabled())
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["True", "True", "True"], done.stderr


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
