"""Whether this machine can shut in what really runs: tests that need it say so where it cannot."""

import sys

from novita_mcp.simulator.sandbox.real import machine as outside


def why_no_walls() -> str:
    """Why no code can be run apart from this machine; empty where it can."""
    if sys.platform != "linux":
        return "Linux only"
    try:
        outside.check_level("isolated")
    except outside.Unavailable as error:
        return str(error)
    return ""
