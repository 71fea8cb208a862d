"""A simulator behind a real socket."""

from collections.abc import Iterator

import pytest
from novita_mcp.simulator import World, serve

from .sim_api import Api


@pytest.fixture
def world() -> World:
    """A manual world: nothing in it waits for a clock. What Novita has switched off answers, so that it is tested."""
    world = World()
    world.set(manual=True, old_models=True)
    return world


@pytest.fixture
def api(world: World) -> Iterator[Api]:
    with serve(world) as running:
        api = Api(running.url, world)
        yield api
        api.close()
