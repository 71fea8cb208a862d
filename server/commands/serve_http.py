"""`novita-mcp serve --http`: serves many callers over Streamable HTTP."""

from ..http import run_http, web_server
from ..logs import set_up_logs
from ..settings import Settings
from ..simulated import novita_for


def serve_http(settings: Settings, *, simulate: bool) -> int:
    """Serve until a signal ends the process. Returns the exit code."""
    set_up_logs(settings)
    with novita_for(settings, simulate=simulate) as settings:
        return run_http(web_server(settings), settings)
