"""What happens inside an instance: its metrics, and the HTTP services and logs below /_instances/<id>/."""

import math
import zlib

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..core.answers import answer
from ..core.calls import Call, Json
from ..core.world import World
from .handlers import area
from .market import refuse
from .state import GpuState


def _wave(seed: str, at: int) -> float:
    """An invented utilisation in percent. It varies with the time, but is always the same for the same time."""
    phase = zlib.crc32(seed.encode()) % 628 / 100
    return round(50 + 35 * math.sin(at / 300 + phase) + 10 * math.sin(at / 47 + phase), 2)


async def get_gpu_instance_metrics(call: Call) -> Response:
    state, asked = area(call), call.params
    instance = state.fleet.find(call.account, asked["instanceId"])
    now = int(call.world.clock.now())
    end, interval = asked.get("endTime", now), asked["interval"]
    start = asked.get("startTime", end - 60)
    if not 0 < end <= now or not 0 < start <= end - 60 or interval < 15:
        raise refuse("VALIDATOR_PARAM", "0 < startTime <= endTime - 60, endTime <= now, interval at least 15")
    if (end - start) // interval > 10_000:
        raise refuse("VALIDATOR_PARAM", "more than 10000 points")
    # Metrics are about a minute late, and there are none from before the machine ran.
    begun = instance.started_at or now
    until = min(end, now - 60, instance.stopped_at if instance.stopped_at > begun else now)
    times = [at for at in range(start, end + 1, interval) if begun <= at <= until]

    def series(name: str) -> list[Json]:
        return [{"timestamp": str(at), "value": _wave(f"{instance.id}/{name}", at)} for at in times]

    def cards(name: str) -> Json:
        each = {str(card): series(f"{name}/{card}") for card in range(instance.order.cards)}
        mean = [
            {"timestamp": str(at), "value": round(sum(points[i]["value"] for points in each.values()) / len(each), 2)}
            for i, at in enumerate(times)
        ]
        return {"avg": mean, "gpuIds": [{"gpuId": card, "items": points} for card, points in each.items()]}

    has_cards = instance.product.kind == "gpu"
    return answer(
        {
            "cpuUtilization": series("cpu"),
            "memUtilization": series("mem"),
            "rootDiskUtilization": series("disk"),
            "gpuUtilization": cards("gpu") if has_cards else {"avg": [], "gpuIds": []},
            "gpuMemUtilization": cards("gpumem") if has_cards else {"avg": [], "gpuIds": []},
        }
    )


METRICS_PATHS = ("/gpu-instance/openapi/v1/metrics/gpu/instance", "/gpu-instance/openapi/v1/instance/metrics")


def metrics_elsewhere(world: World, request: Request) -> dict[str, str] | None:
    """Two other paths where clients look for metrics. One client names the instance `instance_id`."""
    if request.method != "GET" or request.scope["path"] not in METRICS_PATHS:
        return None
    # The query is checked after this against the documented name, so it must have that name.
    request.scope["query_string"] = request.scope["query_string"].replace(b"instance_id=", b"instanceId=")
    return {}


async def instance_service(world: World, request: Request, raw: bytes) -> Response:
    """An open HTTP port sends back what it receives. Logs are one line of text. 502 if the machine does not run."""
    state = world.area(GpuState)
    id, _, rest = request.scope["path"].removeprefix("/_instances/").partition("/")
    what, _, path = rest.partition("/")
    instance = state.fleet.running(id)
    if instance is None:
        return PlainTextResponse("bad gateway: nothing runs here", 502)
    if what == "logs":
        return PlainTextResponse(f"{instance.started_at} {path}: {instance.order.image} started\n")
    if what == "terminal":
        return PlainTextResponse("root@simulated:~# ")
    open_ports = {str(port.port) for port in instance.order.ports if port.type == "http"}
    if what not in open_ports | {str(tool.port) for tool in instance.order.tools}:
        return PlainTextResponse("404 page not found", 404)
    text = raw.decode("utf-8", "replace")
    return JSONResponse({"instance": id, "port": int(what), "method": request.method, "path": f"/{path}", "body": text})
