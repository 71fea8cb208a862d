"""What a host sees: toolsets, tools and resources."""

import importlib
from typing import TYPE_CHECKING, Any

from .overview.toolset_names import TOOLSET_HOMES, TOOLSET_NAMES

if TYPE_CHECKING:
    from .kit.toolset import Toolset

    TOOLSETS: tuple[Toolset, ...]

__all__ = ["TOOLSETS", "TOOLSET_NAMES"]


def __getattr__(name: str) -> Any:
    """TOOLSETS is made when it is first read: the modules behind it are heavy, and start-up needs only their names."""
    if name != "TOOLSETS":
        raise AttributeError(name)
    found = tuple(
        getattr(importlib.import_module(TOOLSET_HOMES[toolset], __name__), toolset) for toolset in TOOLSET_NAMES
    )
    globals()["TOOLSETS"] = found
    return found
