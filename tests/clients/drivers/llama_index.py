"""LlamaIndex's tools of an MCP server."""

from common import ASKED, play, run
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec


async def main() -> None:
    client = (
        BasicMCPClient(ASKED["url"], headers=ASKED["headers"], timeout=120)
        if "url" in ASKED
        else BasicMCPClient(ASKED["command"], args=ASKED["args"], env=ASKED["env"], timeout=120)
    )
    tools = {tool.metadata.name: tool for tool in await McpToolSpec(client).to_tool_list_async()}

    async def call(name, arguments):
        return str((await tools[name].acall(**arguments)).raw_output)

    converted = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools.values()]
    await play([*tools], len(converted), call)


run(main)
