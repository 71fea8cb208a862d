"""No secret leaves: whatever Novita says with a friendly 200, by every way out of the process.

The promise is ours (SECURITY.md). Each text below holds the caller's own key, as a careless worker or proxy echoes it.
"""

import base64
import json
import logging
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mcp import Client, MCPError
from mcp_types import CallToolResult
from novita_mcp.novita.core.redaction import MARK, credentials_in
from novita_mcp.server.app import create_app
from novita_mcp.server.logs import Hush, JsonLines, Lines, for_logs
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ..building import quick
from .callers import facts
from .children import child
from .test_mcp_tasks import Tasks, ask, start

pytestmark = pytest.mark.old_models

STRANGE = "Nov.ita~7/key+with=%41'letters"
KEYS = (DEFAULT_KEY, STRANGE)
ASYNC = "qwen-image-txt2img"
LOOK, CHAT = "get_task_result", "create_chat_completion"


def spellings(key: str) -> list[str]:
    """What may not be found anywhere: the key, escaped and in base64, its middle at each of three offsets."""
    raw = key.encode()
    cores = [base64.b64encode(b"x" * before + raw).decode()[4:-4] for before in range(3)]
    return [key, quote(key, safe=""), key.lower(), key.replace("-", " ").lower(), json.dumps(key)[1:-1], *cores]


def leaked(text: str, key: str) -> list[str]:
    return [form for form in spellings(key) if form in text]


@dataclass
class CarefulHost:
    """A client that keeps everything it is told."""

    client: Client
    seen: list[str] = field(default_factory=list[str])

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        async def progress(progress: float, total: float | None, message: str | None) -> None:
            self.seen.append(message or "")

        result = await self.client.call_tool(tool, arguments, progress_callback=progress)
        self.seen.append(result.model_dump_json())
        return result

    async def read(self, uri: str) -> None:
        try:
            self.seen.append((await self.client.read_resource(uri)).model_dump_json())
        except MCPError as error:
            self.seen.append(str(error.error))


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest, world: World) -> str:
    world.add_account(request.param)
    return request.param


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Every line that is logged, at any level, by anybody."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{self.format(record)} {vars(record)}")

    root = logging.getLogger()
    keep, level = Keep(), root.level
    root.addHandler(keep)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(keep)
    root.setLevel(level)


@asynccontextmanager
async def hosted(settings: Settings, **client: Any) -> AsyncGenerator[CarefulHost]:
    async with Client(create_app(settings, build=quick), **client) as opened:
        yield CarefulHost(opened)


def answer(data: Any) -> dict[str, Any]:
    return {"status": 200, "body": json.dumps(data), "content_type": "application/json"}


def stream(text: str, *, step: int) -> dict[str, Any]:
    """A chat answer in pieces of `step` letters."""
    pieces = [text[start : start + step] for start in range(0, len(text), step)]
    events: list[dict[str, Any]] = [
        {"id": "c", "choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces
    ]
    events.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return {"status": 200, "body": body, "content_type": "text/event-stream"}


async def test_the_key_in_friendly_answers_leaves_by_no_exit(
    settings: Settings, world: World, key: str, logged: list[str], tmp_path: Path
) -> None:
    settings = replace(settings, api_key=key, toolsets="all", log_level="DEBUG")
    said = f"worker for {key} gave up; auth={quote(key, safe='')} {base64.b64encode(f'ab{key}c'.encode()).decode()}"
    async with hosted(settings) as host:
        # A failed task's reason: the answer, the list, the resource, the journal.
        world.fail_next_task(said)
        assert (await host.call("generate_image", prompt="a fox", model=ASYNC)).is_error
        listed = await host.call("list_tasks")
        task_id: str = facts(listed)["tasks"][0]["task_id"]
        await host.call("get_task", task_id=task_id)
        await host.read(f"novita://tasks/{task_id}")
        await host.read("novita://tasks")
        # An unknown status, in progress messages and the log; then a file's address.
        unknown = {"task": {"task_id": "t", "status": f"TASK_STATUS_{key}", "reason": said}}
        world.trouble(answer(unknown), operation=LOOK)
        link = f"http://127.0.0.1:9/{quote(key, safe='')}/a.png?X-Amz-Signature=0123456789abcdef&key={key}"
        done = {"task": {"task_id": "t", "status": "TASK_STATUS_SUCCEED"}, "images": [{"image_url": link}]}
        world.trouble(answer(done), operation=LOOK, times=-1)
        await host.call("generate_image", prompt="another fox", model=ASYNC)
        await host.call("list_tasks")
        # MiniMax's own errors, a chat's text in pieces that end in the middle of the key, and a title with a key in it.
        refusal = {"base_resp": {"status_code": 1004, "status_msg": said}}
        world.trouble(answer(refusal), path="/v3/*speech*", times=-1)
        await host.call("generate_speech", text="hello")
        for step in (1, 3, 7):
            world.trouble(stream(f"You are {said}, and {key}", step=step), operation=CHAT)
            told = await host.call("chat", prompt=f"Who is {key}?")
            assert MARK in told.model_dump_json()
        # A batch's errors.
        made = await host.call("create_batch", rows=[{"prompt": "one"}])
        batch_id: str = facts(made)["batch_id"]
        failed: dict[str, Any] = {"id": batch_id, "status": f"FAILED {key}", "errors": {"data": [{"message": said}]}}
        world.trouble(answer(failed), operation="retrieve_batch", times=-1)
        await host.call("get_batch", batch_id=batch_id, wait_seconds=0)
        world.troubles.clear()
        world.trouble(answer({**failed, "status": "failed"}), operation="retrieve_batch", times=-1)
        await host.call("get_batch", batch_id=batch_id, wait_seconds=0)
        # An instance's message.
        broken = {"id": "i-1", "name": key, "status": "running", "statusError": {"state": "bad", "message": said}}
        world.trouble(answer({"instances": [broken], "total": 1}), path="*/instances", method="GET", times=-1)
        world.trouble(answer(broken), path="*/instance*", method="GET", times=-1)
        await host.call("list_gpu_instances")
        await host.call("get_gpu_instance", instance_id="i-1")
        await host.read("novita://gpu/instances/i-1")
        await host.call("no_such_tool_" + key)

    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".png")
    for where, text in {
        "told": "\n".join(host.seen),
        "kept": kept.decode("utf-8", "replace"),
        "logged": "\n".join(logged),
    }.items():
        assert leaked(text, key) == [], where
    assert "\n".join(host.seen).count(MARK) >= 12  # the texts came through, without it


async def test_a_task_of_the_protocol_tells_no_key(settings: Settings, world: World, key: str) -> None:
    async with Client(create_app(replace(settings, api_key=key)), extensions=[Tasks()]) as client:
        world.fail_next_task(f"worker for {key} gave up")
        handle = await start(client)
        world.trouble(answer({"task": {"task_id": "t", "status": f"TASK_STATUS_{key}"}}), operation=LOOK)
        told = [(await ask(client, "tasks/get", handle.task_id)).model_dump_json() for _ in range(2)]

    assert leaked("".join(told), key) == []
    assert MARK in told[1]


@pytest.mark.slow
async def test_stderr_and_stdout_of_a_process_tell_no_key(
    settings: Settings, world: World, key: str, tmp_path: Path
) -> None:
    """With everything logged that can be."""
    said = f"worker for {key} gave up"
    for form in ("text", "json"):
        names = {"NOVITA_MCP_LOG_LEVEL": "DEBUG", "NOVITA_MCP_LOG_FORMAT": form, "NOVITA_API_KEY": key}
        with child(tmp_path, settings.base_url, **names) as server:
            server.initialize()
            world.trouble(answer({"task": {"task_id": "t", "status": f"TASK_STATUS_{key}"}}), operation=LOOK)
            world.fail_next_task(said)
            server.answer(server.call("generate_image", {"prompt": f"a fox as {form}, {key}", "model": ASYNC}))
            assert "is not documented" in server.stderr()
            assert leaked(server.stderr(), key) == []
            assert leaked("".join(server.stdout), key) == []


# Other secrets in play


async def test_passwords_of_registries_and_machines_leave_only_where_they_are_asked_for(
    settings: Settings, world: World, logged: list[str], tmp_path: Path
) -> None:
    registry, ssh = "registry-Pass/word+1", "ssh-Pass/word+2"
    said = f"pull failed: {registry} {quote(registry, safe='')}; login root:{ssh}"
    component = {"sshCommand": "ssh root@box", "password": ssh}
    broken = {
        "id": "i-1",
        "name": "box",
        "status": "running",
        "connectComponentSsh": component,
        "statusError": {"state": "bad", "message": said},
    }
    async with hosted(replace(settings, toolsets="all", log_level="DEBUG")) as host:
        await host.call("save_registry_login", name="docker.io", username="me", password=registry)
        world.trouble(answer(broken), path="*/instance*", method="GET", times=-1)
        shown = await host.client.call_tool("get_gpu_instance", {"instance_id": "i-1", "access": True})
        await host.call("get_gpu_instance", instance_id="i-1")
        await host.read("novita://gpu/instances/i-1")
        world.troubles.clear()
        world.fail_next_task(said)
        await host.call("generate_image", prompt=f"a fox, {registry}", model=ASYNC)
        await host.call("list_tasks")

    access: dict[str, Any] = facts(shown)["access"]
    assert access["ssh_password"] == ssh
    assert registry not in shown.model_dump_json()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*sqlite3*")).decode("utf-8", "replace")
    for text in ("\n".join(host.seen), kept, "\n".join(logged)):
        for word in (registry, quote(registry, safe=""), ssh):
            assert word not in text
    assert "\n".join(host.seen).count(MARK) >= 4


async def test_passwords_from_before_a_restart_are_known_again_once_novita_shows_them(
    settings: Settings, world: World, logged: list[str]
) -> None:
    """Novita lists registry passwords in clear, and machines with their variables and the token of their notebooks."""
    registry, ssh, variable, notebook = "registry-Pass.word-3", "ssh-Pass.word-4", "hf_variable_Word5", "notebookWord6"
    said = f"pull failed: {registry}; root:{ssh}; {variable}; ?token={notebook}"
    login = {"data": [{"id": "ra-1", "name": "docker.io", "username": "me", "password": registry}]}
    machine = {
        "id": "i-1",
        "name": "box",
        "status": "running",
        "connectComponentSsh": {"sshCommand": "ssh root@box", "password": ssh},
        "connectComponentJupyter": {"address": f"https://box.example/lab?token={notebook}", "isRunning": True},
        "envs": [{"key": "HF_TOKEN", "value": variable}, {"key": "EPOCHS", "value": "three hundred"}],
        "statusError": {"state": "bad", "message": said},
    }
    async with hosted(replace(settings, toolsets="all", log_level="DEBUG")) as host:
        world.trouble(answer(login), path="*repository/auths*", method="GET", times=-1)
        await host.call("list_gpu_resources", kind="registry_logins")
        world.trouble(answer(machine), path="*/instance*", method="GET", times=-1)
        shown = await host.client.call_tool("get_gpu_instance", {"instance_id": "i-1", "access": True})
        await host.call("get_gpu_instance", instance_id="i-1")
        await host.call("list_gpu_instances")
        await host.read("novita://gpu/instances/i-1")
    access: dict[str, Any] = facts(shown)["access"]
    assert access["ssh_password"] == ssh
    assert access["jupyter_url"].endswith(f"?token={notebook}")
    for text in ("\n".join(host.seen), "\n".join(logged)):
        for word in (registry, ssh, variable, notebook):
            assert word not in text
    assert registry not in shown.model_dump_json()
    assert variable not in shown.model_dump_json()
    assert "\n".join(host.seen).count(MARK) >= 4


def test_credentials_are_found_by_the_names_of_their_fields() -> None:
    told = {
        "rows": [{"sshPassword": "one-word", "max_tokens": "4096"}, {"key": "DB_PASSWORD", "value": "two-words"}],
        "webhook": {"signingSecret": "three-words", "url": "https://a.example/hook?token=four-words&size=large"},
        "masked": {"api_key": "********"},
        "note": "what is a token?",
    }
    assert sorted(credentials_in(told)) == ["four-words", "one-word", "three-words", "two-words"]


def test_logs_hold_no_signed_link_no_header_and_no_login() -> None:
    """Whatever a library writes at whatever level: addresses, headers as lists of bytes, tracebacks, extras."""
    lines = [
        "GET https://files.example/a.png?X-Amz-Credential=AKIA&X-Amz-Signature=feedface 200",
        "send_request_headers [(b'Authorization', b'Bearer opaque-word'), (b'Host', b'a')]",
        "connect postgresql://novita:data-word@db/novita",
        "target=b'/bucket/a.png?X-Amz-Signature=feedface&x=1'",
        "Set-Cookie: session=cookie-word; Path=/",
    ]
    for line in lines:
        shown = for_logs(line)
        for word in ("feedface", "AKIA", "opaque-word", "data-word", "cookie-word"):
            assert word not in shown
    record = logging.makeLogRecord({"msg": "look %s", "args": (lines[0],), "link": lines[3], "levelname": "DEBUG"})
    try:
        raise ValueError(lines[2])
    except ValueError:
        record.exc_info = sys.exc_info()
    assert Hush().filter(record)
    for formatter in (Lines(), JsonLines()):
        written = formatter.format(record)
        assert "files.example" in written
        assert not [word for word in ("feedface", "AKIA", "data-word") if word in written]
