"""MCP tasks (SEP-2663) for clients that declare them; everybody else waits. Over memory, stdio and HTTP, modern era."""

import json
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, Request, RequestParams, Result
from novita_mcp.server.app import create_app
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running
from pydantic import ConfigDict, Field

from ..conftest import text_of
from ..serving import serve_asgi
from .callers import caller, facts
from .children import environment

pytestmark = pytest.mark.old_models

IDENTIFIER = "io.modelcontextprotocol/tasks"
OTHER_KEY = "sk-somebody-else"
FOX = {"model": "z-image-turbo", "prompt": "a red fox in the snow", "seed": 7, "size": "512x512"}
UNKNOWN = -32602
NO_CAPABILITY = -32021


class TaskHandle(Result):
    """What a tool call is answered with."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    result_type: Literal["task"] = Field(default="task", alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str
    poll_interval_ms: int | None = Field(default=None, alias="pollIntervalMs")


class TaskAnswer(Result):
    """What tasks/get is answered with."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    task_id: str | None = Field(default=None, alias="taskId")
    status: str | None = None
    status_message: str | None = Field(default=None, alias="statusMessage")
    result: CallToolResult | None = None


class AskedTaskParams(RequestParams):
    task_id: str = Field(alias="taskId")


class TaskRequest(Request[AskedTaskParams, str]):
    name_param: ClassVar[str | None] = "taskId"

    method: str
    params: AskedTaskParams


class Tasks(ClientExtension):
    """Declares the extension; the test follows the task by hand."""

    identifier = IDENTIFIER

    def claims(self) -> Sequence[ResultClaim[Any]]:
        async def resolve(handle: TaskHandle, _: ClaimContext) -> CallToolResult:
            raise AssertionError(f"{handle.task_id} was to be followed by the test")

        return (ResultClaim(result_type="task", model=TaskHandle, resolve=resolve),)


class Open(Protocol):
    def __call__(self, *, declares: bool = ..., key: str = ...) -> AbstractAsyncContextManager[Client]: ...


@pytest.fixture(params=["memory", pytest.param("stdio", marks=pytest.mark.slow), "http"])
def open_client(request: pytest.FixtureRequest, settings: Settings, simulator: Running, tmp_path: Path) -> Open:
    """Each client over stdio or in memory is a server of its own; over HTTP they share one if opened together."""
    home = tmp_path / "home"
    home.mkdir()

    @asynccontextmanager
    async def opened(*, declares: bool = True, key: str = DEFAULT_KEY) -> AsyncGenerator[Client]:
        extensions = [Tasks()] if declares else []
        match request.param:
            case "http":
                with serve_asgi(http_app(web_server(settings), settings)) as url:
                    async with caller(url, key, extensions=extensions) as made:
                        yield made
            case "stdio":
                child = StdioServerParameters(
                    command=sys.executable,
                    args=["-m", "novita_mcp.server"],
                    env=environment(home, simulator.url, NOVITA_API_KEY=key),
                )
                async with Client(child, extensions=extensions) as made:
                    yield made
            case _:
                async with Client(create_app(replace(settings, api_key=key)), extensions=extensions) as made:
                    yield made

    return opened


async def start(client: Client, arguments: dict[str, Any] = FOX) -> TaskHandle:
    """Ask for a picture and take the handle."""
    await client.list_tools()
    answer = await client.session.call_tool("generate_image", arguments, allow_claimed=True)
    assert isinstance(answer, TaskHandle), answer
    assert answer.status == "working"
    return answer


async def ask(client: Client, method: str, task_id: str) -> TaskAnswer:
    request = TaskRequest(method=method, params=AskedTaskParams.model_validate({"taskId": task_id}))
    return await client.session.send_request(request, TaskAnswer)


async def test_a_handle_is_working_then_completed_with_what_a_plain_call_gives(open_client: Open, world: World) -> None:
    world.set(manual=True)
    async with open_client() as client:
        handle = await start(client)
        first = await ask(client, "tasks/get", handle.task_id)
        seen = [first]
        while seen[-1].status == "working":
            seen.append(await ask(client, "tasks/get", handle.task_id))

        assert first.status == "working"
        assert first.status_message
        assert seen[-1].status == "completed"
        result = seen[-1].result
        assert result is not None
        assert len(world.charges) == 1
    async with open_client(declares=False) as client:
        await client.list_tools()
        plain = await client.call_tool("generate_image", FOX)

        assert not plain.is_error, text_of(plain)
        assert without_names(result) == without_names(plain)


def without_names(result: CallToolResult) -> Any:
    """A result without what differs from one task to the next: its id, the number in file names, links, times."""
    shown = result.model_dump_json(by_alias=True, exclude_none=True, exclude={"meta"})
    differs = r"task-\w+|https?://[^\s\"\\]+|_\d(_run\d+)?(?=\.\w+)|20\d\d-\d\d-\d\dT[\d:.Z]+"
    return json.loads(re.sub(differs, "*", shown))


async def test_nothing_waits_for_who_declares_tasks(open_client: Open, world: World) -> None:
    world.never_end_next_task()
    async with open_client() as client:
        handle = await start(client)

        assert (await ask(client, "tasks/get", handle.task_id)).status == "working"
        assert handle.poll_interval_ms


async def test_a_failed_task_is_completed_with_an_error(open_client: Open, world: World) -> None:
    """MCP: a tool's error is `completed` with isError; `failed` is for protocol errors."""
    world.fail_next_task("the fox ran away")
    async with open_client() as client:
        handle = await start(client)
        answer = await ask(client, "tasks/get", handle.task_id)

        assert answer.status == "completed"
        assert answer.result is not None
        assert answer.result.is_error
        assert answer.result.structured_content is None
        assert "the fox ran away" in text_of(answer.result)


async def test_an_error_before_the_submit_is_answered_at_once(open_client: Open, world: World) -> None:
    async with open_client() as client:
        await client.list_tools()
        answer = await client.call_tool("generate_image", {"prompt": "a fox", "model": "no-such-model"})

        assert answer.is_error
        assert not world.charges


async def test_an_unknown_handle_is_refused(open_client: Open) -> None:
    async with open_client() as client:
        with pytest.raises(MCPError) as refused:
            await ask(client, "tasks/get", "task-0123456789")

        assert refused.value.code == UNKNOWN


async def test_a_handle_altered_by_one_letter_is_refused(open_client: Open) -> None:
    async with open_client() as client:
        handle = await start(client)
        middle = len(handle.task_id) // 2
        other = "A" if handle.task_id[middle] != "A" else "B"

        with pytest.raises(MCPError) as refused:
            await ask(client, "tasks/get", handle.task_id[:middle] + other + handle.task_id[middle + 1 :])

        assert refused.value.code == UNKNOWN


async def test_another_callers_handle_looks_like_one_that_never_was(open_client: Open, world: World) -> None:
    world.add_account(OTHER_KEY)
    async with open_client() as mine:
        handle = await start(mine)
    async with open_client(key=OTHER_KEY) as other:
        for method in ("tasks/get", "tasks/cancel"):
            with pytest.raises(MCPError) as refused:
                await ask(other, method, handle.task_id)

            assert (refused.value.code, refused.value.message) == (UNKNOWN, "Unknown task")


async def test_another_callers_handle_is_refused_by_the_very_server_that_made_it(
    settings: Settings, world: World
) -> None:
    world.add_account(OTHER_KEY)
    with serve_asgi(http_app(web_server(settings), settings)) as url:
        async with (
            caller(url, extensions=[Tasks()]) as mine,
            caller(url, OTHER_KEY, extensions=[Tasks()]) as other,
        ):
            handle = await start(mine)
            with pytest.raises(MCPError) as refused:
                await ask(other, "tasks/get", handle.task_id)
            own = await ask(mine, "tasks/get", handle.task_id)

            assert refused.value.code == UNKNOWN
            assert own.status == "completed"


@pytest.mark.parametrize("open_client", ["memory", "stdio"], indirect=True)
async def test_a_handle_outlives_the_process_that_made_it(open_client: Open, world: World) -> None:
    async with open_client() as client:
        handle = await start(client)
    async with open_client() as client:
        with anyio.fail_after(60):
            while True:  # the file comes home a moment later where the machine is slow
                answer = await ask(client, "tasks/get", handle.task_id)
                assert answer.status == "completed"
                assert answer.result is not None
                if (made := facts(answer.result))["status"] == "succeeded":
                    break
        assert Path(made["artifacts"][0]["path"]).is_file()
    assert len(world.charges) == 1


async def test_copies_with_the_same_handle_keys_open_each_others_handles(settings: Settings, tmp_path: Path) -> None:
    shared = "a secret of thirty-two characters or more"
    copies = [
        replace(settings, journal=str(tmp_path / f"{name}.sqlite3"), handle_keys=shared) for name in ("one", "two")
    ]
    handles: list[str] = []
    for copy in copies:
        with serve_asgi(http_app(web_server(copy), copy)) as url:
            async with caller(url, extensions=[Tasks()]) as client:
                if not handles:
                    handles.append((await start(client)).task_id)
                else:
                    assert (await ask(client, "tasks/get", handles[0])).status == "completed"


async def test_a_copy_that_looks_before_novita_shows_the_task_waits_on(
    settings: Settings, tmp_path: Path, world: World
) -> None:
    copies = [
        replace(settings, journal=str(tmp_path / f"{name}.sqlite3"), handle_keys="a secret of more than 32 characters")
        for name in ("one", "two")
    ]
    async with Client(create_app(copies[0]), extensions=[Tasks()]) as client:
        handle = await start(client)
    async with Client(create_app(copies[1]), extensions=[Tasks()]) as client:
        world.trouble({"error": "TASK_NOT_FOUND"}, operation="get_task_result")
        assert (await ask(client, "tasks/get", handle.task_id)).status == "working"
        assert (await ask(client, "tasks/get", handle.task_id)).status == "completed"


async def test_a_cancel_is_acknowledged_and_the_truth_told_later(open_client: Open, world: World) -> None:
    """Novita cannot cancel a media task: it goes on, and its result is not thrown away."""
    async with open_client() as client:
        handle = await start(client)
        acknowledged = await ask(client, "tasks/cancel", handle.task_id)
        later = await ask(client, "tasks/get", handle.task_id)
        again = await ask(client, "tasks/cancel", handle.task_id)

        assert acknowledged.status is None
        assert later.status == "completed"
        assert again.status is None


async def test_one_who_does_not_declare_tasks_waits_and_may_not_ask_for_them(open_client: Open) -> None:
    async with open_client(declares=False) as client:
        await client.list_tools()
        answer = await client.call_tool("generate_image", FOX)
        with pytest.raises(MCPError) as refused:
            await ask(client, "tasks/get", "anything")

        assert facts(answer)["status"] == "succeeded"
        assert refused.value.code == NO_CAPABILITY
        assert refused.value.error.data == {
            "requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}
        }


async def test_a_fault_while_looking_keeps_the_task_working(open_client: Open, world: World) -> None:
    async with open_client() as client:
        handle = await start(client)
        world.trouble({"status": 500, "body": "no"}, operation="get_task_result", times=-1)
        during = await ask(client, "tasks/get", handle.task_id)
        world.troubles.clear()
        after = await ask(client, "tasks/get", handle.task_id)

        assert during.status == "working"
        assert after.status == "completed"
