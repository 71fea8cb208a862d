"""Clients over Streamable HTTP that bring a key of their own."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult
from novita_mcp.simulator.core.world import DEFAULT_KEY

PATIENCE = 30.0
"""Seconds for an answer, on a machine with other things to do."""


@asynccontextmanager
async def caller(url: str, key: str = DEFAULT_KEY, **client: Any) -> AsyncGenerator[Client]:
    """A client of the server at `url` (without /mcp)."""
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), **client) as opened,
    ):
        yield opened


def facts(result: CallToolResult) -> dict[str, Any]:
    """The structured answer; empty where there is none."""
    return result.structured_content or {}


def result_of(answer: httpx.Response) -> dict[str, Any] | None:
    """The result of a call that was sent as a plain request; its answer is JSON, or events with JSON."""
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    for text in [answer.text] if is_json else events:
        message: dict[str, Any] = httpx.Response(200, text=text).json()
        if "result" in message:
            return message["result"]
    return None
