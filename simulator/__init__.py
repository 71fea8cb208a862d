"""A simulator of Novita AI: an HTTP server whose state tests can read and set, written from the documentation alone."""

from .app import create_app
from .core.world import DEFAULT_KEY, World
from .serving import serve

__all__ = ["DEFAULT_KEY", "World", "create_app", "serve"]
