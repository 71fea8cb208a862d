"""`novita-mcp tools`: lists the tools that are on, or shows the schema of one."""

import json
import sys

import anyio

from ..app import create_app
from ..settings import SettingError, Settings
from .layout import columns, shortened
from .tool_flags import listing


def run_tools(settings: Settings, action: str, name: str | None, *, as_json: bool) -> int:
    """Print the list of tools (action `list`), or the schema of one (`schema`). Returns the exit code.

    Raises:
        SettingError: There is no such tool, or it is off.
    """
    server = create_app(settings)
    tools = {tool.name: tool for tool in anyio.run(server.list_tools)}
    if action == "schema":
        shown = tools[known_tool(name, set(tools))].model_dump(mode="json", by_alias=True, exclude_none=True)
        _say(json.dumps(shown, indent=2))
    elif as_json:
        _say(json.dumps([tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools.values()]))
    else:
        term, width = max(map(len, tools), default=0), columns()
        for tool in tools.values():
            line = (tool.description or "").partition(". ")[0]
            shown = line if width is None else shortened(line, width - term - 2)
            _say(f"{tool.name.ljust(term)}  {shown}")
    return 0


def known_tool(name: str | None, on: set[str]) -> str:
    """Check that a tool is on, and return its name.

    Raises:
        SettingError: There is no such tool, or its toolset is off.
    """
    if not name:
        raise SettingError("this needs the name of a tool: `novita-mcp tools` lists them")
    listing(name)
    if name not in on:
        raise SettingError(
            f"{name} is off with these settings: --tools {name} switches it on, unless --read-only is set"
        )
    return name


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
