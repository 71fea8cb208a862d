"""A simulator behind a real socket."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from novita_mcp.simulator import World, serve

# Tests are no package (--import-mode=importlib), so the client they share is found by path.
sys.path.insert(0, str(Path(__file__).parent))

from sim_api import Api


@pytest.fixture
def world() -> World:
    """A manual world: nothing in it waits for a clock."""
    world = World()
    world.set(manual=True)
    return world


@pytest.fixture
def api(world: World) -> Iterator[Api]:
    with serve(world) as running:
        api = Api(running.url, world)
        yield api
        api.close()
