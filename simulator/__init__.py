"""Novita AI on 127.0.0.1: a real HTTP server with a world one can hold. Written from the documentation alone."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app
    from .core.world import World
    from .serving import serve

__all__ = ["World", "create_app", "serve"]

_HOMES = {"World": ".core.world", "create_app": ".app", "serve": ".serving"}


def __getattr__(name: str) -> Any:
    # Loaded on first use: most who import the package only want to know that it is there.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)
