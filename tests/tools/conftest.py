"""What tests of machines and endpoints may ask for besides."""

import pytest
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from .gpu_stage import OpenStage, stage


@pytest.fixture
def opened(settings: Settings, world: World, era: str) -> OpenStage:
    """Opens a client on a server whose clock is the world's."""
    return stage(settings, world, era)
