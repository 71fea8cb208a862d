"""`Call`, which every handler is given, and the types of handlers themselves."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .facts import Operation
from .faults import Fault
from .files import HostedFile
from .prices import usd_each
from .world import MICRO, Account, Charge, World

Json = dict[str, Any]


@dataclass(frozen=True)
class Upload:
    """One file of a multipart form."""

    filename: str
    content_type: str
    data: bytes


@dataclass
class Call:
    """One request that passed its checks."""

    world: World
    account: Account
    operation: Operation
    body: Json
    """The JSON body (or the text fields of a form), as documented; {} when there is none."""
    raw: bytes
    query: dict[str, str]
    """Query parameters as sent."""
    params: Json
    """Query parameters with their documented types and defaults."""
    path: dict[str, str]
    request: Request
    base_url: str
    """Where this world is reached, without a trailing slash."""
    files: dict[str, Upload] = field(default_factory=dict[str, Upload])

    def charge(self, usd: float | None = None, *, units: float = 1, note: str = "", ref: str = "") -> Charge:
        """Charge `units` times `usd`, or else the known price, or else the setting unlisted_price_usd.

        app.py answers NotEnoughCredit with the documented error of the operation's group.
        """
        known = usd_each(self.operation.id, self.body) if usd is None else usd
        each = self.world.settings.unlisted_price_usd if known is None else known
        return self.world.charge(self.account, round(each * units * MICRO), self.operation.id, note, ref)

    def link(self, file: HostedFile) -> str:
        """A fresh signed download link."""
        return self.world.files.link(file, self.base_url)

    def fault(self, name: str, message: str = "") -> Fault:
        """A row of this operation's error table, to be raised."""
        return Fault.named(self.operation.group, name, message)

    def invalid(self, message: str) -> Fault:
        """The group's answer to a request that is not as documented, to be raised."""
        return invalid_request(self.operation.group, message)


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class ExtraRoute:
    """A way to an operation that a path template cannot express: by the Host header, or below a prefix.

    An area module lists them as `ROUTES`; they are tried first, in order. `match` gives the path parameters, or None.
    """

    operation_id: str
    match: Callable[[World, Request], dict[str, str] | None]


Finder = Callable[[World, Request], Operation | None]
"""Finds the operation of a model that a test added while the simulator runs; None for any other request."""

Service = Callable[[World, Request, bytes], Awaitable[Response]]
"""Answers requests below a path prefix, outside the documented operations. It gets the request and its body."""


def invalid_request(group: str, message: str) -> Fault:
    if group == "gpu":
        return Fault(400, "VALIDATOR_PARAM", message)
    if group == "billing" and "cycleType" in message:
        return Fault(400, "INVALID_BILL_CYCLE", message)
    return Fault(400, "INVALID_REQUEST_BODY", message)
