"""The GPU area's state: one for both generations, reached as `world.area(GpuState)`."""

from collections.abc import Callable
from typing import Literal

from .gpu_extras import Auths, Images, Jobs, Networks, Prewarms, Storages, Templates
from .gpu_instances import Fleet
from .gpu_market import Stock
from .world import World


class GpuState:
    """Instances and all around them. `settle` brings everything up to the world's time and collects what it cost."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dialect: Literal["page", "seen"] = "page"
        """Where the documentation page and what clients meet differ: whose form to answer in."""
        self.first_page = 1
        """Number of the first page of v1 lists, which the documentation leaves open. With 1, page 0 is page 1."""
        self.stock = Stock()
        self.templates = Templates(world, self)
        self.storages = Storages(world, self)
        self.networks = Networks(world, self)
        self.auths = Auths(world, self)
        self.jobs = Jobs(world, self)
        self.images = Images(world, self)
        self.prewarms = Prewarms(world, self)
        self.fleet = Fleet(world, self)
        self.volume_users: list[Callable[[str], bool]] = []
        """Asked whether something else (an endpoint) uses a network volume."""
        world.settlers.append(self.settle)

    def volume_in_use(self, id: str) -> bool:
        return any(user(id) for user in self.volume_users)

    def settle(self, look: str = "") -> None:
        """`look` (manual worlds): the id of the instance being shown, * for all, or one of the words for a list of
        something else: jobs, networks, prewarms."""
        self.prewarms.settle(look == "prewarms")
        self.networks.settle(look == "networks")
        self.jobs.settle(look == "jobs")
        self.fleet.settle(look)
        self.storages.settle()
