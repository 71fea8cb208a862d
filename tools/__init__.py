"""What a host sees: toolsets, tools and resources."""

from typing import TYPE_CHECKING

from ..novita.core.lazy import lazily
from .overview.toolset_names import TOOLSET_NAMES

if TYPE_CHECKING:
    from .overview.each_toolset import tool, toolset
    from .overview.toolsets import FOLLOWERS, TOOLS, TOOLSETS

__all__ = ["FOLLOWERS", "TOOLS", "TOOLSETS", "TOOLSET_NAMES", "tool", "toolset"]

__getattr__ = lazily(
    __name__,
    {
        "FOLLOWERS": ".overview.toolsets",
        "TOOLS": ".overview.toolsets",
        "TOOLSETS": ".overview.toolsets",
        "tool": ".overview.each_toolset",
        "toolset": ".overview.each_toolset",
    },
)
