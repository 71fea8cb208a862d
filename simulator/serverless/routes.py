"""Routes of both generations that manage serverless endpoints. gateway.py has the routes that call them.

app.py imports only this module of the serverless area.
"""

from dataclasses import replace
from typing import Any

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from ..gpu.market import refuse
from ..gpu.shared import gone, numbered, page, second_generation
from . import gateway
from .gateway import area
from .plan import DeploymentPlan
from .state import LIMITS, SimulatedEndpoint


def _whole(value: Any, name: str) -> int:
    """A number, which may be sent as text."""
    try:
        return int(value)
    except ValueError:
        raise refuse("VALIDATOR_PARAM", f"{name}: {value!r} is not a whole number") from None


# first generation


async def get_limits(call: Call) -> Response:
    return answer(LIMITS)


def _plan(sent: Json, *, name: str, app_name: str, products: list[str], rootfs_gb: int) -> DeploymentPlan:
    workers, policy, image = sent["workerConfig"], sent["policy"], sent["image"]
    ports: Json | list[Json] = sent["ports"]  # One client sends the only port as an object.
    port = ports[0] if isinstance(ports, list) else ports
    return DeploymentPlan(
        products=products,
        image=image["image"],
        name=name,
        app_name=app_name,
        auth_id=image.get("authId", ""),
        command=image.get("command", ""),
        port=_whole(port["port"], "ports"),
        health_path=sent.get("healthy", {}).get("path", ""),
        cluster=sent.get("clusterID", ""),
        rootfs_gb=rootfs_gb,
        envs=sent.get("envs", []),
        volumes=sent.get("volumeMounts", []),
        least=workers["minNum"],
        most=workers["maxNum"],
        idle=_whole(workers["freeTimeout"], "freeTimeout"),
        concurrent=_whole(workers["maxConcurrent"], "maxConcurrent"),
        cards=workers["gpuNum"],
        request_timeout=workers.get("requestTimeout", 300),
        cuda=workers.get("cudaVersion", ""),
        policy=policy["type"],
        policy_value=_whole(policy["value"], "policy.value"),
    )


async def create_endpoint(call: Call) -> Response:
    sent = call.body["endpoint"]
    plan = _plan(
        sent,
        name=sent.get("name", ""),
        app_name=sent.get("appName", ""),
        products=[each["id"] for each in sent["products"]],
        rootfs_gb=sent["rootfsSize"],
    )
    return answer({"id": area(call).create(call.account, plan).id})


def _shown(endpoint: SimulatedEndpoint, base_url: str, *, listed: bool) -> Json:
    plan, (error, message) = endpoint.plan, endpoint.error or ("", "")
    shown: Json = {
        "id": endpoint.id,
        "name": plan.name or endpoint.id,
        "appName": plan.app_name or endpoint.id,
        "state": {"state": endpoint.state, "error": error, "message": message},
        "url": _url(endpoint, base_url),
        "workerConfig": {
            "minNum": plan.least,
            "maxNum": plan.most,
            # These two, and the value of the policy, are strings.
            "freeTimeout": str(plan.idle),
            "maxConcurrent": str(plan.concurrent),
            "gpuNum": plan.cards,
            "requestTimeout": plan.request_timeout,
            "cudaVersion": plan.cuda,
        },
        "policy": {"type": plan.policy, "value": str(plan.policy_value)},
        "image": {"image": plan.image, "authId": plan.auth_id, "command": plan.command},
        "rootfsSize": plan.rootfs_gb,
        "volumeMounts": plan.volumes,
        "envs": plan.envs,
        # The port is a string in the list, and an integer in the record of one endpoint.
        "ports": [{"port": str(plan.port) if listed else plan.port}],
        "workers": [
            {
                "id": worker.id,
                "state": {"state": worker.state, "error": "", "message": ""},
                "log": f"/worker/{worker.id}/log",
                "metrics": f"/worker/{worker.id}/metrics",
                "healthy": worker.state == "running",
            }
            for worker in endpoint.pool.workers
        ]
        or None,
        "products": [{"id": id} for id in plan.products],
        "healthy": {
            "path": plan.health_path,
            "initialDelay": 10,
            "period": 10,
            "timeout": 5,
            "successThreshold": 1,
            "failureThreshold": 3,
        }
        if plan.health_path
        else None,
        "clusterID": plan.cluster,
        "log": f"/endpoint/{endpoint.id}/log",
    }
    if listed:
        shown |= {"createdAt": str(endpoint.created_at), "updatedAt": str(endpoint.updated_at)}
    return shown


def _url(endpoint: SimulatedEndpoint, base_url: str) -> str:
    """The URL of a sync endpoint. Async endpoints have none, as they share the gateway."""
    return f"{base_url}/_endpoints/{endpoint.slug}" if endpoint.plan.type == "sync" else ""


async def list_endpoints(call: Call) -> Response:
    state = area(call)
    state.settle("*")
    found, first = state.of(call.account), state.gpu.first_page
    return answer(numbered(call, found, lambda each: _shown(each, call.base_url, listed=True), first, "endpoints"))


async def get_endpoint(call: Call) -> Response:
    state, id = area(call), call.params["id"]
    state.settle(id)
    return answer({"endpoint": _shown(state.find(call.account, id), call.base_url, listed=False)})


async def update_endpoint(call: Call) -> Response:
    """Replace all settings: an optional one that is left out is empty afterwards.

    The page does not name products, root disk and app name, so these stay as they are unless they are sent.
    """
    state, sent = area(call), call.body
    endpoint = state.find(call.account, sent["id"])
    before = endpoint.plan
    app_name = sent.get("appName", "")
    plan = _plan(
        sent,
        name=sent.get("name", before.name),
        # Answers show the id of an endpoint that has no app name, and clients send it back.
        app_name=before.app_name if app_name in ("", endpoint.id) else app_name,
        products=[each["id"] for each in sent.get("products", ())] or before.products,
        rootfs_gb=sent.get("rootfsSize", before.rootfs_gb),
    )
    plan.type, plan.entrypoint = before.type, before.entrypoint
    state.update(endpoint, plan)
    return answer({})


async def delete_endpoint(call: Call) -> Response:
    state = area(call)
    # The page calls the field `name`, and others call it `id`. Both mean the id.
    state.delete(state.find(call.account, call.body.get("name") or call.body.get("id", "")))
    return answer({})


async def drain_worker(call: Call) -> Response:
    area(call).drain(call.account, call.body["workerID"], call.body["drain"])
    return answer({"success": True, "message": ""})


# second generation


def _v2_volumes(rows: list[Json]) -> list[Json]:
    names = {"id": "id", "type": "type", "size": "size", "mount_point": "mountPath"}
    return [{"type": "network"} | {v1: row[v2] for v2, v1 in names.items() if v2 in row} for row in rows]


def _v2_changes(sent: Json) -> dict[str, Any]:
    """The fields of the plan that the request sets, and no others."""
    workers, policy = sent.get("worker_config", {}), sent.get("policy", {})
    found = {
        "type": sent.get("type"),
        "name": sent.get("name"),
        "app_name": sent.get("app_name"),
        "products": [sent["product_id"]] if "product_id" in sent else None,
        "image": sent.get("image"),
        "auth_id": sent.get("registry_auth_id"),
        "entrypoint": sent.get("entrypoint"),
        "command": sent.get("command"),
        "policy": policy.get("type"),
        "policy_value": policy.get("value"),
        "volumes": _v2_volumes(sent["volumes"]) if "volumes" in sent else None,
        "envs": sent.get("envs"),
        "port": sent["ports"][0] if sent.get("ports") else None,
        "health_path": sent.get("health_check", {}).get("path"),
        "cluster": sent.get("region_id"),
        "least": workers.get("min_replicas"),
        "most": workers.get("max_replicas"),
        "idle": workers.get("idle_timeout"),
        "concurrent": workers.get("max_concurrent_per_worker"),
        "cards": workers.get("gpu_num"),
        "rootfs_gb": workers.get("rootfs_size_gb"),
        "cuda": workers.get("min_cuda_version"),
        "request_timeout": workers.get("request_timeout"),
    }
    return {name: value for name, value in found.items() if value is not None}


async def v2_create(call: Call) -> Response:
    return answer({"id": area(call).create(call.account, DeploymentPlan(**_v2_changes(call.body))).id})


def _v2_shown(endpoint: SimulatedEndpoint, base_url: str) -> Json:
    plan, (error, message) = endpoint.plan, endpoint.error or ("", "")
    return {
        "id": endpoint.id,
        "type": plan.type,
        "name": plan.name or endpoint.id,
        "app_name": plan.app_name or endpoint.id,
        "region_id": plan.cluster,
        "url": _url(endpoint, base_url),
        "product_id": plan.products[0],
        "image": plan.image,
        "registry_auth_id": plan.auth_id,
        "command": plan.command,
        "entrypoint": plan.entrypoint,
        "policy": {"type": plan.policy, "value": plan.policy_value},
        "ports": [plan.port],
        "envs": plan.envs or None,
        "volumes": [
            {"id": m.get("id", ""), "type": m["type"], "mount_point": m.get("mountPath", "")} for m in plan.volumes
        ]
        or None,
        "health_check": {"path": plan.health_path, "port": plan.port} if plan.health_path else None,
        # The documentation does not show the names of states and workers. These follow those of a v2 instance.
        "status": {"status": endpoint.state, "error": error, "message": message},
        "worker_config": {
            "min_replicas": plan.least,
            "max_replicas": plan.most,
            "idle_timeout": plan.idle,
            "max_concurrent_per_worker": plan.concurrent,
            "gpu_num": plan.cards,
            "rootfs_size_gb": plan.rootfs_gb,
            "min_cuda_version": plan.cuda,
            "request_timeout": plan.request_timeout,
        },
        "workers": [
            {"id": worker.id, "status": {"status": worker.state}, "healthy": worker.state == "running"}
            for worker in endpoint.pool.workers
        ]
        or None,
        "created_at": endpoint.created_at,
    }


async def v2_list(call: Call) -> Response:
    state = area(call)
    state.settle("*")
    keyword, members = call.params.get("keyword", "").lower(), call.params.get("member_ids", "")
    found = [
        each
        for each in state.of(call.account)
        if keyword in f"{each.id} {each.plan.name} {each.plan.app_name}".lower()
        and (not members or each.owner.id in members.split(","))
    ]
    return page(call, found, lambda each: _v2_shown(each, call.base_url))


async def v2_get(call: Call) -> Response:
    state, id = area(call), call.path["endpoint_id"]
    state.settle(id)
    return answer(_v2_shown(state.find(call.account, id), call.base_url))


async def v2_update(call: Call) -> Response:
    """Change what is sent, and keep the rest, as the page's own example leaves worker_config out."""
    state = area(call)
    endpoint = state.find(call.account, call.path["endpoint_id"])
    state.update(endpoint, replace(endpoint.plan, **_v2_changes(call.body)))
    return answer({})


async def v2_delete(call: Call) -> Response:
    state = area(call)
    state.delete(state.find(call.account, call.path["endpoint_id"]))
    return gone()


ROUTES = gateway.ROUTES
HANDLERS: dict[str, Handler] = {
    "get_serverless_endpoint_limits": get_limits,
    "create_serverless_endpoint": create_endpoint,
    "list_serverless_endpoints": list_endpoints,
    "get_serverless_endpoint": get_endpoint,
    "update_serverless_endpoint": update_endpoint,
    "delete_serverless_endpoint": delete_endpoint,
    "drain_serverless_worker": drain_worker,
    **second_generation(
        {
            "create_endpoint": v2_create,
            "list_endpoints": v2_list,
            "get_endpoint": v2_get,
            "update_endpoint": v2_update,
            "delete_endpoint": v2_delete,
        }
    ),
    **gateway.HANDLERS,
}
