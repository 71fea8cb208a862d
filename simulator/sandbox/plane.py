"""The control plane: it finds the route of a request. The routes for secrets, quota and events are here too."""

import re
import urllib.parse

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import lives, snapshots
from .ask import Ask, Json, Route, moment
from .state import LifeEvent, SimulatedSandboxes, fault

DAY = 86_400


def knows(path: str) -> bool:
    """Whether a path belongs to the control plane."""
    return any(pattern.fullmatch(path) for _, pattern, _ in ROUTES)


async def respond(state: SimulatedSandboxes, request: Request, raw: bytes) -> Response:
    """Answer one request. Raises Fault."""
    key, path = request.headers.get("x-api-key"), request.scope["path"]
    account = state.world.accounts.get(key or "")
    if account is None:
        raise fault(401, "Invalid API key, please check your credentials" if key else "missing X-API-KEY header")
    methods: set[str] = set()
    for method, pattern, (name, handler) in ROUTES:
        if match := pattern.fullmatch(path):
            methods.add(method)
            if method == request.method:
                state.noted(name)
                groups = tuple(urllib.parse.unquote(group) for group in match.groups())
                return await handler(Ask(state, account, request, raw, groups))
    if methods:
        raise fault(405, "method not allowed")
    raise fault(404, "no matching operation was found")


def _secret(name: str, held: Json) -> Json:
    shown = {key: value for key, value in held.items() if key != "at"}
    return {"name": name, **shown, "hasSecret": True, "status": "active", "updatedAt": moment(held["at"])}


async def list_secrets(ask: Ask) -> Response:
    mine = ask.state.secrets.get(ask.account.id, {})
    return JSONResponse({"secrets": [_secret(name, held) for name, held in mine.items()]})


async def create_secret(ask: Ask) -> Response:
    body = ask.body()
    body.only("name", "value", "hosts", "description")
    name, hosts = body.text("name", required=True), body.texts("hosts")
    body.text("value", required=True)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", name) or not hosts:
        raise fault(400, "name must be 1 to 128 of letters, digits, . _ -, and hosts must name at least one host")
    mine = ask.state.secrets.setdefault(ask.account.id, {})
    if name in mine:
        raise fault(409, f"secret '{name}' already exists")
    placeholder = f"novita-secret-placeholder-{name}"
    mine[name] = {"hosts": hosts, "placeholder": placeholder, "description": body.text("description"), "at": ask.now}
    return JSONResponse(_secret(name, mine[name]), 201)


async def one_secret(ask: Ask) -> Response:
    mine = ask.state.secrets.get(ask.account.id, {})
    if ask.path[0] not in mine:
        raise fault(404, f"secret '{ask.path[0]}' not found")
    if ask.request.method == "DELETE":
        del mine[ask.path[0]]
        return JSONResponse({"deleted": True})
    return JSONResponse(_secret(ask.path[0], mine[ask.path[0]]))


async def quota(ask: Ask) -> Response:
    return JSONResponse({"limit": ask.state.quota, "usage": ask.state.usage(ask.account)})


def _event(event: LifeEvent) -> Json:
    return {
        "eventID": event.id,
        "recordAt": moment(event.at),
        "sandboxID": event.sandbox,
        "templateID": event.template.id,
        "templateName": event.template.name,
        "eventName": event.name,
        "state": "success",
        "errorMsg": "",
        "statusCode": 200,
    }


async def events(ask: Ask) -> Response:
    last = ask.number("endTime", int(ask.now) + 1, 0, 10**12)
    first = ask.number("startTime", max(0, last - 30 * DAY), 0, 10**12)
    names = {name for name in ask.query.get("events", "").split(",") if name}
    found = [
        event
        for event in ask.state.events
        if event.account is ask.account
        and first <= event.at <= last + 1
        and ask.query.get("sandboxID", "") in event.sandbox
        and ask.query.get("templateID", "") in event.template.id
        and (not names or event.name in names)
    ]
    found.sort(key=lambda event: event.at, reverse=ask.query.get("orderAsc", "false") != "true")
    offset, limit = ask.number("offset", 0, 0, 10**6), ask.number("limit", 10, 1, 100)
    rows = [_event(event) for event in found[offset : offset + limit]]
    return JSONResponse({"items": rows, "total": len(found), "hasMore": offset + limit < len(found)})


def _route(line: str, handler: Route) -> tuple[str, re.Pattern[str], tuple[str, Route]]:
    method, path = line.split()
    return method, re.compile(re.sub(r"\{\w+\}", "([^/]+)", path)), (handler.__name__, handler)


_NAMED_ROUTES: dict[str, Route] = {
    "POST /sandboxes": lives.create,
    "GET /sandboxes": lives.list_old,
    "GET /v2/sandboxes": lives.list_sandboxes,
    "GET /sandboxes/quota": quota,
    "GET /sandboxes/events": events,
    "GET /sandboxes/metrics": lives.all_metrics,
    "GET /sandboxes/{id}": lives.detail,
    "DELETE /sandboxes/{id}": lives.delete,
    "POST /sandboxes/{id}/connect": lives.connect,
    "POST /sandboxes/{id}/resume": lives.resume,
    "POST /sandboxes/{id}/pause": lives.pause,
    "POST /sandboxes/{id}/timeout": lives.set_timeout,
    "POST /sandboxes/{id}/refreshes": lives.refresh,
    "GET /sandboxes/{id}/metrics": lives.metrics,
    "GET /sandboxes/{id}/logs": lives.logs,
    "GET /v2/sandboxes/{id}/logs": lives.logs,
    "POST /sandboxes/{id}/snapshots": snapshots.create_snapshot,
    "POST /sandboxes/{id}/clone": lives.clone,
    "POST /sandboxes/{id}/hotplug-memory": lives.add_memory,
    "PUT /sandboxes/{id}/network": lives.set_network,
    "GET /snapshots": snapshots.list_snapshots,
    "GET /v2/templates": snapshots.list_templates,
    "GET /templates/{id}": snapshots.get_template,
    "DELETE /templates/{id}": snapshots.delete_template,
    "GET /templates/aliases/{alias}": snapshots.get_alias,
    "GET /secrets": list_secrets,
    "POST /secrets": create_secret,
    "GET /secrets/{name}": one_secret,
    "DELETE /secrets/{name}": one_secret,
}
ROUTES = tuple(_route(line, handler) for line, handler in _NAMED_ROUTES.items())
