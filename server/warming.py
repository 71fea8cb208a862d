"""Importing ahead what calls need: in a thread once a host has the list of tools, or before a server listens."""

import gc

from .. import tools
from ..tools.kit import mcp_tasks
from . import later

_OF_CALLS = ("build_app", "error_result", "leases_wait", "resources_and_prompts")
_loaded = False


def load() -> None:
    """Import all that calls need and read the catalogue, so that no call has to. It takes a good part of a second."""
    global _loaded
    for door, names in ((later, _OF_CALLS), (tools, tools.__all__), (mcp_tasks, mcp_tasks.__all__)):
        for name in names:
            getattr(door, name)
    later.media_models()
    if not _loaded:
        # All this stays as long as the process; the collector is not to walk it again and again between calls.
        gc.freeze()
    _loaded = True


def is_loaded() -> bool:
    """Whether that is done."""
    return _loaded
