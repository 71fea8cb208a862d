"""GPU routes of the second generation (/gpus/v2): catalogue and instances, on the same state as the first.

What a client can meet here and nowhere else: snake_case, cursors, `resource` in and `resource_specs` out, `mode` when
creating and `type` when switching, `enable` once and `enabled` elsewhere, 204 after deleting, 404 for what is missing.
"""

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from . import extras_v2
from .instances import SimulatedInstance
from .market import V2_PRECISION, MarketProduct, clusters, products, refuse
from .order import OrderedPort, SimulatedOrder, Tool
from .shared import area, endpoint, gone, page, rest, service_url, ssh_command
from .state import GpuState

MODES = {"postpaid": "onDemand", "prepaid": "monthly", "spot": "spot"}
MODE_NAMES = {v1: v2 for v2, v1 in MODES.items()}


# regions and products


async def list_regions(call: Call) -> Response:
    def shown(id: str) -> Json:
        cluster = clusters()[id]
        offered = (product for product in products().values() if product.kind == "gpu" and id in product.clusters)
        return {
            "id": cluster.id,
            "name": cluster.name,
            "gpus": sorted({product.name for product in offered}),
            "feature": {"network_volume": cluster.storage, "instance_vpc_network": cluster.vpc},
        }

    return page(call, list(clusters()), shown)


def _scaled(raw: int) -> Json:
    """A raw v1 price (five decimal places) as v2 writes it."""
    return {"final_price": raw * 10**V2_PRECISION // 100_000}


async def list_products(call: Call) -> Response:
    state, serverless = area(call), call.params["category"] == "serverless"

    def shown(product: MarketProduct) -> Json:
        free = state.stock.workers[product.id] if serverless else state.stock.room(product)
        spot = _scaled(product.spot_price) if product.spot_price and not serverless else None
        return {
            "id": product.id,
            "name": product.name,
            "region_ids": list(product.clusters),
            "resource_spec": {
                "cpu": {"num": product.cpu},
                "memory_gb": product.memory_gb,
                "gpu": {
                    "name": product.name,
                    "memory_gb": product.gpu_memory_gb,
                    "max": product.max_cards,
                    "available": free,
                },
            },
            "pricing": {
                "precision": V2_PRECISION,
                "postpaid": _scaled(product.serverless_price if serverless else product.price),
                "prepaid": None,
                "spot": spot,
            },
        }

    rows = [each for each in products().values() if each.kind == "gpu" and (not serverless or each.serverless_workers)]
    return page(call, rows, shown)


# instances


def _jupyter(body: Json) -> list[Tool]:
    wanted = body.get("tools", {}).get("jupyter", {})
    if not wanted.get("enabled"):
        return []
    return [Tool("Jupyter", wanted.get("port", 8888), wanted.get("protocol", "http"))]


def _order(body: Json) -> SimulatedOrder:
    billing, resource = body["billing"], body["resource"]
    prepaid = billing.get("prepaid", {})
    renewal, migration, network = prepaid.get("auto_renew", {}), body.get("auto_migrate", {}), body.get("network", {})
    return SimulatedOrder(
        product_id=body["product_id"],
        image=body["image"],
        kind=body.get("type", "gpu"),
        name=body.get("name", ""),
        cards=resource["gpu_num"],
        rootfs_gb=resource["rootfs_size_gb"],
        image_auth_id=body.get("registry_auth_id", ""),
        ports=[OrderedPort(row["port"], row["protocol"]) for row in body.get("ports", ())],
        tools=_jupyter(body),
        envs=body.get("envs", []),
        command=body.get("command", ""),
        entrypoint=body.get("entrypoint", ""),
        clusters=body.get("candidate_regions", []),
        volumes=[(row.get("id", ""), row.get("mount_point", "/network")) for row in body.get("volumes", ())],
        network_id=network.get("id", ""),
        network_ip=network.get("ip", ""),
        mode=MODES[billing["mode"]],
        months=prepaid.get("months", 0),
        auto_renew=renewal.get("enabled", False),
        auto_renew_months=renewal.get("months", 1),
        min_cuda=resource.get("min_cuda_version", ""),
        auto_migrate=migration.get("enabled", False),
        auto_migrate_disk=migration.get("include_system_disk", False),
    )


async def create_instance(call: Call) -> Response:
    state = area(call)
    return answer({"id": state.fleet.create(call.account, _order(call.body), call.operation.id).id})


def _instance(instance: SimulatedInstance, base_url: str, *, access: bool) -> Json:
    order, product, ready = instance.order, instance.product, instance.status == "running"
    error, message = instance.error or ("", "")
    shown: Json = {
        "id": instance.id,
        "name": instance.name,
        "type": product.kind,
        "status": {"status": instance.status, "error": error, "message": message},
        "product_id": product.id,
        "region": instance.cluster,
        "image": order.image,
        "billing": {"mode": MODE_NAMES[instance.mode]},
        "resource_specs": {
            "gpu_num": order.cards if product.kind == "gpu" else 0,
            "memory_gb": product.memory_gb * order.cards,
            "cpu_num": product.cpu * order.cards,
            "rootfs_size_gb": order.rootfs_gb,
        },
        "ports": [
            {
                "port": port.port,
                "protocol": port.type,
                "endpoint": endpoint(base_url, instance, port) if ready else "",
            }
            for port in order.ports
        ]
        or None,
        "created_at": instance.created_at,
    }
    if instance.mode == "monthly":
        renewal = {"enabled": order.auto_renew, "months": order.auto_renew_months}
        shown["billing"]["prepaid"] = {"end_at": instance.end_time, "auto_renew": renewal}
    if access:
        jupyter = order.tools[0] if order.tools and ready else None
        shown["tools"] = {
            "ssh": {"command": ssh_command(instance) if ready else "", "password": instance.password},
            "jupyter": {"endpoint": service_url(base_url, instance, jupyter.port) if jupyter else ""},
            "web_terminal": {"enable": instance.web_terminal},
        }
        shown["envs"] = order.envs or None
    return shown


async def list_instances(call: Call) -> Response:
    state, status = area(call), call.params.get("status", "")
    state.settle("*")
    found = [each for each in state.fleet.of(call.account, removed=status == "removed") if status in ("", each.status)]
    return page(call, found, lambda each: _instance(each, call.base_url, access=False))


async def get_instance(call: Call) -> Response:
    state, id = area(call), call.path["instance_id"]
    state.settle(id)
    return answer(_instance(state.fleet.find(call.account, id), call.base_url, access=True))


def _named(call: Call) -> tuple[GpuState, SimulatedInstance]:
    state = area(call)
    return state, state.fleet.find(call.account, call.path["instance_id"])


async def delete_instance(call: Call) -> Response:
    state, instance = _named(call)
    state.fleet.delete(instance)
    return gone()


async def start_instance(call: Call) -> Response:
    state, instance = _named(call)
    state.fleet.start(instance)
    return answer({})


async def stop_instance(call: Call) -> Response:
    state, instance = _named(call)
    state.fleet.stop(instance)
    return answer({})


async def restart_instance(call: Call) -> Response:
    state, instance = _named(call)
    state.fleet.restart(instance)
    return answer({})


async def upgrade_instance(call: Call) -> Response:
    state, instance = _named(call)
    body = call.body
    state.fleet.upgrade(
        instance,
        image=body["image"],
        image_auth_id=body.get("registry_auth_id", ""),
        envs=body.get("envs", []),
        command=body.get("command", ""),
        entrypoint=body.get("entrypoint", ""),
        volumes=None,
    )
    return answer({})


async def migrate_instance(call: Call) -> Response:
    state, instance = _named(call)
    if call.body.get("save_data"):
        # As one client met it.
        raise refuse("REQUEST", "save_data is not supported")
    state.fleet.migrate(instance)
    return answer({})


async def renew_instance(call: Call) -> Response:
    state, instance = _named(call)
    state.fleet.renew(instance, call.body["months"], call.operation.id)
    return answer({})


async def set_auto_renew(call: Call) -> Response:
    state, instance = _named(call)
    wanted = call.body["auto_renew"]
    state.fleet.set_auto_renew(instance, wanted.get("enabled", False), wanted.get("months", 1))
    return answer({})


async def set_auto_migrate(call: Call) -> Response:
    _, instance = _named(call)
    wanted = call.body["auto_migrate"]
    instance.order.auto_migrate = wanted.get("enabled", False)
    instance.order.auto_migrate_disk = wanted.get("include_system_disk", False)
    return answer({})


async def change_billing_mode(call: Call) -> Response:
    state, instance = _named(call)
    if call.body["type"] == "prepaid":
        state.fleet.to_monthly(instance, call.body.get("months", 0), call.operation.id)
    else:
        state.fleet.to_on_demand(instance)
    return answer({})


async def update_ports(call: Call) -> Response:
    state, instance = _named(call)
    state.fleet.set_ports(instance, [OrderedPort(row["port"], row["protocol"]) for row in call.body["ports"]])
    return answer({})


async def expand_rootfs(call: Call) -> Response:
    state, instance = _named(call)
    state.fleet.grow(instance, call.body["rootfs_size_expand_gb"])
    return answer({})


async def set_web_terminal(call: Call) -> Response:
    _, instance = _named(call)
    instance.web_terminal = call.body["enable"]
    return answer({})


HANDLERS: dict[str, Handler] = {
    f"gpus_v2_{name}": rest(handler)
    for name, handler in {
        "list_regions": list_regions,
        "list_products": list_products,
        "create_instance": create_instance,
        "list_instances": list_instances,
        "get_instance": get_instance,
        "delete_instance": delete_instance,
        "start_instance": start_instance,
        "stop_instance": stop_instance,
        "restart_instance": restart_instance,
        "upgrade_instance": upgrade_instance,
        "migrate_instance": migrate_instance,
        "renew_instance": renew_instance,
        "set_auto_renew": set_auto_renew,
        "set_auto_migrate": set_auto_migrate,
        "change_billing_mode": change_billing_mode,
        "update_ports": update_ports,
        "expand_rootfs": expand_rootfs,
        "set_web_terminal": set_web_terminal,
    }.items()
} | extras_v2.HANDLERS
