"""The GPU routes: which generation serves which call, in one table, and the two ways to call them.

Two generations live side by side: v1 (`/gpu-instance/openapi/v1`, documented in full) and v2 (`/gpus/v2`, of which
mostly the request half is known). The choice: v1 wherever it has a route, because its answers are known; v2 where v1
has none (saved images, browser terminal, back to paying by the hour, a product's GPU memory) or leaves open what v2
settles (`ports` replaces the whole set). The v2 routes that stand beside a v1 route we call are under `LEFT_OUT`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.answers import id_in
from ..core.client import NovitaClient
from ..core.errors import NotFoundError, NovitaAPIError, NovitaError, redact
from ..core.hosts import API_HOST
from ..core.redaction import learn_credentials

V1 = "/gpu-instance/openapi/v1"
V2 = "/gpus/v2"


@dataclass(frozen=True)
class GpuRoute:
    """One documented operation as we call it.

    Args:
        doing: The call in a few words, for error texts.
        tools: The tools that make this call; a table in docs/gpu.md is made from them.
        host: Another documented host of Novita's.
    """

    method: str
    path: str
    doing: str
    tools: tuple[str, ...]
    host: str = API_HOST


ROUTES: Mapping[str, GpuRoute] = {
    "list_clusters": GpuRoute(
        "GET",
        f"{V1}/clusters",
        "listing GPU regions",
        ("list_gpu_resources", "list_gpu_products", "create_gpu_instance"),
    ),
    "list_gpu_products": GpuRoute(
        "GET", f"{V1}/products", "listing GPU products", ("list_gpu_products", "create_gpu_instance")
    ),
    "gpus_v2_list_products": GpuRoute(
        "GET", f"{V2}/products", "reading the memory of GPUs", ("list_gpu_products", "create_gpu_instance")
    ),
    "list_cpu_products": GpuRoute(
        "GET", f"{V1}/cpu/products", "listing CPU products", ("list_gpu_resources", "create_gpu_instance")
    ),
    "create_gpu_instance": GpuRoute(
        "POST", f"{V1}/gpu/instance/create", "creating the instance", ("create_gpu_instance",)
    ),
    "list_gpu_instances": GpuRoute("GET", f"{V1}/gpu/instances", "listing instances", ("list_gpu_instances",)),
    "get_gpu_instance": GpuRoute("GET", f"{V1}/gpu/instance", "reading the instance", ("get_gpu_instance",)),
    "start_gpu_instance": GpuRoute(
        "POST", f"{V1}/gpu/instance/start", "starting the instance", ("start_gpu_instance",)
    ),
    "stop_gpu_instance": GpuRoute("POST", f"{V1}/gpu/instance/stop", "stopping the instance", ("stop_gpu_instance",)),
    "restart_gpu_instance": GpuRoute(
        "POST", f"{V1}/gpu/instance/restart", "restarting the instance", ("restart_gpu_instance",)
    ),
    "delete_gpu_instance": GpuRoute(
        "POST", f"{V1}/gpu/instance/delete", "deleting the instance", ("delete_gpu_instance",)
    ),
    "list_gpu_templates": GpuRoute("GET", f"{V1}/templates", "listing templates", ("list_gpu_templates",)),
    "get_gpu_template": GpuRoute(
        "GET", f"{V1}/template", "reading the template", ("get_gpu_template", "create_gpu_instance")
    ),
    "create_gpu_template": GpuRoute("POST", f"{V1}/template/create", "creating the template", ("create_gpu_template",)),
    "update_gpu_template": GpuRoute("POST", f"{V1}/template/update", "changing the template", ("update_gpu_template",)),
    "delete_gpu_template": GpuRoute("POST", f"{V1}/template/delete", "deleting the template", ("delete_gpu_template",)),
    "migrate_gpu_instance": GpuRoute(
        "POST", f"{V1}/gpu/instance/migrate", "moving the instance", ("migrate_gpu_instance",)
    ),
    "upgrade_gpu_instance": GpuRoute(
        "POST", f"{V1}/gpu/instance/upgrade", "changing the instance's image", ("upgrade_gpu_instance",)
    ),
    "gpus_v2_update_ports": GpuRoute(
        "PUT", V2 + "/instances/{instance_id}/ports", "changing open ports", ("edit_gpu_instance",)
    ),
    "edit_gpu_instance": GpuRoute("POST", f"{V1}/gpu/instance/edit", "growing the root disk", ("edit_gpu_instance",)),
    "gpus_v2_set_web_terminal": GpuRoute(
        "PUT", V2 + "/instances/{instance_id}/web-terminal", "switching the browser terminal", ("edit_gpu_instance",)
    ),
    "set_gpu_instance_auto_migrate": GpuRoute(
        "POST", f"{V1}/gpu/instance/setAutoMigrate", "switching automatic migration", ("edit_gpu_instance",)
    ),
    "renew_gpu_instance": GpuRoute(
        "POST", f"{V1}/gpu/instance/renewInstance", "renewing the subscription", ("change_gpu_billing",)
    ),
    "change_gpu_instance_billing": GpuRoute(
        "POST", f"{V1}/gpu/instance/transToMonthlyInstance", "subscribing the instance", ("change_gpu_billing",)
    ),
    "gpus_v2_change_billing_mode": GpuRoute(
        "PUT", V2 + "/instances/{instance_id}/billing-mode", "ending the subscription", ("change_gpu_billing",)
    ),
    "set_gpu_instance_auto_renew": GpuRoute(
        "POST", f"{V1}/gpu/instance/setAutoRenew", "switching automatic renewal", ("change_gpu_billing",)
    ),
    "get_gpu_instance_metrics": GpuRoute(
        "GET", "/openapi/v1/metrics/gpu/instance", "reading metrics", ("get_gpu_metrics",)
    ),
    "list_gpu_jobs": GpuRoute("GET", f"{V1}/jobs", "listing GPU jobs", ("list_gpu_resources", "save_gpu_image")),
    "break_gpu_job": GpuRoute("POST", f"{V1}/job/break", "stopping the job", ("delete_gpu_resource",)),
    "save_gpu_instance_image": GpuRoute("POST", f"{V1}/job/save/image", "saving the image", ("save_gpu_image",)),
    "gpus_v2_list_images": GpuRoute("GET", f"{V2}/images", "listing saved images", ("list_gpu_resources",)),
    "gpus_v2_delete_image": GpuRoute(
        "DELETE", V2 + "/images/{image_id}", "deleting the saved image", ("delete_gpu_resource",)
    ),
    "list_network_storages": GpuRoute(
        "GET",
        f"{V1}/networkstorages/list",
        "listing network volumes",
        ("list_gpu_resources", "create_gpu_instance", "save_gpu_volume"),
    ),
    "create_network_storage": GpuRoute(
        "POST", f"{V1}/networkstorage/create", "creating the network volume", ("save_gpu_volume",)
    ),
    "update_network_storage": GpuRoute(
        "POST", f"{V1}/networkstorage/update", "changing the network volume", ("save_gpu_volume",)
    ),
    "delete_network_storage": GpuRoute(
        "POST", f"{V1}/networkstorage/delete", "deleting the network volume", ("delete_gpu_resource",)
    ),
    "list_vpc_networks": GpuRoute(
        "GET", f"{V1}/networks", "listing private networks", ("list_gpu_resources", "save_gpu_network")
    ),
    "get_vpc_network": GpuRoute("GET", f"{V1}/network", "reading the private network", ("list_gpu_resources",)),
    "create_vpc_network": GpuRoute(
        "POST", f"{V1}/network/create", "creating the private network", ("save_gpu_network",)
    ),
    "update_vpc_network": GpuRoute(
        "POST", f"{V1}/network/update", "renaming the private network", ("save_gpu_network",)
    ),
    "delete_vpc_network": GpuRoute(
        "POST", f"{V1}/network/delete", "deleting the private network", ("delete_gpu_resource",)
    ),
    "list_registry_auths": GpuRoute(
        "GET", f"{V1}/repository/auths", "listing registry logins", ("list_gpu_resources", "save_registry_login")
    ),
    "create_registry_auth": GpuRoute(
        "POST", f"{V1}/repository/auth/save", "saving the registry login", ("save_registry_login",)
    ),
    "delete_registry_auth": GpuRoute(
        "POST", f"{V1}/repository/auth/delete", "deleting the registry login", ("delete_gpu_resource",)
    ),
    "get_image_prewarm_quota": GpuRoute(
        "GET", f"{V1}/image/prewarm/quota", "reading the prewarm quota", ("list_gpu_resources",)
    ),
    "create_image_prewarm": GpuRoute("POST", f"{V1}/image/prewarm", "prewarming the image", ("prewarm_gpu_image",)),
    "list_image_prewarm": GpuRoute("GET", f"{V1}/image/prewarm", "listing prewarmed images", ("list_gpu_resources",)),
    "update_image_prewarm": GpuRoute(
        "POST", f"{V1}/image/prewarm/edit", "noting on the prewarmed image", ("prewarm_gpu_image",)
    ),
    "delete_image_prewarm": GpuRoute(
        "POST", f"{V1}/image/prewarm/delete", "deleting the prewarmed image", ("delete_gpu_resource",)
    ),
}
"""Every operation of gpu.yaml that is called, by its operationId."""

_SAME_AS = "does the same as {}, whose answer is documented in full"

LEFT_OUT: Mapping[str, str] = {
    **{
        f"gpus_v2_{v2}": _SAME_AS.format(v1)
        for v2, v1 in {
            "list_regions": "list_clusters",
            "create_instance": "create_gpu_instance",
            "list_instances": "list_gpu_instances",
            "get_instance": "get_gpu_instance",
            "delete_instance": "delete_gpu_instance",
            "start_instance": "start_gpu_instance",
            "stop_instance": "stop_gpu_instance",
            "restart_instance": "restart_gpu_instance",
            "create_template": "create_gpu_template",
            "list_templates": "list_gpu_templates",
            "get_template": "get_gpu_template",
            "update_template": "update_gpu_template",
            "delete_template": "delete_gpu_template",
            "create_network": "create_vpc_network",
            "list_networks": "list_vpc_networks",
            "get_network": "get_vpc_network",
            "update_network": "update_vpc_network",
            "delete_network": "delete_vpc_network",
            "list_jobs": "list_gpu_jobs",
            "get_job": "list_gpu_jobs",
            "stop_job": "break_gpu_job",
            "save_image": "save_gpu_instance_image",
            "create_image_prewarm": "create_image_prewarm",
            "list_image_prewarm": "list_image_prewarm",
            "delete_image_prewarm": "delete_image_prewarm",
            "get_image_prewarm": "list_image_prewarm",
            "renew_instance": "renew_gpu_instance",
            "set_auto_renew": "set_gpu_instance_auto_renew",
            "set_auto_migrate": "set_gpu_instance_auto_migrate",
        }.items()
    },
    "gpus_v2_upgrade_instance": "does the same as upgrade_gpu_instance, which can change the mounted volumes too",
    "gpus_v2_migrate_instance": "does the same as migrate_gpu_instance; what it adds (save_data) was refused",
    "gpus_v2_expand_rootfs": "does the same as edit_gpu_instance, which grows the root disk",
}
"""Operations of gpu.yaml that no tool needs, and why."""


async def ask(
    client: NovitaClient,
    operation: str | GpuRoute,
    *,
    params: Mapping[str, Any] | None = None,
    body: Any = None,
    **path: str,
) -> Any:
    """Make a call that may be repeated, and return its JSON. None if the answer has no body.

    Args:
        operation: A name in `ROUTES`, or a route of another table.

    Raises:
        NotFoundError: Novita answered 404, or with a 400 that means the same.
        NovitaError: Whatever else the client raises.
    """
    route = ROUTES[operation] if isinstance(operation, str) else operation
    sent = {name: value for name, value in (params or {}).items() if value is not None}
    try:
        answer = await client.read(
            route.method,
            route.path.format(**path),
            doing=route.doing,
            group="gpu",
            params=sent or None,
            body=body,
            host=route.host,
        )
    except NovitaAPIError as error:
        raise _as_right_kind(error) from error
    return _with_secrets_noted(route, answer.data)


async def act(
    client: NovitaClient, operation: str | GpuRoute, body: Any = None, *, secrets: Iterable[str] = (), **path: str
) -> Any:
    """Make a call that must not be repeated (it costs, or does something twice), and return its JSON.

    Args:
        secrets: Words of the body that no error may repeat, even if Novita's answer repeats them.

    Raises:
        NovitaError: `billed` says what is known.
    """
    route = ROUTES[operation] if isinstance(operation, str) else operation
    try:
        answer = await client.spend(
            route.method, route.path.format(**path), doing=route.doing, group="gpu", body=body, host=route.host
        )
    except NovitaError as error:
        raised = _as_right_kind(error) if isinstance(error, NovitaAPIError) else error
        raised.what = redact(raised.what, *secrets)
        raise raised from error
    return _with_secrets_noted(route, answer.data)


async def act_for_id(
    client: NovitaClient,
    operation: str | GpuRoute,
    body: Any,
    *names: str,
    secrets: Iterable[str] = (),
    **path: str,
) -> str:
    """Make a call as `act` does, and return the id of the thing it made, found under one of `names`.

    Empty if the answer names none. An error that names an id counts as success too: the thing was made, and later looks
    at it show its state.

    Raises:
        NovitaError: `billed` says what is known.
    """
    try:
        answer = await act(client, operation, body, secrets=secrets, **path)
    except NovitaAPIError as error:
        if not isinstance(error.answer, str) and (found := id_in(error.answer, *names)):
            return found
        raise
    return id_in(answer, *names)


def _with_secrets_noted(route: GpuRoute, data: Any) -> Any:
    """Novita's answer, with the credentials in it noted as secrets. A container's own answer is mere content."""
    return learn_credentials(data) if route.host == API_HOST else data


def _as_right_kind(error: NovitaAPIError) -> NovitaAPIError:
    """The right kind of error. GPU routes answer 400 and a text for missing things; one such text says "not fount"."""
    text = error.what.casefold()
    if isinstance(error, NotFoundError) or error.status != 400 or ("not found" not in text and "not fount" not in text):
        return error
    missing = NotFoundError(
        error.what, status=error.status, reason=error.reason, next_step=error.next_step, billed=error.billed
    )
    missing.answer = error.answer
    return missing
