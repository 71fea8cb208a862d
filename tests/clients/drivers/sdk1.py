"""The official Python SDK, 1.x."""

from common import ASKED, play, portable, run
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client


async def main() -> None:
    opened = (
        streamablehttp_client(ASKED["url"], headers=ASKED["headers"])
        if "url" in ASKED
        else stdio_client(StdioServerParameters(**ASKED))
    )
    async with opened as streams, ClientSession(streams[0], streams[1]) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        await play([tool.name for tool in tools], portable(tools), session.call_tool)


run(main)
