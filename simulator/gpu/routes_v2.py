"""GPU routes of the second generation (/gpus/v2): catalogue and instances, on the same state as the first.

They differ from the first generation in this: names are in snake_case, lists have cursors, a request has `resource`
and an answer `resource_specs`, the billing mode is `mode` at creation and `type` at a change, one field is `enable` and
all others `enabled`, a deletion answers 204, and a missing thing 404.
"""

from starlette.responses import Response

from ..core.calls import Call, Handler, Json
from . import extras_v2
from .handlers import acts, area, in_path, instances_asked_for, orders, plain, shows_instance, upgrades
from .instances import Fleet, SimulatedInstance
from .market import V2_PRECISION, MarketProduct, clusters, products, refuse
from .order import SimulatedOrder, Tool
from .shared import gone, page, port_rows, ports_of, second_generation, service_url, ssh_command
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
    """A raw v1 price, which has five decimal places, as v2 writes it."""
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
        ports=ports_of(body.get("ports", ()), "protocol"),
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
        "ports": port_rows(base_url, instance, "protocol") or None,
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


def _whole(_: GpuState, instance: SimulatedInstance, base_url: str) -> Json:
    return _instance(instance, base_url, access=True)


async def list_instances(call: Call) -> Response:
    return page(call, instances_asked_for(call), lambda each: _instance(each, call.base_url, access=False))


def _migrate(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    if call.body.get("save_data"):
        # One client saw this answer.
        raise refuse("REQUEST", "save_data is not supported")
    fleet.migrate(instance)


def _renew(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    fleet.renew(instance, call.body["months"], call.operation.id)


def _auto_renew(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    wanted = call.body["auto_renew"]
    fleet.set_auto_renew(instance, wanted.get("enabled", False), wanted.get("months", 1))


def _auto_migrate(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    wanted = call.body["auto_migrate"]
    fleet.set_auto_migrate(instance, wanted.get("enabled", False), wanted.get("include_system_disk", False))


def _bill_as(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    if call.body["type"] == "prepaid":
        fleet.to_monthly(instance, call.body.get("months", 0), call.operation.id)
    else:
        fleet.to_on_demand(instance)


def _set_ports(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    fleet.set_ports(instance, ports_of(call.body["ports"], "protocol"))


def _grow(call: Call, fleet: Fleet, instance: SimulatedInstance) -> None:
    fleet.grow(instance, call.body["rootfs_size_expand_gb"])


def _web_terminal(call: Call, _: Fleet, instance: SimulatedInstance) -> None:
    instance.web_terminal = call.body["enable"]


_ID = in_path("instance_id")
HANDLERS: dict[str, Handler] = extras_v2.HANDLERS | second_generation(
    {
        "list_regions": list_regions,
        "list_products": list_products,
        "create_instance": orders(_order),
        "list_instances": list_instances,
        "get_instance": shows_instance(_ID, _whole),
        "delete_instance": acts(_ID, plain(Fleet.delete), gone),
        "start_instance": acts(_ID, plain(Fleet.start)),
        "stop_instance": acts(_ID, plain(Fleet.stop)),
        "restart_instance": acts(_ID, plain(Fleet.restart)),
        "upgrade_instance": acts(_ID, upgrades("image", "registry_auth_id", lambda _: None)),
        "migrate_instance": acts(_ID, _migrate),
        "renew_instance": acts(_ID, _renew),
        "set_auto_renew": acts(_ID, _auto_renew),
        "set_auto_migrate": acts(_ID, _auto_migrate),
        "change_billing_mode": acts(_ID, _bill_as),
        "update_ports": acts(_ID, _set_ports),
        "expand_rootfs": acts(_ID, _grow),
        "set_web_terminal": acts(_ID, _web_terminal),
    }
)
