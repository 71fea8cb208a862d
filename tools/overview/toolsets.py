"""All toolsets in the order in which a host lists them. Importing this module imports every tool."""

from ..kit.mcp_tasks.followers import FOLLOWERS as FOLLOWERS  # complete below: each family adds its own
from ..kit.toolset import Toolset, ToolSpec
from .each_toolset import toolset
from .toolset_names import TOOLSET_NAMES

TOOLSETS: tuple[Toolset, ...] = tuple(toolset(name) for name in TOOLSET_NAMES)

TOOLS: dict[str, ToolSpec] = {spec.name: spec for each in TOOLSETS for spec in each.tools}
"""Every tool by its name."""
