"""GPU routes of the first generation around instances: jobs, templates, volumes, networks, logins, prewarm."""

from typing import Any

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from .extras import SimulatedJob, SimulatedNetwork, SimulatedPrewarm, SimulatedTemplate, SimulatedVolume
from .market import VOLUME_GB_DAY, clusters, products, refuse
from .shared import area, numbered
from .state import GpuState

# jobs


def _job(state: GpuState, job: SimulatedJob, base_url: str) -> Json:
    name, text = job.error if job.line.state == "fail" else ("", "")
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
    state.settle("jobs")
    since, until = asked.get("startTime", 0), asked.get("endTime", 0)
    found = [
        job
        for job in state.jobs.of(call.account)
        if asked.get("jobId") in (None, "", job.id)
        and asked.get("state") in (None, job.line.state)
        and asked.get("type") in (None, job.type)
        and job.created_at >= since
        and (not until or job.created_at <= until)
        and job.owner.id in asked.get("creators", [job.owner.id])
    ]
    page = numbered(found, asked, state.first_page)
    return answer({"jobs": [_job(state, each, call.base_url) for each in page], "total": len(found)})


async def break_gpu_job(call: Call) -> Response:
    state = area(call)
    return answer({"jobId": state.jobs.stop(call.account, call.body["jobId"]).id})


async def save_gpu_instance_image(call: Call) -> Response:
    state, body = area(call), call.body
    instance = state.fleet.find(call.account, body["instanceId"])
    return answer({"jobId": state.jobs.save_image(instance, body["image"], body.get("registryAuthId", "")).id})


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
    state, asked = area(call), call.params
    channels = call.request.query_params.getlist("channel")
    found = [
        each
        for each in state.templates.seen_by(call.account)
        if asked.get("name", "").lower() in each.data["name"].lower()
        and asked.get("type") in (None, each.data["type"])
        and (not channels or each.channel in channels)
        and (not asked.get("isMyCommunity") or each.owner is call.account)
    ]
    page = numbered(found, asked, state.first_page)
    return answer(
        {
            # Singular, and null when there is none.
            "template": [_template(each) for each in page] or None,
            "total": len(found),
            "pageSize": asked.get("pageSize", 0),
            "pageNum": asked.get("pageNum", 0),
        }
    )


async def get_gpu_template(call: Call) -> Response:
    return answer({"template": _template(area(call).templates.read(call.account, call.params["templateId"]))})


def _template_data(sent: Json) -> Json:
    defaults: Json = {"readme": "", "imageAuth": "", "startCommand": "", "entrypoint": "", "minCudaVersion": ""}
    # `volumes` is of an older page: one client sends it, nothing reads it.
    kept = {name: value for name, value in sent.items() if name not in ("Id", "channel", "volumes")}
    return {**defaults, "ports": [], "envs": [], **kept}


async def create_gpu_template(call: Call) -> Response:
    made = area(call).templates.create(call.account, _template_data(call.body["template"]))
    return answer({"templateId": made.id})


async def update_gpu_template(call: Call) -> Response:
    sent = call.body["template"]
    area(call).templates.update(call.account, sent["Id"], _template_data(sent))
    return answer({})


async def delete_gpu_template(call: Call) -> Response:
    area(call).templates.delete(call.account, call.body["templateId"])
    return answer({"templateId": call.body["templateId"]})


# network volumes


def _storage(storage: SimulatedVolume) -> Json:
    return {
        "storageId": storage.id,
        "storageName": storage.name,
        "storageSize": storage.size_gb,
        "clusterId": storage.cluster,
        "clusterName": clusters()[storage.cluster].name,
        # Its unit is not documented; here USD per GB and day.
        "price": f"{VOLUME_GB_DAY / 1_000_000:.3f}",
    }


async def list_network_storages(call: Call) -> Response:
    state, asked = area(call), call.params
    found = [
        each
        for each in state.storages.of(call.account)
        if asked.get("storageName", "").lower() in each.name.lower() and asked.get("storageId") in (None, "", each.id)
    ]
    page = numbered(found, asked, state.first_page, "pageNo")
    return answer({"data": [_storage(each) for each in page], "total": len(found)})


async def create_network_storage(call: Call) -> Response:
    state, body = area(call), call.body
    made = state.storages.create(call.account, body["clusterId"], body["storageName"], body["storageSize"])
    return answer(_storage(made) if state.dialect == "seen" else made.id)


async def update_network_storage(call: Call) -> Response:
    size = str(call.body["storageSize"])
    if not size.isdigit():
        raise refuse("VALIDATOR_PARAM", f"storageSize: {size!r} is not a number of GB")
    state = area(call)
    state.storages.update(call.account, call.body["storageId"], call.body["storageName"], int(size))
    return answer({})


async def delete_network_storage(call: Call) -> Response:
    state = area(call)
    state.storages.delete(call.account, call.body.get("storageId") or call.body.get("id", ""))
    return answer({})


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
    state.settle("networks")
    found = [
        each
        for each in state.networks.of(call.account)
        if asked.get("name", "").lower() in each.name.lower() and asked.get("creators") in (None, "", each.owner.id)
    ]
    page = [_network(state, each) for each in numbered(found, asked, state.first_page)]
    if state.dialect == "seen":
        return answer({"networks": page, "total": len(found)})
    return answer({"network": page, "total": str(len(found))})


async def get_vpc_network(call: Call) -> Response:
    state = area(call)
    state.settle("networks")
    shown = _network(state, state.networks.find(call.account, call.params["networkId"]))
    return answer({"network": shown if state.dialect == "seen" else [shown]})


async def create_vpc_network(call: Call) -> Response:
    state, body = area(call), call.body
    made = state.networks.create(call.account, body["clusterId"], body.get("name", ""))
    # One client got no usable id here and looks the network up by name.
    return answer({} if state.dialect == "seen" else {"network": [_network(state, made)]})


async def update_vpc_network(call: Call) -> Response:
    area(call).networks.rename(call.account, call.body["networkId"], call.body["name"])
    return answer({})


async def delete_vpc_network(call: Call) -> Response:
    state = area(call)
    state.networks.delete(call.account, call.body["networkId"])
    return answer({})


# registry logins


async def list_registry_auths(call: Call) -> Response:
    """Passwords in clear, as the page shows them."""
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


async def delete_registry_auth(call: Call) -> Response:
    state = area(call)
    state.auths.delete(call.account, call.body["id"])
    return answer({})


# image prewarm


def _prewarm(task: SimulatedPrewarm) -> Json:
    return {
        "id": task.id,
        "imageName": task.image.rsplit("/", 1)[-1],
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
        "reason": task.reason if task.line.state == "failed" else None,
    }


async def get_image_prewarm_quota(call: Call) -> Response:
    book = area(call).prewarms
    return answer({"total": len(book.of(call.account)), "limit": book.limit, "perImageSize": book.largest_gb})


async def create_image_prewarm(call: Call) -> Response:
    body: dict[str, Any] = call.body
    made = area(call).prewarms.create(
        call.account,
        body["imageUrl"],
        body["clusterId"],
        body.get("repositoryAuth", ""),
        body.get("productIds", []),
        body.get("note", ""),
    )
    return answer({"id": made.id})


async def list_image_prewarm(call: Call) -> Response:
    state, asked = area(call), call.params
    state.settle("prewarms")
    found = [
        task
        for task in state.prewarms.of(call.account)
        if asked.get("state") in (None, task.line.state.capitalize())
        and asked.get("clusterId") in (None, "", task.cluster)
        and asked.get("name", "").lower() in task.image.lower()
    ]
    # The one v1 list whose first page is documented: 1.
    return answer({"data": [_prewarm(each) for each in numbered(found, asked, 1, "page")], "total": len(found)})


async def update_image_prewarm(call: Call) -> Response:
    task = area(call).prewarms.find(call.account, call.body["id"])
    task.note = call.body.get("note", task.note)
    return answer({})


async def delete_image_prewarm(call: Call) -> Response:
    area(call).prewarms.delete(call.account, call.body["ids"])
    return answer({})


HANDLERS: dict[str, Handler] = {
    "list_gpu_jobs": list_gpu_jobs,
    "break_gpu_job": break_gpu_job,
    "save_gpu_instance_image": save_gpu_instance_image,
    "list_gpu_templates": list_gpu_templates,
    "get_gpu_template": get_gpu_template,
    "create_gpu_template": create_gpu_template,
    "update_gpu_template": update_gpu_template,
    "delete_gpu_template": delete_gpu_template,
    "list_network_storages": list_network_storages,
    "create_network_storage": create_network_storage,
    "update_network_storage": update_network_storage,
    "delete_network_storage": delete_network_storage,
    "list_vpc_networks": list_vpc_networks,
    "get_vpc_network": get_vpc_network,
    "create_vpc_network": create_vpc_network,
    "update_vpc_network": update_vpc_network,
    "delete_vpc_network": delete_vpc_network,
    "list_registry_auths": list_registry_auths,
    "create_registry_auth": create_registry_auth,
    "delete_registry_auth": delete_registry_auth,
    "get_image_prewarm_quota": get_image_prewarm_quota,
    "create_image_prewarm": create_image_prewarm,
    "list_image_prewarm": list_image_prewarm,
    "update_image_prewarm": update_image_prewarm,
    "delete_image_prewarm": delete_image_prewarm,
}
