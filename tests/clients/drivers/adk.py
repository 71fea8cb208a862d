"""Google's Agent Development Kit: declarations for Gemini, and calls."""

from types import SimpleNamespace

from common import ASKED, play, run
from google.adk.tools.mcp_tool import McpToolset, StdioConnectionParams, StreamableHTTPConnectionParams
from mcp import StdioServerParameters


async def main() -> None:
    connection = (
        StreamableHTTPConnectionParams(**ASKED, timeout=120)
        if "url" in ASKED
        else StdioConnectionParams(server_params=StdioServerParameters(**ASKED), timeout=120)
    )
    toolset = McpToolset(connection_params=connection)
    tools = {tool.name: tool for tool in await toolset.get_tools()}

    async def call(name, arguments):
        return await tools[name].run_async(args=arguments, tool_context=context())

    await play([*tools], sum(tool._get_declaration() is not None for tool in tools.values()), call)
    await toolset.close()


def context():
    from unittest.mock import MagicMock

    made = MagicMock()
    made.tool_confirmation = None
    made.actions = SimpleNamespace()
    made.state = {}
    made.function_call_id = "call-1"  # it names the page of a tool by it
    return made


run(main)
