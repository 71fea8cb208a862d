"""Finds what a request is for: the control plane, or the daemon, the interpreter or another port of a sandbox.

The headers Novita-Sandbox-Id and Novita-Sandbox-Port name a sandbox. Without them `<port>-<id>.<domain>` does, as user
info of the address (Basic authorization) or as Host; or else its access token, or the signature of a file's address.
"""

import base64
import binascii
import re
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..core.faults import Fault
from ..core.world import World
from . import envd, interpreter, machines, plane
from .connect import Failure, refusal
from .door import Door
from .state import SimulatedSandbox, SimulatedSandboxes, fault

ENVD_PORT, INTERPRETER_PORT = 49983, 49999
_NAMED = re.compile(r"(\d{1,5})-([a-z0-9]{1,60})\.")
_ENVD_PATHS = ("/process.Process/", "/filesystem.Filesystem/")
_ENVD_ROUTES = frozenset({"/files", "/health", "/metrics", "/envs", "/init"})
_INTERPRETER_ROUTES = re.compile(r"/execute|/contexts(?:/.*)?")


def area(world: World) -> SimulatedSandboxes:
    found = world.area(SimulatedSandboxes)
    if found.make_machine is None:
        found.make_machine = machines.maker(found)
    return found


async def service(world: World, request: Request, raw: bytes) -> Response:
    state = area(world)
    path: str = request.scope["path"]
    try:
        if "x-api-key" in request.headers or plane.knows(path):
            return await plane.respond(state, request, raw)
        port, sandbox = _addressed(state, request, path)
        if port is None:
            return PlainTextResponse("404 page not found", 404)
        return await _inside(state, request, raw, port, sandbox)
    except Fault as error:
        return JSONResponse({"code": error.status, "message": error.message}, error.status, error.headers)
    except Failure as error:
        return refusal(error)


async def _inside(
    state: SimulatedSandboxes, request: Request, raw: bytes, port: int, sandbox: SimulatedSandbox | None
) -> Response:
    if sandbox is not None and sandbox.state == "paused" and sandbox.order.auto_resume:
        state.resume(sandbox, max(300.0, sandbox.order.timeout))
    if sandbox is None or sandbox.state != "running":
        id = sandbox.id if sandbox else ""
        return JSONResponse({"sandboxId": id, "message": "The sandbox was not found", "code": 502}, 502)
    state.used(sandbox)
    door = Door(state, sandbox, request, raw)
    if port == ENVD_PORT:
        return await envd.respond(door)
    if not sandbox.public and request.headers.get("e2b-traffic-access-token") != sandbox.traffic_token:
        return JSONResponse({"code": 403, "message": "Sandbox is not public: a traffic access token is needed"}, 403)
    if port == INTERPRETER_PORT and sandbox.template.interpreter:
        return await interpreter.respond(door)
    message = f"The sandbox is running but port is not open: {port}"
    return JSONResponse({"sandboxId": sandbox.id, "message": message, "port": port, "code": 502}, 502)


def _addressed(state: SimulatedSandboxes, request: Request, path: str) -> tuple[int | None, SimulatedSandbox | None]:
    """The port and the sandbox that a request is for. The port is None if the request is not for a sandbox."""
    headers = request.headers
    known = _port_of(path)
    if id := headers.get("novita-sandbox-id"):
        port = headers.get("novita-sandbox-port", "")
        return int(port) if port.isdigit() else known, state.sandboxes.get(id)
    for name in (_user_info(headers.get("authorization", "")), headers.get("host", "")):
        if found := _NAMED.match(name):
            return int(found[1]), state.sandboxes.get(found[2])
    if known is None:
        return None, None
    if token := headers.get("x-access-token"):
        return known, next((each for each in state.sandboxes.values() if each.token == token), None)
    if "signature" in request.query_params:
        signed = (each for each in state.sandboxes.values() if envd.is_signed(each, request, state.world.clock.now()))
        if (found_by := next(signed, None)) is None:
            raise fault(401, "invalid signature")
        return known, found_by
    return known, None


def _port_of(path: str) -> int | None:
    if path.startswith(_ENVD_PATHS) or path in _ENVD_ROUTES:
        return ENVD_PORT
    return INTERPRETER_PORT if _INTERPRETER_ROUTES.fullmatch(path) else None


def _user_info(authorization: str) -> str:
    if not authorization.lower().startswith("basic "):
        return ""
    try:
        return base64.b64decode(authorization[6:], validate=True).decode("utf-8", "replace")
    except binascii.Error:
        return ""


async def control(world: World, sent: dict[str, Any]) -> Any:
    """POST /_simulator/sandbox sets knobs by name, and shows the state of all sandboxes."""
    state = area(world)
    if unknown := sent.keys() - {"quota", "tier", "pause_seconds_per_gib", "lose_files_on_resume", "faults", "domain"}:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    if "tier" in sent:
        state.set_tier(str(sent["tier"]))
    for name, value in cast("dict[str, Any]", sent.get("quota", {})).items():
        if name not in state.quota:
            raise ValueError(f"no quota {name!r}")
        state.quota[name] = int(value)
    if "pause_seconds_per_gib" in sent:
        state.pause_seconds_per_gib = float(sent["pause_seconds_per_gib"])
    if "lose_files_on_resume" in sent:
        state.lose_files_on_resume = int(sent["lose_files_on_resume"])
    if "domain" in sent:
        state.domain = sent["domain"]
    for name in cast("list[str]", sent.get("faults", [])):
        state.add_fault(name)
    return {
        "execution": state.level,
        "quota": state.quota,
        "sandboxes": [{"id": each.id, "state": each.state, "ends": each.ends} for each in state.sandboxes.values()],
        "count": state.count,
        "faults": list(state.faults),
    }


HANDLERS: dict[str, Any] = {}
SERVICES = {"/": service}
CONTROLS = {("POST", "sandbox"): control}
