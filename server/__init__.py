"""The MCP server: settings, transports and the command line."""

from typing import TYPE_CHECKING

from ..novita.core.lazy import lazily

if TYPE_CHECKING:
    from .app import create_app
    from .settings import Settings

__all__ = ["Settings", "create_app"]

__getattr__ = lazily(__name__, {"Settings": ".settings", "create_app": ".app"})
