"""FastMCP's client."""

from common import ASKED, play, portable, run
from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport


async def main() -> None:
    transport = StreamableHttpTransport(**ASKED) if "url" in ASKED else StdioTransport(**ASKED)
    async with Client(transport) as client:
        tools = await client.list_tools()
        await play([tool.name for tool in tools], portable(tools), client.call_tool)


run(main)
