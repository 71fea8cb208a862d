"""The typed client of Novita AI, and the waiting helper."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.client import NovitaClient
    from .core.errors import NovitaError
    from .core.waiting import wait_until_done

__all__ = ["NovitaClient", "NovitaError", "wait_until_done"]

_HOMES = {"NovitaClient": ".core.client", "NovitaError": ".core.errors", "wait_until_done": ".core.waiting"}


def __getattr__(name: str) -> Any:
    # Loaded on first use: start-up passes by here and needs none of it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)
