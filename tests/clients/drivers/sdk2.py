"""The official Python SDK, 2.x: modern where the server is."""

import httpx2
from common import ASKED, play, portable, run
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client


async def main() -> None:
    if "url" in ASKED:
        async with httpx2.AsyncClient(headers=ASKED["headers"], timeout=120) as http:
            await ask(Client(streamable_http_client(ASKED["url"], http_client=http)))
    else:
        await ask(Client(StdioServerParameters(**ASKED)))


async def ask(opening: Client) -> None:
    async with opening as client:
        tools = (await client.list_tools()).tools
        await play([tool.name for tool in tools], portable(tools), client.call_tool)


run(main)
