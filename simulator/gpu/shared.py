"""What both generations of GPU routes need to read requests and write answers."""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from ..core.faults import Fault
from .instances import SimulatedInstance
from .market import MarketProduct, refuse
from .order import OrderedPort

T = TypeVar("T")

DEFAULT_PAGE = 10
DEFAULT_LIMIT = 20


def asks_for(asked: Mapping[str, Any], word: str, value: str) -> bool:
    """Whether the query gives this value for `word`, or leaves it open."""
    return asked.get(word) in (None, "", value)


def asks_for_part(asked: Mapping[str, Any], word: str, text: str) -> bool:
    """Whether what the query gives for `word` is a part of the text, or is left open. Case does not matter."""
    return asked.get(word, "").lower() in text.lower()


def numbered(
    call: Call, rows: Sequence[T], shown: Callable[[T], Json], first: int, name: str, page: str = "pageNum"
) -> Json:
    """One page of v1, as the list `name` and the `total`. The query may give `pageSize` and the number of the `page`.

    `first` is the number of the first page.
    """
    size = call.params.get("pageSize") or DEFAULT_PAGE
    start = max(0, call.params.get(page, first) - first) * size
    return {name: [shown(each) for each in rows[start : start + size]], "total": len(rows)}


def cursored(rows: Sequence[T], asked: Mapping[str, Any]) -> tuple[Sequence[T], str]:
    """One page of v2, and the cursor of the next page, or "" at the end. VALIDATOR_PARAM if the cursor is not ours."""
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
    """A fuzzy match: each wanted word must be somewhere in the name or id."""
    return all(word in f"{product.name} {product.id}".lower() for word in wanted.lower().split())


def service_url(base_url: str, instance: SimulatedInstance, port: int) -> str:
    return f"{base_url}/_instances/{instance.id}/{port}"


def endpoint(base_url: str, instance: SimulatedInstance, port: OrderedPort) -> str:
    """Public address of an open port. This server answers HTTP ports, and nobody answers tcp ports."""
    if port.type == "http":
        return service_url(base_url, instance, port.port)
    return f"proxy.{instance.cluster}.gpu-instance.invalid:{40000 + (instance.ssh_port + port.port) % 20000}"


def ssh_command(instance: SimulatedInstance) -> str:
    return f"ssh root@proxy.{instance.cluster}.gpu-instance.invalid -p {instance.ssh_port}"


def port_rows(base_url: str, instance: SimulatedInstance, kind: str) -> list[Json]:
    """The open ports. `kind` is the field that says tcp or http."""
    ready = instance.status == "running"
    return [
        {"port": port.port, kind: port.type, "endpoint": endpoint(base_url, instance, port) if ready else ""}
        for port in instance.order.ports
    ]


def ports_of(rows: Iterable[Json], kind: str) -> list[OrderedPort]:
    """The ports of a request, which have the same form as `port_rows`."""
    return [OrderedPort(row["port"], row[kind]) for row in rows]


def missing_is_404(handler: Handler) -> Handler:
    """v2 answers 404 for what is missing. v1 answers 400, and clients have met both."""

    async def answered(call: Call) -> Response:
        try:
            return await handler(call)
        except Fault as fault:
            if fault.reason.endswith("_NOT_FOUND"):
                fault.status = 404
            raise

    return answered


def second_generation(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The handlers as app.py needs them: by operationId, and with 404 for what is missing."""
    return {f"gpus_v2_{name}": missing_is_404(handler) for name, handler in handlers.items()}


def page(call: Call, rows: Sequence[T], shown: Callable[[T], Json]) -> Response:
    items, following = cursored(rows, call.params)
    return answer({"data": [shown(each) for each in items], "next_cursor": following, "has_more": bool(following)})


def gone(*_: object) -> Response:
    """The answer to a deletion. Clients have seen 204, and also 200 with {}."""
    return Response(status_code=204)
