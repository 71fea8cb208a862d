"""The MCP server: settings, transports and the command line."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app
    from .settings import Settings

__all__ = ["Settings", "create_app"]

_HOMES = {"Settings": ".settings", "create_app": ".app"}


def __getattr__(name: str) -> Any:
    # Loaded on first use: the command line imports only what its command needs.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)
