"""Novita AI on 127.0.0.1: a real HTTP server with a world one can hold. Written from the documentation alone."""

from .app import create_app
from .core.world import DEFAULT_KEY, World
from .serving import serve

__all__ = ["DEFAULT_KEY", "World", "create_app", "serve"]
