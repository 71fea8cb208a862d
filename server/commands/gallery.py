"""`novita-mcp gallery`: shows the pages in a browser, with the user's own journal and files."""

import socket
import sys
import webbrowser
from dataclasses import dataclass, replace
from typing import Any

import anyio
import anyio.to_thread
import uvicorn
from mcp import Client, MCPError

from ...novita.core.words import counted
from ..app import create_app
from ..gallery.loopback import TOKEN_LASTS, Loopback, Visit
from ..settings import SettingError, Settings

_GLANCE = 0.5
"""Seconds between two checks whether the session is over."""
_OPENS_WITHIN = 15.0
"""Seconds within which the browser must open the page. Otherwise the command prints the link."""


@dataclass(frozen=True)
class _Mcp:
    """Passes the requests of the pages to the MCP server in this process."""

    client: Client

    async def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = await self.client.call_tool(name, arguments)
        return answer.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"})

    async def read(self, uri: str) -> dict[str, Any]:
        try:
            answer = await self.client.read_resource(uri)
        except MCPError as error:
            raise ValueError(error.message) from error
        return answer.model_dump(mode="json", by_alias=True, exclude_none=True)


def run_gallery(settings: Settings, *, browser: bool, idle_minutes: float) -> int:
    """Serve the pages until no request has come for some time. Returns the exit code.

    Args:
        browser: Open the user's browser. If not, the command prints the link.

    Raises:
        SettingError: There is no key or no journal on disk, so there is nothing to show.
    """
    if not settings.api_key:
        raise SettingError("the gallery needs your key: set NOVITA_API_KEY, or keep it with `novita-mcp key set`")
    if settings.journal.lower() == "off":
        raise SettingError("the journal is off (NOVITA_MCP_JOURNAL), so there is nothing to show")
    if not idle_minutes > 0:
        raise SettingError("--idle-minutes must be more than 0")
    # The page must show everything that costs, whichever toolsets the user's hosts get.
    chosen = replace(settings, toolsets="default,sandbox", tools="")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        anyio.run(_serve, chosen, listener, browser, idle_minutes)
    return 0


async def _serve(settings: Settings, listener: socket.socket, browser: bool, idle_minutes: float) -> None:
    visit = Visit(idle_ends=idle_minutes * 60)
    async with Client(create_app(settings)) as client, anyio.create_task_group() as group:
        app = Loopback(_Mcp(client), visit, listener.getsockname()[1])
        # No access log. The token is in no requested address either, so no other log can contain it.
        config = uvicorn.Config(
            app,
            http="h11",  # strict by itself; the other parser would need the limits of connections.py
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        group.start_soon(_tell, app, visit, browser, idle_minutes)
        group.start_soon(_end_when_over, visit, server, idle_minutes)
        await server.serve(sockets=[listener])
        group.cancel_scope.cancel()


async def _tell(app: Loopback, visit: Visit, browser: bool, idle_minutes: float) -> None:
    ending = f"It ends with Ctrl-C, or after {counted(idle_minutes, 'minute')} without a request."
    opened = browser and await anyio.to_thread.run_sync(webbrowser.open, app.link, abandon_on_cancel=True)
    if opened:
        _say(f"The gallery opens in your browser. {ending}")
        with anyio.move_on_after(_OPENS_WITHIN):
            await visit.came.wait()
            return
    how = f"Open this link in a browser on this machine, once, within {TOKEN_LASTS / 60:g} minutes"
    _say(f"{how}:\n\n  {app.link}\n" + ("" if opened else f"\n{ending}"))


async def _end_when_over(visit: Visit, server: uvicorn.Server, idle_minutes: float) -> None:
    while (left := visit.left) > 0:  # noqa: ASYNC110  # a request does not set an event, it only moves the end
        await anyio.sleep(min(left, _GLANCE))
    idle = f"No request came for {counted(idle_minutes, 'minute')}"
    why = idle if visit.came.is_set() else "Nobody opened the link"
    _say(f"{why}: the gallery has ended.")
    server.should_exit = True


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
