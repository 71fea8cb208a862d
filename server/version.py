"""Which version is installed."""

import importlib.metadata


def version() -> str:
    """The installed version."""
    return importlib.metadata.version("novita-mcp")
