"""What tests of the sandbox tools share."""

import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.sandbox.service import area
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes as State


@pytest.fixture
def state(world: World) -> State:
    """All sandboxes; pausing takes no time."""
    found = area(world)
    found.pause_seconds_per_gib = 0
    return found
