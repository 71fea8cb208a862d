"""The typed client of Novita AI, and the waiting helper."""

from typing import TYPE_CHECKING

from .core.lazy import lazily

if TYPE_CHECKING:
    from .core.client import NovitaClient
    from .core.errors import NovitaError
    from .core.waiting import wait_until_done

__all__ = ["NovitaClient", "NovitaError", "wait_until_done"]

__getattr__ = lazily(
    __name__, {"NovitaClient": ".core.client", "NovitaError": ".core.errors", "wait_until_done": ".core.waiting"}
)
