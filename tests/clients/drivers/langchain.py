"""LangChain's adapters: tools as a model gets them, and calls as an agent makes them."""

from common import ASKED, play, run
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.client import MultiServerMCPClient


async def main() -> None:
    transport = "streamable_http" if "url" in ASKED else "stdio"
    client = MultiServerMCPClient({"novita": {"transport": transport, **ASKED}})
    tools = {tool.name: tool for tool in await client.get_tools()}

    async def call(name, arguments):
        return await tools[name].ainvoke({"type": "tool_call", "id": "1", "name": name, "args": arguments})

    await play([*tools], len([convert_to_openai_tool(tool) for tool in tools.values()]), call)


run(main)
