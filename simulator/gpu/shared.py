"""What both generations of GPU routes need to read requests and write answers."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from ..core.faults import Fault
from .instances import SimulatedInstance
from .market import MarketProduct, refuse
from .order import OrderedPort
from .state import GpuState

T = TypeVar("T")

DEFAULT_PAGE = 10
DEFAULT_LIMIT = 20


def area(call: Call) -> GpuState:
    return call.world.area(GpuState)


def numbered(rows: Sequence[T], asked: Mapping[str, Any], first: int, name: str = "pageNum") -> Sequence[T]:
    """One page of v1: `pageSize` items of the page `name`, both optional."""
    size = asked.get("pageSize") or DEFAULT_PAGE
    page = max(0, asked.get(name, first) - first)
    return rows[page * size : (page + 1) * size]


def cursored(rows: Sequence[T], asked: Mapping[str, Any]) -> tuple[Sequence[T], str]:
    """One page of v2 and the cursor of the next, empty at the end. VALIDATOR_PARAM for a cursor not from here."""
    start = 0
    if cursor := asked.get("cursor"):
        try:
            start = int(base64.urlsafe_b64decode(cursor).decode().removeprefix("after:"))
        except ValueError:
            raise refuse("VALIDATOR_PARAM", "cursor is not valid") from None
    end = start + (asked.get("limit") or DEFAULT_LIMIT)
    following = base64.urlsafe_b64encode(f"after:{end}".encode()).decode() if end < len(rows) else ""
    return rows[start:end], following


def fits_name(wanted: str, product: MarketProduct) -> bool:
    """The fuzzy match: every word somewhere in the name or id."""
    return all(word in f"{product.name} {product.id}".lower() for word in wanted.lower().split())


def service_url(base_url: str, instance: SimulatedInstance, port: int) -> str:
    return f"{base_url}/_instances/{instance.id}/{port}"


def endpoint(base_url: str, instance: SimulatedInstance, port: OrderedPort) -> str:
    """Public address of an open port: HTTP ones are answered by this server, tcp ones lead nowhere."""
    if port.type == "http":
        return service_url(base_url, instance, port.port)
    return f"proxy.{instance.cluster}.gpu-instance.invalid:{40000 + (instance.ssh_port + port.port) % 20000}"


def ssh_command(instance: SimulatedInstance) -> str:
    return f"ssh root@proxy.{instance.cluster}.gpu-instance.invalid -p {instance.ssh_port}"


def running_jobs(state: GpuState, instance: SimulatedInstance) -> list[Json]:
    return [{"id": job.id, "type": job.type} for job in state.jobs.running(instance)]


def rest(handler: Handler) -> Handler:
    """Not found is 404 here: v1 answers 400, and clients have met both."""

    async def answered(call: Call) -> Response:
        try:
            return await handler(call)
        except Fault as fault:
            if fault.reason.endswith("_NOT_FOUND"):
                fault.status = 404
            raise

    return answered


def page(call: Call, rows: Sequence[T], shown: Callable[[T], Json]) -> Response:
    items, following = cursored(rows, call.params)
    return answer({"data": [shown(each) for each in items], "next_cursor": following, "has_more": bool(following)})


def gone() -> Response:
    """What deletes answer: clients see 200 with {} or 204."""
    return Response(status_code=204)
