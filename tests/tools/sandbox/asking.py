"""Calls of the sandbox tools by a client."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp import Client

from ...conftest import text_of

Json = dict[str, Any]
LONG = 60.0
"""Seconds after which what should happen will not: no measure of how fast it is."""


async def ask(client: Client, tool: str, **arguments: Any) -> Json:
    """The structured answer of a call that must work."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The text of a call that must be an error."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, text_of(result)
    return text_of(result)


async def made(client: Client, **wish: Any) -> str:
    """The id of a new sandbox."""
    return (await ask(client, "create_sandbox", **wish))["sandbox_id"]


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    """Look until it is so."""
    with anyio.move_on_after(LONG):
        while not await true():
            await anyio.sleep(0.02)
        return
    raise AssertionError(f"{what}: not within {LONG:g} s")
