"""GPU routes of the first generation: clusters, products, instances, metrics.

app.py imports only this module of the GPU area, so `HANDLERS` also holds the handlers of extras_v1.py and routes_v2.py.
The HTTP services and logs of an instance are below /_instances/<id>/ on this server (`SERVICES`). Its ssh and tcp
addresses are in .invalid, so nobody can connect to them.
"""

from typing import Any

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, ExtraRoute, Handler, Json
from . import extras_v1, routes_v2
from .handlers import (
    acts,
    area,
    in_body,
    in_query,
    instances_asked_for,
    nothing,
    orders,
    plain,
    shows_instance,
    upgrades,
)
from .inside import get_gpu_instance_metrics, instance_service, metrics_elsewhere
from .instances import KEEP_DATA_DAYS, Fleet, SimulatedInstance
from .market import FREE_DISK_GB, Cluster, MarketProduct, clusters, products, refuse
from .order import OrderedPort, SimulatedOrder, Tool
from .shared import asks_for_part, fits_name, numbered, port_rows, ports_of, service_url, ssh_command
from .state import GpuState, control

# clusters and products


def _cluster(cluster: Cluster) -> Json:
    names = sorted(each.name for each in products().values() if cluster.id in each.clusters and each.kind == "gpu")
    # availableGpuType is an object in the page's example, but an array in its list of fields and in clients.
    return {
        "id": cluster.id,
        "name": cluster.name,
        "availableGpuType": names,
        "supportNetworkStorage": cluster.storage,
        "supportInstanceNetwork": cluster.vpc,
    }


async def list_clusters(call: Call) -> Response:
    return answer({"data": [_cluster(each) for each in clusters().values()]})


def regions(product: MarketProduct) -> list[str]:
    """The names, not ids, of the product's clusters. Empty if all clusters have it."""
    return [] if set(product.clusters) == set(clusters()) else [clusters()[each].name for each in product.clusters]


def _gpu_product(state: GpuState, product: MarketProduct, cluster: str | None, cards: int) -> Json:
    sizes: dict[str, Any] = {
        "cpuPerGpu": product.cpu,
        "memoryPerGpu": product.memory_gb,
        "diskPerGpu": product.disk_gb,
    }
    if state.dialect == "seen":
        sizes = {name: str(size) for name, size in sizes.items()}
    shown: Json = {
        "id": product.id,
        "name": product.name,
        **sizes,
        "availableDeploy": state.stock.room(product, cluster) >= max(1, cards),
        "minRootFS": 10,
        "maxRootFS": product.max_rootfs_gb,
        "minLocalStorage": 0,
        "maxLocalStorage": 0,
        "regions": regions(product),
        "price": product.price,
        "monthlyPrice": [{"price": price, "month": months} for months, price in product.monthly],
        "billingMethods": product.modes,
        "inventoryState": state.stock.level(product, cluster),
    }
    if product.spot_price is not None:
        shown["spotPrice"] = product.spot_price if state.dialect == "seen" else str(product.spot_price)
    return shown


async def list_gpu_products(call: Call) -> Response:
    state, asked = area(call), call.params
    cluster, cards = asked.get("clusterId") or None, asked.get("gpuNum", 0)
    found = [
        product
        for product in products().values()
        if product.kind == "gpu"
        and (cluster is None or cluster in product.clusters)
        and (not cards or state.stock.room(product, cluster) >= cards)
        and fits_name(asked.get("productName", ""), product)
        and product.cpu >= asked.get("minCpuPerGpu", 0)
        and product.memory_gb >= asked.get("minMemoryPerGpu", 0)
        and product.max_rootfs_gb >= asked.get("minRootFSSize", 0)
        and asked.get("billingMethod", "onDemand") in product.modes
    ]
    return answer({"data": [_gpu_product(state, product, cluster, cards) for product in found]})


async def list_cpu_products(call: Call) -> Response:
    state, cluster = area(call), call.params.get("clusterId") or None
    return answer(
        {
            "data": [
                {
                    "id": product.id,
                    "name": product.name,
                    "cpuNum": product.cpu,
                    "memorySize": product.memory_gb,
                    "rootfsSize": product.max_rootfs_gb,
                    "localVolumeSize": product.local_gb,
                    "availableDeploy": state.stock.room(product, cluster) > 0,
                    "price": str(product.price) if state.dialect == "seen" else product.price,
                }
                for product in products().values()
                if product.kind == "cpu"
                and (cluster is None or cluster in product.clusters)
                and fits_name(call.params.get("productName", ""), product)
            ]
        }
    )


# instances: reading an order


def _ports(text: str) -> list[OrderedPort]:
    """Read ports that are written as `80/http, 22/tcp`."""
    ports: list[OrderedPort] = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        number, slash, kind = part.partition("/")
        if not number.isdigit() or not slash:
            raise refuse("VALIDATOR_PARAM", f"ports: {part!r} is not port/type")
        ports.append(OrderedPort(int(number), kind))
    return ports


def _tool(row: Json) -> Tool:
    port = str(row.get("port", "8888"))
    if not port.isdigit():
        raise refuse("VALIDATOR_PARAM", f"tools: port {port!r} is not a number")
    return Tool(row.get("name", "Jupyter"), int(port), row.get("type", "http"))


def _order(body: Json) -> SimulatedOrder:
    months = body.get("month", 0)
    return SimulatedOrder(
        product_id=body["productId"],
        image=body["imageUrl"],
        kind=body["kind"],
        name=body.get("name", ""),
        cards=body.get("gpuNum", 1),
        rootfs_gb=body.get("rootfsSize", FREE_DISK_GB),
        image_auth=body.get("imageAuth", ""),
        image_auth_id=body.get("imageAuthId", ""),
        ports=_ports(body.get("ports", "")),
        tools=[_tool(row) for row in body.get("tools", ())],
        envs=body.get("envs", []),
        command=body.get("command", ""),
        entrypoint=body.get("entrypoint", ""),
        clusters=[body["clusterId"]] if body.get("clusterId") else [],
        volumes=[(row.get("Id", ""), row.get("mountPoint", "/network")) for row in body.get("networkStorages", ())],
        network_id=body.get("networkId", ""),
        local_mount=body.get("localStorageMountPoint", "/workspace"),
        mode="monthly" if months > 0 else body.get("billingMode", "onDemand"),
        months=months,
        auto_renew=body.get("autoRenew", False),
        auto_renew_months=body.get("autoRenewMonth", 1),
        min_cuda=body.get("minCudaVersion", ""),
    )


# instances: showing one


def _summary(instance: SimulatedInstance, base_url: str, *, whole: bool) -> Json:
    order, product = instance.order, instance.product
    error, message = instance.error or ("", "")
    return {
        "id": instance.id,
        "name": instance.name,
        "clusterId": instance.cluster,
        "clusterName": clusters()[instance.cluster].name,
        "status": instance.status,
        "imageUrl": order.image,
        "imageAuthId": order.image_auth_id,
        "command": order.command,
        "entrypoint": order.entrypoint,
        "cpuNum": str(product.cpu * order.cards),
        "memory": str(product.memory_gb * order.cards),
        "gpuNum": str(order.cards if product.kind == "gpu" else 0),
        "portMappings": port_rows(base_url, instance, "type"),
        "productId": product.id,
        "productName": product.name,
        "rootfsSize": order.rootfs_gb,
        "volumeMounts": [
            # `size` is a number in the record of one instance, and a text in the list.
            {
                "type": mount.kind,
                "size": mount.size_gb if whole else str(mount.size_gb),
                "id": mount.id,
                "mountPath": mount.path,
            }
            for mount in instance.mounts
        ]
        or None,
        "statusError": {"state": error, "message": message},
        "envs": order.envs or None,
        "kind": product.kind,
        "billingMode": instance.mode if product.kind == "gpu" else "",
        "endTime": str(instance.end_time or -1),
        "spotStatus": instance.spot_status,
        "spotReclaimTime": str(instance.reclaim_at or 0),
        "createdAt": str(instance.created_at),
        "startedAt": str(instance.started_at),
        "stoppedAt": str(instance.stopped_at),
        "lastStartedAt": str(instance.started_at),
        "lastStoppedAt": str(instance.stopped_at),
        "gpuIds": list(range(order.cards)) if product.kind == "gpu" else [],
        "templateId": "",
    }


def _whole(state: GpuState, instance: SimulatedInstance, base_url: str) -> Json:
    order, ready = instance.order, instance.status == "running"
    disk = {"maxRootfsSize": instance.product.max_rootfs_gb}
    logs = f"{base_url}/_instances/{instance.id}/logs"
    jupyter = next((tool for tool in order.tools if tool.name == "Jupyter"), None)
    return _summary(instance, base_url, whole=True) | {
        "network": {"id": order.network_id, "ip": instance.network_ip},
        "connectComponentSSH": {
            "sshCommand": ssh_command(instance) if ready else "",
            "password": instance.password,
            "isRunning": ready,
        },
        "connectComponentWebTerminal": {
            "address": f"{base_url}/_instances/{instance.id}/terminal" if ready and instance.web_terminal else "",
            "username": "root",
            "password": instance.web_password,
            "isRunning": ready and instance.web_terminal,
        },
        "connectComponentJupyter": {
            "port": str(jupyter.port) if jupyter else "",
            "address": service_url(base_url, instance, jupyter.port) if jupyter and ready else "",
            "isRunning": bool(jupyter and ready),
        },
        "connectComponentLog": {
            "systemLogAddress": f"{logs}/system",
            "instanceLogAddress": f"{logs}/instance",
            "isRunning": ready,
        },
        "node": disk if state.dialect == "seen" else [disk],
        "freeStorageSize": FREE_DISK_GB,
        "keepDataDay": KEEP_DATA_DAYS,
        "jobs": [{"id": job.id, "type": job.type} for job in state.jobs.running(instance)] or None,
    }


async def list_gpu_instances(call: Call) -> Response:
    asked = call.params
    found = [
        each
        for each in instances_asked_for(call)
        if asks_for_part(asked, "name", each.name) and fits_name(asked.get("productName", ""), each.product)
    ]
    first = area(call).first_page
    return answer(numbered(call, found, lambda each: _summary(each, call.base_url, whole=False), first, "instances"))


# instances: what one does with them


def _state_of(instance: SimulatedInstance) -> Response:
    return answer({"instanceId": instance.id, "state": instance.status})


def _edit(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    if (ports := call.body.get("ports")) is not None:
        fleet.set_ports(instance, ports_of(ports, "type"))
    fleet.grow(instance, call.body.get("expandRootDisk", 0))


def _renew(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    fleet.renew(instance, call.body["month"], call.operation.id)


def _to_monthly(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    fleet.to_monthly(instance, call.body["month"], call.operation.id)


def _auto_migrate(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    fleet.set_auto_migrate(instance, call.body["autoMigrateOpen"], call.body.get("autoMigrateSystemDisk", False))


def _new_volumes(body: Json) -> list[tuple[str, str]]:
    return [(row["id"], row["mountPath"]) for row in body["networkVolume"]["volumeMounts"]]


async def set_gpu_instance_auto_renew(call: Call) -> Response:
    fleet = area(call).fleet
    for instance in [fleet.find(call.account, id) for id in call.body["instanceIds"]]:
        fleet.set_auto_renew(instance, call.body["autoRenew"], call.body.get("autoRenewMonth", 1))
    return nothing()


_ID = in_body("instanceId")

ROUTES = [ExtraRoute("get_gpu_instance_metrics", metrics_elsewhere)]
SERVICES = {"/_instances/": instance_service}
CONTROLS = {("POST", "gpu"): control}

_OWN: dict[str, Handler] = {
    "list_clusters": list_clusters,
    "list_gpu_products": list_gpu_products,
    "list_cpu_products": list_cpu_products,
    "create_gpu_instance": orders(_order),
    "list_gpu_instances": list_gpu_instances,
    "get_gpu_instance": shows_instance(in_query("instanceId"), _whole),
    "start_gpu_instance": acts(_ID, plain(Fleet.start), _state_of),
    "stop_gpu_instance": acts(_ID, plain(Fleet.stop), _state_of),
    # No page shows a body here, and no client met one.
    "restart_gpu_instance": acts(_ID, plain(Fleet.restart)),
    "delete_gpu_instance": acts(_ID, plain(Fleet.delete)),
    "migrate_gpu_instance": acts(_ID, plain(Fleet.migrate)),
    "edit_gpu_instance": acts(_ID, _edit),
    "upgrade_gpu_instance": acts(_ID, upgrades("imageUrl", "imageAuthId", _new_volumes)),
    "renew_gpu_instance": acts(_ID, _renew),
    "change_gpu_instance_billing": acts(_ID, _to_monthly),
    "set_gpu_instance_auto_renew": set_gpu_instance_auto_renew,
    "set_gpu_instance_auto_migrate": acts(_ID, _auto_migrate),
    "get_gpu_instance_metrics": get_gpu_instance_metrics,
}
HANDLERS: dict[str, Handler] = _OWN | extras_v1.HANDLERS | routes_v2.HANDLERS
