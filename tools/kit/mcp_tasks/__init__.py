"""MCP tasks: how a slow tool hands its job over, the sealed handle a host gets for it, and how the job is followed.

"Host" means the program with the agent in it, such as Claude Desktop.

The extension is loaded at start-up; the modules that look at jobs are loaded by the first call that needs them.
"""

from typing import TYPE_CHECKING

from ....novita.core.lazy import lazily

if TYPE_CHECKING:
    from .followers import caller_of, cancel, follow

__all__ = ["caller_of", "cancel", "follow"]

__getattr__ = lazily(__name__, {"caller_of": ".followers", "cancel": ".followers", "follow": ".followers"})
