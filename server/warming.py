"""Importing what calls need: for one call only what its toolset needs, in the background all, and all before a server
for many listens."""

import gc
import logging
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio

from .. import tools
from ..novita.core.lazy import without
from ..tools.kit import mcp_tasks
from ..tools.overview import family_parts
from . import later

if TYPE_CHECKING:
    from ..tools.kit.toolset import ToolSpec

logger = logging.getLogger(__name__)

LIST_FIRST = 0.2
"""Seconds after the list in which nothing is imported unasked: the host reads it, and may make a first call."""
FIRST_CALL = 0.5
"""Seconds that a tool's first call has for itself, because it imports what it needs."""
CALM = 0.5
"""Seconds in which no call has begun or ended, after which it may be expected that none comes at once."""

_OF_EVERY_CALL = ("build_app", "error_result")
_OF_SOME_CALLS = ("leases_wait", "resources_and_prompts")
_loaded = False
_quick = False


def load_common() -> None:
    """Import what every call needs, before the list: no call has to wait for it."""
    with _only_what_is_needed():
        for part in _OF_EVERY_CALL:
            getattr(later, part)


def load_tool(name: str, toolset: str) -> "ToolSpec":
    """A tool, with what is imported for it alone."""
    load_common()
    with _only_what_is_needed():
        return tools.tool(name, toolset)


def load_toolset(name: str) -> None:
    """Import what the tools of this toolset need. It takes a third of what `load` takes."""
    load_common()
    with _only_what_is_needed():
        tools.toolset(name)


def load() -> None:
    """Import all that calls need and read the catalogue, so that no call has to. It takes a good part of a second."""
    for step in steps():
        step()


def steps() -> Iterator[Callable[[], None]]:
    """The parts of `load` in their order, for a server that answers calls in between."""
    for name in tools.TOOLSET_NAMES:
        yield partial(load_toolset, name)
    yield _load_the_rest


def _load_the_rest() -> None:
    global _loaded
    with _only_what_is_needed():
        for name in _OF_SOME_CALLS:
            getattr(later, name)
        for door in (family_parts, tools, mcp_tasks):
            for name in door.__all__:
                getattr(door, name)
        later.media_models()
    _loaded = True


def load_quick_road() -> None:
    """Import aiohttp, which carries calls to Novita in less processor time than httpcore, which does so until then.

    It takes a tenth of a second. No call needs it, but all get faster by it, so it does not wait until none comes.
    """
    global _quick
    if _quick:
        return
    _quick = True
    try:
        with _only_what_is_needed():
            pool = later.QuickPool
    except Exception as error:  # whatever a broken installation raises
        logger.warning("aiohttp cannot be used, so calls take more processor time: %r", error)
        return
    later.take_the_quick_road(pool)


class Lull:
    """Tells when to import what no call has asked for: imports in a thread slow down the calls that run meanwhile."""

    def __init__(self) -> None:
        self._first_until = self._busy_until = 0.0

    def listed(self) -> None:
        """A host has asked for the list."""
        self._first_until = max(self._first_until, anyio.current_time() + LIST_FIRST)

    @contextmanager
    def ended_by_a_call(self, *, first: bool) -> Generator[None]:
        """A call runs; `first` if it is the first one of its tool."""
        self._busy_until = anyio.current_time() + CALM
        if first:
            self._first_until = anyio.current_time() + FIRST_CALL
        try:
            yield
        finally:
            self._busy_until = anyio.current_time() + CALM
            if first:
                self._first_until = min(self._first_until, anyio.current_time() + LIST_FIRST)

    async def of_first_calls(self) -> None:
        """Wait until no tool has its first call."""
        await _later_than(lambda: self._first_until)

    async def of_calls(self) -> None:
        """Wait until no call has begun or ended for a while. A call that waits for Novita may run on."""
        await _later_than(lambda: max(self._first_until, self._busy_until))


async def _later_than(time: Callable[[], float]) -> None:
    """Wait until a time that may be put off or brought forward meanwhile."""
    while (left := time() - anyio.current_time()) > 0:  # noqa: ASYNC110  # time passes without an event
        await anyio.sleep(min(left, 0.05))


@contextmanager
def _only_what_is_needed() -> Generator[None]:
    """Import without what would take a third of the time: the collector, for which there is nothing to collect yet,
    and the command line of httpx, which brings rich and pygments wherever they are installed.
    """
    collecting, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        with without("httpx._main"):
            yield
    finally:
        if collecting:
            if len(sys.modules) > before:
                # What was imported stays as long as the process. The collector is not to walk it, least of all in the
                # call that waits for it.
                gc.freeze()
            gc.enable()


def is_loaded() -> bool:
    """Whether that is done."""
    return _loaded
