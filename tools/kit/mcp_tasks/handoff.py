"""How a slow tool hands its job over to an MCP task: the server opens a handoff, the tool fills it and returns."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Handoff:
    """The job behind an MCP task. `job` is (kind, id) once the tool has submitted something that runs on at Novita."""

    job: tuple[str, str] | None = None


_current: ContextVar[Handoff | None] = ContextVar("handoff", default=None)


def current_handoff() -> Handoff | None:
    """The handoff of this call, or None if the caller waits for the answer itself."""
    return _current.get()


@contextmanager
def open_handoff() -> Generator[Handoff]:
    """Within the `with` block, tools submit their job and return instead of waiting."""
    handoff = Handoff()
    token = _current.set(handoff)
    try:
        yield handoff
    finally:
        _current.reset(token)
