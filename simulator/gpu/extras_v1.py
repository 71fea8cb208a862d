"""GPU routes of the first generation around instances: jobs, templates, volumes, networks, logins, prewarm."""

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from .extras import (
    Auths,
    Networks,
    Prewarms,
    SimulatedJob,
    SimulatedJobs,
    SimulatedNetwork,
    SimulatedPrewarm,
    SimulatedTemplate,
    SimulatedVolume,
    Storages,
    Templates,
)
from .handlers import (
    area,
    deletes,
    deletes_prewarms,
    in_body,
    in_query,
    new_prewarm,
    nothing,
    rows_seen,
    saved_image,
    shows,
)
from .market import VOLUME_GB_DAY, clusters, products, refuse
from .shared import asks_for, asks_for_part, numbered
from .state import GpuState

# jobs


def _job(state: GpuState, job: SimulatedJob, base_url: str) -> Json:
    name, text = job.error
    message = {"message": text} if state.dialect == "seen" else {"errorMessage": text}
    settings = [{"key": key, "value": value} for key, value in job.settings.items() if value]
    return {
        "Id": job.id,
        "user": job.owner.id,
        "type": job.type,
        "envs": [f"{each['key']}={each['value']}" for each in settings] if state.dialect == "seen" else settings,
        "state": {"state": job.line.state, "error": name, **message},
        "logAddress": f"{base_url}/_instances/{job.instance}/logs/{job.id}",
        "createdAt": str(job.created_at),
        "instanceId": job.instance,
    }


async def list_gpu_jobs(call: Call) -> Response:
    state, asked = area(call), call.params
    since, until = asked.get("startTime", 0), asked.get("endTime", 0)
    found = [
        job
        for job in rows_seen(call, SimulatedJobs)
        if asks_for(asked, "jobId", job.id)
        and asks_for(asked, "state", job.line.state)
        and asks_for(asked, "type", job.type)
        and job.created_at >= since
        and (not until or job.created_at <= until)
        and job.owner.id in asked.get("creators", [job.owner.id])
    ]
    return answer(numbered(call, found, lambda job: _job(state, job, call.base_url), state.first_page, "jobs"))


async def break_gpu_job(call: Call) -> Response:
    return answer({"jobId": area(call).jobs.stop(call.account, call.body["jobId"]).id})


async def save_gpu_instance_image(call: Call) -> Response:
    return answer({"jobId": saved_image(call, "instanceId", "registryAuthId").id})


# templates


def _template(template: SimulatedTemplate) -> Json:
    return {
        "Id": template.id,
        "channel": template.channel,
        "user": template.owner.id,
        "createdAt": str(template.created_at),
        "recommendCards": [],
        "tools": [],
        **template.data,
    }


async def list_gpu_templates(call: Call) -> Response:
    asked = call.params
    channels = call.request.query_params.getlist("channel")
    found = [
        each
        for each in rows_seen(call, Templates)
        if asks_for_part(asked, "name", each.data["name"])
        and asks_for(asked, "type", each.data["type"])
        and (not channels or each.channel in channels)
        and (not asked.get("isMyCommunity") or each.owner is call.account)
    ]
    # The name of the list is singular, and the list is null when there is none.
    shown = numbered(call, found, _template, area(call).first_page, "template")
    shown["template"] = shown["template"] or None
    return answer(shown | {"pageSize": asked.get("pageSize", 0), "pageNum": asked.get("pageNum", 0)})


def _template_data(sent: Json) -> Json:
    defaults: Json = {"readme": "", "imageAuth": "", "startCommand": "", "entrypoint": "", "minCudaVersion": ""}
    # `volumes` comes from an older page. One client sends it, and nothing reads it.
    kept = {name: value for name, value in sent.items() if name not in ("Id", "channel", "volumes")}
    return {**defaults, "ports": [], "envs": [], **kept}


async def create_gpu_template(call: Call) -> Response:
    made = area(call).templates.create(call.account, _template_data(call.body["template"]))
    return answer({"templateId": made.id})


async def update_gpu_template(call: Call) -> Response:
    sent = call.body["template"]
    area(call).templates.update(call.account, sent["Id"], _template_data(sent))
    return nothing()


# network volumes


def _storage(storage: SimulatedVolume) -> Json:
    return {
        "storageId": storage.id,
        "storageName": storage.name,
        "storageSize": storage.size_gb,
        "clusterId": storage.cluster,
        "clusterName": clusters()[storage.cluster].name,
        # The documentation does not name its unit. Here it is USD per GB and day.
        "price": f"{VOLUME_GB_DAY / 1_000_000:.3f}",
    }


async def list_network_storages(call: Call) -> Response:
    found = [
        each
        for each in rows_seen(call, Storages)
        if asks_for_part(call.params, "storageName", each.name) and asks_for(call.params, "storageId", each.id)
    ]
    return answer(numbered(call, found, _storage, area(call).first_page, "data", "pageNo"))


async def create_network_storage(call: Call) -> Response:
    state, body = area(call), call.body
    made = state.storages.create(call.account, body["clusterId"], body["storageName"], body["storageSize"])
    return answer(_storage(made) if state.dialect == "seen" else made.id)


async def update_network_storage(call: Call) -> Response:
    size = str(call.body["storageSize"])
    if not size.isdigit():
        raise refuse("VALIDATOR_PARAM", f"storageSize: {size!r} is not a number of GB")
    area(call).storages.update(call.account, call.body["storageId"], call.body["storageName"], int(size))
    return nothing()


def _storage_id(call: Call) -> str:
    return call.body.get("storageId") or call.body.get("id", "")


# private networks


def _network(state: GpuState, network: SimulatedNetwork) -> Json:
    condition = {"state": network.line.state, "error": ""}
    return {
        "Id": network.id,
        "user": network.owner.id,
        "name": network.name,
        "state": condition if state.dialect == "seen" else [condition],
        "segment": network.segment,
        "clusterId": network.cluster,
        "Addresses": [{"Id": id, "Ip": ip} for id, ip in network.addresses.items()],
        "createTime": str(network.created_at),
    }


async def list_vpc_networks(call: Call) -> Response:
    state, asked = area(call), call.params
    found = [
        each
        for each in rows_seen(call, Networks)
        if asks_for_part(asked, "name", each.name) and asks_for(asked, "creators", each.owner.id)
    ]
    name = "networks" if state.dialect == "seen" else "network"
    shown = numbered(call, found, lambda each: _network(state, each), state.first_page, name)
    if state.dialect == "page":
        shown["total"] = str(shown["total"])
    return answer(shown)


def _one_network(state: GpuState, network: SimulatedNetwork) -> Json:
    shown = _network(state, network)
    return {"network": shown if state.dialect == "seen" else [shown]}


async def create_vpc_network(call: Call) -> Response:
    state, body = area(call), call.body
    made = state.networks.create(call.account, body["clusterId"], body.get("name", ""))
    # One client gets no usable id here, so it looks the network up by name.
    return answer({} if state.dialect == "seen" else _one_network(state, made))


async def update_vpc_network(call: Call) -> Response:
    area(call).networks.rename(call.account, call.body["networkId"], call.body["name"])
    return nothing()


# registry logins


async def list_registry_auths(call: Call) -> Response:
    """The answer shows passwords in clear text, as on Novita's page."""
    return answer(
        {
            "data": [
                {"id": each.id, "name": each.name, "username": each.username, "password": each.password}
                for each in area(call).auths.of(call.account)
            ]
        }
    )


async def create_registry_auth(call: Call) -> Response:
    state, body = area(call), call.body
    made = state.auths.create(call.account, body["name"], body["username"], body["password"])
    return answer({"id": made.id} if state.dialect == "seen" else {})


# image prewarm


def _prewarm(task: SimulatedPrewarm) -> Json:
    return {
        "id": task.id,
        "imageName": task.short_name,
        "imageUrl": task.image,
        "repositoryAuth": task.auth_id,
        "clusterId": task.cluster,
        "clusterName": clusters()[task.cluster].name,
        "products": [{"productId": id, "productName": products()[id].name} for id in task.products],
        "imageSize": str(task.size),
        "createTime": str(task.created_at),
        "state": task.line.state.capitalize(),
        "completeTime": str(task.completed_at),
        "note": task.note,
        "reason": task.reason,
    }


async def get_image_prewarm_quota(call: Call) -> Response:
    book = area(call).prewarms
    return answer({"total": len(book.of(call.account)), "limit": book.limit, "perImageSize": book.largest_gb})


async def create_image_prewarm(call: Call) -> Response:
    return answer({"id": new_prewarm(call, "imageUrl", "clusterId", "repositoryAuth", "productIds").id})


async def list_image_prewarm(call: Call) -> Response:
    asked = call.params
    found = [
        task
        for task in rows_seen(call, Prewarms)
        if asks_for(asked, "state", task.line.state.capitalize())
        and asks_for(asked, "clusterId", task.cluster)
        and asks_for_part(asked, "name", task.image)
    ]
    # Of the v1 lists only this one documents the number of its first page.
    return answer(numbered(call, found, _prewarm, 1, "data", "page"))


async def update_image_prewarm(call: Call) -> Response:
    task = area(call).prewarms.find(call.account, call.body["id"])
    task.note = call.body.get("note", task.note)
    return nothing()


HANDLERS: dict[str, Handler] = {
    "list_gpu_jobs": list_gpu_jobs,
    "break_gpu_job": break_gpu_job,
    "save_gpu_instance_image": save_gpu_instance_image,
    "list_gpu_templates": list_gpu_templates,
    "get_gpu_template": shows(Templates, in_query("templateId"), lambda _, each: {"template": _template(each)}),
    "create_gpu_template": create_gpu_template,
    "update_gpu_template": update_gpu_template,
    "delete_gpu_template": deletes(Templates, in_body("templateId"), lambda id: answer({"templateId": id})),
    "list_network_storages": list_network_storages,
    "create_network_storage": create_network_storage,
    "update_network_storage": update_network_storage,
    "delete_network_storage": deletes(Storages, _storage_id, nothing),
    "list_vpc_networks": list_vpc_networks,
    "get_vpc_network": shows(Networks, in_query("networkId"), _one_network),
    "create_vpc_network": create_vpc_network,
    "update_vpc_network": update_vpc_network,
    "delete_vpc_network": deletes(Networks, in_body("networkId"), nothing),
    "list_registry_auths": list_registry_auths,
    "create_registry_auth": create_registry_auth,
    "delete_registry_auth": deletes(Auths, in_body("id"), nothing),
    "get_image_prewarm_quota": get_image_prewarm_quota,
    "create_image_prewarm": create_image_prewarm,
    "list_image_prewarm": list_image_prewarm,
    "update_image_prewarm": update_image_prewarm,
    "delete_image_prewarm": deletes_prewarms("ids", nothing),
}
