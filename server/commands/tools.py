"""`novita-mcp tools`: list the tools, show a schema, call one without a host."""

import json
import sys
from collections.abc import Mapping
from typing import Any, cast

import anyio
from mcp import Client
from mcp_types import CallToolResult

from ...novita.core.wellformed import read_json
from ..app import NovitaServer, create_app
from ..settings import SettingError, Settings


def run_tools(settings: Settings, action: str, name: str | None, as_json: Any) -> int:
    """Do `action` and print the outcome; the exit code (1: the tool answered with an error).

    Args:
        as_json: For `call` the arguments as JSON text; True prints JSON instead of lines.

    Raises:
        SettingError: No such tool, or the arguments are no JSON object.
    """
    server = create_app(settings)
    if action == "call":
        answer = anyio.run(_call, server, _known(server, action, name), _arguments(as_json))
        texts = [block.text for block in answer.content if block.type == "text"]
        _say(json.dumps(answer.structured_content) if as_json is True and not answer.is_error else "\n".join(texts))
        return 1 if answer.is_error else 0
    tools = {tool.name: tool for tool in anyio.run(server.list_tools)}
    if action == "schema":
        shown = tools[_known(server, action, name)].model_dump(mode="json", by_alias=True, exclude_none=True)
        _say(json.dumps(shown, indent=2))
    elif as_json:
        _say(json.dumps([tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools.values()]))
    else:
        width = max(map(len, tools))
        for tool in tools.values():
            _say(f"{tool.name.ljust(width)}  {(tool.description or '').partition('. ')[0]}")
    return 0


async def _call(server: NovitaServer, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
    async with Client(server) as client:
        return await client.call_tool(name, dict(arguments))


def _known(server: NovitaServer, action: str, name: str | None) -> str:
    if not name:
        raise SettingError(f"tools {action} needs the name of a tool")
    if name not in {tool.name for tool in anyio.run(server.list_tools)}:
        raise SettingError(f"no tool is called {name!r}, or its toolset is off")
    return name


def _arguments(text: Any) -> dict[str, Any]:
    try:
        given: object = read_json(text) if isinstance(text, str) else {}
    except ValueError as error:
        raise SettingError(f"--json needs a JSON object: {error}") from error
    if not isinstance(given, dict):
        raise SettingError(f"--json needs a JSON object, not {text[:60]}")
    return cast(dict[str, Any], given)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
