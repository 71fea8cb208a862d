"""The bare server with which ours is compared: one async tool that makes one GET, on the same SDK.

    python bench/bare.py [port]

It speaks stdio, or HTTP if a port is given. The tool asks NOVITA_BASE_URL for the balance, as `get_balance` does.

Where rich is installed the SDK writes its log lines with it, which costs more than the call. Where httptools is
installed uvicorn parses requests with it, which is quicker than without. A bare server brings neither along, but we do;
so both are hidden here.
"""

import os
import sys

sys.modules["rich.console"] = None  # type: ignore[assignment]  # an import of it fails
sys.modules["httptools"] = None  # type: ignore[assignment]

import httpx  # noqa: E402
from mcp.server import MCPServer  # noqa: E402

server = MCPServer("bare", version="1")
upstream = httpx.AsyncClient(
    base_url=os.environ["NOVITA_BASE_URL"],
    headers={"Authorization": f"Bearer {os.environ.get('NOVITA_API_KEY', '')}"},
    limits=httpx.Limits(max_connections=128, max_keepalive_connections=128),
)


@server.tool()
async def get_balance() -> str:
    """The balance."""
    return (await upstream.get("/openapi/v1/billing/balance/detail")).text


if len(sys.argv) > 1:
    server.run("streamable-http", port=int(sys.argv[1]), stateless_http=True)
else:
    server.run()
