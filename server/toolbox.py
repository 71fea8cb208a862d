"""`novita-mcp tools`: list the tools, show a schema, call one without a host."""

import json
import sys
from typing import Any, cast

import anyio

from .app import create_app
from .settings import SettingError, Settings


def run_tools(settings: Settings, action: str, name: str | None, as_json: Any) -> int:
    """Do `action` and print the outcome; the exit code (1: the tool answered with an error)."""
    if action != "list" and not name:
        raise SettingError(f"tools {action} needs the name of a tool")
    return anyio.run(_run, settings, action, name or "", as_json)


async def _run(settings: Settings, action: str, name: str, as_json: Any) -> int:
    from mcp import Client

    out = sys.stdout
    async with Client(create_app(settings)) as client:
        if action == "call":
            try:
                arguments = cast(dict[str, Any], json.loads(as_json) if isinstance(as_json, str) else {})
            except ValueError as error:
                raise SettingError(f"--json needs a JSON object: {error}") from error
            result = await client.call_tool(name, arguments)
            texts = [block.text for block in result.content if block.type == "text"]
            out.write((json.dumps(result.structured_content) if as_json is True else "\n".join(texts)) + "\n")
            return 1 if result.is_error else 0
        tools = (await client.list_tools()).tools
        if action == "schema":
            found = [tool for tool in tools if tool.name == name]
            if not found:
                raise SettingError(f"no tool is called {name!r}, or its toolset is off")
            out.write(json.dumps(found[0].model_dump(mode="json", by_alias=True, exclude_none=True), indent=2) + "\n")
        elif as_json:
            listed = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
            out.write(json.dumps(listed) + "\n")
        else:
            width = max(len(tool.name) for tool in tools)
            for tool in tools:
                out.write(f"{tool.name.ljust(width)}  {(tool.description or '').split('. ')[0]}\n")
    return 0
