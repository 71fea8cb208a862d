"""A request to the control plane whose key is checked, and the paging of answers."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..core.world import Account
from .asking import Body
from .state import SimulatedSandbox, SimulatedSandboxes, fault

Json = dict[str, Any]
NEXT_PAGE = "x-next-token"


@dataclass(frozen=True)
class Ask:
    """One request to the control plane, with its key checked."""

    state: SimulatedSandboxes
    account: Account
    request: Request
    raw: bytes
    path: tuple[str, ...]

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query_params)

    @property
    def now(self) -> float:
        return self.state.world.clock.now()

    def body(self) -> Body:
        try:
            found: Any = json.loads(self.raw or b"{}")
        except ValueError as error:
            raise fault(400, f"Error when parsing request: {error}") from None
        if not isinstance(found, dict):
            raise fault(400, "Error when parsing request: the body is not an object")
        return Body(cast(Json, found))

    def number(self, name: str, default: int, least: int, most: int) -> int:
        sent = self.query.get(name, str(default))
        if not re.fullmatch(r"\d{1,15}", sent) or not least <= int(sent) <= most:
            raise fault(400, f"Invalid format for parameter {name}: {least} to {most}")
        return int(sent)

    def sandbox(self) -> SimulatedSandbox:
        """The sandbox that the path names."""
        return self.state.find(self.account, self.path[0])

    def running(self) -> SimulatedSandbox:
        sandbox = self.sandbox()
        if sandbox.state != "running":
            raise fault(404, f"Sandbox {sandbox.id} is not running")
        return sandbox


Route = Callable[[Ask], Awaitable[Response]]


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def page(ask: Ask, rows: list[Any], show: Callable[[Any], Json]) -> Response:
    """One page of rows, from the token of the query on. A header has the token of the next page, if there is one."""
    limit, start = ask.number("limit", 100, 1, 100), 0
    if token := ask.query.get("nextToken"):
        if not (found := re.fullmatch(r"from-(\d{1,9})", token)):
            raise fault(400, "Invalid next token")
        start = int(found[1])
    headers = {NEXT_PAGE: f"from-{start + limit}"} if start + limit < len(rows) else {}
    return JSONResponse([show(row) for row in rows[start : start + limit]], headers=headers)
