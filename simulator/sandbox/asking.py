"""Reads and checks requests to the control plane: bodies field by field, and a create as the service checks it."""

import re
from collections.abc import Mapping
from typing import Any, cast

from .state import Order, fault

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CREATE = (
    "templateID",
    "timeout",
    "autoPause",
    "autoResume",
    "metadata",
    "envVars",
    "secrets",
    "secure",
    "allow_internet_access",
    "network",
    "mcp",
    "volumeMounts",
    "nodeID",
)
NETWORK = ("allowOut", "denyOut", "allowPublicTraffic", "maskRequestHost")


class Body:
    """A JSON object whose fields are read by type. A field of a wrong type is refused by its name."""

    def __init__(self, sent: dict[str, Any]) -> None:
        self.sent = {name: value for name, value in sent.items() if value is not None}

    def only(self, *names: str) -> None:
        if unknown := self.sent.keys() - set(names):
            raise fault(400, f'request body has an error: property "{sorted(unknown)[0]}" is unsupported')

    def _wrong(self, name: str, wanted: str) -> Exception:
        return fault(400, f'request body has an error: "{name}" must be {wanted}')

    def text(self, name: str, *, required: bool = False) -> str:
        found = self.sent.get(name, "")
        if not isinstance(found, str) or (required and not found):
            raise self._wrong(name, "a string")
        return found

    def number(self, name: str, *, required: bool = False, default: float = 0.0) -> float:
        """A whole number that is not negative."""
        found = self.sent.get(name, default)
        wrong = isinstance(found, bool) or not isinstance(found, int | float) or found < 0 or found != int(found)
        if wrong or (required and name not in self.sent):
            raise self._wrong(name, "a whole number, at least 0")
        return float(found)

    def truth(self, name: str, default: bool) -> bool:
        found = self.sent.get(name, default)
        if not isinstance(found, bool):
            raise self._wrong(name, "a boolean")
        return found

    def inner(self, name: str) -> "Body":
        found = self.sent.get(name, {})
        if not isinstance(found, dict):
            raise self._wrong(name, "an object")
        return Body(cast("dict[str, Any]", found))

    def text_map(self, name: str) -> dict[str, str]:
        found = self.inner(name).sent
        if not all(isinstance(value, str) for value in found.values()):
            raise self._wrong(name, "an object of strings")
        return dict(found)

    def texts(self, name: str) -> list[str]:
        found = self.sent.get(name, [])
        if not isinstance(found, list) or not all(isinstance(one, str) for one in cast("list[Any]", found)):
            raise self._wrong(name, "a list of strings")
        return cast("list[str]", found)


def order_of(body: Body, lifetime: Mapping[str, int]) -> Order:
    """The create that a body asks for. Without a timeout the sandbox gets the API's short default lifetime."""
    body.only(*CREATE)
    resumes = body.inner("autoResume")
    resumes.only("enabled")
    network = body.inner("network")
    network.only(*NETWORK)
    network.truth("allowPublicTraffic", True)
    for name in ("allowOut", "denyOut"):
        network.texts(name)
    order = Order(
        timeout=body.number("timeout", default=float(lifetime["bare_seconds"])),
        auto_pause=body.truth("autoPause", False),
        auto_resume=resumes.truth("enabled", False),
        metadata=body.text_map("metadata"),
        envs=body.text_map("envVars"),
        secrets=body.text_map("secrets"),
        secure=body.truth("secure", False),
        internet=body.truth("allow_internet_access", True),
        network=network.sent,
    )
    if order.auto_resume and not order.auto_pause:
        raise fault(400, "autoResume needs autoPause")
    for name in (*order.envs, *order.secrets):
        if not _ENV_NAME.fullmatch(name):
            raise fault(400, f"'{name}' is not a name for an environment variable")
    if both := order.envs.keys() & order.secrets.keys():
        raise fault(400, f"'{sorted(both)[0]}' is in envVars and in secrets")
    idle = order.metadata.get("idle_timeout")
    if idle is not None and (not idle.isdigit() or int(idle) < lifetime["idle_least_seconds"]):
        raise fault(400, f"metadata.idle_timeout must be at least {lifetime['idle_least_seconds']} seconds")
    return order
