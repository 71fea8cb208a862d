"""GPU routes of the second generation around instances: templates, networks, jobs, saved images, prewarm."""

from typing import Any

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from .extras import SimulatedJob, SimulatedNetwork, SimulatedPrewarm, SimulatedTemplate
from .shared import area, gone, page, rest

# templates: kept in the words of v1

_TEMPLATE_WORDS = {
    "name": "name",
    "type": "type",
    "image": "image",
    "registry_auth_id": "imageAuth",
    "command": "startCommand",
    "entrypoint": "entrypoint",
    "rootfs_size_gb": "rootfsSize",
    "envs": "envs",
    "min_cuda_version": "minCudaVersion",
}
_NO_TEMPLATE: Json = {
    "name": "",
    "type": "instance",
    "image": "",
    "imageAuth": "",
    "startCommand": "",
    "entrypoint": "",
    "rootfsSize": 60,
    "minCudaVersion": "",
}


def _template_data(sent: Json) -> Json:
    by_type: dict[str, list[int]] = {}
    for row in sent.get("ports", ()):
        by_type.setdefault(row["protocol"], []).append(row["port"])
    metadata: dict[str, Any] = sent.get("metadata", {})
    return {
        **_NO_TEMPLATE,
        "envs": [],
        **{v1: sent[v2] for v2, v1 in _TEMPLATE_WORDS.items() if v2 in sent},
        "ports": [{"type": kind, "ports": numbers} for kind, numbers in by_type.items()],
        "readme": metadata.get("readme", ""),
        "metadata": metadata,
    }


def _template(template: SimulatedTemplate) -> Json:
    data = template.data
    return {
        "id": template.id,
        "template_id": template.id,
        **{v2: data.get(v1) for v2, v1 in _TEMPLATE_WORDS.items()},
        "ports": [{"port": n, "protocol": group["type"]} for group in data["ports"] for n in group["ports"]] or None,
        "metadata": {"readme": data["readme"], **data.get("metadata", {})},
        "channel": template.channel,
        "created_at": template.created_at,
    }


async def create_template(call: Call) -> Response:
    return answer({"template_id": area(call).templates.create(call.account, _template_data(call.body)).id})


async def list_templates(call: Call) -> Response:
    return page(call, area(call).templates.seen_by(call.account), _template)


async def get_template(call: Call) -> Response:
    return answer(_template(area(call).templates.read(call.account, call.path["template_id"])))


async def update_template(call: Call) -> Response:
    book, id = area(call).templates, call.path["template_id"]
    book.update(call.account, id, _template_data(call.body))
    return answer({"template_id": id})


async def delete_template(call: Call) -> Response:
    area(call).templates.delete(call.account, call.path["template_id"])
    return gone()


# private networks


def _network(network: SimulatedNetwork) -> Json:
    return {
        "id": network.id,
        "owner_id": network.owner.id,
        "name": network.name,
        "status": network.line.state,
        "region_id": network.cluster,
        "segment": network.segment,
        "addresses": [{"instance_id": id, "ip": ip} for id, ip in network.addresses.items()] or None,
    }


async def create_network(call: Call) -> Response:
    made = area(call).networks.create(call.account, call.body["region_id"], call.body["name"])
    return answer({"id": made.id})


async def list_networks(call: Call) -> Response:
    state = area(call)
    state.settle("networks")
    return page(call, state.networks.of(call.account), _network)


async def get_network(call: Call) -> Response:
    state = area(call)
    state.settle("networks")
    return answer(_network(state.networks.find(call.account, call.path["network_id"])))


async def update_network(call: Call) -> Response:
    area(call).networks.rename(call.account, call.path["network_id"], call.body["name"])
    return answer({})


async def delete_network(call: Call) -> Response:
    state = area(call)
    state.networks.delete(call.account, call.path["network_id"])
    return gone()


# jobs and images


def _job(job: SimulatedJob) -> Json:
    error, message = job.error if job.line.state == "fail" else ("", "")
    return {
        "id": job.id,
        "type": job.type,
        "envs": [f"{key}={value}" for key, value in job.settings.items() if value] or None,
        "state": {"state": job.line.state, "error": error, "message": message},
        "instance_id": job.instance,
        "created_at": job.created_at,
    }


async def list_jobs(call: Call) -> Response:
    state, asked = area(call), call.params
    state.settle("jobs")
    found = [
        job
        for job in state.jobs.of(call.account)
        if asked.get("job_id") in (None, "", job.id) and asked.get("type") in (None, "", job.type)
    ]
    return page(call, found, _job)


async def get_job(call: Call) -> Response:
    state = area(call)
    state.settle("jobs")
    return answer(_job(state.jobs.find(call.account, call.path["job_id"])))


async def stop_job(call: Call) -> Response:
    state = area(call)
    state.jobs.stop(call.account, call.path["job_id"])
    return answer({})


async def save_image(call: Call) -> Response:
    state, body = area(call), call.body
    instance = state.fleet.find(call.account, body["instance_id"])
    # The name of this id could not be read; `id` is what the job itself answers.
    return answer({"id": state.jobs.save_image(instance, body["image"], body.get("registry_auth_id", "")).id})


async def list_images(call: Call) -> Response:
    state = area(call)
    state.settle("jobs")
    return page(
        call,
        state.images.of(call.account),
        lambda each: {
            "id": each.id,
            "name": each.name.rsplit("/", 1)[-1],
            "image": each.name,
            "tags": [{"tag": tag, "image": f"{each.name}:{tag}"} for tag in each.tags],
        },
    )


async def delete_image(call: Call) -> Response:
    area(call).images.delete(call.account, call.path["image_id"])
    return gone()


# image prewarm


def _prewarm(task: SimulatedPrewarm) -> Json:
    return {
        "task_id": task.id,
        "name": task.image.rsplit("/", 1)[-1],
        "image": task.image,
        "status": task.line.state,
        "region_id": task.cluster,
        "product_ids": task.products,
        "note": task.note,
        "reason": task.reason if task.line.state == "failed" else None,
    }


async def create_prewarm(call: Call) -> Response:
    body = call.body
    made = area(call).prewarms.create(
        call.account,
        body["image"],
        body["region_id"],
        body.get("registry_auth_id", ""),
        body.get("product_ids", []),
        body.get("note", ""),
    )
    return answer({"task_id": made.id})


async def list_prewarm(call: Call) -> Response:
    state, status = area(call), call.params.get("status")
    state.settle("prewarms")
    found = [task for task in state.prewarms.of(call.account) if status in (None, task.line.state)]
    return page(call, found, _prewarm)


async def get_prewarm(call: Call) -> Response:
    state = area(call)
    state.settle("prewarms")
    return answer(_prewarm(state.prewarms.find(call.account, call.path["task_id"])))


async def delete_prewarm(call: Call) -> Response:
    area(call).prewarms.delete(call.account, call.body["task_ids"])
    return gone()


HANDLERS: dict[str, Handler] = {
    f"gpus_v2_{name}": rest(handler)
    for name, handler in {
        "create_template": create_template,
        "list_templates": list_templates,
        "get_template": get_template,
        "update_template": update_template,
        "delete_template": delete_template,
        "create_network": create_network,
        "list_networks": list_networks,
        "get_network": get_network,
        "update_network": update_network,
        "delete_network": delete_network,
        "list_jobs": list_jobs,
        "get_job": get_job,
        "stop_job": stop_job,
        "save_image": save_image,
        "list_images": list_images,
        "delete_image": delete_image,
        "create_image_prewarm": create_prewarm,
        "list_image_prewarm": list_prewarm,
        "get_image_prewarm": get_prewarm,
        "delete_image_prewarm": delete_prewarm,
    }.items()
}
