"""What a tool call adds to the HTTP call it stands for.

    python bench/overhead.py [--calls 300]

Against the simulator in a process of its own, one call after another: `GET` of the balance with plain httpx; the same
through `get_balance` in memory, over stdio and over HTTP, in both eras. Prints medians and 99th percentiles in ms.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import httpx
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings

KEY = "sk-simulated"
PATH = "/openapi/v1/billing/balance/detail"


async def measure(call: Callable[[], Awaitable[Any]], calls: int) -> list[float]:
    """Milliseconds of each call, after some that are not counted."""
    for _ in range(20):
        await call()
    taken: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


async def run(calls: int, novita: str, web: str, home: str) -> dict[str, list[float]]:
    """All ways, in turn."""
    found: dict[str, list[float]] = {}
    bearer = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(headers=bearer) as plain:
        found["plain httpx"] = await measure(lambda: plain.get(novita + PATH), calls)
    settings = Settings(api_key=KEY, base_url=novita, journal="off")
    child = StdioServerParameters(
        command=sys.executable, args=["-m", "novita_mcp.server"], env=environment(novita, home)
    )
    for era in ("legacy", "auto"):
        name = "legacy" if era == "legacy" else "modern"
        for way in ("memory", "stdio", "http"):
            async with AsyncExitStack() as stack:
                if way == "memory":
                    client = Client(create_app(settings), mode=era)
                elif way == "stdio":
                    client = Client(child, mode=era)
                else:
                    http = await stack.enter_async_context(httpx2.AsyncClient(headers=bearer))
                    client = Client(streamable_http_client(web, http_client=http), mode=era)
                opened = await stack.enter_async_context(client)
                await opened.list_tools()
                found[f"{way}, {name}"] = await measure(lambda: opened.call_tool("get_balance", {}), calls)  # noqa: B023
    return found


def environment(novita: str, home: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "NOVITA_API_KEY": KEY,
        "NOVITA_BASE_URL": novita,
        "NOVITA_MCP_JOURNAL": "off",
    }


def spawn(arguments: list[str], home: str, novita: str = "") -> tuple[subprocess.Popen[str], str]:
    """A process, and the address it says on stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stderr=subprocess.PIPE, text=True, env=environment(novita, home)
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    return process, next(word for word in line.split() if word.startswith("http"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as home:
        simulator, novita = spawn(["novita_mcp.simulator", "--port", "0"], home)
        server, web = spawn(["novita_mcp.server", "serve", "--http", "--port", "0"], home, novita)
        try:
            found = anyio.run(run, calls, novita, web, home)
        finally:
            for process in (server, simulator):
                process.terminate()
                process.wait()
    base = statistics.median(found["plain httpx"])
    print(f"{'ms, ' + str(calls) + ' calls':<16}{'p50':>8}{'p99':>8}{'added':>8}")
    for name, taken in found.items():
        middle, worst = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
        print(f"{name:<16}{middle:>8.2f}{worst:>8.2f}{middle - base:>8.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
