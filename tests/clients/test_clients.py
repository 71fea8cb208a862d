"""Other people's clients on our server, over stdio and HTTP: what a user of theirs would see.

`results.json` keeps what was seen, and docs/hosts.md shows it; `pytest -m clients --update-clients` rewrites both. Each
client is driven by a small program in drivers/, in an environment of its own.
"""

import fcntl
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
from novita_mcp.server.app import choose_tools
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running

from ..environments import node, node_environment, python_environment
from ..server.children import environment
from ..serving import serve_asgi
from .results import RESULTS, Seen, stored, write_page

pytestmark = [pytest.mark.clients, pytest.mark.slow]

DRIVERS = Path(__file__).parent / "drivers"
PATIENCE = 400.0
"""Seconds for one client; on a quiet machine it takes ten."""
SLOW = 3.0
"""Seconds (of the world) that a video takes: the call that asks for it does not wait."""


@dataclass(frozen=True)
class Client:
    """A client: the packages it is made of, the first of which is shown, and its driver."""

    name: str
    driver: str
    packages: tuple[str, ...]


CLIENTS = (
    Client("Python SDK 1", "sdk1.py", ("mcp==1.30.0",)),
    Client("Python SDK 2", "sdk2.py", ("mcp==2.3.0",)),
    Client("TypeScript SDK 1", "typescript1.mjs", ("@modelcontextprotocol/sdk@1.32.2",)),
    Client("TypeScript SDK 2", "typescript2.mjs", ("@modelcontextprotocol/client@2.4.0",)),
    Client("MCP Inspector", "inspector.mjs", ("@modelcontextprotocol/inspector@2.12.0",)),
    Client("FastMCP", "fastmcp_client.py", ("fastmcp==4.1.4",)),
    Client("OpenAI Agents", "openai_agents.py", ("openai-agents==0.24.0",)),
    Client("LangChain adapters", "langchain.py", ("langchain-mcp-adapters==0.3.2",)),
    Client("Pydantic AI", "pydantic_ai_client.py", ("pydantic-ai-slim[mcp]==2.68.0",)),
    Client("Google ADK", "adk.py", ("google-adk[mcp]==2.13.0",)),
    Client("LlamaIndex", "llama_index.py", ("llama-index-tools-mcp==0.6.0",)),
    Client("mcp-use", "mcp_use_client.py", ("mcp-use==1.7.1",)),
    Client("Vercel AI SDK", "ai_sdk.mjs", ("@ai-sdk/mcp@1.0.102", "ai@6.0.326")),
)

Transport = Literal["stdio", "http"]


@contextmanager
def server(transport: Transport, settings: Settings, simulator: Running, home: Path) -> Generator[dict[str, Any]]:
    """How a client reaches our server."""
    if transport == "http":
        remote = replace(settings, wait_seconds=20)
        with serve_asgi(http_app(web_server(remote), remote)) as url:
            yield {"url": f"{url}/mcp", "headers": {"Authorization": f"Bearer {DEFAULT_KEY}"}}
        return
    env = environment(home, simulator.url, NOVITA_MCP_WAIT_SECONDS="20", NOVITA_MCP_CONFIRM_ABOVE_USD="1000")
    yield {"command": sys.executable, "args": ["-m", "novita_mcp.server"], "env": env}


def drive(client: Client, at: dict[str, Any], home: Path) -> dict[str, Any]:
    """What the client's driver saw."""
    program = home / "driver"
    shutil.copytree(DRIVERS, program)
    if client.driver.endswith(".py"):
        # A folder of its own: some drivers are named like what they import.
        command = [python_environment(client.packages), "-P", program / client.driver]
    else:
        (program / "node_modules").symlink_to(node_environment(client.packages) / "node_modules")
        command = [node(), program / client.driver]
    kept = environment(home, "http://127.0.0.1:9", PYTHONPATH=str(program / "common"))
    (program / "common").mkdir()
    shutil.copy(DRIVERS / "common.py", program / "common")
    done = subprocess.run(
        [*map(str, command), json.dumps(at)], cwd=home, env=kept, capture_output=True, text=True, timeout=PATIENCE
    )
    lines = done.stdout.strip().splitlines()
    assert done.returncode == 0 and lines, f"{client.name}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return json.loads(lines[-1])


@cache
def offered() -> frozenset[str]:
    return frozenset(tool.name for tool in choose_tools(Settings()))


@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("client", CLIENTS, ids=[client.name for client in CLIENTS])
def test_a_client_gets_all_it_asks_for(
    client: Client,
    transport: Transport,
    settings: Settings,
    simulator: Running,
    world: World,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    world.set(task_seconds=SLOW)
    with server(transport, settings, simulator, tmp_path) as at:
        told = drive(client, at, tmp_path)

    seen = Seen(
        tools=frozenset[str](told["tools"]) == offered(),
        converted=told["converted"] == len(told["tools"]),
        picture=told["picture"],
        video="working" in told["started"] and "succeeded" in told["finished"],
        error="no-such-model" in told["error"] and "billed" in told["error"],
        nulls="Bad arguments" not in told["nulls"] and "dry_run" in told["nulls"],
    )
    if request.config.getoption("--update-clients"):
        keep(client, transport, seen)
    kept = stored()[client.name]
    assert kept.version == client.packages[0]
    assert seen == kept.seen[transport], told


def keep(client: Client, transport: Transport, seen: Seen) -> None:
    """Write down what was seen; the others are left as they are."""
    with RESULTS.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept: dict[str, Any] = {name: row.model_dump() for name, row in stored().items()}
        row = kept.setdefault(client.name, {"version": "", "seen": {}})
        row["version"] = client.packages[0]
        row["seen"][transport] = seen.model_dump()
        in_order = {each.name: kept[each.name] for each in CLIENTS if each.name in kept}
        text = json.dumps(in_order, indent=1)
        text = re.sub(r"\{\n\s+\"tools\"[^}]*\}", lambda found: " ".join(found[0].split()), text)
        RESULTS.write_text(text + "\n", encoding="utf-8")
        write_page()
