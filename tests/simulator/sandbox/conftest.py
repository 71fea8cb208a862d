"""A simulator, and a client for the protocols of sandboxes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from novita_mcp.simulator import World, serve
from novita_mcp.simulator.sandbox.service import area
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes

# Tests are no package (--import-mode=importlib), so the client they share is found by path.
sys.path.insert(0, str(Path(__file__).parent))

from raw import Raw


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def state(world: World) -> SimulatedSandboxes:
    """The state of all sandboxes. Pausing takes no time in it."""
    found = area(world)
    found.pause_seconds_per_gib = 0
    return found


@pytest.fixture
def raw(world: World, state: SimulatedSandboxes) -> Iterator[Raw]:
    with serve(world) as running:
        hand = Raw(running.url, world)
        yield hand
        hand.close()
