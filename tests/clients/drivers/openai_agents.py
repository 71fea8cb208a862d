"""openai-agents: its conversion to function tools, and its calls."""

import json

from agents import Agent, RunContextWrapper
from agents.mcp import MCPServerStdio, MCPServerStreamableHttp, MCPUtil
from agents.tool_context import ToolContext
from common import ASKED, play, run


async def main() -> None:
    kind = MCPServerStreamableHttp if "url" in ASKED else MCPServerStdio
    async with kind(params=ASKED, client_session_timeout_seconds=120) as server:
        agent = Agent(name="driver")
        tools = await MCPUtil.get_function_tools(server, False, RunContextWrapper(None), agent)
        by_name = {tool.name: tool for tool in tools}

        async def call(name, arguments):
            context = ToolContext(None, tool_name=name, tool_call_id="1", tool_arguments=json.dumps(arguments))
            return await by_name[name].on_invoke_tool(context, json.dumps(arguments))

        await play([*by_name], sum(bool(tool.params_json_schema) for tool in tools), call)


run(main)
