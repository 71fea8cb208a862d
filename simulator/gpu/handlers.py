"""What both generations of GPU routes do, written once. The generations differ only in their words.

So the functions here make handlers. A generation tells them where a call names the thing that it is about (`in_body`,
`in_path`, `in_query`), how its fields are called, and how it shows the result.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from .extras import Book, Record, SimulatedJob, SimulatedPrewarm
from .instances import Fleet, SimulatedInstance
from .order import SimulatedOrder
from .state import GpuState

R = TypeVar("R", bound=Record)

Named = Callable[[Call], str]
"""Reads from a call the id of the thing it is about."""
Deed = Callable[[Call, Fleet, SimulatedInstance], object]
"""Does to an instance what the call asks for."""


def area(call: Call) -> GpuState:
    return call.world.area(GpuState)


def in_body(word: str) -> Named:
    return lambda call: call.body[word]


def in_path(word: str) -> Named:
    return lambda call: call.path[word]


def in_query(word: str) -> Named:
    return lambda call: call.params[word]


def nothing(*_: object) -> Response:
    """The answer with no fields."""
    return answer({})


# instances


def orders(order_of: Callable[[Json], SimulatedOrder]) -> Handler:
    """Create the instance that a body orders, and answer its id."""

    async def create(call: Call) -> Response:
        return answer({"id": area(call).fleet.create(call.account, order_of(call.body), call.operation.id).id})

    return create


def instances_asked_for(call: Call) -> list[SimulatedInstance]:
    """The account's instances in the state the query names. Removed ones come only when it names that state."""
    state, status = area(call), call.params.get("status", "")
    state.settle(state.fleet)
    return [each for each in state.fleet.of(call.account, removed=status == "removed") if status in ("", each.status)]


def shows_instance(named: Named, shown: Callable[[GpuState, SimulatedInstance, str], Json]) -> Handler:
    """Answer with one instance. `shown` also gets the base URL of the server, for the addresses of the instance."""

    async def get(call: Call) -> Response:
        state = area(call)
        state.settle(named(call))
        return answer(shown(state, state.fleet.find(call.account, named(call)), call.base_url))

    return get


def acts(named: Named, deed: Deed, told: Callable[[SimulatedInstance], Response] = nothing) -> Handler:
    """Do something to one instance, and answer what `told` makes of the instance afterwards."""

    async def act(call: Call) -> Response:
        fleet = area(call).fleet
        instance = fleet.find(call.account, named(call))
        deed(call, fleet, instance)
        return told(instance)

    return act


def plain(deed: Callable[[Fleet, SimulatedInstance], object]) -> Deed:
    """A deed that needs nothing more from the call."""
    return lambda _, fleet, instance: deed(fleet, instance)


def upgrades(image: str, auth: str, volumes: Callable[[Json], list[tuple[str, str]] | None]) -> Deed:
    """Give an instance another image and settings.

    `image` and `auth` name the fields with the new image and the id of its registry login. `volumes` reads the mounts
    from the body; None keeps those that it has.
    """

    def upgrade(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
        body = call.body
        fleet.upgrade(
            instance,
            image=body[image],
            image_auth_id=body.get(auth, ""),
            envs=body.get("envs", []),
            command=body.get("command", ""),
            entrypoint=body.get("entrypoint", ""),
            volumes=volumes(body),
        )

    return upgrade


# what surrounds instances


def rows_seen(call: Call, kind: type[Book[R]]) -> Sequence[R]:
    """The records of a book that the account may see, brought up to the world's time."""
    state = area(call)
    state.settle(state.book(kind))
    return state.book(kind).seen_by(call.account)


def shows(kind: type[Book[R]], named: Named, shown: Callable[[GpuState, R], Json]) -> Handler:
    """Answer with one record of a book."""

    async def get(call: Call) -> Response:
        state = area(call)
        state.settle(state.book(kind))
        return answer(shown(state, state.book(kind).read(call.account, named(call))))

    return get


def deletes(kind: type[Book[R]], named: Named, told: Callable[[str], Response]) -> Handler:
    """Delete one record of a book, and answer what `told` makes of its id."""

    async def delete(call: Call) -> Response:
        area(call).book(kind).delete(call.account, named(call))
        return told(named(call))

    return delete


def deletes_prewarms(word: str, told: Callable[[], Response]) -> Handler:
    """Delete the prewarm tasks whose ids are in the field `word` of the body."""

    async def delete(call: Call) -> Response:
        area(call).prewarms.delete_all(call.account, call.body[word])
        return told()

    return delete


def new_prewarm(call: Call, image: str, cluster: str, auth: str, wanted: str) -> SimulatedPrewarm:
    """Create a prewarm task. The arguments name the fields of the body; `wanted` is the one with the product ids."""
    body = call.body
    return area(call).prewarms.create(
        call.account, body[image], body[cluster], body.get(auth, ""), body.get(wanted, []), body.get("note", "")
    )


def saved_image(call: Call, instance: str, auth: str) -> SimulatedJob:
    """Begin the job that saves an instance as an image. The arguments name the fields of the body."""
    state, body = area(call), call.body
    return state.jobs.save_image(state.fleet.find(call.account, body[instance]), body["image"], body.get(auth, ""))
