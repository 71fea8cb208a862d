"""`novita-mcp` without a command: serves one host over stdio."""

from ..app import create_app
from ..logs import set_up_logs
from ..settings import Settings
from ..simulated import novita_for
from ..transports import run_stdio
from ..warming import load_common


def serve_stdio(settings: Settings, *, simulate: bool) -> int:
    """Serve until the host closes the connection. Returns the exit code."""
    set_up_logs(settings)
    load_common()
    with novita_for(settings, simulate=simulate) as settings:
        return run_stdio(create_app(settings))
