"""Whether anything that may cost has left this process on behalf of one call."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Sent:
    """Marked as soon as a request that may cost is handed to the network."""

    anything: bool = False


_sent: ContextVar[Sent | None] = ContextVar("sent", default=None)


def watch_sending() -> Sent:
    """Begin to watch: what is done from here on, in other tasks too, marks what comes back."""
    watched = Sent()
    _sent.set(watched)
    return watched


def mark_sent() -> None:
    """Something that may cost goes out now."""
    watched = _sent.get()
    if watched is not None:
        watched.anything = True
