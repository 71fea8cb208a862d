"""Importing ahead what calls need: in a thread once a host has the list of tools, or before a server listens."""

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager

from .. import tools
from ..tools.kit import mcp_tasks
from . import later

_OF_CALLS = ("build_app", "error_result", "leases_wait", "resources_and_prompts")
_loaded = False


def load() -> None:
    """Import all that calls need and read the catalogue, so that no call has to. It takes a good part of a second."""
    global _loaded
    with _only_what_is_needed():
        _import_all()
    if not _loaded:
        # All this stays as long as the process; the collector is not to walk it again and again between calls.
        gc.freeze()
    _loaded = True


def _import_all() -> None:
    for door, names in ((later, _OF_CALLS), (tools, tools.__all__), (mcp_tasks, mcp_tasks.__all__)):
        for name in names:
            getattr(door, name)
    later.media_models()


_HTTPX_COMMAND = "httpx._main"


@contextmanager
def _only_what_is_needed() -> Generator[None]:
    """Import without what would take a third of the time: the collector, for which there is nothing to collect yet,
    and the command line of httpx, which brings rich and pygments wherever they are installed.
    """
    hidden = _HTTPX_COMMAND not in sys.modules
    if hidden:
        sys.modules[_HTTPX_COMMAND] = None  # pyright: ignore[reportArgumentType]  # how Python is told that there is none
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
        if hidden:
            sys.modules.pop(_HTTPX_COMMAND, None)


def is_loaded() -> bool:
    """Whether that is done."""
    return _loaded
