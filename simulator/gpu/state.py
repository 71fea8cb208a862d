"""The state of the GPU area, which both generations share: `world.area(GpuState)`."""

from typing import Any, Literal, TypeVar

from ..core.world import World
from .extras import Auths, Images, Networks, Prewarms, SimulatedJobs, Storages, Templates
from .instances import Fleet, InstanceParts
from .market import Stock

B = TypeVar("B")


class GpuState:
    """Instances and what surrounds them. The world calls `settle` before every request."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dialect: Literal["page", "seen"] = "page"
        """Whether answers follow the documentation's page, or what clients have seen, if the two differ."""
        self.first_page = 1
        """Number of the first page of v1 lists, which is not documented. With 1, page 0 is the same as page 1."""
        self.stock = Stock()
        self.auths = Auths(world)
        self.templates = Templates(world, self.auths)
        self.storages = Storages(world)
        self.networks = Networks(world)
        self.images = Images(world)
        self.jobs = SimulatedJobs(world, self.auths, self.images)
        self.prewarms = Prewarms(world, self.auths)
        self.fleet = Fleet(
            world, InstanceParts(self.stock, self.auths, self.storages, self.networks, self.prewarms, self.jobs)
        )
        world.settlers.append(self.settle)

    def book(self, kind: type[B]) -> B:
        """The one book of its kind."""
        books = (self.auths, self.templates, self.storages, self.networks, self.images, self.jobs, self.prewarms)
        return next(each for each in books if isinstance(each, kind))

    def settle(self, look: object = None) -> None:
        """Bring everything up to the world's time and collect its cost.

        `look` is what a request asks about, which moves it in a manual world: a book, the fleet or an instance's id.
        """
        self.prewarms.settle(look is self.prewarms)
        self.networks.settle(look is self.networks)
        # A saved image comes out of a job.
        self.jobs.settle(look is self.jobs or look is self.images)
        self.fleet.settle(lambda instance: look is self.fleet or look == instance.id)
        self.storages.settle()


async def control(world: World, sent: dict[str, Any]) -> Any:
    """POST /_simulator/gpu {dialect?: page|seen, first_page?: 0|1, reclaim?: instance id, in_seconds?: number}"""
    state = world.area(GpuState)
    if unknown := sent.keys() - {"dialect", "first_page", "reclaim", "in_seconds"}:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    if sent.get("dialect", "page") not in ("page", "seen") or sent.get("first_page", 1) not in (0, 1):
        raise ValueError("dialect is page or seen, first_page 0 or 1")
    state.dialect = sent.get("dialect", state.dialect)
    state.first_page = sent.get("first_page", state.first_page)
    if "reclaim" in sent:
        state.fleet.reclaim(sent["reclaim"], float(sent.get("in_seconds", 0)))
    return {"dialect": state.dialect, "first_page": state.first_page}
