"""What is given in secret_env reaches the code, and leaves by no exit: answers, progress, files, names, resources, the
journal, logs, errors and MCP tasks. Ours: the secrets of a sandbox are known as long as the process runs.
"""

import base64
import io
import logging
import zipfile
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, text_of
from ...server.test_mcp_tasks import TaskHandle, Tasks
from ...server.test_mcp_tasks import ask as ask_task
from .asking import Json, ask, made, refused, until

WORD = "Tok~very/secret+77"
FORMS = (WORD, base64.b64encode(WORD.encode()).decode()[:-2], WORD.encode().hex(), "Tok~very%2Fsecret")
HALVES = ("very/secret", "secret+77")


@pytest.fixture
def logged() -> Generator[io.StringIO]:
    """Every line that is logged, at any level."""
    from novita_mcp.server.logs import Hush, Lines

    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(Lines())
    handler.addFilter(Hush())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(before)


class Host:
    """A client that keeps everything it is told."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.seen: list[str] = []

    async def call(self, tool: str, **arguments: Any) -> Json:
        async def hear(progress: float, total: float | None, message: str | None) -> None:
            self.seen.append(message or "")

        result = await self.client.call_tool(tool, arguments, progress_callback=hear)
        self.seen.append(result.model_dump_json())
        return result.structured_content or {}


async def test_a_secret_of_a_sandbox_leaves_by_no_exit(connect: Connect, tmp_path: Path, logged: io.StringIO) -> None:
    async with connect(toolsets="default,sandbox") as client:
        host = Host(client)
        id = (await host.call("create_sandbox", secret_env={"TOKEN": WORD}, label="mine"))["sandbox_id"]
        said = await host.call("run_command", sandbox_id=id, command="echo $TOKEN; sleep 1.5; exit 1")
        for code in (
            "import os\nprint(os.environ['TOKEN'])\nos.environ['TOKEN']",
            "import os\nraise ValueError(os.environ['TOKEN'])",
            "import os\nimport matplotlib.pyplot as plt\nplt.plot([1])\nplt.title(os.environ['TOKEN'])\nplt.show()",
        ):
            await host.call("run_code", sandbox_id=id, code=code, secret_env={"TOKEN": WORD})
        await host.call("run_command", sandbox_id=id, command="seq 5000; echo $TOKEN; seq 5000")
        await host.call("run_command", sandbox_id=id, command='echo a > "$TOKEN.txt"; echo $TOKEN > kept.txt')
        home = await host.call("run_command", sandbox_id=id, command="true", save_files=["*.txt"])
        await host.call("read_sandbox_file", sandbox_id=id)
        read = await host.call("read_sandbox_file", sandbox_id=id, path="kept.txt")
        for offset in (3, 9, 15):
            await host.call("read_sandbox_file", sandbox_id=id, path="kept.txt", offset=offset)
        brought = await host.call("read_sandbox_file", sandbox_id=id, path="kept.txt", bring=True)
        await host.call("run_command", sandbox_id=id, command=f"sleep 1000; echo {WORD}", wait_seconds=0)
        for tool in ("list_tasks", "list_sandboxes", "get_sandbox"):
            await host.call(tool, **({"sandbox_id": id} if tool == "get_sandbox" else {}))
        await host.call("run_command", sandbox_id=id, command="echo", cwd=f"/{WORD}")
        await host.call("read_sandbox_file", sandbox_id=id, path=f"{WORD}/none")
        for file in (*home["files"], brought["file"]):
            host.seen.append((await client.read_resource(file["uri"])).model_dump_json())
        await host.call("delete_sandbox", sandbox_id=id, confirm=True)

    assert said["output"] == "[secret]\n"
    assert read["text"] == "[secret]\n"
    assert "was replaced by [secret]" in home["trouble"]
    everything = {f"told {n}": text for n, text in enumerate(host.seen)}
    everything |= {str(path): path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()}
    everything |= {"names": " ".join(map(str, tmp_path.rglob("*"))), "logs": logged.getvalue()}
    for where, text in everything.items():
        for form in (*FORMS, *HALVES):
            assert form not in text, f"{form} in {where}: ...{text[max(0, text.find(form) - 200) :][:400]}"


async def test_a_file_in_which_a_secret_cannot_be_hidden_does_not_come_home(connect: Connect, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("plain.txt", f"\0{WORD}")
    held = f"data:application/zip;base64,{base64.b64encode(packed.getvalue()).decode()}"
    async with connect(toolsets="sandbox") as client:
        id = await made(client, secret_env={"TOKEN": WORD})
        await ask(client, "write_sandbox_file", sandbox_id=id, path="a.zip", file=held)
        brought = await refused(client, "read_sandbox_file", sandbox_id=id, path="a.zip", bring=True)
        ran = await ask(client, "run_command", sandbox_id=id, command="true", save_files=["a.zip"])

    assert "holds a value of secret_env" in brought
    assert "holds a value of secret_env" in ran["trouble"]
    assert not list(tmp_path.rglob("*.zip"))


@pytest.mark.parametrize("where", ["create_sandbox", "run_code", "run_command"])
async def test_who_gave_a_secret_by_any_tool_sees_it_in_no_later_answer(connect: Connect, where: str) -> None:
    secret = {"TOKEN": WORD}
    show = "echo $TOKEN > t; cat t"
    async with connect(toolsets="sandbox") as client:
        id = await made(client, **({"secret_env": secret} if where == "create_sandbox" else {}))
        if where == "run_code":
            code = "import os\nprint(open('t', 'w').write(os.environ['TOKEN']), os.environ['TOKEN'])"
            await ask(client, "run_code", sandbox_id=id, code=code, secret_env=secret)
        elif where == "run_command":
            await ask(client, "run_command", sandbox_id=id, command=show, secret_env=secret)
        else:
            await ask(client, "run_command", sandbox_id=id, command=show)
        later = await client.call_tool("run_command", {"sandbox_id": id, "command": "cat t"})

    assert WORD not in text_of(later)
    assert "[secret]" in text_of(later)


async def test_an_mcp_task_tells_no_secret(settings: Settings, world: World) -> None:
    app = create_app(replace(settings, toolsets="sandbox"))
    async with Client(app, extensions=[Tasks()]) as client:
        id = await made(client, secret_env={"TOKEN": WORD})
        await client.list_tools()
        command = {"sandbox_id": id, "command": "echo $TOKEN; sleep 1000"}
        handle = await client.session.call_tool("run_command", command, allow_claimed=True)
        assert isinstance(handle, TaskHandle)
        seen: list[str] = []

        async def told() -> bool:
            seen.append((await ask_task(client, "tasks/get", handle.task_id)).status_message or "")
            return seen[-1] == "[secret]"

        await until(told, "its output is the task's message")
        await ask_task(client, "tasks/cancel", handle.task_id)

    assert set(seen) <= {"running", "[secret]"}
