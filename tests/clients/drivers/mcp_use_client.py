"""mcp-use, Python: its session, and its adapter to LangChain."""

from common import ASKED, play, run
from mcp_use import MCPClient
from mcp_use.agents.adapters.langchain_adapter import LangChainAdapter


async def main() -> None:
    client = MCPClient.from_dict({"mcpServers": {"novita": ASKED}})
    session = await client.create_session("novita")
    tools = await session.list_tools()
    converted = await LangChainAdapter().create_tools(client)
    names = {tool.name for tool in tools}
    await play([*names], len([tool for tool in converted if tool.name in names]), session.call_tool)
    await client.close_all_sessions()


run(main)
