"""GPU routes of the second generation around instances: templates, networks, jobs, saved images, prewarm."""

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from .extras import (
    Book,
    Images,
    Networks,
    Prewarms,
    R,
    SimulatedImage,
    SimulatedJob,
    SimulatedJobs,
    SimulatedNetwork,
    SimulatedPrewarm,
    SimulatedTemplate,
    Templates,
)
from .handlers import area, deletes, deletes_prewarms, in_path, new_prewarm, nothing, rows_seen, saved_image, shows
from .shared import asks_for, gone, page, second_generation

# templates, which are kept with the field names of v1

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


async def update_template(call: Call) -> Response:
    book, id = area(call).templates, call.path["template_id"]
    book.update(call.account, id, _template_data(call.body))
    return answer({"template_id": id})


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


async def update_network(call: Call) -> Response:
    area(call).networks.rename(call.account, call.path["network_id"], call.body["name"])
    return nothing()


# jobs and images


def _job(job: SimulatedJob) -> Json:
    error, message = job.error
    return {
        "id": job.id,
        "type": job.type,
        "envs": [f"{key}={value}" for key, value in job.settings.items() if value] or None,
        "state": {"state": job.line.state, "error": error, "message": message},
        "instance_id": job.instance,
        "created_at": job.created_at,
    }


async def list_jobs(call: Call) -> Response:
    asked = call.params
    found = [
        job
        for job in rows_seen(call, SimulatedJobs)
        if asks_for(asked, "job_id", job.id) and asks_for(asked, "type", job.type)
    ]
    return page(call, found, _job)


async def stop_job(call: Call) -> Response:
    area(call).jobs.stop(call.account, call.path["job_id"])
    return nothing()


async def save_image(call: Call) -> Response:
    # The documentation does not show the name of this field. `id` is its name in the answer about a job.
    return answer({"id": saved_image(call, "instance_id", "registry_auth_id").id})


def _image(image: SimulatedImage) -> Json:
    return {
        "id": image.id,
        "name": image.name.rsplit("/", 1)[-1],
        "image": image.name,
        "tags": [{"tag": tag, "image": f"{image.name}:{tag}"} for tag in image.tags],
    }


# image prewarm


def _prewarm(task: SimulatedPrewarm) -> Json:
    return {
        "task_id": task.id,
        "name": task.short_name,
        "image": task.image,
        "status": task.line.state,
        "region_id": task.cluster,
        "product_ids": task.products,
        "note": task.note,
        "reason": task.reason,
    }


async def create_prewarm(call: Call) -> Response:
    return answer({"task_id": new_prewarm(call, "image", "region_id", "registry_auth_id", "product_ids").id})


async def list_prewarm(call: Call) -> Response:
    return page(
        call, [task for task in rows_seen(call, Prewarms) if asks_for(call.params, "status", task.line.state)], _prewarm
    )


def _lists(kind: type[Book[R]], shown: Callable[[R], Json]) -> Handler:
    async def listed(call: Call) -> Response:
        return page(call, rows_seen(call, kind), shown)

    return listed


def _shows(kind: type[Book[R]], word: str, shown: Callable[[R], Json]) -> Handler:
    return shows(kind, in_path(word), lambda _, record: shown(record))


def _deletes(kind: type[Book[R]], word: str) -> Handler:
    return deletes(kind, in_path(word), gone)


HANDLERS: dict[str, Handler] = second_generation(
    {
        "create_template": create_template,
        "list_templates": _lists(Templates, _template),
        "get_template": _shows(Templates, "template_id", _template),
        "update_template": update_template,
        "delete_template": _deletes(Templates, "template_id"),
        "create_network": create_network,
        "list_networks": _lists(Networks, _network),
        "get_network": _shows(Networks, "network_id", _network),
        "update_network": update_network,
        "delete_network": _deletes(Networks, "network_id"),
        "list_jobs": list_jobs,
        "get_job": _shows(SimulatedJobs, "job_id", _job),
        "stop_job": stop_job,
        "save_image": save_image,
        "list_images": _lists(Images, _image),
        "delete_image": _deletes(Images, "image_id"),
        "create_image_prewarm": create_prewarm,
        "list_image_prewarm": list_prewarm,
        "get_image_prewarm": _shows(Prewarms, "task_id", _prewarm),
        "delete_image_prewarm": deletes_prewarms("task_ids", gone),
    }
)
