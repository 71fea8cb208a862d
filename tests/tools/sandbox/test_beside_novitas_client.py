"""Novita's own Python client, unchanged, and our tools see the same sandboxes, whoever made them."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from decimal import Decimal
from pathlib import Path

import anyio.to_thread
import pytest
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes as State
from novita_mcp.simulator.sandbox.tls import tls_front
from novita_mcp.simulator.serving import Running

from ...conftest import Connect
from .asking import ask, made, refused

pytest.importorskip("novita_sandbox")

THEIRS = """
from novita_sandbox.code_interpreter import Sandbox
sandbox = Sandbox.create(timeout=300, metadata={"label": "theirs"})
sandbox.files.write("from_sdk.txt", "written by theirs")
sandbox.run_code("shared = 41")
print(sandbox.sandbox_id)
"""
THEIRS_LATER = """
import sys
from novita_sandbox.code_interpreter import Sandbox
sandbox = Sandbox.connect(sys.argv[1])
print(sandbox.files.read("from_us.txt"), sandbox.run_code("shared").text, sandbox.commands.run("cat said.txt").stdout)
print(round((sandbox.get_info().end_at - sandbox.get_info().started_at).total_seconds()) >= 1190)
"""
OURS = """
import sys
from novita_sandbox.code_interpreter import Sandbox
sandbox = Sandbox.connect(sys.argv[1])
info = sandbox.get_info()
print(sandbox.files.read("from_us.txt"), sandbox.run_code("shared + 1").text, info.metadata["novita-mcp"])
sandbox.files.write("from_sdk.txt", "theirs")
sandbox.run_code("shared = 7")
print(sandbox.kill())
"""


@pytest.fixture
def official(simulator: Running, state: State) -> Generator[Callable[..., str]]:
    """Runs a program of Novita's client and gives what it printed."""
    with tls_front(int(simulator.url.rpartition(":")[2])) as front:
        state.domain = front.domain
        envs = {
            "PATH": os.environ["PATH"],
            "NOVITA_API_KEY": DEFAULT_KEY,
            "NOVITA_API_URL": simulator.url,
            "NOVITA_SANDBOX_URL": simulator.url,
            "SSL_CERT_FILE": str(front.authority),
        }

        def run(program: str, *words: str) -> str:
            done = subprocess.run(
                [sys.executable, "-c", program, *words], env=envs, capture_output=True, text=True, timeout=100
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        yield run


async def test_what_novitas_client_made_is_listed_used_and_deleted_by_our_tools(
    connect: Connect, official: Callable[..., str], world: World, state: State
) -> None:
    id = await anyio.to_thread.run_sync(official, THEIRS)
    async with connect(toolsets="default,sandbox") as client:
        (line,) = (await ask(client, "list_sandboxes", label="theirs"))["sandboxes"]
        read = await ask(client, "read_sandbox_file", sandbox_id=id, path="from_sdk.txt")
        ran = await ask(client, "run_code", sandbox_id=id, code="shared = shared + 1\nshared")
        await ask(client, "run_command", sandbox_id=id, command="echo said > said.txt")
        await ask(client, "write_sandbox_file", sandbox_id=id, path="from_us.txt", text="ours")
        home = await ask(client, "read_sandbox_file", sandbox_id=id, path="said.txt", bring=True)
        counted = (await ask(client, "list_tasks")).get("running")
        longer = await ask(client, "change_sandbox", sandbox_id=id, action="set_time", timeout_minutes=20)
        seen = await anyio.to_thread.run_sync(official, THEIRS_LATER, id)
        gone = await ask(client, "delete_sandbox", sandbox_id=id, confirm=True)

    assert (line["sandbox_id"], line["label"], line["usd_per_hour"]) == (id, "theirs", "0.08208")
    assert (read["text"], ran["result"]) == ("written by theirs", "42")
    assert seen.split() == ["ours", "42", "said", "True"]
    assert Path(home["file"]["path"]).read_text() == "said\n"
    assert counted is None, "what we did not make is not in our books"
    assert Decimal(longer["estimated_cost_usd"]) > 0, "but the time we gave it is"
    assert (gone["deleted"], state.sandboxes) == ([id], {})


async def test_what_our_tools_made_is_used_and_deleted_by_novitas_client(
    connect: Connect, official: Callable[..., str], world: World, state: State
) -> None:
    async with connect(toolsets="default,sandbox") as client:
        id = await made(client)
        await ask(client, "write_sandbox_file", sandbox_id=id, path="from_us.txt", text="ours")
        await ask(client, "run_code", sandbox_id=id, code="shared = 41")
        seen = await anyio.to_thread.run_sync(official, OURS, id)
        gone = await refused(client, "run_code", sandbox_id=id, code="shared")
        after = await ask(client, "list_tasks")

    assert seen.split() == ["ours", "42", "1", "True"]
    assert "it was deleted at" in gone
    assert "running" not in after
    assert state.count["delete"] == 1
