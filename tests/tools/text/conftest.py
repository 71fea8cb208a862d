"""The simulator's language models, and a Novita that answers oddly."""

from collections.abc import Generator

import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running
from novita_mcp.simulator.text.state import LlmState

from ...odd import OddNovita, serve_odd


@pytest.fixture
def llm(world: World) -> LlmState:
    return world.area(LlmState)


@pytest.fixture
def odd(simulator: Running) -> Generator[OddNovita]:
    with serve_odd(simulator.url) as server:
        yield server
