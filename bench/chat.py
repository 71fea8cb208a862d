"""Measures what `chat` adds to the time of the stream it reads, how soon progress comes, and how fast a cancel works.

    python bench/chat.py [--calls 60] [--tokens 200]

The simulator runs in a process of its own, and calls come one after another: the raw event stream, read with plain
httpx, then the same question through `chat` in memory (modern era). The output has medians and 95th percentiles in ms
of the whole answer, of the first progress, and of the time from a cancel in the middle of a stream until the simulator
sees the closed connection (goal: 200 ms).
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
import httpx
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings

KEY = "sk-simulated"
MODEL = "deepseek/deepseek-v3.2"
PROMPT = "Tell me about red foxes"
HOUR = 3600


class ChatBench:
    """A simulator, which is called directly and through our server."""

    def __init__(self, novita: str, plain: httpx.AsyncClient, client: Client) -> None:
        self.novita, self.plain, self.client = novita, plain, client

    async def raw(self) -> float:
        """Milliseconds for one stream, read with plain httpx."""
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": PROMPT}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 16_384,
        }
        began = time.perf_counter()
        async with self.plain.stream("POST", f"{self.novita}/openai/v1/chat/completions", json=body) as response:
            async for _ in response.aiter_bytes():
                pass
        return (time.perf_counter() - began) * 1000

    async def chat(self) -> tuple[float, float]:
        """Milliseconds for one chat, and until its first progress."""
        heard: list[float] = []

        async def listen(progress: float, total: float | None, message: str | None) -> None:
            heard.append(time.perf_counter())

        began = time.perf_counter()
        await self.client.call_tool("chat", {"prompt": PROMPT}, progress_callback=listen)
        return (time.perf_counter() - began) * 1000, (heard[0] - began) * 1000

    async def cancelled(self) -> float:
        """Milliseconds from a cancel in the middle of a stream to the end of its connection at the simulator."""
        number = len((await self.control())["streams"])
        await self.control({"trouble": [{"kind": "silence", "after": 6, "seconds": HOUR}]})
        left = 0.0
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(self.client.call_tool, "chat", {"prompt": PROMPT})
                while True:
                    streams = (await self.control())["streams"]
                    if len(streams) > number and streams[-1]["events"] >= 6:
                        break
                    await anyio.sleep(0.01)
                left = time.monotonic()  # this clock is the same for all processes of a machine
                scope.cancel()
        while True:
            ended = (await self.control())["streams"][-1]["ended"]
            if ended is not None:
                return (ended - left) * 1000
            await anyio.sleep(0.005)

    async def control(self, body: dict[str, Any] | None = None) -> dict[str, Any]:
        method = "GET" if body is None else "POST"
        return (await self.plain.request(method, f"{self.novita}/_simulator/llm", json=body)).json()


async def run(calls: int, tokens: int, novita: str, home: Path) -> dict[str, list[float]]:
    settings = Settings(api_key=KEY, base_url=novita, journal=str(home / "journal.sqlite3"), output_dir=home / "out")
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as plain,
        Client(create_app(settings), mode="auto") as client,
    ):
        stage = ChatBench(novita, plain, client)
        await stage.control({"settings": {"answer_tokens": tokens}})
        for _ in range(5):
            await stage.raw()
            await stage.chat()
        raw = [await stage.raw() for _ in range(calls)]
        ours = [await stage.chat() for _ in range(calls)]
        cancels = [await stage.cancelled() for _ in range(max(5, calls // 4))]
    return {
        "raw stream": raw,
        "chat": [whole for whole, _ in ours],
        "first progress": [first for _, first in ours],
        "cancel felt": cancels,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "novita_mcp.simulator", "--port", "0"]
        simulator = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert simulator.stderr is not None
            novita = next(word for word in simulator.stderr.readline().split() if word.startswith("http"))
            found = anyio.run(run, options.calls, options.tokens, novita, Path(home))
        finally:
            simulator.terminate()
            simulator.wait()
    print(f"{'ms, ' + str(options.calls) + ' calls':<16}{'p50':>9}{'p95':>9}")
    for name, taken in found.items():
        print(f"{name:<16}{statistics.median(taken):>9.2f}{statistics.quantiles(taken, n=20)[18]:>9.2f}")
    added = statistics.median(found["chat"]) - statistics.median(found["raw stream"])
    print(f"added by chat    {added:.2f} ms for about {options.tokens} tokens")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
