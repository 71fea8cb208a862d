"""The control plane's routes for sandboxes."""

import asyncio
import urllib.parse
from dataclasses import replace

from starlette.responses import JSONResponse, Response

from .ask import Ask, Json, moment, page
from .asking import order_of
from .snapshots import take
from .state import Order, SimulatedSandbox, facts, fault


def _listed(sandbox: SimulatedSandbox) -> Json:
    return {
        "sandboxID": sandbox.id,
        "templateID": sandbox.template.id,
        "clientID": "simulated",
        "alias": sandbox.template.name,
        "startedAt": moment(sandbox.started),
        "endAt": moment(sandbox.ends),
        "state": sandbox.state,
        "cpuCount": sandbox.template.cpu,
        "memoryMB": sandbox.memory_mb,
        "diskSizeMB": sandbox.template.disk_mb,
        "envdVersion": facts()["envd_version"],
        "metadata": sandbox.order.metadata,
        "volumeMounts": sandbox.mounts,
    }


def _access(ask: Ask, sandbox: SimulatedSandbox) -> Json:
    """The answer to create and connect."""
    found: Json = {
        "sandboxID": sandbox.id,
        "templateID": sandbox.template.id,
        "clientID": "simulated",
        "alias": sandbox.template.name,
        "envdVersion": facts()["envd_version"],
        "trafficAccessToken": None if sandbox.public else sandbox.traffic_token,
    }
    if ask.state.domain is not None:
        found["domain"] = ask.state.domain
    if sandbox.token is not None:
        found["envdAccessToken"] = sandbox.token
    return found


async def create(ask: Ask) -> Response:
    body = ask.body()
    template = ask.state.template(ask.account, body.text("templateID", required=True))
    order = order_of(body, facts()["lifetime"])
    known = ask.state.secrets.get(ask.account.id, {})
    if missing := [name for name in order.secrets.values() if name not in known]:
        raise fault(400, f"secret '{missing[0]}' not found")
    if "mcp" in body.sent or "volumeMounts" in body.sent:
        raise fault(400, "mcp and volumeMounts are not imitated by this simulator")
    # The metadata say how code is run, so that nobody takes an imitated answer for a computed one.
    order.metadata.setdefault("simulator_execution", ask.state.level)
    if ask.state.start_seconds:
        await asyncio.sleep(ask.state.start_seconds / ask.state.world.settings.speed)
    return JSONResponse(_access(ask, ask.state.create(ask.account, template, order)), 201)


async def list_sandboxes(ask: Ask) -> Response:
    wanted = dict(urllib.parse.parse_qsl(ask.query.get("metadata", "")))
    wanted = {urllib.parse.unquote(key): urllib.parse.unquote(value) for key, value in wanted.items()}
    states = {state for sent in ask.request.query_params.getlist("state") for state in sent.split(",")} or {"running"}
    if wrong := states - {"running", "paused"}:
        raise fault(400, f"Invalid format for parameter state: {sorted(wrong)[0]}")
    found = [
        each
        for each in ask.state.of(ask.account)
        if each.state in states and wanted.items() <= each.order.metadata.items()
    ]
    return page(ask, found[::-1], _listed)


async def list_old(ask: Ask) -> Response:
    return JSONResponse([_listed(each) for each in ask.state.of(ask.account) if each.state == "running"])


async def detail(ask: Ask) -> Response:
    sandbox = ask.sandbox()
    access = {key: value for key, value in _access(ask, sandbox).items() if key in ("domain", "envdAccessToken")}
    lifecycle = {"onTimeout": "pause" if sandbox.order.auto_pause else "kill", "autoResume": sandbox.order.auto_resume}
    more: Json = {"allowInternetAccess": sandbox.order.internet, "lifecycle": lifecycle}
    if sandbox.order.network:
        more["network"] = sandbox.order.network
    return JSONResponse(_listed(sandbox) | access | more)


async def connect(ask: Ask) -> Response:
    body = ask.body()
    sandbox, seconds = ask.sandbox(), body.number("timeout", required=True)
    body.only("timeout", "secure", "allowPublicTraffic", "network")
    while sandbox.state == "paused" and (left := sandbox.pausing_until - ask.now) > 0:  # noqa: ASYNC110  # world's time
        await asyncio.sleep(min(0.05, left / ask.state.world.settings.speed))
    if sandbox.gone:
        raise fault(404, f"Sandbox {sandbox.id} not found")
    if sandbox.state == "paused":
        ask.state.resume(sandbox, seconds)
        return JSONResponse(_access(ask, sandbox), 201)
    ask.state.extend(sandbox, seconds, only_later=True)
    return JSONResponse(_access(ask, sandbox), 200)


async def resume(ask: Ask) -> Response:
    sandbox = ask.sandbox()
    if not ask.raw:
        raise fault(400, "Error when parsing request: the body is missing")
    body = ask.body()
    body.only("timeout", "autoPause", "secure", "network")
    seconds = body.number("timeout", default=float(facts()["lifetime"]["bare_seconds"]))
    sandbox.order.auto_pause = body.truth("autoPause", False)
    ask.state.resume(sandbox, seconds)
    return JSONResponse(_access(ask, sandbox), 201)


async def pause(ask: Ask) -> Response:
    ask.state.pause(ask.sandbox())
    return Response(status_code=204)


async def delete(ask: Ask) -> Response:
    ask.state.end(ask.sandbox())
    return Response(status_code=204)


async def set_timeout(ask: Ask) -> Response:
    body = ask.body()
    body.only("timeout")
    ask.state.extend(ask.running(), body.number("timeout", required=True))
    return Response(status_code=204)


async def refresh(ask: Ask) -> Response:
    body = ask.body()
    body.only("duration")
    ask.state.extend(ask.running(), body.number("duration", required=True), only_later=True)
    return Response(status_code=204)


def _metric(line: Json) -> Json:
    shown = {name: value for name, value in line.items() if name != "at"}
    return {"timestamp": moment(line["at"]), "timestampUnix": int(line["at"]), **shown}


async def metrics(ask: Ask) -> Response:
    sandbox = ask.sandbox()
    first, last = ask.number("start", 0, 0, 10**12), ask.number("end", 10**12, 0, 10**12)
    return JSONResponse([_metric(line) for line in sandbox.metrics if first <= line["at"] <= last])


async def all_metrics(ask: Ask) -> Response:
    ids = [id for id in ask.query.get("sandbox_ids", "").split(",") if id]
    found = {
        each.id: _metric(each.metrics[-1]) for each in ask.state.of(ask.account) if each.id in ids and each.metrics
    }
    return JSONResponse({"sandboxes": found})


async def logs(ask: Ask) -> Response:
    ask.sandbox()
    lines: list[Json] = [
        {"timestamp": moment(event.at), "level": "info", "message": f"sandbox {event.name}", "fields": {}}
        for event in ask.state.events
        if event.sandbox == ask.path[0]
    ]
    return JSONResponse({"logs": lines})


async def add_memory(ask: Ask) -> Response:
    body = ask.body()
    body.only("requested_size_mib")
    ask.state.add_memory(ask.running(), int(body.number("requested_size_mib", required=True)))
    return Response(status_code=204)


async def set_network(ask: Ask) -> Response:
    body = ask.body()
    body.only("allowOut", "denyOut")
    ask.running().order.network |= body.sent
    return Response(status_code=204)


async def clone(ask: Ask) -> Response:
    body = ask.body()
    body.only("count", "strict", "nodeID", "timeout")
    source = ask.sandbox()
    count, seconds = (
        int(body.number("count", default=1)),
        body.number("timeout", default=facts()["lifetime"]["clone_seconds"]),
    )
    template = await take(ask, source, "")
    made: list[Json] = []
    for _ in range(count):
        sandbox = ask.state.create(ask.account, template, _like(source, seconds))
        token = sandbox.traffic_token if not sandbox.public else None
        made.append(
            {
                "sandboxID": sandbox.id,
                "envdVersion": facts()["envd_version"],
                "envdAccessToken": sandbox.token,
                "trafficAccessToken": token,
            }
        )
    return JSONResponse({"sandboxes": made, "snapshotTemplateId": template.id}, 201)


def _like(source: SimulatedSandbox, seconds: float) -> Order:
    return replace(source.order, timeout=seconds, metadata=dict(source.order.metadata))
