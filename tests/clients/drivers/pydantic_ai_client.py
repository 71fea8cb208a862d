"""Pydantic AI: its toolset of an MCP server."""

from common import ASKED, play, run
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from pydantic_ai import RunContext
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage


async def main() -> None:
    transport = StreamableHttpTransport(**ASKED) if "url" in ASKED else StdioTransport(**ASKED)
    async with MCPToolset(transport, init_timeout=120, read_timeout=120) as server:
        tools = await server.list_tools()
        converted = await server.get_tools(RunContext(deps=None, model=TestModel(), usage=RunUsage()))
        await play([tool.name for tool in tools], len(converted), server.direct_call_tool)


run(main)
